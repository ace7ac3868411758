package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// keptStore is a store whose clock a test sets, and that can be opened again.
type keptStore struct {
	*Store
	t       *testing.T
	mem     *disk.Mem
	now     time.Time
	limits  HistoryLimits
	starts  uint64
	written int
	boot    string // of the system
}

func newKeptStore(t *testing.T, limits HistoryLimits) *keptStore {
	t.Helper()
	k := &keptStore{t: t, mem: disk.NewMem(1), now: time.Unix(1_800_000_000, 0), limits: limits}
	err := Format(k.mem, layout.Format{
		Version: layout.FormatVersion, ClusterID: "c", NodeID: "node", MountpathID: "mp",
		IndexFormat: fmt.Sprintf("pebble %d", index.FormatVersion), Created: time.Unix(1, 0).UTC(),
	})
	if err != nil {
		t.Fatal(err)
	}
	k.open()
	t.Cleanup(k.close)
	return k
}

func (k *keptStore) open() {
	k.t.Helper()
	shared := index.NewShared(8<<20, 1)
	k.t.Cleanup(shared.Close)
	k.starts++
	var err error
	k.Store, err = Open(Options{
		FS: k.mem, Shared: shared, Generations: objects.NewSequencer(1, k.starts), MemTableBytes: index.MinMemTableBytes, InlineLimit: 1 << 10,
		Now: func() time.Time { return k.now }, History: k.limits, BootID: k.boot,
	})
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *keptStore) close() {
	k.t.Helper()
	if k.Store == nil {
		return
	}
	if err := k.Store.Close(); err != nil {
		k.t.Error(err)
	}
	k.Store = nil
}

// crash ends the store as a kill does: what was not synced is lost.
func (k *keptStore) crash() {
	k.t.Helper()
	left := k.mem.Crash(disk.CrashPolicy{SyncedOnly: true})
	k.close()
	k.mem = left
	k.open()
}

func (k *keptStore) put(name string, by objects.Origin) objects.Generation {
	k.t.Helper()
	k.written++
	payload := []byte(fmt.Sprint("payload ", k.written))
	meta := objects.Meta{Size: int64(len(payload)), XXHash: xxhash.Checksum64(payload), ETag: "e", Modified: k.now}
	receipt, err := k.PutInline(testKey(name), meta, payload, objects.Conditions{}, by)
	if err != nil {
		k.t.Fatal(err)
	}
	return receipt.Generation
}

// of returns the history of a name, newest first.
func (k *keptStore) of(name string) []objects.HistoryEntry {
	k.t.Helper()
	return historyOf(k.t, k.Store, name).Entries
}

