package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
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

const scrubDays = 30 * 24 * time.Hour

// putFile puts an object whose payload is a file, and returns its bytes.
func (k *keptStore) putLarge(name string, size int) []byte {
	k.t.Helper()
	k.written++
	payload := bytes.Repeat([]byte{byte(k.written)}, size)
	in, err := k.Create(testKey(name), objects.Draft{Class: objects.Synced}, int64(size))
	if err != nil {
		k.t.Fatal(err)
	}
	if err := in.Append(payload); err != nil {
		k.t.Fatal(err)
	}
	sums := checksum.Sums{Size: int64(size), XXHash: xxhash.Checksum64(payload)}
	if err := in.Seal(sums, "e"); err != nil {
		k.t.Fatal(err)
	}
	meta := objects.Meta{Size: int64(size), XXHash: sums.XXHash, ETag: "e", Modified: k.now}
	if _, err := k.CommitFile(in, meta, objects.Conditions{}, objects.Origin{}); err != nil {
		k.t.Fatal(err)
	}
	return payload
}

// flip changes a bit of the file of an object.
func (k *keptStore) flip(name string, at int64) {
	k.t.Helper()
	key := testKey(name)
	meta, err := k.Head(key)
	if err != nil {
		k.t.Fatal(err)
	}
	k.flipFile(payloadPath(key, meta), at)
}

// flipFile changes a bit of a file.
func (k *keptStore) flipFile(path string, at int64) {
	k.t.Helper()
	file, err := k.mem.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(file.Sync(), file.Close()); err != nil {
			k.t.Error(err)
		}
	}()
	var b [1]byte
	if _, err := file.ReadAt(b[:], at); err != nil {
		k.t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := file.WriteAt(b[:], at); err != nil {
		k.t.Fatal(err)
	}
}

// step does one step of the scrubber.
func (k *keptStore) step() ScrubStep {
	k.t.Helper()
	step, err := k.Scrub().Step(ScrubOrder{Within: scrubDays, Buckets: []objects.Bucket{testKey("x").Bucket}})
	if err != nil {
		k.t.Fatal(err)
	}
	return step
}

// cycle scrubs until the scrubber rests.
func (k *keptStore) cycle() messages.ScrubStatus {
	k.t.Helper()
	for range 10_000 {
		if k.step().Rest > 0 {
			return k.Scrub().Status()
		}
	}
	k.t.Fatal("the scrubber does not come to rest")
	panic("unreachable")
}

// Everything is verified once in a cycle: small payloads and large ones, and nothing twice.
func TestScrubVerifiesEverything(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{})
	want := int64(0)
	for n := range 700 { // more than a step walks
		k.put(fmt.Sprint("small", n), objects.Origin{})
	}
	for n := range 700 {
		want += int64(len(fmt.Sprint("payload ", n+1)))
	}
	for n, size := range []int{2 << 10, 1 << 20, 9<<20 + 7} { // the last takes three steps
		want += int64(len(k.putLarge(fmt.Sprint("file", n), size)))
	}
	status := k.cycle()
	if status.Bytes != want || status.Payloads != 703 || status.Found != 0 || status.Skipped != 0 || status.Remaining != 0 {
		t.Fatalf("%+v, want %d bytes of 703 payloads", status, want)
	}
	sum := int64(0)
	for _, a := range status.Ranges[0].Ages {
		sum += a.Bytes
		if !a.At.Equal(k.now) {
			t.Errorf("verified at %s, want %s", a.At, k.now)
		}
	}
	if sum != want || len(status.Ranges) != 1 {
		t.Errorf("the ages have %d bytes in %d ranges, want %d in one", sum, len(status.Ranges), want)
	}
	if rest := k.step().Rest; rest <= 0 || rest > scrubDays/2 {
		t.Errorf("it rests for %s", rest)
	}
	k.now = k.now.Add(scrubDays/2 + time.Minute)
	if status = k.cycle(); status.Cycle != 2 || status.Bytes != want {
		t.Errorf("the second cycle: %+v", status)
	}
}

