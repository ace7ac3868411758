package crash

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// What is written at the source after it was copied keeps the source; moving again
// brings the newer one.
func TestMoveThatIsOvertaken(t *testing.T) {
	p, _ := newPair(t)
	defer p.close()
	for _, kind := range []string{"inline", "file", "chunks"} {
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
		}
		_, err := p.put(source, kind, kind, 1, objects.Synced)
		must(err)
		i, meta, err := p.copy(source, destination, kind)
		must(err)
		if _, _, err := p.copy(source, destination, kind); !errs.Is(errs.Busy, err) {
			t.Errorf("%s: two imports of one key: %v", kind, err)
		}
		newer, err := p.put(source, kind, kind, 2, objects.Synced)
		must(err)
		_, err = p.stores[destination].CommitImport(i, objects.Origin{})
		must(err)
		if err := p.stores[source].RemoveMoved(p.key(kind), meta.Generation, objects.MutationLeft, objects.Origin{}); !errs.Is(errs.Conflict, err) {
			t.Errorf("%s: the source went, and with it what was written there: %v", kind, err)
		}
		must(p.move(source, destination, kind))
		got, err := p.look(destination, kind)
		must(err)
		if got.meta.Generation != newer.Generation {
			t.Errorf("%s: the destination has %s, want %s", kind, got.meta.Generation, newer.Generation)
		}
		// An import that comes late changes nothing.
		_, err = p.put(source, kind, kind, 3, objects.Synced)
		must(err)
		late, _, err := p.copy(source, destination, kind)
		must(err)
		newest, err := p.put(destination, kind, kind, 4, objects.Synced)
		must(err)
		done, err := p.stores[destination].CommitImport(late, objects.Origin{})
		must(err)
		if done.Copied || done.Generation != newest.Generation {
			t.Errorf("%s: a late import became %+v, want %s", kind, done, newest.Generation)
		}
		must(p.move(source, destination, kind))
	}
	for side, s := range p.stores {
		if err := drain(s); err != nil {
			t.Fatal(err)
		}
		if err := leftovers(p.fs[side], s, []objects.Bucket{p.bucket}); err != nil {
			t.Errorf("mountpath %d: %v", side, err)
		}
	}
}

// An object that comes back to where it was does not meet what is left of its
// first stay: a reclaim entry with its payload generation would take it away.
func TestMoveThereAndBack(t *testing.T) {
	p, _ := newPair(t)
	defer p.close()
	for _, kind := range []string{"inline", "file", "chunks"} {
		if _, err := p.put(source, kind, kind, 1, objects.Synced); err != nil {
			t.Fatal(err)
		}
		want, err := p.look(source, kind)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.move(source, destination, kind); err != nil {
			t.Fatal(err)
		}
		err = p.move(destination, source, kind)
		if busy := errs.Is(errs.Busy, err); busy != (kind != "inline") { // an inline payload leaves nothing
			t.Errorf("%s: back before the first stay was reclaimed: %v", kind, err)
		}
		if err := drain(p.stores[source]); err != nil {
			t.Fatal(err)
		}
		if err := p.move(destination, source, kind); err != nil {
			t.Errorf("%s: back: %v", kind, err)
		}
		if err := p.close(); err != nil {
			t.Fatal(err)
		}
		if err := p.open(); err != nil {
			t.Fatal(err)
		}
		for _, s := range p.stores {
			if err := drain(s); err != nil {
				t.Fatal(err)
			}
		}
		got, err := p.look(source, kind)
		if err != nil || !got.value.Equal(want.value) || got.meta.Generation != want.meta.Generation {
			t.Errorf("%s: after coming back it is %s (%v), want %s", kind, got.value, err, want.value)
		}
	}
}

// A source that is damaged is not copied, and stays for whoever repairs it.
func TestDamagedSourceIsNotMoved(t *testing.T) {
	p, mems := newPair(t)
	defer p.close()
	for _, kind := range []string{"file", "chunks"} {
		if _, err := p.put(source, kind, kind, 1, objects.Synced); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"photos/file", "chunks"} {
		if path == "chunks" {
			page := fmt.Sprintf("%032x", 1)
			if err := mems[source].ReadDir(layout.UploadDir(page), func(e disk.Entry) bool {
				if !strings.HasSuffix(e.Name, ".json") {
					path = layout.UploadDir(page) + "/" + e.Name
				}
				return true
			}); err != nil {
				t.Fatal(err)
			}
		}
		file, err := mems[source].OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt([]byte("!"), 1000); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{"file", "chunks"} {
		if err := p.move(source, destination, kind); !errs.Is(errs.Corrupt, err) {
			t.Errorf("%s: %v, want corrupt", kind, err)
		}
		if _, err := p.stores[source].Head(p.key(kind)); err != nil {
			t.Errorf("%s left the source: %v", kind, err)
		}
	}
	if err := drain(p.stores[destination]); err != nil {
		t.Fatal(err)
	}
	if err := leftovers(p.fs[destination], p.stores[destination], []objects.Bucket{p.bucket}); err != nil {
		t.Error(err)
	}
}

// Parts that come to both sides during a move are merged: of two with one number
// the later stays, and the source keeps an upload that got more parts meanwhile.
func TestMoveOfAnUploadThatGrows(t *testing.T) {
	p, _ := newPair(t)
	defer p.close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const name, id = "a", "0123456789abcdef0123456789abcdef"
	must(p.upload(source, name, id, 1, new([]messages.CompletePart)))
	opened, err := p.stores[source].ExportUpload(p.key(name), id, 0)
	must(err)
	i, err := p.stores[destination].CopyUpload(p.key(name), opened, room())
	must(err)
	late, err := p.part(source, name, id, 2, 77) // in the middle of the move
	must(err)
	_, err = p.stores[destination].CommitImport(i, objects.Origin{})
	must(err)
	var moved []objects.Generation
	for _, part := range opened.Parts.Parts {
		moved = append(moved, part.Payload)
	}
	if err := p.stores[source].RemoveMovedUpload(p.key(name), id, moved); !errs.Is(errs.Conflict, err) {
		t.Fatalf("an upload that got another part meanwhile went: %v", err)
	}
	later, err := p.part(destination, name, id, 3, 88)
	must(err)
	must(p.moveUpload(source, destination, name, id))
	page, err := p.stores[destination].Parts(p.key(name), id, 0, 10)
	must(err)
	if len(page.Parts) != 3 || page.Parts[1].ETag != late.ETag || page.Parts[2].ETag != later.ETag {
		t.Errorf("the parts are %+v", page.Parts)
	}
	if _, err := p.stores[source].Parts(p.key(name), id, 0, 10); !errs.Is(errs.NotFound, err) {
		t.Errorf("the source still has the upload: %v", err)
	}
	for side, s := range p.stores {
		must(drain(s))
		if err := leftovers(p.fs[side], s, []objects.Bucket{p.bucket}); err != nil {
			t.Errorf("mountpath %d: %v", side, err)
		}
	}
}
