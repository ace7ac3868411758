package loader

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Environment says where figures were taken: without it they mean nothing.
type Environment struct {
	Time       time.Time `json:"time"`
	CPU        string    `json:"cpu"`
	Cores      int       `json:"cores"`
	Memory     uint64    `json:"memory_bytes"`
	Kernel     string    `json:"kernel"`
	Go         string    `json:"go"`
	Commit     string    `json:"commit"` // of the binary; "+" behind it: built from changed files
	Filesystem string    `json:"filesystem"`
	Directory  string    `json:"directory"`
	Command    []string  `json:"command"` // without the secret key
}

// readEnvironment describes this machine and the filesystem of a directory. What
// cannot be found out reads "unknown": figures are worth having all the same.
func readEnvironment(directory string, now time.Time) Environment {
	e := Environment{
		Time: now.UTC().Truncate(time.Second), CPU: "unknown", Cores: runtime.NumCPU(), Kernel: "unknown",
		Go: runtime.Version(), Commit: "unknown", Filesystem: "unknown", Directory: directory, Command: commandLine(os.Args),
	}
	if file, err := os.Open("/proc/cpuinfo"); err == nil {
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if name, value, found := strings.Cut(lines.Text(), ":"); found && strings.TrimSpace(name) == "model name" {
				e.CPU = strings.TrimSpace(value)
				break
			}
		}
		_ = file.Close() // only read
	}
	var system unix.Sysinfo_t
	if unix.Sysinfo(&system) == nil {
		e.Memory = uint64(system.Totalram) * uint64(system.Unit)
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		e.Kernel = unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		e.Commit = commitOf(info, e.Commit)
	}
	var filesystem unix.Statfs_t
	if unix.Statfs(directory, &filesystem) == nil {
		e.Filesystem = filesystemName(int64(filesystem.Type))
	}
	return e
}

// commitOf reads the commit that the Go tool wrote into the binary.
func commitOf(info *debug.BuildInfo, otherwise string) string {
	commit, changed := otherwise, ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			commit = setting.Value
		case setting.Key == "vcs.modified" && setting.Value == "true":
			changed = "+"
		}
	}
	return commit + changed
}

// filesystemName names the magic numbers of statfs(2) for what holds data.
func filesystemName(magic int64) string {
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return "ext2/ext3/ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	}
	return fmt.Sprintf("%#x", magic)
}

// commandLine is a command line without what must not be written down.
func commandLine(args []string) []string {
	var shown []string
	hide := false
	for _, arg := range args {
		switch {
		case hide:
			arg, hide = "…", false
		case arg == "--secret-key" || arg == "--against-secret-key":
			hide = true
		case strings.HasPrefix(arg, "--secret-key="), strings.HasPrefix(arg, "--against-secret-key="):
			name, _, _ := strings.Cut(arg, "=")
			arg = name + "=…"
		}
		shown = append(shown, arg)
	}
	return shown
}

// String is the environment in one line.
func (e Environment) String() string {
	return fmt.Sprintf("%s, %d cores, %s, %s, %s, commit %s, %s",
		e.CPU, e.Cores, FormatBytes(int64(e.Memory)>>20<<20), e.Kernel, e.Go, e.Commit, e.Filesystem)
}