// get reads an object whole.
func (k *keptStore) get(name string) ([]byte, error) {
	room := make([]byte, k.InlineLimit())
	opened, err := k.Open(testKey(name), room)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	if opened.File == nil {
		return room[:opened.Inline], nil
	}
	payload := make([]byte, opened.Meta.Size)
	_, err = opened.File.ReadAt(payload, 0)
	return payload, err
}

// putAside puts aside what is to be.
func (k *keptStore) putAside() {
	k.t.Helper()
	for {
		key, payload, ok := k.ToPutAside()
		if !ok {
			return
		}
		if err := k.PutAside(key, payload); err != nil {
			k.t.Fatal(err)
		}
	}
}

// refused fails the test unless an object is refused as damaged, by its name.
func (k *keptStore) refused(name string) {
	k.t.Helper()
	if _, err := k.get(name); !errs.Is(errs.Corrupt, err) || !strings.Contains(err.Error(), "found damaged") || !strings.Contains(err.Error(), name) {
		k.t.Fatalf("%s: %v", name, err)
	}
}

// A flipped bit is found, and from then on nothing of the payload is given out, over
// kills, whether its file was put aside or not; the others are; other nodes are not told that
// it is here; deleting or overwriting the key ends it. Before it was scrubbed, it was given out.
func TestScrubFindsAFlippedBit(t *testing.T) {
	for _, end := range []string{"delete", "overwrite"} {
		k := newKeptStore(t, HistoryLimits{})
		for n := range 5 {
			k.putLarge(fmt.Sprint("file", n), 3<<20)
		}
		k.flip("file3", 2<<20+5)
		if _, err := k.get("file3"); err != nil {
			t.Fatal(err) // nobody knows
		}
		status := k.cycle()
		if status.Found != 1 || status.Damaged != 1 || len(status.Findings) != 1 || status.Findings[0].Key.Name != "file3" || status.Payloads != 4 || status.Bytes != 12<<20 {
			t.Fatalf("%+v", status)
		}
		k.refused("file3")
		k.crash()
		k.refused("file3")
		meta, err := k.Head(testKey("file3"))
		if err != nil {
			t.Fatal(err)
		}
		if stored, err := k.Store.Store(testKey("file3"), meta, nil, messages.ToEqual, objects.Origin{}); !errs.Is(errs.Corrupt, err) || stored.Has {
			t.Errorf("another node is told %+v, %v", stored, err)
		}
		k.putAside()
		if _, err := k.mem.Stat(layout.QuarantinePath(meta.Payload)); err != nil {
			t.Error(err)
		}
		k.refused("file3")
		k.crash()
		k.refused("file3")
		if number, list := k.Damaged(10); number != 1 || list[0].Path == "" {
			t.Errorf("%d: %+v", number, list)
		}
		if got := told(k.of("file3")); got != "put damaged/damage" {
			t.Errorf("the history is %s", got)
		}
		for _, n := range []int{0, 1, 2, 4} {
			if _, err := k.get(fmt.Sprint("file", n)); err != nil {
				t.Error(err)
			}
		}
		if end == "delete" {
			if _, _, err := k.Delete(testKey("file3"), objects.Conditions{}, objects.Origin{}); err != nil {
				t.Fatal(err)
			}
		} else {
			want := k.putLarge("file3", 2<<20)
			if got, err := k.get("file3"); err != nil || !bytes.Equal(got, want) {
				t.Fatal(err)
			}
		}
		if err := k.KeepDamage(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := k.Reclaim(100); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := k.mem.Stat(layout.QuarantinePath(meta.Payload)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what was put aside: %v", err)
		}
		k.crash()
		if number, _ := k.Damaged(10); number != 0 {
			t.Errorf("%d are damaged after %s", number, end)
		}
		k.now = k.now.Add(scrubDays)
		if status := k.cycle(); status.Damaged != 0 || status.Skipped != 0 {
			t.Errorf("after %s: %+v", end, status)
		}
	}
}

// A damaged small payload and a damaged part are found, too, and refused.
func TestScrubFindsDamagedParts(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{})
	k.complete("parts", objects.Origin{})
	meta, err := k.Head(testKey("parts"))
	if err != nil {
		t.Fatal(err)
	}
	parts, err := k.partTable(testKey("parts"), meta)
	if err != nil {
		t.Fatal(err)
	}
	path := layout.PartPath(meta.Path, parts[0].Number, parts[0].Payload)
	k.flipFile(path, 3)
	k.put("small", objects.Origin{})
	small, err := k.Head(testKey("small"))
	if err != nil {
		t.Fatal(err)
	}
	batch := k.Index().NewBatch()
	batch.Set(layout.PayloadKey(nil, testKey("small").Bucket.ID, "small", small.Payload), []byte("another"))
	if err := k.Index().Commit(batch); err != nil {
		t.Fatal(err)
	}
	if status := k.cycle(); status.Found != 2 || status.Damaged != 2 || status.Payloads != 0 {
		t.Fatalf("%+v", status)
	}
	k.putAside()
	k.crash()
	k.refused("small")
	k.refused("parts")
	if _, err := k.mem.Stat(layout.QuarantinePath(parts[0].Payload)); err != nil {
		t.Error(err)
	}
}

