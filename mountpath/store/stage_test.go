package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/erasure"
	"github.com/troupe-storage/troupe/objects/errs"
)

// stageBench is a mountpath whose stores follow one another.
type stageBench struct {
	*testing.T
	fs       *disk.Faulty
	shared   *index.Shared
	lifetime *Lifetime
	now      time.Time
	start    uint64
	*Store
}

func newStageBench(t *testing.T) *stageBench {
	t.Helper()
	b := &stageBench{T: t, fs: disk.NewFaulty(disk.NewMem(1)), shared: index.NewShared(8<<20, 1), lifetime: new(Lifetime), now: time.Unix(1000, 0)}
	t.Cleanup(b.shared.Close)
	b.must(Format(b.fs, layout.Format{Version: layout.FormatVersion, ClusterID: "c", NodeID: "n", MountpathID: "m", IndexFormat: "pebble 24", Created: time.Unix(1, 0).UTC()}))
	b.open()
	t.Cleanup(func() { b.must(b.Close()) })
	return b
}

func (b *stageBench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *stageBench) open() {
	b.Helper()
	var err error
	b.start++
	b.Store, err = Open(Options{
		FS: b.fs, Shared: b.shared, Generations: objects.NewSequencer(1, b.start), MemTableBytes: index.MinMemTableBytes, Lifetime: b.lifetime,
		BootID: "boot", Now: func() time.Time { return b.now },
	})
	b.must(err)
}

func (b *stageBench) reopen() {
	b.Helper()
	b.must(b.Close())
	b.open()
}

var testForm = erasure.Form{Data: 2, Parity: 1, CellBytes: 64}

// slicesOf returns the slices of a payload, what is known of it after its body.
func slicesOf(t *testing.T, payload objects.Generation, body []byte) ([][]byte, Sealing) {
	t.Helper()
	var codecs erasure.Codecs
	codec, err := codecs.For(testForm)
	if err != nil {
		t.Fatal(err)
	}
	stripes, err := codec.NewStripes(1, make([]byte, testForm.Slices()*testForm.CellBytes))
	if err != nil {
		t.Fatal(err)
	}
	rooms := make([]bytes.Buffer, testForm.Slices())
	sinks := &erasure.Sinks{Need: len(rooms)}
	for i := range rooms {
		sinks.Writers = append(sinks.Writers, io.Writer(&rooms[i]))
	}
	made, err := codec.NewEncoder(payload, int64(len(body))).Copy(context.Background(), stripes[0], bytes.NewReader(body), sinks)
	if err != nil {
		t.Fatal(err)
	}
	files := make([][]byte, len(rooms))
	for i := range rooms {
		files[i] = rooms[i].Bytes()
	}
	return files, Sealing{Size: int64(len(body)), XXHash: xxhash.Checksum64(body), ETag: "e", Sums: made.Sums, Modified: time.Unix(7, 0).UTC()}
}

// left returns the files of slices and work files, and how many intents there are.
func (b *stageBench) left() (names []string, intents int) {
	b.Helper()
	var walk func(dir string)
	walk = func(dir string) {
		var entries []disk.Entry
		b.must(b.fs.ReadDir(dir, func(e disk.Entry) bool { entries = append(entries, e); return true }))
		for _, e := range entries {
			if e.Dir {
				walk(dir + "/" + e.Name)
			} else {
				names = append(names, dir+"/"+e.Name)
			}
		}
	}
	for _, dir := range []string{layout.SlicesDir, layout.WorkDir, layout.PartsDir, layout.SidecarsDir} {
		walk(dir)
	}
	list, err := b.journaled([]byte{layout.KindIntent}, []byte{layout.KindIntent + 1})
	b.must(err)
	return names, len(list)
}

func (b *stageBench) wantNothing(when string) {
	b.Helper()
	names, intents := b.left()
	count, bytes := b.Staged()
	if len(names) > 0 || intents > 0 || count > 0 || bytes > 0 || len(b.lifetime.staging.payloads) > 0 {
		b.Errorf("%s: %q, %d intents, %d staged with %d bytes are left", when, names, intents, count, bytes)
	}
}

