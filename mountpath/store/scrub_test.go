package store

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
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
	file, err := k.mem.OpenFile(payloadPath(key, meta), 2, 0)
	if err != nil {
		k.t.Fatal(err)
	}
	defer file.Close()
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

// A flipped bit is found, with its name; and what is there otherwise is verified. Without
// the flip nothing is found (TestScrubVerifiesEverything).
func TestScrubFindsAFlippedBit(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{})
	for n := range 5 {
		k.putLarge(fmt.Sprint("file", n), 3<<20)
	}
	k.flip("file3", 2<<20+5)
	status := k.cycle()
	if status.Found != 1 || len(status.Findings) != 1 || status.Findings[0].Key.Name != "file3" || status.Payloads != 4 || status.Bytes != 12<<20 {
		t.Fatalf("%+v", status)
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