// A finding that cannot be noted is not lost, also when the index dies of it: nothing is
// given out, by the next store either, which notes it.
func TestScrubKeepsWhatItCannotNote(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{})
	k.putLarge("file", 1<<20)
	k.flip("file", 77)
	k.close()
	faulty := disk.NewFaulty(k.mem)
	lifetime := new(Lifetime)
	open := func() *Store {
		shared := index.NewShared(8<<20, 1)
		t.Cleanup(shared.Close)
		k.starts++
		s, err := Open(Options{
			FS: faulty, Shared: shared, Generations: objects.NewSequencer(1, k.starts), MemTableBytes: index.MinMemTableBytes, InlineLimit: 1 << 10,
			Now: func() time.Time { return k.now }, Lifetime: lifetime,
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	k.Store = open()
	for !errs.Is(errs.Corrupt, func() error { _, err := k.get("file"); return err }()) {
		if k.Scrub().Status().Payloads > 0 {
			t.Fatal("it was taken for right")
		}
		if k.unitIsNext() { // what is read next is found: the log takes nothing from here on
			if _, err := faulty.Add(disk.Rule{Calls: []disk.Call{disk.CallSync, disk.CallSyncData, disk.CallWrite}, Path: layout.IndexDir + "/**", Err: syscall.EIO}); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = k.Scrub().Step(ScrubOrder{Within: scrubDays, Buckets: []objects.Bucket{testKey("x").Bucket}})
	}
	k.refused("file")
	if _, _, ok := k.ToPutAside(); ok {
		t.Error("it is to be put aside, and is not noted")
	}
	<-k.Dead()
	_ = k.Store.Close() // it cannot be closed cleanly
	faulty.Clear()
	k.Store = open()
	k.refused("file")
	if err := k.KeepDamage(); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := k.ToPutAside(); !ok {
		t.Error("it is not to be put aside")
	}
	k.crash()
	k.refused("file")
}

// unitIsNext reports whether the next step reads a payload.
func (k *keptStore) unitIsNext() bool {
	c := k.Scrub()
	return c.unit != nil
}

// Where too much is damaged nothing is put aside, and the mountpath says so.
func TestTooMuchDamageIsTheDisk(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{})
	for n := range 12 {
		name := fmt.Sprintf("file%02d", n)
		k.putLarge(name, 2<<10)
		if n < 9 {
			k.flip(name, 5)
		}
	}
	status := k.cycle()
	if status.Damaged != 9 || k.Overrun() == "" {
		t.Fatalf("%+v, %q", status, k.Overrun())
	}
	if _, _, ok := k.ToPutAside(); ok {
		t.Error("something is put aside")
	}
	k.refused("file08")
	if _, _, err := k.Delete(testKey("file08"), objects.Conditions{}, objects.Origin{}); err != nil {
		t.Fatal(err)
	}
	if err := k.KeepDamage(); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := k.ToPutAside(); !ok || k.Overrun() != "" {
		t.Errorf("with one less: %q", k.Overrun())
	}
}

// What is verified outlasts kills: however often the store is killed, a cycle ends, and a
// payload that was not verified is not taken for one that was.
func TestScrubOutlastsRestarts(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{})
	for n := range 40 {
		k.putLarge(fmt.Sprintf("file%02d", n), 1<<20)
	}
	k.now = k.now.Add(10 * 24 * time.Hour)
	kills := 0
	for ; ; kills++ {
		if kills == 200 {
			t.Fatal("it does not end")
		}
		rest := time.Duration(0)
		for range 7 {
			k.now = k.now.Add(11 * time.Second) // progress is noted every 30
			rest = k.step().Rest
		}
		if rest > 0 {
			break
		}
		k.crash()
	}
	status := k.Scrub().Status()
	if kills < 5 || status.Bytes != 40<<20 || status.Payloads != 40 {
		t.Fatalf("after %d kills: %+v", kills, status)
	}
	sum := int64(0)
	for _, a := range status.Ranges[0].Ages {
		if sum += a.Bytes; k.now.Sub(a.At) > 24*time.Hour {
			t.Errorf("something is of %s", a.At)
		}
	}
	if sum != 40<<20 {
		t.Errorf("ages have %d bytes", sum)
	}
}

// What a destroyed bucket had is forgotten, in memory and on the disk.
func TestScrubForgetsDestroyedBuckets(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{})
	k.put("a", objects.Origin{})
	k.cycle()
	bucket := testKey("a").Bucket
	ranges := func() int {
		scan, err := k.Index().Scan(layout.ScrubRangeBounds(bucket.ID))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for scan.Next() {
			n++
		}
		if err := scan.Close(); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if ranges() != 1 {
		t.Fatalf("%d ranges before", ranges())
	}
	if _, err := k.EmptyBucket(bucket, 100); err != nil {
		t.Fatal(err)
	}
	if err := k.DropBucket(bucket); err != nil {
		t.Fatal(err)
	}
	if err := k.Scrub().Note(); err != nil {
		t.Fatal(err)
	}
	if status := k.Scrub().Status(); ranges() != 0 || len(status.Ranges) != 0 {
		t.Errorf("%d ranges are left, and %d in memory", ranges(), len(status.Ranges))
	}
}

// What a client read whole and verified is not read again, every second time; what only
// the scrubber passed over is not counted.
func TestScrubTakesVerifiedReads(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{})
	for n := range 8 {
		k.putLarge(fmt.Sprint("file", n), 1<<20)
	}
	k.cycle()
	taken := int64(0)
	for range 2 {
		k.now = k.now.Add(scrubDays/2 + time.Hour)
		k.step() // the next cycle begins
		k.Scrub().Off(false)
		for n := range 8 {
			opened, err := k.Open(testKey(fmt.Sprint("file", n)), make([]byte, k.InlineLimit()))
			if err != nil {
				t.Fatal(err)
			}
			opened.File.(messages.VerifiedFile).Verified()
			opened.Close()
		}
		before := k.Scrub().Status().Read
		status := k.cycle()
		if status.Bytes != 8<<20 || status.Taken+status.Read-before != 8<<20 {
			t.Errorf("verified %d, taken %d, read %d of 8 MiB", status.Bytes, status.Taken, status.Read-before)
		}
		taken += status.Taken
	}
	if taken != 8<<20 {
		t.Errorf("%d bytes were taken in two cycles, want 8 MiB: each payload once", taken)
	}
}

