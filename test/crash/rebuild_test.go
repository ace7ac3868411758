package crash

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/offline"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/test/model"
)

var rebuildHistory = flag.Uint64("crash.rebuild", 0, "the one history whose index is rebuilt; 0: several")

// rebuildHistories is how many histories a test of rebuilds takes.
const rebuildHistories = 24

// lived is a mountpath with a history, closed, and what it held.
type lived struct {
	fs      *disk.Mem
	machine *machine
	buckets []objects.Bucket
	held    map[model.Cell]*model.Value
	metas   map[model.Cell]*objects.Meta // of objects
}

// live runs a history with one writer and looks at the end of it.
func live(t *testing.T, seed uint64, shared *index.Shared) *lived {
	t.Helper()
	fs := disk.NewMem(seed)
	if err := format(fs); err != nil {
		t.Fatal(err)
	}
	m := &machine{shared: shared, inline: 2 << 10, boot: "the first"}
	w := newWorld(seed, fs, m)
	w.relaxed = seed%3 == 0
	if err := m.open(); err != nil {
		t.Fatal(err)
	}
	newWriter(w, 0, 1).run(40)
	if w.wrong() {
		t.Fatalf("history %d: %s", seed, w.problems)
	}
	l := &lived{fs: fs, machine: m, buckets: w.buckets.Load().live, metas: make(map[model.Cell]*objects.Meta)}
	if dropping := w.buckets.Load().dropping; dropping != nil {
		if err := m.store.DropBucket(*dropping); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if l.held, err = readEverything(fs, m.store, l.buckets); err != nil {
		t.Fatalf("history %d: %v", seed, err)
	}
	for cell := range l.held {
		if cell.Upload == "" {
			if l.metas[cell], err = m.store.Head(l.key(cell)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := m.store.Close(); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *lived) key(cell model.Cell) objects.Key {
	for _, b := range l.buckets {
		if b.ID == cell.Bucket {
			return objects.Key{Bucket: b, Name: cell.Name}
		}
	}
	panic("a cell of no bucket")
}

// documents are what the node knows of the buckets.
func (l *lived) documents() offline.Buckets {
	documents := make(offline.Buckets)
	for _, b := range l.buckets {
		documents[b.ID] = &objects.BucketDoc{Bucket: b, State: objects.BucketLive}
	}
	return documents
}

// inFiles is what the files alone can tell: no inline objects, and no uploads
// without parts.
func (l *lived) inFiles() map[model.Cell]*model.Value {
	want := maps.Clone(l.held)
	for cell := range l.held {
		switch {
		case cell.Upload == "" && l.metas[cell].Where == objects.Inline:
			delete(want, cell)
		case cell.Upload != "" && cell.Part == 0:
			parts := false
			for other := range l.held {
				parts = parts || other.Upload == cell.Upload && other.Part > 0
			}
			if !parts {
				delete(want, cell)
			}
		}
	}
	return want
}

func rebuild(fs disk.FS, documents offline.Buckets, o offline.RebuildOptions) (_ *offline.Rebuilt, err error) {
	m, err := offline.OpenMount(fs, "mountpath", true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	o.Buckets, o.Now = documents, time.Unix(epoch, 0)
	return offline.Rebuild(m, o)
}

// compare opens a rebuilt mountpath and compares all that it holds, and the
// records of objects but for what a rebuild makes anew.
func (l *lived) compare(fs disk.FS, want map[model.Cell]*model.Value) error {
	m := &machine{fs: fs, shared: l.machine.shared, inline: l.machine.inline, boot: "another", start: l.machine.start + 10}
	if err := m.open(); err != nil {
		return err
	}
	found, err := readEverything(fs, m.store, l.buckets)
	if err != nil {
		return errors.Join(err, m.store.Close())
	}
	var wrong []string
	for cell, value := range want {
		if !found[cell].Equal(value) {
			wrong = append(wrong, fmt.Sprintf("%s holds %s, want %s", cell, found[cell], value))
		}
		if was := l.metas[cell]; was != nil && found[cell] != nil {
			now, err := m.store.Head(l.key(cell))
			if err != nil {
				return errors.Join(err, m.store.Close())
			}
			if !now.Modified.Equal(was.Modified) || now.Payload != was.Payload || now.Where != was.Where || now.Path != was.Path || now.XXHash != was.XXHash ||
				now.PartCount != was.PartCount || now.PartSize != was.PartSize || fmt.Sprint(now.Checksums) != fmt.Sprint(was.Checksums) {
				wrong = append(wrong, fmt.Sprintf("%s has the record %+v, want %+v", cell, now, was))
			}
		}
	}
	for cell, value := range found {
		if want[cell] == nil {
			wrong = append(wrong, fmt.Sprintf("%s holds %s, want nothing", cell, value))
		}
	}
	if err := m.store.Close(); err != nil {
		return err
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "\n"))
	}
	return nil
}

func eachRebuild(t *testing.T, check func(t *testing.T, l *lived) error) {
	t.Helper()
	shared := index.NewShared(1<<20, 2)
	defer shared.Close()
	for seed := uint64(1); seed <= rebuildHistories; seed++ {
		if *rebuildHistory != 0 && seed != *rebuildHistory {
			continue
		}
		if err := check(t, live(t, seed, shared)); err != nil {
			t.Fatalf("%v\nagain: go test ./test/crash -run '^%s$' -crash.rebuild=%d", err, t.Name(), seed)
		}
	}
}

// removeTree destroys a directory.
func removeTree(t *testing.T, fs disk.FS, dir string) {
	t.Helper()
	var names []string
	if err := fs.ReadDir(dir, func(e disk.Entry) bool { names = append(names, path.Join(dir, e.Name)); return true }); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		info, err := fs.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Dir {
			removeTree(t, fs, name)
		} else if err := fs.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := fs.RemoveDir(dir); err != nil {
		t.Fatal(err)
	}
}

// With the index lost, every large object, every multipart object and every upload
// that has a part comes back from the files, with all that was known of it, and
// nothing else does. Before, the mountpath refuses to open rather than to be empty.
func TestRebuildFromFilesAlone(t *testing.T) {
	restored := 0
	eachRebuild(t, func(t *testing.T, l *lived) error {
		removeTree(t, l.fs, layout.IndexDir)
		again := &machine{fs: l.fs, shared: l.machine.shared, inline: l.machine.inline, boot: "x", start: 100}
		if err := again.open(); !errs.Is(errs.Corrupt, err) {
			return fmt.Errorf("a mountpath without its index opens: %v", err)
		}
		result, err := rebuild(l.fs, l.documents(), offline.RebuildOptions{Verify: true})
		if err != nil {
			return err
		}
		want := l.inFiles()
		restored += len(want)
		if result.Old != offline.OldAbsent {
			return fmt.Errorf("%+v", result)
		}
		return l.compare(l.fs, want)
	})
	if restored < 100 {
		t.Errorf("%d cells were restored in all: the test tests nothing", restored)
	}
}

// With the old index whole, all that it held is there again, inline objects too.
func TestRebuildTakesOver(t *testing.T) {
	eachRebuild(t, func(t *testing.T, l *lived) error {
		result, err := rebuild(l.fs, l.documents(), offline.RebuildOptions{Verify: true})
		if err != nil {
			return err
		}
		if result.Old != offline.OldWhole || result.Findings != 0 || result.FromFiles != 0 {
			return fmt.Errorf("%+v", result)
		}
		return l.compare(l.fs, l.held)
	})
}

// A rebuild that a power cut ends, wherever, can be repeated, and leaves the
// mountpath as it was, rebuilt, or closed until then: never in between.
func TestRebuildCut(t *testing.T) {
	cuts, refused := 0, 0
	eachRebuild(t, func(t *testing.T, l *lived) error {
		chance := rand.New(rand.NewPCG(l.machine.start, uint64(len(l.held))))
		lost := len(l.held)%2 == 0
		want := l.held
		if lost {
			removeTree(t, l.fs, layout.IndexDir)
			want = l.inFiles()
		}
		if err := l.fs.SyncAll(); err != nil {
			return err
		}
		before := l.fs.Crash(disk.CrashPolicy{SyncedOnly: true})
		total := before.Changes()
		if _, err := rebuild(before, l.documents(), offline.RebuildOptions{}); err != nil {
			return err
		}
		total = before.Changes() - total
		for n := 0; n < 12; n++ {
			mem := l.fs.Crash(disk.CrashPolicy{SyncedOnly: true})
			left, where, err := cutWithin(t, mem, chance, int(total), func() error {
				_, err := rebuild(mem, l.documents(), offline.RebuildOptions{})
				return err
			})
			if err != nil {
				return err
			}
			if left == nil {
				continue
			}
			cuts++
			opened := left.Crash(disk.CrashPolicy{SyncedOnly: true})
			m := &machine{fs: opened, shared: l.machine.shared, inline: l.machine.inline, boot: "x", start: 100}
			switch err := m.open(); {
			case err != nil && (errs.Is(errs.Offline, err) || lost && errs.Is(errs.Corrupt, err)):
				refused++
			case err != nil:
				return fmt.Errorf("cut before %q: %w", where, err)
			default:
				if err := m.store.Close(); err != nil {
					return err
				}
				if err := l.compare(opened, want); err != nil {
					return fmt.Errorf("cut before %q, opened: %w", where, err)
				}
			}
			if _, err := rebuild(left, l.documents(), offline.RebuildOptions{}); err != nil {
				return fmt.Errorf("cut before %q, again: %w", where, err)
			}
			if err := l.compare(left, want); err != nil {
				return fmt.Errorf("cut before %q, again: %w", where, err)
			}
		}
		return nil
	})
	t.Logf("%d cuts, %d left the mountpath closed", cuts, refused)
	if *rebuildHistory == 0 && (cuts < 100 || refused == 0) {
		t.Errorf("%d cuts, %d of which left the mountpath closed: the test tests little", cuts, refused)
	}
}

// Nothing of a bucket that is gone comes back, and nothing that carries no
// attribute or another's becomes an object: the control of what rebuild refuses.
func TestRebuildRefuses(t *testing.T) {
	eachRebuild(t, func(t *testing.T, l *lived) error {
		removeTree(t, l.fs, layout.IndexDir)
		documents := l.documents()
		gone := l.buckets[0].ID
		documents[gone].State = objects.BucketDestroyed
		if _, err := rebuild(l.fs, documents, offline.RebuildOptions{}); err != nil {
			return err
		}
		want := l.inFiles()
		maps.DeleteFunc(want, func(c model.Cell, _ *model.Value) bool { return c.Bucket == gone })
		return l.compare(l.fs, want)
	})
}