func wantKind(t *testing.T, what string, err error, kind errs.Kind) {
	t.Helper()
	if !errs.Is(kind, err) {
		t.Errorf("%s: %v, want %v", what, err, kind)
	}
}

var testPayload = objects.Generation{Map: 1, Start: 9, Seq: 0x1234}

// What is wrong with a slice shows before it has a name, and what was staged of it goes.
func TestStageRefuses(t *testing.T) {
	b := newStageBench(t)
	key := testKey("cat")
	files, sealing := slicesOf(t, testPayload, bytes.Repeat([]byte("cat"), 100))
	begin := func(index uint8) *Staged {
		t.Helper()
		staged, err := b.BeginStage(key, StageOptions{Payload: testPayload, Form: testForm, Index: index, SizeHint: int64(len(files[0]))})
		b.must(err)
		return staged
	}
	flipped := bytes.Clone(files[0])
	flipped[70] ^= 1 // in the second cell, which the third shows
	staged := begin(0)
	wantKind(t, "a flipped bit", staged.Append(flipped), errs.Corrupt)
	wantKind(t, "after a flipped bit", staged.Append(files[0]), errs.Corrupt)
	wantKind(t, "sealed after a flipped bit", staged.Seal(sealing), errs.Corrupt)
	b.must(staged.Abandon())
	b.must(staged.Abandon()) // once more

	staged = begin(0)
	b.must(staged.Append(files[1][:10]))
	wantKind(t, "another slice", staged.Append(files[1][10:]), errs.Corrupt)
	b.must(staged.Abandon())

	staged = begin(0)
	b.must(staged.Append(files[0][:100]))
	wantKind(t, "cut", staged.Seal(sealing), errs.Corrupt)
	wantKind(t, "cut, sealed again", staged.Seal(sealing), errs.Corrupt)
	b.must(staged.Abandon())
	wantKind(t, "after its end", staged.Append(files[0]), errs.Canceled)
	wantKind(t, "sealed after its end", staged.Seal(sealing), errs.Canceled)

	other := sealing
	other.Sums = slices.Clone(other.Sums)
	other.Sums[2]++
	staged = begin(2)
	b.must(staged.Append(files[2]))
	wantKind(t, "another sum", staged.Seal(other), errs.Corrupt)
	b.must(staged.Abandon())

	staged = begin(objects.WholeIndex)
	b.must(staged.Append([]byte("dog")))
	wantKind(t, "another payload", staged.Seal(sealing), errs.Corrupt)
	b.must(staged.Abandon())

	for what, o := range map[string]StageOptions{
		"no form": {Index: 0}, "slice 3 of 3": {Form: testForm, Index: 3}, "a part of nothing": {Form: testForm, Part: 1}, "an upload without part": {Form: testForm, UploadID: "u"},
	} {
		_, err := b.BeginStage(key, o)
		wantKind(t, what, err, errs.Invalid)
	}
	b.wantNothing("in the end")
}