// Spans are bounded, and what is joined is never taken for younger than it is.
func TestSpansAreBoundedAndNeverYounger(t *testing.T) {
	var r scrubRange
	began := time.Unix(1_800_000_000, 0)
	for n := range 1000 {
		r.pass(fmt.Sprintf("%04d", n), began.Add(time.Duration(n)*time.Hour), 10, 1, time.Minute)
	}
	if len(r.Verified) > maxSpans {
		t.Fatalf("%d spans", len(r.Verified))
	}
	bytes := int64(0)
	for _, s := range r.Verified {
		bytes += s.Bytes
	}
	if bytes != 10_000 {
		t.Errorf("%d bytes", bytes)
	}
	r.anew()
	for n := range 1000 {
		if at, is := r.formerly(fmt.Sprintf("%04d", n), time.Time{}), began.Add(time.Duration(n)*time.Hour); at.After(is) {
			t.Errorf("%d is taken for verified at %s, and was at %s", n, at, is)
		}
	}
	var list []layout.ScrubSpan
	for n := range 500 {
		list = countSpan(list, began.Add(time.Duration(n*7919%500)*time.Hour), 1)
	}
	if len(list) > maxSpans || !slices.IsSortedFunc(list, func(a, b layout.ScrubSpan) int { return a.At.Compare(b.At) }) {
		t.Errorf("%d spans, or out of order", len(list))
	}
}

