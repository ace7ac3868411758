// Package lifecycle_test starts the real binary where it must not start (what is
// wrong with a directory, a port or a setting is named, with what to do about it,
// and nothing is changed on disk) and ends it under load.
package lifecycle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process"
)

// TestMain builds the binary once.
func TestMain(m *testing.M) { process.Main(m) }

func start(t *testing.T, dir string, args ...string) *process.Node {
	t.Helper()
	return process.ForTest(t, process.Config{Dir: dir, Args: args})
}

// formatted returns the directories of a node that ran and was stopped.
func formatted(t *testing.T) []string {
	t.Helper()
	node := start(t, t.TempDir())
	if err := node.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	return node.Mountpaths
}

// snapshot is what a directory holds: names, and contents of all but the index.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %s\n", entry.Type(), path)
		if entry.Type().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%x\n", content)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// endsWithin bounds a start that must fail.
const endsWithin = 30 * time.Second

// serve runs the binary, which must end by itself, and returns what it said.
func serve(t *testing.T, env []string, args ...string) (said string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), endsWithin)
	defer cancel()
	command := exec.CommandContext(ctx, process.Built(), append([]string{"serve"}, args...)...)
	command.Dir = t.TempDir()
	command.Env = append(os.Environ(), env...)
	output, err := command.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("serve %q did not end: %s", args, output)
	}
	if err == nil {
		return string(output), 0
	}
	return string(output), command.ProcessState.ExitCode()
}

// loopback are listeners on ports that the system chooses.
func loopback() []string { return []string{"--native", "127.0.0.1:0", "--s3", "127.0.0.1:0"} }

// refusal is a start that must fail.
type refusal struct {
	name string
	args []string // beside the listeners
	env  []string
	says []string // every one of these
	dirs []string // that must not change
}

// check runs it.
func (r refusal) check(t *testing.T) {
	t.Run(r.name, func(t *testing.T) {
		before := map[string]string{}
		for _, dir := range r.dirs {
			before[dir] = snapshot(t, dir)
		}
		said, code := serve(t, r.env, append(loopback(), r.args...)...)
		if code == 0 || code < 0 {
			t.Errorf("exit code %d", code)
		}
		for _, text := range r.says {
			if !strings.Contains(said, text) {
				t.Errorf("it says nothing of %q:\n%s", text, said)
			}
		}
		if strings.Contains(said, "panic: ") || strings.Contains(said, "goroutine ") {
			t.Errorf("it panicked:\n%.2000s", said)
		}
		for _, dir := range r.dirs {
			if snapshot(t, dir) != before[dir] {
				t.Errorf("%s is not what it was", dir)
			}
		}
		t.Logf("exit code %d: %s", code, strings.TrimSpace(said))
	})
}

// data turns directories into arguments.
func data(dirs ...string) (args []string) {
	for _, dir := range dirs {
		args = append(args, "--data", dir)
	}
	return args
}

