package store

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// stores opens so many mountpaths of a node that shares objects with others.
func stores(t *testing.T, count int) []*Store {
	t.Helper()
	return storesSharing(t, count, new(Bounds))
}

// storesSharing is stores with the bounds of the node.
func storesSharing(t *testing.T, count int, bounds *Bounds) []*Store {
	t.Helper()
	shared := index.NewShared(8<<20, count)
	t.Cleanup(shared.Close)
	generations := objects.NewSequencer(3, objects.NodeStart(2, objects.DigestID("n")))
	list := make([]*Store, count)
	for i := range list {
		fs := disk.NewMem(uint64(i))
		err := Format(fs, layout.Format{
			Version: layout.FormatVersion, ClusterID: "c", NodeID: "n", MountpathID: fmt.Sprint("m", i),
			IndexFormat: fmt.Sprintf("pebble %d", index.FormatVersion), Created: time.Unix(1, 0).UTC(),
		})
		if err != nil {
			t.Fatal(err)
		}
		if list[i], err = Open(Options{FS: fs, Shared: shared, Generations: generations, MemTableBytes: index.MinMemTableBytes, Shares: true, Lifetime: &Lifetime{Bounds: bounds}}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := list[i].Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return list
}

func testKey(name string) objects.Key {
	return objects.Key{Bucket: objects.Bucket{ID: objects.BucketID{7}, Provider: objects.ProviderAIS, Name: "photos"}, Name: name}
}

// A record of another node counts if it is greater, whatever is here: a lower one gets
// what is here for an answer, an equal one is settled if it is settled there, and a payload
// that is not the record's changes nothing.
func TestStoreKeepsTheGreater(t *testing.T) {
	s, key, payload := stores(t, 1)[0], testKey("a"), []byte("payload")
	record := &objects.Meta{
		Generation: objects.Generation{Map: 3, Start: 9, Seq: 5}, Payload: objects.Generation{Map: 3, Start: 9, Seq: 4}, Where: objects.Inline,
		Size: int64(len(payload)), XXHash: xxhash.Checksum64(payload), ETag: "e", Unsettled: true, Writes: 4,
	}
	at := func(change func(*objects.Meta)) *objects.Meta {
		m := *record
		change(&m)
		return &m
	}
	greater := func(by uint64) *objects.Meta { return at(func(m *objects.Meta) { m.Generation.Seq += by }) }
	if got, err := s.Store(key, record, nil, messages.ToSettle, objects.Origin{}); err != nil || !got.NeedsPayload {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := s.Store(key, record, []byte("garbage"), messages.ToSettle, objects.Origin{}); !errs.Is(errs.Corrupt, err) {
		t.Fatal(err)
	}
	if _, err := s.HeadMarked(key); !errs.Is(errs.NotFound, err) {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := s.Store(key, record, payload, messages.ToSettle, objects.Origin{}); err != nil || !got.Has {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if got, err := s.Store(key, at(func(m *objects.Meta) { m.Generation.Map-- }), payload, messages.ToSettle, objects.Origin{}); err != nil || got.Has || got.Here == nil || got.Here.Generation != record.Generation {
		t.Fatalf("%+v, %v", got, err)
	}
	if have, err := s.Head(key); err != nil || !have.Unsettled || have.Writes != 4 {
		t.Fatalf("%+v, %v", have, err)
	}
	if got, err := s.Store(key, at(func(m *objects.Meta) { m.Unsettled = false }), nil, messages.ToSettle, objects.Origin{}); err != nil || !got.Has {
		t.Fatalf("%+v, %v", got, err)
	}
	if have, err := s.Head(key); err != nil || have.Unsettled {
		t.Fatalf("%+v, %v", have, err)
	}
	if got, err := s.Store(key, greater(1), nil, messages.ToSettle, objects.Origin{}); err != nil || !got.Has { // its payload is here
		t.Fatalf("%+v, %v", got, err)
	}
	if err := s.NoteSettled([]messages.Settlement{{Key: key, Generation: record.Generation}}); err != nil {
		t.Fatal(err)
	}
	if have, err := s.Head(key); err != nil || !have.Unsettled {
		t.Fatalf("a settlement of another generation counted: %+v, %v", have, err)
	}
	if err := s.NoteSettled([]messages.Settlement{{Key: key, Generation: greater(1).Generation}}); err != nil {
		t.Fatal(err)
	}
	room := make([]byte, DefaultInlineLimit)
	if opened, err := s.Open(key, room); err != nil || opened.Meta.Unsettled || !bytes.Equal(room[:opened.Inline], payload) {
		t.Fatalf("%+v, %v", opened, err)
	}
}

// A delete leaves a marker, also of what is not here; it is no object and no entry, but
// for who asks for markers, and an older record does not come back over it.
func TestBury(t *testing.T) {
	s := stores(t, 1)[0]
	for i, name := range []string{"there", "absent"} {
		key := testKey(name)
		if i == 0 {
			if _, err := s.PutInline(key, objects.Meta{Generation: objects.Generation{Map: 4}, Unsettled: true}, nil, objects.Conditions{}, objects.Origin{}); err != nil {
				t.Fatal(err)
			}
			if have, err := s.Head(key); err != nil || have.Generation.Map != 4 || !have.Unsettled {
				t.Fatalf("%+v, %v", have, err)
			}
		}
		existed, marker, err := s.Bury(key, objects.Conditions{}, 5, objects.Origin{})
		if err != nil || existed != (i == 0) || marker.Generation.Map != 5 || !marker.Unsettled {
			t.Fatalf("%v %+v, %v", existed, marker, err)
		}
		if _, err := s.Head(key); !errs.Is(errs.NotFound, err) {
			t.Fatal(err)
		}
		if have, err := s.HeadMarked(key); err != nil || !have.Deleted || have.Generation != marker.Generation {
			t.Fatalf("%+v, %v", have, err)
		}
		old := &objects.Meta{Generation: objects.Generation{Map: 4, Start: 1, Seq: 1}, Where: objects.Inline, XXHash: xxhash.Checksum64(nil)}
		if got, err := s.Store(key, old, []byte{}, messages.ToSettle, objects.Origin{}); err != nil || got.Here == nil || !got.Here.Deleted {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	bucket := testKey("").Bucket
	for markers, want := range map[messages.Markers]int{messages.NoMarkers: 0, messages.UnsettledMarkers: 2, messages.AllMarkers: 2} {
		if page, err := s.List(ListRequest{Bucket: bucket, Limit: 10, Markers: markers}); err != nil || len(page.Entries) != want {
			t.Errorf("%d: %+v, %v", markers, page, err)
		}
	}
	if empty, err := s.IsEmpty(bucket); err != nil || !empty {
		t.Errorf("%v, %v", empty, err)
	}
}

// What moves to another mountpath stays what it was: delete markers are markers, and the
// count of writes does not grow.
func TestMovedRecordsStayTheSame(t *testing.T) {
	both := stores(t, 2)
	from, to := both[0], both[1]
	room := make([]byte, 1<<20)
	move := func(key objects.Key) *objects.Meta {
		t.Helper()
		opened, err := from.OpenMarked(key, room)
		if err != nil {
			t.Fatal(err)
		}
		defer opened.Close()
		i, err := to.Copy(key, opened, room[:opened.Inline], [][]byte{room})
		if err != nil {
			t.Fatal(err)
		}
		if done, err := to.CommitImport(i, objects.Origin{}); err != nil || !done.Copied {
			t.Fatalf("%+v, %v", done, err)
		}
		have, err := to.HeadMarked(key)
		if err != nil || have.Generation != opened.Meta.Generation || have.Writes != opened.Meta.Writes || have.Unsettled != opened.Meta.Unsettled || have.Deleted != opened.Meta.Deleted {
			t.Fatalf("%+v was %+v, %v", have, opened.Meta, err)
		}
		return have
	}
	deleted := testKey("deleted")
	if _, _, err := from.Bury(deleted, objects.Conditions{}, 0, objects.Origin{}); err != nil {
		t.Fatal(err)
	}
	move(deleted)
	key, payload := testKey("file"), bytes.Repeat([]byte("x"), 100_000)
	for range 3 {
		in, err := from.Create(key, objects.Draft{}, int64(len(payload)))
		if err != nil {
			t.Fatal(err)
		}
		digests := checksum.NewDigests(checksum.Want{})
		digests.Write(payload)
		sums := digests.Sums()
		if err := in.Append(payload); err != nil {
			t.Fatal(err)
		}
		if err := in.Seal(sums, "e"); err != nil {
			t.Fatal(err)
		}
		if _, err := from.CommitFile(in, objects.Meta{Size: sums.Size, XXHash: sums.XXHash, ETag: "e", Unsettled: true}, objects.Conditions{}, objects.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	if have := move(key); have.Writes != 3 || !have.Unsettled {
		t.Fatalf("%+v", have)
	}
}