func historyOf(t *testing.T, s *Store, name string) *messages.HistoryPage {
	t.Helper()
	key := testKey(name)
	page, err := s.History(&messages.GetHistory{IDs: []objects.BucketID{key.Bucket.ID}, Bucket: key.Bucket.Name, Name: name, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// told is a history in a line a word: oldest first.
func told(entries []objects.HistoryEntry) string {
	var words []string
	for _, e := range slices.Backward(entries) {
		words = append(words, strings.TrimSuffix(e.Kind.String()+"/"+e.Cause.String(), "/"))
	}
	return strings.Join(words, " ")
}

func (k *keptStore) keep() {
	k.t.Helper()
	if err := k.KeepHistory(); err != nil {
		k.t.Fatal(err)
	}
}

// Every way in which what is here of a key becomes something else leaves an entry, with
// the generation of the record, and for whom it was done; what changes nothing leaves none.
func TestEveryMutationIsRecorded(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{})
	client := objects.Origin{Cause: objects.CauseRequest, Principal: "alice", Request: "R1", Asked: "n2"}
	key := testKey("a")

	first := k.put("a", client)
	k.now = k.now.Add(-time.Hour) // the clock is set back: order does not care
	meta, err := k.ChangeDraft(&messages.ChangeDraft{Key: key, Change: messages.DraftChange{Tags: []objects.Pair{{Name: "x"}}, ReplaceTags: true}, Fence: messages.Fence{For: client}})
	if err != nil {
		t.Fatal(err)
	}
	k.putFile("a", client)
	k.complete("a", client)
	existed, deleted, err := k.Delete(key, objects.Conditions{}, client)
	if err != nil || !existed {
		t.Fatal(existed, err)
	}
	// Nothing changes by these.
	if _, _, err := k.Delete(key, objects.Conditions{}, client); err != nil {
		t.Fatal(err)
	}
	if _, err := k.PutInline(key, objects.Meta{}, nil, objects.Conditions{IfMatch: "nothing"}, client); err == nil {
		t.Fatal("the condition holds")
	}
	history := k.of("a")
	if got, want := told(history), "put/request changed/request put/request completed/request deleted/request"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	for i, e := range history {
		if e.Origin != client || e.Node != "node" || e.Mountpath != "mp" || e.Bucket != key.Bucket.ID {
			t.Errorf("entry %d: %+v", i, e)
		}
		if i > 0 && history[i-1].Generation.Compare(e.Generation) <= 0 {
			t.Errorf("entry %d of generation %s comes after %s", i, history[i-1].Generation, e.Generation)
		}
	}
	newest, oldest := history[0], history[len(history)-1]
	if oldest.Generation != first || oldest.Size != 9 || oldest.XXHash != xxhash.Checksum64([]byte("payload 1")) || !oldest.At.Equal(time.Unix(1_800_000_000, 0)) {
		t.Errorf("the first: %+v", oldest)
	}
	if newest.Generation != deleted || newest.Size != 0 || history[3].Generation != meta.Generation {
		t.Errorf("the delete: %+v, of generation %s", newest, deleted)
	}
	if other := k.of("b"); len(other) != 0 {
		t.Errorf("a name that never was: %+v", other)
	}
	// What a write at another mountpath has made worthless is not deleted by anybody.
	worthless := k.put("c", client)
	if existed, _, err := k.Delete(testKey("c"), objects.Conditions{}, objects.Origin{Cause: objects.CauseMove, Other: "m1"}); err != nil || !existed {
		t.Fatal(existed, err)
	}
	if left := k.of("c"); told(left) != "put/request left/move" || left[0].Generation != worthless || left[0].Size == 0 || left[0].Other != "m1" {
		t.Errorf("what left: %+v", left)
	}

	k.crash() // all was acknowledged
	if again := k.of("a"); !slices.Equal(again, history) {
		t.Errorf("after a crash:\n%+v\nwant\n%+v", again, history)
	}
}

// putFile writes an object whose payload is a file.
func (k *keptStore) putFile(name string, by objects.Origin) {
	k.t.Helper()
	in, sums := k.incoming(name)
	if _, err := k.CommitFile(in, objects.Meta{Size: sums.Size, XXHash: sums.XXHash, ETag: "e"}, objects.Conditions{}, by); err != nil {
		k.t.Fatal(err)
	}
}

func (k *keptStore) incoming(name string) (*Incoming, checksum.Sums) {
	k.t.Helper()
	in, err := k.Create(testKey(name), objects.Draft{}, -1)
	if err != nil {
		k.t.Fatal(err)
	}
	return in, k.fill(in)
}

func (k *keptStore) fill(in *Incoming) checksum.Sums {
	k.t.Helper()
	payload := make([]byte, 2<<10)
	if err := in.Append(payload); err != nil {
		k.t.Fatal(err)
	}
	sums := checksum.Sums{Size: int64(len(payload)), XXHash: xxhash.Checksum64(payload)}
	if err := in.Seal(sums, "e"); err != nil {
		k.t.Fatal(err)
	}
	return sums
}

// complete makes an object of an upload of one part.
func (k *keptStore) complete(name string, by objects.Origin) {
	k.t.Helper()
	const id = "0123456789abcdef0123456789abcdef"
	key := testKey(name)
	if err := k.CreateUpload(key, objects.Upload{ID: id, Name: name}); err != nil {
		k.t.Fatal(err)
	}
	in, err := k.CreatePart(key, id, 1, -1)
	if err != nil {
		k.t.Fatal(err)
	}
	if _, err := k.CommitPart(in, k.fill(in), "e"); err != nil {
		k.t.Fatal(err)
	}
	_, err = k.CompleteUpload(&messages.CompleteUpload{Key: key, UploadID: id, Parts: []messages.CompletePart{{Number: 1, ETag: "e"}}, Size: -1, Fence: messages.Fence{For: by}})
	if err != nil {
		k.t.Fatal(err)
	}
}

// A write that failed leaves no entry, and one whose rename happened before a crash leaves
// that it was recovered.
func TestInterruptedWritesAreRecorded(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{})
	in, _ := k.incoming("abandoned")
	if err := in.Abandon(); err != nil {
		t.Fatal(err)
	}
	if entries := k.of("abandoned"); len(entries) != 0 {
		t.Errorf("an abandoned write: %s", told(entries))
	}
	in, sums := k.incoming("renamed")
	if _, _, renamed, err := k.takeName(in, nil); !renamed || err != nil {
		t.Fatal(renamed, err)
	}
	k.crash()
	entries := k.of("renamed")
	if told(entries) != "recovered/crash" || entries[0].XXHash != sums.XXHash || entries[0].Size != sums.Size {
		t.Errorf("a write that was interrupted: %+v", entries)
	}
	if record, err := k.Head(testKey("renamed")); err != nil || record.Generation != entries[0].Generation {
		t.Errorf("%+v, %v", record, err)
	}
}

// Records of other nodes, and moves between mountpaths, are told as what they are, with
// the generation that they came with, and from where.
func TestArrivalsAreRecorded(t *testing.T) {
	both := stores(t, 2)
	from, to := both[0], both[1]
	key, payload := testKey("a"), []byte("payload")
	record := &objects.Meta{
		Generation: objects.Generation{Map: 3, Start: 9, Seq: 5}, Payload: objects.Generation{Map: 3, Start: 9, Seq: 4}, Where: objects.Inline,
		Size: int64(len(payload)), XXHash: xxhash.Checksum64(payload), ETag: "e", Writes: 1,
	}
	written := objects.Origin{Cause: objects.CauseWrite, Principal: "alice", Request: "R7", Asked: "n1", Other: "n2"}
	if stored, err := from.Store(key, record, payload, messages.ToSettle, written); err != nil || !stored.Has {
		t.Fatal(stored, err)
	}
	if stored, err := from.Store(key, record, payload, messages.ToSettle, written); err != nil || !stored.Has { // once more
		t.Fatal(stored, err)
	}
	opened, err := from.OpenMarked(key, make([]byte, 1<<10))
	if err != nil {
		t.Fatal(err)
	}
	copied, err := to.Copy(key, opened, payload, nil)
	opened.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to.CommitImport(copied, objects.Origin{Cause: objects.CauseMove, Other: "m0"}); err != nil {
		t.Fatal(err)
	}
	if err := from.RemoveMoved(key, record.Generation, objects.MutationLeft, objects.Origin{Cause: objects.CauseMove, Other: "m1"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := to.Bury(key, objects.Conditions{}, 4, objects.Origin{Cause: objects.CauseRequest}); err != nil {
		t.Fatal(err)
	}
	here, there := historyOf(t, from, "a").Entries, historyOf(t, to, "a").Entries
	if got, want := told(here), "stored/write left/move"; got != want {
		t.Errorf("at the source: %s, want %s", got, want)
	}
	if got, want := told(there), "arrived/move deleted/request"; got != want {
		t.Errorf("at the destination: %s, want %s", got, want)
	}
	for _, e := range append(here, there[1]) {
		if e.Generation != record.Generation || e.Size != record.Size || e.XXHash != record.XXHash {
			t.Errorf("%+v, want the record's", e)
		}
	}
	if here[1].Origin != written || here[0].Other != "m1" || there[1].Other != "m0" || there[1].Mountpath != "m1" {
		t.Errorf("at the source %+v, at the destination %+v", here, there)
	}
}

// History is bounded by size: the oldest goes, in segments, and what is left is the newest,
// without a gap. What is counted is what is there, also after a crash and a restart.
func TestHistoryIsBoundedBySize(t *testing.T) {
	const most = 64 << 10
	k := newKeptStore(t, HistoryLimits{Bytes: most})
	by := objects.Origin{Cause: objects.CauseRequest, Principal: "alice", Request: "0123456789ABCDEF"}
	var generations []objects.Generation
	for i := range 2000 {
		k.now = k.now.Add(time.Second)
		generations = append(generations, k.put("a", by))
		if i%10 == 9 {
			k.keep()
		}
		switch i {
		case 700:
			k.crash()
		case 1400:
			k.close()
			k.open()
		}
	}
	k.keep()
	entries := k.of("a")
	if len(entries) < 200 || len(entries) > 800 {
		t.Fatalf("%d entries of some 110 bytes in %d", len(entries), most)
	}
	for i, e := range entries {
		if want := generations[len(generations)-1-i]; e.Generation != want {
			t.Fatalf("entry %d is of generation %s, want %s", i, e.Generation, want)
		}
	}
	bytes, segments, dropped := k.HistorySize()
	if bytes > most || bytes < most*3/4 || segments > historySegments+2 || dropped == 0 {
		t.Errorf("%d bytes in %d segments, %d dropped", bytes, segments, dropped)
	}
	if there := k.historyBytes(); there > most+most/historySegments || there < bytes/2 {
		t.Errorf("%d bytes are there, %d are counted", there, bytes)
	}
}

// historyBytes counts what of the history is in the index.
func (k *keptStore) historyBytes() (bytes int64) {
	k.t.Helper()
	scan, err := k.Index().Scan(layout.HistoryBounds())
	if err != nil {
		k.t.Fatal(err)
	}
	for scan.Next() {
		value, err := scan.Value()
		if err != nil {
			k.t.Fatal(err)
		}
		bytes += int64(len(scan.Key()) + len(value))
	}
	if err := errors.Join(scan.Err(), scan.Close()); err != nil {
		k.t.Fatal(err)
	}
	return bytes
}

// History is bounded by age: an entry stays for at least as long, and for a sixteenth
// longer at the most, whether anything else is written or not. Without a limit it stays.
func TestHistoryIsBoundedByAge(t *testing.T) {
	const age = 16 * time.Hour
	for _, limits := range []HistoryLimits{{Bytes: 1 << 20, Age: age}, {Bytes: 1 << 20}} {
		k := newKeptStore(t, limits)
		k.put("a", objects.Origin{})
		begun := k.now
		for k.now.Sub(begun) < 2*age {
			k.keep()
			since := k.now.Sub(begun)
			kept := len(k.of("a")) == 1
			switch {
			case since <= age && !kept:
				t.Fatalf("limits %+v: gone after %s", limits, since)
			case limits.Age == 0 && !kept:
				t.Fatalf("without a limit it is gone after %s", since)
			case limits.Age > 0 && since > age+age/historySegments+2*time.Minute && kept:
				t.Fatalf("limits %+v: still there after %s", limits, since)
			}
			k.now = k.now.Add(time.Minute)
		}
		if _, segments, _ := k.HistorySize(); segments > 2 {
			t.Errorf("limits %+v: %d segments though next to nothing is written", limits, segments)
		}
	}
}

// The number of segments that a look-up is in has a bound, however writes come.
func TestSegmentsAreFew(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{Bytes: 32 << 10, Age: 16 * time.Hour})
	most := 0
	for i := range 600 {
		k.put("a", objects.Origin{})
		k.now = k.now.Add(time.Duration(i%90) * time.Minute)
		k.keep()
		_, segments, _ := k.HistorySize()
		most = max(most, segments)
	}
	if most > 2*historySegments+2 || most < historySegments/2 {
		t.Errorf("up to %d segments", most)
	}
}

// Turned off, nothing is recorded, and what there is goes when it is old.
func TestHistoryIsOff(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{Age: time.Hour, Bytes: 1 << 20})
	k.put("a", objects.Origin{})
	k.close()
	k.limits.Off = true
	k.open()
	k.put("a", objects.Origin{})
	k.put("b", objects.Origin{})
	if told(k.of("a")) != "put" || len(k.of("b")) != 0 {
		t.Fatalf("%s, %s", told(k.of("a")), told(k.of("b")))
	}
	for range 3 {
		k.now = k.now.Add(time.Hour)
		k.keep()
	}
	if entries := k.of("a"); len(entries) != 0 {
		t.Errorf("after the age: %s", told(entries))
	}
}

// Of a bucket that is destroyed the history of each object stays, under its id and under
// its name, beside that of a new one of the name, until it is trimmed.
func TestDestroyedBucketsAreRemembered(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{Bytes: 1 << 20, Age: 16 * time.Hour})
	old := testKey("a").Bucket
	k.put("a", objects.Origin{})
	k.put("b", objects.Origin{})
	k.Seal(old.ID, true)
	if _, err := k.EmptyBucket(old, 100); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the node drops it again at each start
		if err := k.DropBucket(old); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(bucket string, ids ...objects.BucketID) string {
		t.Helper()
		page, err := k.History(&messages.GetHistory{IDs: ids, Bucket: bucket, Name: "a", Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return told(page.Entries)
	}
	const all = "put deleted/bucket destroyed"
	if got := ask(old.Name); got != all {
		t.Errorf("by name: %s", got)
	}
	if got := ask("", old.ID); got != all {
		t.Errorf("by id: %s", got)
	}
	if got := ask(old.Name, objects.BucketID{99}); got != all {
		t.Errorf("beside a new one of the name: %s", got)
	}
	if got := ask("other"); got != "" {
		t.Errorf("by another name: %s", got)
	}
	for range 40 {
		k.now = k.now.Add(time.Hour)
		k.keep()
	}
	known := 0
	if err := k.eachDestroyed(func([]byte, *layout.DestroyedBucket) { known++ }); err != nil {
		t.Fatal(err)
	}
	if got := ask(old.Name, old.ID); got != "" || known != 0 {
		t.Errorf("after the age: %q, and %d names of buckets", got, known)
	}
}

// A question is answered with as many entries as it asks for, the newest, and says that
// there are more.
func TestHistoryHasALimit(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{Bytes: 16 << 10})
	var last objects.Generation
	for range 60 {
		last = k.put("a", objects.Origin{})
		k.keep() // several segments
	}
	if _, segments, _ := k.HistorySize(); segments < 3 {
		t.Fatalf("%d segments", segments)
	}
	for _, c := range []struct {
		limit, want int
		more        bool
	}{{1, 1, true}, {59, 59, true}, {60, 60, false}, {1000, 60, false}} {
		page, err := k.History(&messages.GetHistory{IDs: []objects.BucketID{testKey("").Bucket.ID}, Name: "a", Limit: c.limit})
		if err != nil || len(page.Entries) != c.want || page.More != c.more || page.Entries[0].Generation != last {
			t.Errorf("limit %d: %d entries, more %v, %v", c.limit, len(page.Entries), page.More, err)
		}
	}
}

// History that is damaged keeps no mountpath from opening, nor writes from being recorded.
func TestDamagedHistoryOpens(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{Bytes: 1 << 20, Age: time.Hour})
	k.put("a", objects.Origin{})
	batch := k.Index().NewBatch()
	batch.Set(layout.SegmentKey(nil, k.history.all()[0].number), []byte("nonsense"))
	if err := k.Index().Commit(batch); err != nil {
		t.Fatal(err)
	}
	k.crash()
	if all := k.history.all(); len(all) != 1 || all[0].Bytes != 0 || all[0].Begun.Unix() != int64(all[0].number) {
		t.Fatalf("it is not damaged: %+v", all)
	}
	k.put("a", objects.Origin{})
	if got := told(k.of("a")); got != "put put" {
		t.Errorf("with what came afterwards: %s", got)
	}
	for range 2 { // the damaged segment is followed by another, and goes with its age
		k.keep()
		k.now = k.now.Add(time.Hour)
	}
	k.put("a", objects.Origin{})
	k.keep()
	if got := told(k.of("a")); got != "put" {
		t.Errorf("after the age: %s", got)
	}
}

