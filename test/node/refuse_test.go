package node

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/test/process"
)

// refusedStart starts a node over directories, which must be refused, and returns why.
func refusedStart(t *testing.T, dirs ...string) string {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	node, err := supervisors.Start(supervisors.Config{Native: "127.0.0.1:0", S3: "127.0.0.1:0", MemoryBytes: 256 << 20, Log: log, Data: dirs})
	if err == nil {
		stop(t, node)
		t.Fatalf("a node started over %q", dirs)
	}
	return err.Error()
}

// made makes the mountpaths of a node that has stopped.
func made(t *testing.T, disks int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	node := start(t, dir, disks, nil)
	c := newClient(node)
	c.bucket(t, "photos")
	c.close()
	stop(t, node)
	return dir
}

// rewriteFormat changes what a mountpath says it is.
func rewriteFormat(t *testing.T, mountpath string, change func(*layout.Format)) {
	t.Helper()
	name := filepath.Join(mountpath, layout.FormatFile)
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	format, err := layout.DecodeFormat(content)
	if err != nil {
		t.Fatal(err)
	}
	change(format)
	if content, err = layout.EncodeFormat(format); err == nil {
		err = os.WriteFile(name, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// copyTree copies a directory with all below it, without attributes.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// A directory that must not be a mountpath of the node keeps it from starting, and
// the error says which and why.
func TestDirectoriesRefusedAtStart(t *testing.T) {
	for _, c := range []struct {
		name  string
		dirs  func(t *testing.T) []string
		wants string
	}{
		{"twice", func(t *testing.T) []string { d := t.TempDir(); return []string{d, d + "/."} }, "given twice"},
		{"twice by a symbolic link", func(t *testing.T) []string {
			d := t.TempDir()
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(d, link); err != nil {
				t.Fatal(err)
			}
			return []string{d, link}
		}, "given twice"},
		{"twice by a bind mount", func(t *testing.T) []string {
			d, again := t.TempDir(), t.TempDir()
			if err := syscall.Mount(d, again, "", syscall.MS_BIND, ""); err != nil {
				process.Missing(t, "a bind mount needs root: %v", err)
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(again, 0); err != nil {
					t.Error(err)
				}
			})
			return []string{d, again}
		}, "the same directory as"},
		{"one in the other", func(t *testing.T) []string { d := t.TempDir(); return []string{d, filepath.Join(d, "below")} }, "one in the other"},
		{"a copy of another", func(t *testing.T) []string {
			dir := made(t, 1)
			copyTree(t, filepath.Join(dir, "d0"), filepath.Join(dir, "d1"))
			return []string{filepath.Join(dir, "d0"), filepath.Join(dir, "d1")}
		}, "one is a copy of the other"},
		{"another node's", func(t *testing.T) []string {
			return []string{filepath.Join(made(t, 1), "d0"), filepath.Join(made(t, 1), "d0")}
		}, "it belongs to node"},
		{"too new", func(t *testing.T) []string {
			d := filepath.Join(made(t, 1), "d0")
			rewriteFormat(t, d, func(f *layout.Format) { f.Version++ })
			return []string{d}
		}, "newer version of Troupe"},
		{"no directory", func(t *testing.T) []string {
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return []string{file}
		}, "not a directory"},
		{"somebody's files", func(t *testing.T) []string {
			d := t.TempDir()
			if err := os.WriteFile(filepath.Join(d, "thesis"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return []string{d}
		}, `holds "thesis"`},
		{"a filesystem without user attributes", func(t *testing.T) []string {
			d := t.TempDir()
			if err := syscall.Mount("none", d, "ramfs", 0, ""); err != nil {
				process.Missing(t, "a mount needs root: %v", err)
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(d, 0); err != nil {
					t.Error(err)
				}
			})
			return []string{d}
		}, "user attributes"},
		{"every disk is away", func(t *testing.T) []string {
			d := filepath.Join(made(t, 1), "d0")
			if err := os.Rename(d, d+".away"); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(d, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return []string{d}
		}, "not a directory"},
		{"in use", func(t *testing.T) []string {
			dir := made(t, 1)
			node := start(t, dir, 1, nil)
			t.Cleanup(func() { stop(t, node) })
			return []string{filepath.Join(dir, "d0")}
		}, "in use by another process"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dirs := c.dirs(t)
			if why := refusedStart(t, dirs...); !strings.Contains(why, c.wants) || !strings.Contains(why, dirs[len(dirs)-1]) && !strings.Contains(why, dirs[0]) {
				t.Errorf("%q was refused with: %s\nwant: %s", dirs, why, c.wants)
			}
		})
	}
}

// A mountpath in trouble at a start costs its own keys: the node starts, says why,
// and enabling it says why again until the cause has passed; then it is back.
func TestTroubleAtStartPasses(t *testing.T) {
	for _, c := range []struct {
		name   string
		breaks func(t *testing.T, s *shelter) (mend func())
		state  string
		wants  string
	}{
		{"its disk is not mounted", func(t *testing.T, s *shelter) func() {
			return moved(t, s.path(1), func() error { return os.Mkdir(s.path(1), 0o700) })
		}, "missing", "is its disk mounted"},
		{"another process has it", func(t *testing.T, s *shelter) func() {
			lock, err := os.OpenFile(filepath.Join(s.path(1), layout.LockFile), os.O_RDWR, 0)
			if err == nil {
				err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
			}
			if err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := lock.Close(); err != nil {
					t.Error(err)
				}
			}
		}, "missing", "in use by another process"},
		{"its format cannot be read", func(t *testing.T, s *shelter) func() {
			name := filepath.Join(s.path(1), layout.FormatFile)
			good, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			write := func(content []byte) {
				if err := os.WriteFile(name, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write(good[:len(good)/2])
			return func() { write(good) }
		}, "missing", layout.FormatFile},
		{"it is read-only", func(t *testing.T, s *shelter) func() {
			if err := syscall.Mount(s.path(1), s.path(1), "", syscall.MS_BIND, ""); err != nil {
				process.Missing(t, "a mount needs root: %v", err)
			}
			unmounted := false
			unmount := func() {
				if unmounted {
					return
				}
				unmounted = true
				if err := syscall.Unmount(s.path(1), syscall.MNT_DETACH); err != nil {
					t.Error(err)
				}
			}
			t.Cleanup(unmount)
			if err := syscall.Mount("", s.path(1), "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
			return unmount
		}, "read-only", "takes no writes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShelter(t, 2)
			s.close()
			mend := c.breaks(t, s)
			s.open()
			m := s.mountpath(1)
			if m.State != c.state || !strings.Contains(m.Reason, c.wants) {
				t.Errorf("%+v\nwant %s: %s", m, c.state, c.wants)
			}
			s.others(1)
			enable := storage.Action{Action: storage.Enable, Path: s.path(1)}
			m, err := s.c.storage.Do(t.Context(), enable) // one that is read stays so, and is looked at again
			if err == nil && m.State != "read-only" || err != nil && !strings.Contains(err.Error(), c.wants) || m.Writable {
				t.Errorf("it was enabled: %+v, %v", m, err)
			}
			mend()
			if m, err := s.c.storage.Do(t.Context(), enable); err != nil || m.State != "ok" {
				t.Errorf("after the cause has passed: %+v, %v", m, err)
			}
			s.whole()
			s.close()
		})
	}
}

// What must not be a mountpath is refused when it is enabled, too.
func TestDirectoriesRefusedWhenEnabled(t *testing.T) {
	for _, c := range []struct {
		name   string
		breaks func(t *testing.T, s *shelter)
		wants  string
	}{
		{"another node's", func(t *testing.T, s *shelter) {
			rewriteFormat(t, s.path(1), func(f *layout.Format) { f.NodeID = "stranger" })
		}, "belongs to node stranger"},
		{"another mountpath", func(t *testing.T, s *shelter) {
			rewriteFormat(t, s.path(1), func(f *layout.Format) { f.MountpathID = "stranger" })
		}, "it is mountpath stranger"},
		{"too new", func(t *testing.T, s *shelter) {
			rewriteFormat(t, s.path(1), func(f *layout.Format) { f.Version++ })
		}, "newer version of Troupe"},
		{"another's directory", func(t *testing.T, s *shelter) {
			moved(t, s.path(1), func() error { return os.Symlink(s.path(0), s.path(1)) })
		}, "the same directory as"},
		{"no directory", func(t *testing.T, s *shelter) {
			moved(t, s.path(1), func() error { return os.WriteFile(s.path(1), nil, 0o600) })
		}, "not a directory"},
		{"empty", func(t *testing.T, s *shelter) {
			moved(t, s.path(1), func() error { return os.Mkdir(s.path(1), 0o700) })
		}, "is its disk mounted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShelter(t, 2)
			do := func(action string) error {
				_, err := s.c.storage.Do(t.Context(), storage.Action{Action: action, Path: s.path(1)})
				return err
			}
			if err := do(storage.Disable); err != nil {
				t.Fatal(err)
			}
			c.breaks(t, s)
			why := eventually(t, markedWithin, func() (string, error) { // it is busy until its calls have ended
				err := do(storage.Enable)
				if err == nil {
					return "", nil
				}
				if strings.Contains(err.Error(), "under way") {
					return "", &failure{503, err.Error()}
				}
				return err.Error(), nil
			})
			if !strings.Contains(why, c.wants) {
				t.Errorf("enabling it: %s\nwant: %s", why, c.wants)
			}
			if m := s.mountpath(1); m.State != "disabled" {
				t.Errorf("%+v", m)
			}
			s.others(1)
			s.close()
		})
	}
	s := newShelter(t, 1)
	if _, err := s.c.storage.Do(t.Context(), storage.Action{Action: storage.Enable, Path: "/nowhere"}); err == nil || !strings.Contains(err.Error(), "no mountpath of that path") {
		t.Errorf("a mountpath of nobody: %v", err)
	}
	if _, err := s.c.storage.Do(t.Context(), storage.Action{Action: "explode", Path: s.path(0)}); err == nil || !strings.Contains(err.Error(), "none of disable, enable, add, remove") {
		t.Errorf("an action that there is none of: %v", err)
	}
	s.close()
}

// moved puts something else where a mountpath was; mend puts it back.
func moved(t *testing.T, path string, other func() error) (mend func()) {
	t.Helper()
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if err := other(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
	}
}
