// Package volume makes filesystems of one's own for tests: small enough to fill,
// and on a loop device, so that their power can be cut, and that they can hang, be slow
// or die under whoever uses them. It needs root and the programs mount, umount, mkfs
// and fsfreeze.
//
// Start with New.
package volume

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Kind is the kind of a filesystem.
type Kind string

// The kinds that New makes. Ext4 turns read-only by an error, as Debian mounts it.
const (
	Ext4  Kind = "ext4"
	XFS   Kind = "xfs"
	Tmpfs Kind = "tmpfs"
)

// Config says what to make.
type Config struct {
	Kind  Kind
	Dir   string // holds the mount point and the backing file; it must exist
	Bytes int64  // size; XFS wants 300 MiB
	Files int64  // inodes; 0: as many as the kind likes
}

// Volume is a mounted filesystem. Not safe for concurrent use, but Cut is.
type Volume struct {
	// Path is where it is mounted.
	Path string

	config  Config
	backing string // file below the loop device; empty for Tmpfs
	mounted bool

	frozen    *os.File  // its directory; nil: it is not frozen
	guard     *exec.Cmd // thaws it if nobody else does
	throttled bool
}

// ErrMissing says why volumes cannot be made here.
var ErrMissing = errors.New("volumes need root, mount and mkfs")

// Check returns nil if volumes of a kind can be made here, else ErrMissing with
// what is missing.
func Check(kind Kind) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: not root", ErrMissing)
	}
	programs := []string{"mount", "umount", "fsfreeze"}
	if kind != Tmpfs {
		programs = append(programs, "mkfs."+string(kind))
		if _, err := os.Stat("/dev/loop-control"); err != nil {
			return fmt.Errorf("%w: %w", ErrMissing, err)
		}
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: %w", ErrMissing, err)
		}
	}
	return nil
}

// New makes and mounts a filesystem. The caller ends it with Close.
func New(config Config) (*Volume, error) {
	v := &Volume{config: config, Path: filepath.Join(config.Dir, "volume")}
	if err := os.Mkdir(v.Path, 0o755); err != nil {
		return nil, fmt.Errorf("volume.New: %w", err)
	}
	if config.Kind != Tmpfs {
		v.backing = filepath.Join(config.Dir, "volume.image")
		if err := v.makeBacking(); err != nil {
			return nil, fmt.Errorf("volume.New: %w", err)
		}
	}
	if err := v.mount(); err != nil {
		return nil, fmt.Errorf("volume.New: %w", err)
	}
	return v, nil
}

// makeBacking makes the sparse file and the filesystem in it.
func (v *Volume) makeBacking() error {
	if err := os.WriteFile(v.backing, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(v.backing, v.config.Bytes); err != nil {
		return err
	}
	if v.config.Kind == XFS {
		return run("mkfs.xfs", "-q", "-f", v.backing)
	}
	// Small filesystems get blocks of 1 KiB by themselves, in which Troupe's
	// attributes have no room.
	args := []string{"-q", "-F", "-m", "0", "-b", "4096"}
	if v.config.Files > 0 {
		args = append(args, "-N", strconv.FormatInt(v.config.Files, 10))
	}
	return run("mkfs.ext4", append(args, v.backing)...)
}

func (v *Volume) mount() error {
	var err error
	switch v.config.Kind {
	case Tmpfs:
		options := "size=" + strconv.FormatInt(v.config.Bytes, 10)
		if v.config.Files > 0 {
			options += ",nr_inodes=" + strconv.FormatInt(v.config.Files, 10)
		}
		err = run("mount", "-t", "tmpfs", "-o", options, "troupe-test", v.Path)
	case Ext4:
		err = run("mount", "-t", "ext4", "-o", "loop,errors=remount-ro", v.backing, v.Path)
	default:
		err = run("mount", "-t", string(v.config.Kind), "-o", "loop", v.backing, v.Path)
	}
	v.mounted = err == nil
	return err
}

// Close unmounts. What still holds files open there loses them from sight, not
// the machine its mount point.
func (v *Volume) Close() error {
	if !v.mounted {
		return nil
	}
	err := v.Thaw()
	if v.throttled { // another device will have the same number
		err = errors.Join(err, v.Throttle(0))
	}
	v.mounted = false
	if busy := run("umount", v.Path); busy != nil {
		err = errors.Join(err, busy, run("umount", "-l", v.Path))
	}
	return err
}

// goingDown is the request of ext4 and XFS that shuts the filesystem down;
// withoutLog makes it drop its log: what was not synced is gone after the next
// mount, as if the power had failed. (Linux, fs/ext4/ext4.h and
// fs/xfs/libxfs/xfs_fs.h: _IOR('X', 125, __u32), …_NOLOGFLUSH)
const (
	goingDown  = 2<<30 | 4<<16 | 'X'<<8 | 125
	withoutLog = 2
)

// Cut cuts the power: every call that begins after it fails, until Mend.
//
// An fsync that is under way at that very moment may return success and have
// written nothing: the ioctl is not atomic with it, as power is. (Measured on
// Linux 6.18, ext4, four files appended to and synced: in 8 of 40 cuts one file
// lost the block acknowledged last.) What is acknowledged while Cut runs proves
// nothing.
func (v *Volume) Cut() error {
	dir, err := os.Open(v.Path)
	if err != nil {
		return fmt.Errorf("volume.Cut: %w", err)
	}
	defer dir.Close()
	if err := unix.IoctlSetPointerInt(int(dir.Fd()), goingDown, withoutLog); err != nil {
		return fmt.Errorf("volume.Cut: %w", err)
	}
	return nil
}

// Mend unmounts and mounts again: the power is back. Nobody may use it meanwhile.
func (v *Volume) Mend() error {
	if err := run("umount", v.Path); err != nil {
		return fmt.Errorf("volume.Mend: %w", err)
	}
	v.mounted = false
	if err := v.mount(); err != nil {
		return fmt.Errorf("volume.Mend: %w", err)
	}
	return nil
}

// Fail makes an ext4 find an error in itself: it turns read-only under its users.
func (v *Volume) Fail() error {
	device, err := v.device()
	if err != nil {
		return fmt.Errorf("volume.Fail: %w", err)
	}
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(device), "trigger_fs_error")
	if err := os.WriteFile(trigger, []byte("1"), 0); err != nil {
		return fmt.Errorf("volume.Fail: %w", err)
	}
	return nil
}

// TakeNoWrites mounts the filesystem anew in its place, so that it takes no writes.
// It fails while a file is open to be written.
func (v *Volume) TakeNoWrites() error { return v.remount("ro") }

// TakeWrites ends that, under whoever reads.
func (v *Volume) TakeWrites() error { return v.remount("rw") }

func (v *Volume) remount(how string) error {
	if err := run("mount", "-o", "remount,"+how, v.Path); err != nil {
		return fmt.Errorf("volume.remount: %w", err)
	}
	return nil
}

// device returns the loop device that is mounted.
func (v *Volume) device() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == v.Path {
			return fields[0], nil
		}
	}
	return "", fmt.Errorf("%s is not mounted", v.Path)
}

// Free returns how many bytes and files the filesystem could still take.
func (v *Volume) Free() (bytes, files uint64, err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(v.Path, &stat); err != nil {
		return 0, 0, fmt.Errorf("volume.Free: %w", err)
	}
	return stat.Bavail * uint64(stat.Bsize), stat.Ffree, nil
}

// run runs a program to its end; an error carries what it said.
func run(program string, args ...string) error {
	said, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(string(said)))
	}
	return nil
}