// What came before a damaged segment stays for its age: when that segment was begun is
// known by its number.
func TestDamagedSegmentEndsNothing(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{Bytes: 1 << 20, Age: 16 * time.Hour})
	for range 3 {
		k.put("a", objects.Origin{})
		k.now = k.now.Add(time.Hour)
		k.keep() // the next segment
	}
	all := k.history.all()
	if len(all) != 4 {
		t.Fatalf("%d segments", len(all))
	}
	batch := k.Index().NewBatch()
	batch.Set(layout.SegmentKey(nil, all[1].number), []byte("nonsense"))
	if err := k.Index().Commit(batch); err != nil {
		t.Fatal(err)
	}
	k.close()
	k.open()
	k.keep()
	if got := told(k.of("a")); got != "put put put" {
		t.Errorf("hours later: %s", got)
	}
	k.now = k.now.Add(13*time.Hour + 30*time.Minute) // the first segment ended 15.5 hours ago
	k.keep()
	if got := told(k.of("a")); got != "put put put" {
		t.Errorf("before the age: %s", got)
	}
	k.now = k.now.Add(time.Hour)
	k.keep()
	if got := told(k.of("a")); got != "put put" {
		t.Errorf("after the age: %s", got)
	}
}

// Of many destroyed buckets of one name the last are looked in, each of them is found by its
// id, and one whose entry is damaged keeps no other from being found.
func TestManyDestroyedBuckets(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{Bytes: 1 << 20, Age: 16 * time.Hour})
	name := testKey("a").Bucket.Name
	batch := k.Index().NewBatch()
	const many = mostDestroyed + 5
	id := func(i int) objects.BucketID { return objects.BucketID{2, byte(i >> 8), byte(i)} }
	for i := range many {
		b := objects.Bucket{ID: id(i), Name: name}
		k.recordOther(batch, objects.MutationPut, objects.Key{Bucket: b, Name: "a"}, &objects.Meta{Size: int64(i)}, &objects.Origin{})
		batch.Set(layout.DestroyedKey(nil, b.ID), layout.AppendDestroyed(nil, &layout.DestroyedBucket{Bucket: b, Destroyed: k.now.Add(time.Duration(i) * time.Second)}))
	}
	damaged := layout.DestroyedKey(nil, objects.BucketID{1})
	batch.Set(damaged, []byte("nonsense"))
	if err := k.Index().Commit(batch); err != nil {
		t.Fatal(err)
	}
	page, err := k.History(&messages.GetHistory{Bucket: name, Name: "a", Limit: 1000})
	if err != nil || len(page.Entries) != mostDestroyed || !page.More {
		t.Fatalf("%d entries, more %v, %v", len(page.Entries), page.More, err)
	}
	if first, last := page.Entries[0], page.Entries[mostDestroyed-1]; first.Size != many-1 || last.Size != many-mostDestroyed {
		t.Errorf("of the buckets %d to %d", first.Size, last.Size)
	}
	page, err = k.History(&messages.GetHistory{Bucket: name, Name: "a", Limit: 7})
	if err != nil || len(page.Entries) != 7 || page.Entries[6].Size != many-7 || !page.More {
		t.Errorf("a limit for all of them: %d entries, %v", len(page.Entries), err)
	}
	page, err = k.History(&messages.GetHistory{IDs: []objects.BucketID{id(0)}, Name: "a", Limit: 10})
	if err != nil || len(page.Entries) != 1 || page.More {
		t.Errorf("the oldest, by its id: %+v, %v", page, err)
	}
	for range 40 {
		k.now = k.now.Add(time.Hour)
		k.put("b", objects.Origin{})
		k.keep()
	}
	known := 0
	if err := k.eachDestroyed(func([]byte, *layout.DestroyedBucket) { known++ }); err != nil || known != 0 {
		t.Errorf("after the age %d are left, %v", known, err)
	}
}

