package recording

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

// world is a mountpath that is recorded.
type world struct {
	*testing.T
	dir, journal string
}

func newWorld(t *testing.T) *world {
	root := t.TempDir()
	w := &world{t, filepath.Join(root, "d0"), filepath.Join(root, "journal")}
	w.must(os.Mkdir(w.dir, 0o700))
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// record has something done to the mountpath, into a journal.
func (w *world) record(journal string, do func(fs disk.FS)) {
	w.Helper()
	recorder, err := disk.NewRecorder(journal)
	w.must(err)
	linux, err := disk.NewLinux(w.dir)
	w.must(err)
	fs, err := recorder.Disk(w.dir, linux)
	w.must(err)
	do(fs)
	w.must(recorder.Close())
	w.must(linux.Close())
}

// put writes a file, synced with its name or not.
func (w *world) put(fs disk.FS, name, text string, synced bool) {
	w.Helper()
	file, err := fs.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	w.must(err)
	_, err = file.WriteAt([]byte(text), 0)
	w.must(err)
	if synced {
		w.must(file.Sync())
		w.must(fs.SyncDir(""))
	}
	w.must(file.Close())
}

// open opens a recording and goes to its end.
func (w *world) open(journal string, on *Recording) *Recording {
	w.Helper()
	r, err := Open(journal, on)
	w.must(err)
	w.Cleanup(func() { w.must(r.Close()) })
	w.must(r.Advance(1 << 62))
	return r
}

func (w *world) read(name string) string {
	content, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		return "(none)"
	}
	return string(content)
}

// clear empties the mountpath.
func (w *world) clear() {
	w.must(os.RemoveAll(w.dir))
}

// A cut leaves on the disk what was synced, and a node that goes on from there can be cut, too,
// also before it has done anything.
func TestCuts(t *testing.T) {
	w := newWorld(t)
	w.record(w.journal, func(fs disk.FS) {
		w.put(fs, "kept", "synced", true)
		w.put(fs, "gone", "not synced", false)
	})
	r := w.open(w.journal, nil)
	w.must(r.Compare())
	w.clear()
	w.must(r.Cut(nil, false))
	if w.read("kept") != "synced" || w.read("gone") != "(none)" {
		t.Fatalf("after the cut: %q, %q", w.read("kept"), w.read("gone"))
	}
	second := w.journal + "2"
	w.record(second, func(fs disk.FS) {
		w.put(fs, "kept", "another", false)
		w.put(fs, "new", "synced too", true)
	})
	next := w.open(second, r)
	w.must(next.Compare())
	w.clear()
	w.must(next.Cut(nil, false))
	if w.read("kept") != "synced" && w.read("kept") != "" || w.read("new") != "synced too" {
		t.Errorf("after the second cut: %q, %q", w.read("kept"), w.read("new"))
	}

	// Before a third node has opened its mountpath, what the second cut left is there.
	third := w.journal + "3"
	recorder, err := disk.NewRecorder(third)
	w.must(err)
	w.must(recorder.Close())
	left := w.read("new")
	idle := w.open(third, next)
	w.clear()
	w.must(idle.Cut(nil, false))
	if w.read("new") != left {
		t.Errorf("after a third cut: %q, and before it %q", w.read("new"), left)
	}
}

// With chance, what was not synced may be there.
func TestCutsDiffer(t *testing.T) {
	w := newWorld(t)
	w.record(w.journal, func(fs disk.FS) { w.put(fs, "perhaps", "not synced", false) })
	seen := map[string]bool{}
	for seed := range uint64(60) {
		r := w.open(w.journal, nil)
		w.clear()
		w.must(r.Cut(rand.New(rand.NewPCG(seed, 0)), true))
		seen[w.read("perhaps")] = true
	}
	if !seen["(none)"] || !seen["not synced"] || len(seen) < 3 {
		t.Errorf("cuts left %v", seen)
	}
}

// A journal that leaves something out is found: bytes, names, attributes, on either side.
func TestCompareFindsGaps(t *testing.T) {
	for name, c := range map[string]struct {
		behind func(dir string) error
		want   string
	}{
		"other bytes":    {func(dir string) error { return os.WriteFile(filepath.Join(dir, "f"), []byte("text!"), 0o600) }, "f"},
		"another file":   {func(dir string) error { return os.WriteFile(filepath.Join(dir, "g"), nil, 0o600) }, "does not make it"},
		"a file is gone": {func(dir string) error { return os.Remove(filepath.Join(dir, "f")) }, "not there"},
		"another name":   {func(dir string) error { return os.Link(filepath.Join(dir, "f"), filepath.Join(dir, "h")) }, ""},
		"a directory":    {func(dir string) error { return os.Mkdir(filepath.Join(dir, "x"), 0o700) }, "a directory"},
		"attributes": {func(dir string) error {
			linux, err := disk.NewLinux(dir)
			if err != nil {
				return err
			}
			defer linux.Close()
			file, err := linux.OpenFile("f", os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer file.Close()
			return file.SetAttr("troupe", []byte("x"))
		}, "attribute"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.record(w.journal, func(fs disk.FS) { w.put(fs, "f", "text", true) })
			r := w.open(w.journal, nil)
			w.must(r.Compare())
			w.must(c.behind(w.dir))
			if err := r.Compare(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}