// A slice is staged once, and a payload is one key's.
func TestStageOnce(t *testing.T) {
	b := newStageBench(t)
	key := testKey("cat")
	files, sealing := slicesOf(t, testPayload, bytes.Repeat([]byte("cat"), 100))
	options := func(index uint8) StageOptions {
		return StageOptions{Payload: testPayload, Form: testForm, Index: index, SizeHint: -1}
	}
	first, err := b.BeginStage(key, options(0))
	b.must(err)
	_, err = b.BeginStage(key, options(0))
	wantKind(t, "while it is under way", err, errs.Busy)
	_, err = b.BeginStage(testKey("dog"), options(1))
	wantKind(t, "for another key", err, errs.Conflict)
	b.must(first.Append(files[0][:100], files[0][100:]))
	b.must(first.Seal(sealing))
	_, err = b.BeginStage(key, options(0))
	wantKind(t, "once it is sealed", err, errs.Exists)
	wantKind(t, "more of what is sealed", first.Append(files[0]), errs.Conflict)
	second, err := b.BeginStage(key, options(1))
	b.must(err)
	b.must(second.Append(files[1]))
	if count, bytes := b.Staged(); count != 2 || bytes != int64(len(files[0])+len(files[1])) {
		t.Errorf("%d slices with %d bytes are staged", count, bytes)
	}
	b.must(b.AbandonStage(testKey("dog"), testPayload)) // not its own
	if count, _ := b.Staged(); count != 2 {
		t.Errorf("another key's were abandoned: %d are left", count)
	}
	b.must(b.AbandonStage(key, testPayload))
	b.wantNothing("abandoned")

	taken, err := b.BeginStage(key, StageOptions{Form: testForm, Index: 0, SizeHint: -1})
	b.must(err)
	if taken.Payload.IsZero() || taken.Payload.Start != b.start {
		t.Errorf("the payload is %v", taken.Payload)
	}
	b.must(taken.Abandon())
	b.wantNothing("in the end")
}

// What is sealed is there for the next store of the process; what is not ends. A start of the
// process undoes both.
func TestStageOutlivesItsStore(t *testing.T) {
	b := newStageBench(t)
	key := testKey("cat")
	files, sealing := slicesOf(t, testPayload, bytes.Repeat([]byte("cat"), 100))
	var all []*Staged
	for index := range uint8(2) {
		staged, err := b.BeginStage(key, StageOptions{Payload: testPayload, Form: testForm, Index: index, SizeHint: -1})
		b.must(err)
		b.must(staged.Append(files[index]))
		all = append(all, staged)
	}
	b.must(all[0].Seal(sealing))
	b.reopen()
	names, intents := b.left()
	if count, _ := b.Staged(); count != 1 || intents != 1 || !slices.Equal(names, []string{layout.SlicePath(testPayload, 0)}) {
		t.Errorf("%d staged, %d intents, %q", count, intents, names)
	}
	wantKind(t, "the rest of what was not sealed", all[1].Seal(sealing), errs.Canceled)
	b.must(all[1].Abandon())
	again, err := b.BeginStage(key, StageOptions{Payload: testPayload, Form: testForm, Index: 1, SizeHint: -1})
	b.must(err)
	b.must(again.Append(files[1]))
	b.must(again.Seal(sealing))
	b.must(all[0].Abandon())
	if names, intents := b.left(); intents != 1 || !slices.Equal(names, []string{layout.SlicePath(testPayload, 1)}) {
		t.Errorf("%d intents, %q", intents, names)
	}
	b.must(b.Close())
	b.lifetime = new(Lifetime) // another process
	b.open()
	b.wantNothing("after a start")
}

// The sidecar of a payload goes with the last of its slices.
func TestSidecarOfWhatIsStaged(t *testing.T) {
	b := newStageBench(t)
	files, sealing := slicesOf(t, testPayload, bytes.Repeat([]byte("cat"), 100))
	sealing.Draft.User = []objects.Pair{{Name: "long", Value: string(make([]byte, 2<<10))}}
	var all []*Staged
	for index := range uint8(2) {
		staged, err := b.BeginStage(testKey("cat"), StageOptions{Payload: testPayload, Form: testForm, Index: index, SizeHint: -1})
		b.must(err)
		b.must(staged.Append(files[index]))
		b.must(staged.Seal(sealing))
		all = append(all, staged)
	}
	b.must(all[0].Abandon())
	names, _ := b.left()
	if want := []string{layout.SlicePath(testPayload, 1), layout.SidecarPath(testPayload)}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	b.must(all[1].Abandon())
	b.wantNothing("in the end")
}