// What is passed over is that payload, or that bucket, and nothing else; it stays as old as
// it was, and the cycle ends.
func TestScrubSkipsWhatItIsToldTo(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{})
	for n := range 5 {
		k.putLarge(fmt.Sprint("file", n), 5<<20)
	}
	written := k.now
	k.now = k.now.Add(3 * 24 * time.Hour)
	for k.Scrub().Subject().Name != "file2" {
		k.step()
	}
	k.Scrub().Skip(errors.New("told to"))
	if subject := k.Scrub().Subject(); subject.Name != "" {
		t.Fatalf("the next step is about %s", subject)
	}
	status := k.cycle()
	if status.Payloads != 4 || status.Skipped != 1 || len(status.Skips) != 1 || status.Skips[0].Key.Name != "file2" {
		t.Fatalf("%+v", status)
	}
	oldest := k.now
	for _, a := range status.Ranges[0].Ages {
		if a.At.Before(oldest) {
			oldest = a.At
		}
	}
	if !oldest.Equal(written) {
		t.Errorf("the oldest is of %s, want %s, when it was written", oldest, written)
	}
	k.now = k.now.Add(scrubDays)
	k.step()
	for k.Scrub().Subject().Bucket.ID.IsZero() {
		k.step()
	}
	for k.Scrub().Subject().Name != "" { // between two payloads
		k.step()
	}
	before := k.Scrub().Status().Payloads
	k.Scrub().Skip(errors.New("its records cannot be walked"))
	if status := k.cycle(); status.Payloads != before || status.Skipped != 1 {
		t.Errorf("%+v, %d before", status, before)
	}
}

// Who follows a scrubber that does not come back from the disk waits for nothing, and does
// nothing, until it has.
func TestScrubberThatHangsHoldsNobodyUp(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{})
	k.putLarge("file", 1<<20)
	reached, goOn, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	for k.Scrub().Subject().Name == "" {
		k.step()
	}
	order := ScrubOrder{Within: scrubDays, Buckets: []objects.Bucket{testKey("x").Bucket}}
	go func() {
		defer close(done)
		var once sync.Once
		hung := order
		hung.Before = func() {
			once.Do(func() {
				close(reached)
				<-goOn
			})
		}
		if _, err := k.Scrub().Step(hung); err != nil {
			t.Error(err)
		}
	}()
	<-reached
	k.Scrub().Anew()
	k.Scrub().Skip(errors.New("told to"))
	if _, err := k.Scrub().Step(order); !errs.Is(errs.Busy, err) {
		t.Errorf("%v", err)
	}
	_ = k.Scrub().Status()
	close(goOn)
	<-done
	if status := k.cycle(); status.Payloads != 1 || status.Skipped != 0 {
		t.Errorf("%+v", status)
	}
}