// A relaxed write that a crash of the system lost is told of as taken back, after itself
// and above what it had replaced, which is there again.
func TestLostWritesAreRecorded(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{})
	k.boot = "first"
	k.close()
	k.open()
	k.putFile("a", objects.Origin{})
	in, err := k.Create(testKey("a"), objects.Draft{Class: objects.Relaxed}, -1)
	if err != nil {
		t.Fatal(err)
	}
	sums := k.fill(in)
	lost, err := k.CommitFile(in, objects.Meta{Draft: objects.Draft{Class: objects.Relaxed}, Size: sums.Size, XXHash: sums.XXHash, ETag: "e"}, objects.Conditions{}, objects.Origin{Cause: objects.CauseRequest})
	if err != nil {
		t.Fatal(err)
	}
	first := k.of("a")[1]
	k.put("other", objects.Origin{}) // the record is synced with it; the payload is not
	k.boot = "second"
	k.crash()
	record, err := k.Head(testKey("a"))
	if err != nil || record.Generation != first.Generation {
		t.Fatalf("nothing was lost: %+v, %v", record, err)
	}
	entries := k.of("a")
	if got := told(entries); got != "put put/request reverted/crash" {
		t.Fatalf("%s", got)
	}
	if e := entries[0]; e.Generation != lost.Generation || e.Size != sums.Size || e.XXHash != sums.XXHash {
		t.Errorf("%+v, want generation %s", e, lost.Generation)
	}
}

// However often a node crashes before the size of a segment is noted, what there is is
// counted, once, and bounded.
func TestHistoryIsBoundedOverCrashes(t *testing.T) {
	const most = 16 << 10
	k := newKeptStore(t, HistoryLimits{Bytes: most})
	by := objects.Origin{Cause: objects.CauseRequest, Principal: "alice", Request: "0123456789ABCDEF"}
	for range 200 {
		k.put("a", by) // some 100 bytes, of 128 after which they are noted
		k.crash()
		k.keep()
	}
	counted, _, _ := k.HistorySize()
	there := k.historyBytes()
	if there > most+most/historySegments || there < most/2 {
		t.Errorf("%d bytes are there, of %d", there, most)
	}
	if counted > there || counted < there*8/10 { // a segment's own entry is not counted
		t.Errorf("%d bytes are there, and %d are counted", there, counted)
	}
	k.keep()
	if again, _, _ := k.HistorySize(); again != counted {
		t.Errorf("%d bytes are counted, and then %d", counted, again)
	}
}