// What nobody hears of goes when its time is over, and not before.
func TestStageHasADeadline(t *testing.T) {
	b := newStageBench(t)
	files, sealing := slicesOf(t, testPayload, bytes.Repeat([]byte("cat"), 100))
	other := testPayload
	other.Seq++
	sealed, err := b.BeginStage(testKey("cat"), StageOptions{Payload: testPayload, Form: testForm, SizeHint: -1})
	b.must(err)
	b.must(sealed.Append(files[0]))
	b.must(sealed.Seal(sealing))
	slow, err := b.BeginStage(testKey("cat"), StageOptions{Payload: other, Form: testForm, Index: objects.WholeIndex, SizeHint: -1})
	b.must(err)
	for _, step := range []struct {
		after       time.Duration
		heard       bool
		ended, left int
	}{{StageTime, true, 0, 2}, {time.Second, false, 1, 1}, {StageTime - 2*time.Second, false, 0, 1}, {2 * time.Second, false, 1, 0}} {
		b.now = b.now.Add(step.after)
		if step.heard {
			b.must(slow.Append([]byte("x")))
		}
		ended, err := b.AbandonOverdue()
		b.must(err)
		if count, _ := b.Staged(); ended != step.ended || count != step.left {
			t.Errorf("at %v: %d ended, %d are left; want %d and %d", b.now, ended, count, step.ended, step.left)
		}
	}
	b.wantNothing("in the end")
}

// What cannot be removed is left to Settle, and the same slice is not staged before that; others are.
func TestStageThatCannotBeUndone(t *testing.T) {
	b := newStageBench(t)
	key := testKey("cat")
	files, sealing := slicesOf(t, testPayload, bytes.Repeat([]byte("cat"), 100))
	begin := func(index uint8) (*Staged, error) {
		return b.BeginStage(key, StageOptions{Payload: testPayload, Form: testForm, Index: index, SizeHint: -1})
	}
	staged, err := begin(0)
	b.must(err)
	b.must(staged.Append(files[0]))
	b.must(staged.Seal(sealing))
	_, err = b.fs.Add(disk.Rule{Calls: []disk.Call{disk.CallRemove}, Path: ".troupe/slices/**", Times: 1, Err: syscall.EIO})
	b.must(err)
	if err := staged.Abandon(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("%v", err)
	}
	_, err = begin(0)
	wantKind(t, "before it is settled", err, errs.Busy)
	second, err := begin(1)
	b.must(err)
	b.must(second.Append(files[1]))
	b.must(second.Seal(sealing))
	b.must(b.Settle(func(objects.Key) bool { return true }, nil))
	if names, intents := b.left(); intents != 1 || !slices.Equal(names, []string{layout.SlicePath(testPayload, 1)}) {
		t.Errorf("settled: %d intents, %q", intents, names)
	}
	first, err := begin(0)
	b.must(err)
	b.must(first.Abandon())
	b.must(b.AbandonStage(key, testPayload))
	b.wantNothing("in the end")
}

