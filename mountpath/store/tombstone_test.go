package store

import (
	"fmt"
	"testing"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// sweepAll drops what may be dropped of a store, as often as there is something.
func sweepAll(t *testing.T, s *Store, held bool) (all messages.Swept) {
	t.Helper()
	now := s.generations.Next()
	for at := (objects.Generation{}); ; {
		page, err := s.Tombstones(at, now, 7)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.List {
			at = page.List[i].Arrival
			page.List[i].Held = held
		}
		swept, err := s.DropTombstones(page.List)
		if err != nil {
			t.Fatal(err)
		}
		all.Dropped, all.Stale, all.Held = all.Dropped+swept.Dropped, all.Stale+swept.Stale, all.Held+swept.Held
		all.Unsettled = append(all.Unsettled, swept.Unsettled...)
		if !page.More {
			return all
		}
	}
}

// entries is how many keys the index has, but for the journals of the boot and of dropped
// markers' bounds.
func entries(t *testing.T, s *Store) (n int) {
	t.Helper()
	scan, err := s.index.Scan([]byte{0}, []byte{0xff})
	if err != nil {
		t.Fatal(err)
	}
	for scan.Next() {
		if key := scan.Key(); key[0] != layout.KindJournal || key[1] == 't' {
			n++
		}
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	if err := scan.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

// What is settled and not held is dropped and nothing else; an entry whose marker was
// replaced goes by itself, held or not; and afterwards the index is as it was before.
func TestDropTombstones(t *testing.T) {
	s := stores(t, 1)[0]
	before := entries(t, s)
	bury := func(name string, settled bool) objects.Generation {
		t.Helper()
		_, marker, err := s.Bury(testKey(name), objects.Conditions{}, 4, objects.Origin{})
		if err != nil {
			t.Fatal(err)
		}
		if settled {
			if err := s.NoteSettled([]messages.Settlement{{Key: testKey(name), Generation: marker.Generation}}); err != nil {
				t.Fatal(err)
			}
		}
		return marker.Generation
	}
	for i := range 20 {
		bury(fmt.Sprint("settled", i), true)
	}
	unsettled := bury("unsettled", false)
	bury("twice", true)
	bury("twice", true)
	bury("replaced", true)
	put, err := s.PutInline(testKey("replaced"), objects.Meta{Generation: objects.Generation{Map: 4}}, nil, objects.Conditions{}, objects.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if swept := sweepAll(t, s, true); swept.Dropped != 0 || swept.Stale != 2 || swept.Held != 22 || len(swept.Unsettled) != 0 {
		t.Fatalf("held: %+v", swept)
	}
	if swept := sweepAll(t, s, false); swept.Dropped != 21 || swept.Stale != 0 || len(swept.Unsettled) != 1 || swept.Unsettled[0].Generation != unsettled {
		t.Fatalf("%+v", swept)
	}
	if have, err := s.Head(testKey("replaced")); err != nil || have.Generation != put.Generation {
		t.Fatal(have, err)
	}
	if err := s.NoteSettled([]messages.Settlement{{Key: testKey("unsettled"), Generation: unsettled}}); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveMoved(testKey("replaced"), put.Generation, objects.MutationLeft, objects.Origin{}); err != nil {
		t.Fatal(err)
	}
	if swept := sweepAll(t, s, false); swept.Dropped != 1 || len(swept.Unsettled) != 0 {
		t.Fatalf("%+v", swept)
	}
	if after := entries(t, s); after != before {
		t.Fatalf("%d keys are left in the index, which had %d", after, before)
	}
}

// A record that a dropped marker may have deleted is refused where nothing is, on every
// mountpath of the node, in every life of it; what is newer is taken, and so is what comes
// to make nodes equal. Without the bound it would come back, as it does in another bucket.
func TestLateStoreIsRefused(t *testing.T) {
	bounds := new(Bounds)
	list := storesSharing(t, 2, bounds)
	s, other := list[0], list[1]
	payload := []byte("payload")
	record := func(g objects.Generation) *objects.Meta {
		return &objects.Meta{Generation: g, Payload: g, Where: objects.Inline, Size: int64(len(payload)), XXHash: xxhash.Checksum64(payload), Unsettled: true}
	}
	theirs := objects.NodeStart(9, objects.DigestID("theirs"))
	late := objects.Generation{Map: 4, Start: theirs, Seq: 5}
	marker := &objects.Meta{Generation: objects.Generation{Map: 4, Start: theirs, Seq: 6}, Deleted: true}
	if got, err := s.Store(testKey("a"), marker, nil, messages.ToSettle, objects.Origin{}); err != nil || !got.Has {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err := s.Store(testKey("a"), record(late), payload, messages.ToSettle, objects.Origin{}); err != nil || got.Here == nil {
		t.Fatalf("%+v, %v", got, err)
	}
	if swept := sweepAll(t, s, false); swept.Dropped != 1 {
		t.Fatalf("%+v", swept)
	}
	if _, err := other.DropTombstones(nil); err != nil { // which notes what was dropped elsewhere
		t.Fatal(err)
	}
	refused := func(s *Store, name string, g objects.Generation) {
		t.Helper()
		if got, err := s.Store(testKey(name), record(g), payload, messages.ToSettle, objects.Origin{}); err != nil || got.Covered != 4 {
			t.Fatalf("%s with %v: %+v, %v", name, g, got, err)
		}
	}
	taken := func(s *Store, key objects.Key, g objects.Generation, sent messages.Sending) {
		t.Helper()
		if got, err := s.Store(key, record(g), payload, sent, objects.Origin{}); err != nil || !got.Has {
			t.Fatalf("%s with %v: %+v, %v", key, g, got, err)
		}
	}
	refused(s, "a", late)
	refused(other, "a", late)
	refused(s, "b", objects.Generation{Map: 3, Start: theirs + 1, Seq: 99})
	*bounds = Bounds{} // as if the process had ended
	for _, store := range list {
		if err := store.loadBounds(); err != nil {
			t.Fatal(err)
		}
		refused(store, "a", late)
		*bounds = Bounds{}
	}
	if err := s.loadBounds(); err != nil {
		t.Fatal(err)
	}
	elsewhere := testKey("a")
	elsewhere.Bucket.ID[0]++
	taken(s, elsewhere, late, messages.ToSettle)
	taken(s, testKey("c"), late, messages.ToEqual)
	taken(s, testKey("d"), objects.Generation{Map: 4, Start: theirs, Seq: 7}, messages.ToSettle)
	taken(s, testKey("e"), objects.Generation{Map: 4, Start: theirs - 1, Seq: 1}, messages.ToSettle) // another node's

	// A bucket that is destroyed takes its bound with it.
	s.Seal(testKey("").Bucket.ID, true)
	if _, err := s.EmptyBucket(testKey("").Bucket, 100); err != nil {
		t.Fatal(err)
	}
	if err := s.DropBucket(testKey("").Bucket); err != nil {
		t.Fatal(err)
	}
	if err := s.loadBounds(); err != nil || bounds.covering(testKey("").Bucket.ID, late) != 0 {
		t.Fatal("the bound of a bucket that was destroyed stays", err)
	}
}

// A record that is refused gets a greater generation and keeps everything else; one that
// was written again meanwhile does not.
func TestRenew(t *testing.T) {
	s, key := stores(t, 1)[0], testKey("a")
	put, err := s.PutInline(key, objects.Meta{Generation: objects.Generation{Map: 4}, ETag: "e"}, nil, objects.Conditions{}, objects.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Renew(key, put.Generation, 5, objects.Origin{})
	if err != nil || got.Generation.Map != 5 || got.Generation.Compare(put.Generation) <= 0 || got.Payload != put.Meta.Payload || !got.Unsettled || got.ETag != "e" {
		t.Fatalf("%+v, %v", got, err)
	}
	if have, err := s.Head(key); err != nil || have.Generation != got.Generation {
		t.Fatal(have, err)
	}
	if _, err := s.Renew(key, put.Generation, 5, objects.Origin{}); !errs.Is(errs.Conflict, err) {
		t.Fatal(err)
	}
	_, marker, err := s.Bury(key, objects.Conditions{}, 5, objects.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if marker, err = s.Renew(key, marker.Generation, 6, objects.Origin{}); err != nil || !marker.Deleted {
		t.Fatal(marker, err)
	}
	if err := s.NoteSettled([]messages.Settlement{{Key: key, Generation: marker.Generation}}); err != nil {
		t.Fatal(err)
	}
	if swept := sweepAll(t, s, false); swept.Dropped != 1 || swept.Stale != 1 {
		t.Fatalf("%+v", swept)
	}
}

// Entries are found in the order in which they came, between two arrivals.
func TestTombstonePages(t *testing.T) {
	s := stores(t, 1)[0]
	_, marker, err := s.Bury(testKey("a"), objects.Conditions{}, 4, objects.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	page, err := s.Tombstones(objects.Generation{}, s.generations.Next(), 9)
	if err != nil || len(page.List) != 1 || page.More || page.List[0].Generation != marker.Generation || page.List[0].Key.Name != "a" {
		t.Fatalf("%+v, %v", page, err)
	}
	if page, err := s.Tombstones(objects.Generation{}, page.List[0].Arrival, 9); err != nil || len(page.List) != 0 {
		t.Fatalf("%+v, %v", page, err)
	}
	if page, err := s.Tombstones(objects.Generation{}, objects.Generation{}, 9); err != nil || len(page.List) != 0 || page.Now.IsZero() {
		t.Fatalf("%+v, %v", page, err)
	}
}