// What cannot be read is not damage: nothing of it is put aside or refused, and the next
// cycle verifies it. What is read and differs is, beside it.
func TestWhatCannotBeReadIsNotDamaged(t *testing.T) {
	for _, c := range []struct {
		call disk.Call
		err  error
	}{
		{disk.CallRead, syscall.EIO}, {disk.CallOpen, syscall.EIO}, {disk.CallOpen, syscall.EMFILE}, {disk.CallOpen, syscall.ENOMEM}, {disk.CallOpen, syscall.EACCES}, {disk.CallRead, syscall.ENOMEM},
	} {
		t.Run(fmt.Sprint(c.call, " ", c.err), func(t *testing.T) {
			k := newKeptStore(t, HistoryLimits{})
			k.putLarge("damaged", 1<<20)
			k.putLarge("whole", 1<<20)
			k.flip("damaged", 77)
			meta, err := k.Head(testKey("whole"))
			if err != nil {
				t.Fatal(err)
			}
			path := payloadPath(testKey("whole"), meta)
			k.close()
			faulty := disk.NewFaulty(k.mem)
			shared := index.NewShared(8<<20, 1)
			t.Cleanup(shared.Close)
			k.starts++
			k.Store, err = Open(Options{
				FS: faulty, Shared: shared, Generations: objects.NewSequencer(1, k.starts), MemTableBytes: index.MinMemTableBytes, InlineLimit: 1 << 10,
				Now: func() time.Time { return k.now },
			})
			if err != nil {
				t.Fatal(err)
			}
			fault, err := faulty.Add(disk.Rule{Calls: []disk.Call{c.call}, Path: path, Err: c.err})
			if err != nil {
				t.Fatal(err)
			}
			for range 100 { // a step that is to be done again says so
				step, err := k.Scrub().Step(ScrubOrder{Within: scrubDays, Buckets: []objects.Bucket{testKey("x").Bucket}})
				if err == nil && step.Rest > 0 {
					break
				}
			}
			status := k.Scrub().Status()
			if status.Ended.IsZero() || status.Damaged != 1 || status.Skipped != 1 || fault.Hits() < 2 {
				t.Fatalf("%+v after %d failures", status, fault.Hits())
			}
			fault.Remove()
			k.refused("damaged")
			if _, err := k.get("whole"); err != nil {
				t.Fatal(err)
			}
			k.now = k.now.Add(scrubDays/2 + time.Minute)
			if status := k.cycle(); status.Skipped != 0 || status.Damaged != 1 {
				t.Errorf("the next cycle: %+v", status)
			}
		})
	}
}

// A payload that was damaged here, went, and comes once more from elsewhere is not taken for
// the damaged one; while its record is here, it is.
func TestDamageIsNotThatOfAnotherCopy(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{})
	k.putLarge("file", 1<<20)
	k.flip("file", 77)
	k.cycle()
	key := testKey("file")
	meta, err := k.Head(key)
	if err != nil {
		t.Fatal(err)
	}
	comes := func() error { return k.forgetFormer("test", key, &Import{key: key, store: k.Store, meta: meta}) }
	if err := comes(); err != nil || !k.isDamaged(meta.Payload) {
		t.Fatalf("its record is here, and it is forgotten: %v", err)
	}
	if err := k.RemoveMoved(key, meta.Generation, objects.MutationLeft, objects.Origin{}); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Reclaim(10); err != nil {
		t.Fatal(err)
	}
	if err := k.mayImport("test", key, &Import{key: key, store: k.Store, meta: meta}); err != nil || k.isDamaged(meta.Payload) {
		t.Fatalf("what comes is refused as what went: %v", err)
	}
}

// A file that was not there while nobody had the key's turn, and is there in it, is whole: a
// write that hung over its name was taken back.
func TestPayloadThatIsThereAgainIsNotPutAside(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{})
	names := []string{"back", "gone"}
	payloads, paths := make(map[string]objects.Generation), make(map[string]string)
	for _, name := range names {
		k.putLarge(name, 1<<20)
		meta, err := k.Head(testKey(name))
		if err != nil {
			t.Fatal(err)
		}
		payloads[name], paths[name] = meta.Payload, payloadPath(testKey(name), meta)
		if err := k.fs.Rename(paths[name], "elsewhere-"+name); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 { // a step that is to be done again says so
		step, err := k.Scrub().Step(ScrubOrder{Within: scrubDays, Buckets: []objects.Bucket{testKey("x").Bucket}})
		if err == nil && step.Rest > 0 {
			break
		}
	}
	if err := k.fs.Rename("elsewhere-back", paths["back"]); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !k.isDamaged(payloads[name]) {
			t.Fatalf("%s: no file, and no damage", name)
		}
		if err := k.PutAside(testKey(name), payloads[name]); err != nil {
			t.Fatal(err)
		}
		if k.isDamaged(payloads[name]) == (name == "back") {
			t.Errorf("%s: damaged %v", name, k.isDamaged(payloads[name]))
		}
		if _, err := k.fs.Stat(paths[name]); (err == nil) != (name == "back") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