// What a record, a reclaim entry or a part names stays, although an intent speaks of it.
func TestNamedSlicesStay(t *testing.T) {
	node := objects.NodeDigest("n")
	const upload = "0123456789abcdef0123456789abcdef"
	slicing := &objects.Slicing{Data: 2, Parity: 1, CellBytes: 64, Members: []objects.Member{{Node: node, Index: 0}, {Node: 5, Index: 1}}}
	key := testKey("cat")
	for _, test := range []struct {
		name  string
		part  int
		write func(*index.Batch)
		stay  []uint8
	}{
		{"nothing", 0, func(*index.Batch) {}, nil},
		{"the record", 0, func(batch *index.Batch) {
			batch.Set(objectKey(key), layout.AppendRecord(nil, &objects.Meta{Generation: testPayload, Payload: testPayload, Where: objects.Slices, Slicing: slicing}))
		}, []uint8{0, objects.WholeIndex}},
		{"a record of another payload", 0, func(batch *index.Batch) {
			batch.Set(objectKey(key), layout.AppendRecord(nil, &objects.Meta{Generation: testPayload, Payload: objects.Generation{Seq: 1}, Where: objects.Slices, Slicing: slicing}))
		}, nil},
		{"a reclaim entry", 0, func(batch *index.Batch) {
			addReclaim(batch, layout.Reclaim{Kind: layout.ReclaimSlices, Bucket: key.Bucket.ID, Name: key.Name, Payload: testPayload, Indices: []uint8{1}, Settles: true})
		}, []uint8{1}},
		{"a part", 3, func(batch *index.Batch) {
			batch.Set(layout.PartKey(nil, key.Bucket.ID, key.Name, upload, 3), layout.AppendPart(nil, &objects.Part{Number: 3, Payload: testPayload}))
		}, []uint8{0, 1, objects.WholeIndex}},
		{"another part", 3, func(batch *index.Batch) {
			batch.Set(layout.PartKey(nil, key.Bucket.ID, key.Name, upload, 3), layout.AppendPart(nil, &objects.Part{Number: 3, Payload: objects.Generation{Seq: 1}}))
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newStageBench(t)
			body := bytes.Repeat([]byte("cat"), 100)
			files, sealing := slicesOf(t, testPayload, body)
			sealing.Draft.User = []objects.Pair{{Name: "long", Value: string(make([]byte, 2<<10))}}
			o := StageOptions{Payload: testPayload, Form: testForm, SizeHint: -1, Part: test.part}
			if test.part > 0 {
				o.UploadID = upload
			}
			for index, content := range map[uint8][]byte{0: files[0], 1: files[1], objects.WholeIndex: body} {
				o.Index = index
				staged, err := b.BeginStage(key, o)
				b.must(err)
				b.must(staged.Append(content))
				b.must(staged.Seal(sealing))
			}
			batch := b.index.NewBatch()
			test.write(batch)
			b.must(b.index.Commit(batch))
			b.must(b.Close())
			b.lifetime = new(Lifetime)
			b.open()
			var want []string
			for _, index := range test.stay {
				want = append(want, slicePath(o.UploadID, o.Part, testPayload, index))
			}
			if test.stay != nil {
				want = append(want, sliceSidecar(o.UploadID, o.Part, testPayload))
			}
			names, intents := b.left()
			slices.Sort(names)
			slices.Sort(want)
			if !slices.Equal(names, want) || intents > 0 {
				t.Errorf("%d intents, %q; want %q", intents, names, want)
			}
		})
	}
}

// Slices of few payloads are staged, sealed and abandoned side by side, by their writers, by
// others, and by deadline. The race detector is what this is for; and nothing is left.
func TestStagesSideBySide(t *testing.T) {
	b := newStageBench(t)
	key := testKey("cat")
	var payloads []objects.Generation
	var files [][][]byte
	var sealings []Sealing
	for seq := range uint64(2) {
		payload := objects.Generation{Map: 1, Start: 9, Seq: seq + 1}
		made, sealing := slicesOf(t, payload, bytes.Repeat([]byte{byte(seq)}, 300))
		payloads, files, sealings = append(payloads, payload), append(files, made), append(sealings, sealing)
	}
	const writers, tries = 6, 20
	sealed := make([]int, writers)
	var running sync.WaitGroup
	for writer := range writers {
		running.Go(func() {
			index := uint8(writer % testForm.Slices())
			for try := range tries {
				n := (writer + try) % len(payloads)
				staged, err := b.BeginStage(key, StageOptions{Payload: payloads[n], Form: testForm, Index: index, SizeHint: -1})
				if errs.Is(errs.Busy, err) || errs.Is(errs.Exists, err) {
					if err := b.AbandonStage(key, payloads[n]); err != nil {
						t.Error(err)
					}
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				err = staged.Append(files[n][index])
				if err == nil {
					err = staged.Seal(sealings[n])
				}
				if err != nil && !errs.Is(errs.Canceled, err) {
					t.Errorf("slice %d: %v", index, err)
				}
				if err == nil {
					sealed[writer]++
				}
				if try%2 == 0 {
					err = staged.Abandon()
				} else {
					_, err = b.AbandonOverdue()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	if slices.Max(sealed) == 0 {
		t.Error("the control: nothing was sealed")
	}
	for _, payload := range payloads {
		b.must(b.AbandonStage(key, payload))
	}
	b.wantNothing("in the end")
}