func mkdir(t *testing.T, path ...string) string {
	t.Helper()
	dir := filepath.Join(path...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A directory that is somebody's, or is not what it was, is refused by name and
// stays as it is.
func TestDirectoriesThatAreRefused(t *testing.T) {
	mine, other := formatted(t), formatted(t)

	foreign := mkdir(t, t.TempDir(), "photos")
	write(t, filepath.Join(foreign, "cat.jpg"), "cat")
	file := write(t, filepath.Join(t.TempDir(), "file"), "not a directory")
	parent := t.TempDir()
	nested := mkdir(t, parent, "d", "nested")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(mine[0], link); err != nil {
		t.Fatal(err)
	}

	newer := formatted(t)
	format := filepath.Join(newer[0], ".troupe", "format.json")
	content, err := os.ReadFile(format)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(content), `"version": 2`, `"version": 999`, 1)
	if changed == string(content) {
		t.Fatalf("no version in %s", content)
	}
	write(t, format, changed)

	broken := formatted(t)
	write(t, filepath.Join(broken[0], ".troupe", "format.json"), "{ not json")

	for _, r := range []refusal{
		{name: "another node's", args: data(append(mine[:3:3], other[0])...), says: []string{other[0], "belongs to node"}, dirs: append(mine[:3:3], other[0])},
		{name: "a newer version", args: data(newer...), says: []string{newer[0], "999"}, dirs: newer},
		{name: "a format that cannot be read", args: data(broken[0]), says: []string{broken[0], "format.json"}, dirs: broken},
		{name: "somebody's files", args: data(foreign), says: []string{foreign, "cat.jpg", "neither empty nor a mountpath"}, dirs: []string{foreign}},
		{name: "the same twice", args: data(mine[0], mine[0]), says: []string{mine[0], "twice"}, dirs: mine},
		{name: "the same by a link", args: data(mine[0], link), says: []string{link, "twice"}, dirs: mine},
		{name: "nested", args: data(nested, parent+"/d"), says: []string{nested, "one in the other"}, dirs: []string{parent}},
		{name: "a file", args: data(file), says: []string{file, "not a directory"}, dirs: []string{filepath.Dir(file)}},
		{name: "the kernel's", args: data("/proc/self"), says: []string{"/proc", "neither empty nor a mountpath"}},
		{name: "none", says: []string{"--data"}},
	} {
		r.check(t)
	}
	t.Run("without attributes", func(t *testing.T) {
		bare := withoutAttributes(t)
		refusal{name: "alone", args: data(bare), says: []string{bare, "user attributes"}, dirs: []string{bare}}.check(t)
		refusal{name: "beside others", args: data(append(mine[:4:4], bare)...), says: []string{bare, "user attributes"}, dirs: append(mine[:4:4], bare)}.check(t)
		// Negative control: it is the filesystem that is refused, not the empty directory.
		if err := syscall.Unmount(bare, 0); err != nil {
			t.Fatal(err)
		}
		start(t, t.TempDir(), data(bare)...)
	})
	// Negative control: the directories that stayed as they were still serve.
	if said, _ := exec.Command(process.Built(), "version").CombinedOutput(); len(said) == 0 {
		t.Error("the binary does not run")
	}
	node := process.ForTest(t, process.Config{Data: mine})
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// withoutAttributes mounts a filesystem that has no user attributes at all (ramfs;
// root) and returns where it is.
func withoutAttributes(t *testing.T) string {
	t.Helper()
	dir := mkdir(t, t.TempDir(), "bare")
	if err := syscall.Mount("none", dir, "ramfs", 0, ""); err != nil {
		process.Missing(t, "a mount needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil && !errors.Is(err, syscall.EINVAL) { // EINVAL: the test has
			t.Error(err)
		}
	})
	if err := syscall.Setxattr(dir, "user.troupe", []byte("x"), 0); !errors.Is(err, syscall.ENOTSUP) {
		t.Fatalf("a file there can have a user attribute: %v", err)
	}
	return dir
}

// A mountpath whose format cannot be read costs its own keys when the others are
// well: the node runs without it, names it and the file in its log and in `troupe
// storage list`, and changes nothing there that somebody may still want to look at.
func TestFormatThatCannotBeRead(t *testing.T) {
	node := start(t, t.TempDir())
	if err := node.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	broken := node.Mountpaths[2]
	format := filepath.Join(broken, ".troupe", "format.json")
	good, err := os.ReadFile(format)
	if err != nil {
		t.Fatal(err)
	}
	write(t, format, "{ not json")
	before := snapshot(t, broken)
	if err := os.Truncate(node.LogPath(), 0); err != nil { // what it said when all was well
		t.Fatal(err)
	}
	if err := node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if log := node.Log(); !strings.Contains(log, broken) || !strings.Contains(log, "format.json") {
		t.Errorf("the log does not name %s and its format.json:\n%s", broken, log)
	}
	told := false
	for line := range strings.Lines(storageCommand(t, node, "list")) {
		if strings.HasPrefix(line, broken+" ") {
			told = strings.Contains(line, "missing") && strings.Contains(line, "format.json")
		} else if strings.HasPrefix(line, filepath.Dir(broken)) && !strings.Contains(line, " ok ") {
			t.Errorf("another mountpath suffers: %s", line)
		}
	}
	if !told {
		t.Errorf("troupe storage list does not say what is wrong with %s:\n%s", broken, storageCommand(t, node, "list"))
	}
	client := newClient(t, node)
	if err := client.CreateBucket(t.Context(), "photos"); err != nil {
		t.Fatal(err)
	}
	stored := 0
	for i := range 40 { // a key of the broken one is refused, the others are taken
		answer, err := client.Put(t.Context(), "photos", fmt.Sprint(i), []byte("meow"))
		if err != nil {
			t.Fatal(err)
		}
		if answer.OK() {
			stored++
		} else if answer.Status != http.StatusServiceUnavailable {
			t.Errorf("PUT of %d: %v", i, answer.Err())
		}
	}
	if stored == 0 || stored == 40 {
		t.Errorf("%d of 40 objects were taken: the others' keys are, and those of the broken one are not", stored)
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if snapshot(t, broken) != before {
		t.Errorf("%s is not what it was", broken)
	}
	// With its format it is a mountpath again.
	write(t, format, string(good))
	if err := node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list := storageCommand(t, node, "list"); strings.Contains(list, "missing") {
		t.Errorf("with its format back:\n%s", list)
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// A directory that is empty where a mountpath was is a disk that is not mounted:
// the node runs without it and says so, and above all does not make a new
// mountpath of it.
func TestUnmountedDisk(t *testing.T) {
	mountpaths := formatted(t)
	if err := os.Rename(mountpaths[0], mountpaths[0]+".away"); err != nil {
		t.Fatal(err)
	}
	mkdir(t, mountpaths[0])
	node := process.ForTest(t, process.Config{Data: mountpaths})
	if said := node.Log(); !strings.Contains(said, mountpaths[0]) || !strings.Contains(said, "mounted") {
		t.Errorf("it says nothing of %s:\n%s", mountpaths[0], said)
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(mountpaths[0]); err != nil || len(entries) > 0 {
		t.Errorf("the empty directory holds %v, %v", entries, err)
	}
	// The disk is back.
	if err := errors.Join(os.Remove(mountpaths[0]), os.Rename(mountpaths[0]+".away", mountpaths[0]), node.Restart(t.Context())); err != nil {
		t.Fatal(err)
	}
	metrics, err := node.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	serving := 0
	for name := range metrics {
		if strings.HasPrefix(name, "troupe_mountpath_fullness{") {
			serving++
		}
	}
	if serving != len(mountpaths) {
		t.Errorf("%d of %d mountpaths serve", serving, len(mountpaths))
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// A directory or a port that another node uses is refused by name, and the other
// node goes on.
func TestWhatIsInUse(t *testing.T) {
	node := start(t, t.TempDir())
	fresh := filepath.Join(t.TempDir(), "fresh")
	said, code := serve(t, nil, append(loopback(), data(node.Mountpaths...)...)...)
	if code <= 0 || !strings.Contains(said, node.Mountpaths[0]) || !strings.Contains(said, "in use") {
		t.Errorf("the same directories: %d\n%s", code, said)
	}
	said, code = serve(t, nil, "--native", "127.0.0.1:0", "--s3", node.S3, "--data", fresh)
	if code <= 0 || !strings.Contains(said, node.S3) || !strings.Contains(said, "in use") {
		t.Errorf("the same port: %d\n%s", code, said)
	}
	if _, err := os.Stat(fresh); err == nil {
		t.Errorf("a node that could not have its port made %s", fresh)
	}
	if !node.Running() {
		t.Fatal("the node that was there ended")
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// A setting that cannot be is refused with its name and what it accepts, before
// anything is made.
func TestSettingsThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	fresh := filepath.Join(dir, "never")
	config := func(content string) string {
		return write(t, filepath.Join(t.TempDir(), "troupe.yaml"), content)
	}
	unreadable := filepath.Join(t.TempDir(), "absent.yaml")
	withKeys := []string{"TROUPE_ROOT_ACCESS_KEY=somebody", "TROUPE_ROOT_SECRET_KEY=something-long"}
	for _, r := range []refusal{
		{name: "no config", args: []string{"--config", unreadable}, says: []string{unreadable}},
		{name: "a config that is a directory", args: []string{"--config", dir}, says: []string{dir}},
		{name: "a config that is no YAML", args: []string{"--config", config("data: [\n\tx")}, says: []string{"troupe.yaml"}},
		{name: "an unknown setting", args: []string{"--config", config("memry: 1GiB\n")}, says: []string{"memry", "memory"}},
		{name: "an unknown flag", args: []string{"--memry", "1GiB"}, says: []string{"memry"}},
		{name: "an argument", args: []string{"extra"}, says: []string{"extra"}},
		{name: "little memory", args: []string{"--memory", "1MiB"}, says: []string{"memory", "64 MiB"}},
		{name: "no memory", args: []string{"--memory", "lots"}, says: []string{"memory", "lots", "GiB"}},
		{name: "negative memory", args: []string{"--memory", "-1GiB"}, says: []string{"memory", "-1GiB"}},
		{name: "parts", args: []string{"--min-part", "0"}, says: []string{"min-part"}},
		{name: "inline", args: []string{"--inline", "1MiB"}, says: []string{"inline", "65536"}},
		{name: "connections", args: []string{"--max-connections", "0"}, says: []string{"max-connections"}},
		{name: "connections in words", args: []string{"--max-connections", "many"}, says: []string{"max-connections", "many"}},
		{name: "log level", args: []string{"--log-level", "loud"}, says: []string{"log-level", "loud", "info"}},
		{name: "log format", args: []string{"--log-format", "xml"}, says: []string{"log-format", "xml", "json"}},
		{name: "an address", args: []string{"--s3", "nowhere"}, says: []string{"s3", "nowhere", "HOST:PORT"}},
		{name: "a port", args: []string{"--s3", "127.0.0.1:99999"}, says: []string{"s3", "99999"}},
		{name: "another machine's address", args: []string{"--s3", "192.0.2.1:9000"}, env: withKeys, says: []string{"192.0.2.1:9000"}},
		{name: "default keys beyond loopback", args: []string{"--s3", "0.0.0.0:0"}, says: []string{"s3", "TROUPE_ROOT_ACCESS_KEY"}},
		{name: "a short secret", env: []string{"TROUPE_ROOT_ACCESS_KEY=a", "TROUPE_ROOT_SECRET_KEY=short"}, says: []string{"TROUPE_ROOT_SECRET_KEY", "8"}},
		{name: "half a pair", env: []string{"TROUPE_ROOT_ACCESS_KEY=a"}, says: []string{"TROUPE_ROOT_SECRET_KEY"}},
		{name: "profiles for everybody", args: []string{"--profile", "0.0.0.0:0"}, says: []string{"profile", "loopback"}},
		{name: "from the environment", env: []string{"TROUPE_MEMORY=little"}, says: []string{"memory", "little"}},
	} {
		r.args = append(r.args, "--data", fresh)
		if r.name == "an argument" {
			r.args = append(data(fresh), "extra")
		}
		r.dirs = []string{dir}
		r.check(t)
	}
}

// hold begins an upload that stays under way, and returns how to end it.
func hold(t *testing.T, node *process.Node, key string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", node.S3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, signedPut(t, node, key)+fmt.Sprintf("Content-Length: %d\r\n\r\n", heldBytes)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(bytes.Repeat([]byte("h"), heldBytes/2)); err != nil {
		t.Fatal(err)
	}
	// The node has it in hand once it holds slabs for it.
	if err := node.Await(t.Context(), "the upload is under way", func(m process.Metrics) bool { return m["troupe_slabs_in_use"] > 0 }); err != nil {
		t.Fatal(err)
	}
	return conn
}
