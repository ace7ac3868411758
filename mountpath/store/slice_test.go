package store

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// stageAll stages slices of a payload of a key.
func (b *stageBench) stageAll(key objects.Key, files map[uint8][]byte, sealing Sealing) {
	b.Helper()
	for i, content := range files {
		staged, err := b.BeginStage(key, StageOptions{Payload: testPayload, Form: testForm, Index: i, SizeHint: -1})
		b.must(err)
		b.must(staged.Append(content))
		b.must(staged.Seal(sealing))
	}
}

func (b *stageBench) wantSlices(when string, key objects.Key, payload objects.Generation, want ...uint8) {
	b.Helper()
	got, err := b.HaveSlices(key, payload)
	if err != nil || !bytes.Equal(got, want) {
		b.Errorf("%s: has %v, %v; want %v", when, got, err, want)
	}
}

// What a node has of a payload is what lies there whole, whoever names it: what is staged,
// the record, and what is kept of what it replaced. Slices of other keys are not its own.
func TestHaveSlices(t *testing.T) {
	b := newStageBench(t)
	key := testKey("cat")
	body := bytes.Repeat([]byte("cat!"), 100)
	files, sealing := slicesOf(t, testPayload, body)
	b.wantSlices("nothing", key, testPayload)
	b.stageAll(key, map[uint8][]byte{0: files[0], 1: files[1], 2: files[2], objects.WholeIndex: body}, sealing)
	b.wantSlices("staged", key, testPayload, 0, 1, 2, objects.WholeIndex)
	b.wantSlices("staged, another key", testKey("dog"), testPayload)
	b.wantSlices("staged, another payload", key, objects.Generation{Seq: 1})

	for i, content := range map[uint8][]byte{0: files[0], 2: files[2], objects.WholeIndex: body} {
		opened, err := b.OpenSlice(key, Slice{Payload: testPayload, Index: i}, nil)
		b.must(err)
		got, err := io.ReadAll(io.NewSectionReader(opened.File, 0, opened.Bytes))
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("slice %d: %d bytes, %v", i, len(got), err)
		}
		opened.Close()
		opened.Close() // idempotent
	}

	// A record names 0 and, beside, all of it; a reclaim entry 1; nothing 2, which a start undoes.
	self := objects.NodeDigest("n")
	record := &objects.Meta{
		Generation: testPayload, Payload: testPayload, Where: objects.Slices, Size: int64(len(body)),
		Slicing: &objects.Slicing{Data: 2, Parity: 1, CellBytes: 64, Members: []objects.Member{{Node: self, Index: 0}, {Node: 5, Index: 1}}},
	}
	batch := b.index.NewBatch()
	batch.Set(objectKey(key), layout.AppendRecord(nil, record))
	b.must(b.index.Commit(batch))
	b.must(b.Close())
	b.lifetime = new(Lifetime)
	b.open()
	b.wantSlices("named by the record", key, testPayload, 0, objects.WholeIndex)
	batch = b.index.NewBatch()
	batch.Delete(objectKey(key))
	addReclaim(batch, layout.Reclaim{Kind: layout.ReclaimSlices, Bucket: key.Bucket.ID, Name: key.Name, Payload: testPayload, Indices: []uint8{0, 1}, Settles: true})
	b.must(b.index.Commit(batch))
	b.wantSlices("kept by a reclaim entry", key, testPayload, 0)
	b.must(b.fs.Remove(layout.SlicePath(testPayload, 0)))
	b.wantSlices("gone", key, testPayload)
}

// A payload that lies in the index is all of it, for who asks for that.
func TestHaveInlineWhole(t *testing.T) {
	b := newStageBench(t)
	key, body := testKey("cat"), []byte("a small cat")
	record := &objects.Meta{
		Generation: testPayload, Payload: testPayload, Where: objects.Inline, Size: int64(len(body)), XXHash: xxhash.Checksum64(body),
		Slicing: &objects.Slicing{Data: 2, Parity: 1, CellBytes: 64, Whole: true, Members: []objects.Member{{Node: objects.NodeDigest("n"), Holds: true}}},
	}
	batch := b.index.NewBatch()
	batch.Set(objectKey(key), layout.AppendRecord(nil, record))
	batch.Set(layout.PayloadKey(nil, key.Bucket.ID, key.Name, testPayload), body)
	b.must(b.index.Commit(batch))
	b.wantSlices("inline", key, testPayload, objects.WholeIndex)
	room := make([]byte, b.inlineLimit)
	opened, err := b.OpenSlice(key, Slice{Payload: testPayload, Index: objects.WholeIndex}, room)
	if err != nil || opened.File != nil || string(room[:opened.Inline]) != string(body) || opened.Bytes != int64(len(body)) {
		t.Errorf("%+v, %v", opened, err)
	}
	_, err = b.OpenSlice(key, Slice{Payload: testPayload, Index: 0}, room)
	wantKind(t, "a slice of it", err, errs.NotFound)
	_, err = b.OpenSlice(key, Slice{Payload: objects.Generation{Seq: 9}, Index: objects.WholeIndex}, room)
	wantKind(t, "another payload", err, errs.NotFound)
}

// A file that is not the slice of its name is damage, and nobody has it.
func TestOpenSliceOfAnotherName(t *testing.T) {
	key := testKey("cat")
	body := bytes.Repeat([]byte("cat!"), 100)
	files, sealing := slicesOf(t, testPayload, body)
	name := layout.SlicePath(testPayload, 1)
	for what, damage := range map[string]func(*stageBench){
		"cut": func(b *stageBench) { b.change(name, func(f file) error { return f.Truncate(9) }) },
		"no attribute": func(b *stageBench) {
			b.change(name, func(f file) error { return f.SetAttr(layout.AttributeName, []byte("?")) })
		},
		"another index":    func(b *stageBench) { b.must(b.fs.Rename(layout.SlicePath(testPayload, 0), name)) },
		"another key's":    func(b *stageBench) { b.restage(testKey("dog"), sealing) },
		"nothing, control": nil,
	} {
		t.Run(what, func(t *testing.T) {
			b := newStageBench(t)
			b.stageAll(key, map[uint8][]byte{0: files[0], 1: files[1]}, sealing)
			if damage == nil {
				b.wantSlices("control", key, testPayload, 0, 1)
				return
			}
			damage(b)
			_, err := b.OpenSlice(key, Slice{Payload: testPayload, Index: 1}, nil)
			wantKind(t, "opened", err, errs.Corrupt)
			if have, err := b.HaveSlices(key, testPayload); err != nil || bytes.Contains(have, []byte{1}) {
				t.Errorf("has %v, %v", have, err)
			}
		})
	}
}

// file is what tests change of one.
type file interface {
	Truncate(int64) error
	SetAttr(string, []byte) error
}

func (b *stageBench) change(name string, how func(file) error) {
	b.Helper()
	f, err := b.fs.OpenFile(name, os.O_RDWR, 0)
	b.must(err)
	b.must(errors.Join(how(f), f.Close()))
}

// restage has slice 1 lie where it does, as another key's.
func (b *stageBench) restage(key objects.Key, sealing Sealing) {
	b.Helper()
	b.change(layout.SlicePath(testPayload, 1), func(f file) error {
		return f.SetAttr(layout.AttributeName, layout.AppendAttribute(nil, &layout.Attribute{
			Key: key, Payload: testPayload, Size: sealing.Size, XXHash: sealing.XXHash, ETag: sealing.ETag, Modified: sealing.Modified, Form: testForm, Index: 1, Sums: sealing.Sums,
		}))
	})
}

// A stage goes on where it ended, and nowhere else; what was broken begins anew.
func TestContinueStage(t *testing.T) {
	b := newStageBench(t)
	key := testKey("cat")
	files, sealing := slicesOf(t, testPayload, bytes.Repeat([]byte("cat!"), 100))
	n := Slice{Payload: testPayload, Index: 1}
	o := StageOptions{Payload: testPayload, Form: testForm, Index: 1, SizeHint: -1}
	wantAt := func(when string, bytes int64, sealed bool) {
		t.Helper()
		if at, is := b.StagedTo(key, n); at != bytes || is != sealed {
			t.Errorf("%s: staged to %d, sealed %v; want %d, %v", when, at, is, bytes, sealed)
		}
	}
	wantAt("nothing", 0, false)
	_, err := b.ContinueStage(key, o, 10)
	wantKind(t, "nothing is there", err, errs.Conflict)
	staged, err := b.ContinueStage(key, o, 0)
	b.must(err)
	b.must(staged.Append(files[1][:100]))
	wantAt("begun", 100, false)
	for _, offset := range []int64{0, 99, 101} {
		_, err = b.ContinueStage(key, o, offset)
		wantKind(t, "another offset", err, errs.Conflict)
	}
	other := o
	other.Form.CellBytes = 128
	_, err = b.ContinueStage(key, other, 100)
	wantKind(t, "another form", err, errs.Conflict)
	again, err := b.ContinueStage(key, o, 100)
	if err != nil || again != staged {
		t.Fatalf("going on: %p, %v, want %p", again, err, staged)
	}
	wantKind(t, "a wrong cell", again.Append(make([]byte, 200)), errs.Corrupt)
	wantAt("broken", 0, false)
	staged, err = b.ContinueStage(key, o, 0)
	b.must(err)
	b.must(staged.Append(files[1]))
	b.must(staged.Seal(sealing))
	wantAt("sealed", int64(len(files[1])), true)
	_, err = b.ContinueStage(key, o, int64(len(files[1])))
	wantKind(t, "sealed", err, errs.Exists)
}

// A bucket that is dropped leaves nothing of what was staged of it; that of others stays.
func TestDropBucketDropsWhatIsStaged(t *testing.T) {
	b := newStageBench(t)
	key := testKey("cat")
	files, sealing := slicesOf(t, testPayload, bytes.Repeat([]byte("cat!"), 100))
	b.stageAll(key, map[uint8][]byte{0: files[0]}, sealing)
	under, err := b.BeginStage(key, StageOptions{Payload: testPayload, Form: testForm, Index: 1, SizeHint: -1})
	b.must(err)
	b.must(under.Append(files[1][:50]))
	other := key.Bucket
	other.ID[0]++
	b.must(b.DropBucket(other))
	b.wantSlices("another bucket was dropped", key, testPayload, 0)
	b.Seal(key.Bucket.ID, true)
	b.must(b.DropBucket(key.Bucket))
	b.wantNothing("dropped")
	wantKind(t, "its writer", under.Append(files[1][50:]), errs.Canceled)
	_, err = b.BeginStage(key, StageOptions{Payload: testPayload, Form: testForm, Index: 1, SizeHint: -1})
	wantKind(t, "a bucket that is being destroyed", err, errs.Busy)
	b.must(b.DropBucket(key.Bucket)) // idempotent
	b.wantNothing("dropped twice")
}

// A record whose payload lies in slices is opened as what it is: the record, and no file.
func TestOpenRecordOfSlices(t *testing.T) {
	b := newStageBench(t)
	key := testKey("cat")
	batch := b.index.NewBatch()
	batch.Set(objectKey(key), layout.AppendRecord(nil, &objects.Meta{
		Generation: testPayload, Payload: testPayload, Where: objects.Slices, Size: 5, Slicing: &objects.Slicing{Data: 2, Parity: 1, CellBytes: 64},
	}))
	b.must(b.index.Commit(batch))
	opened, err := b.Open(key, make([]byte, b.inlineLimit))
	if err != nil || opened.File != nil || opened.Parts != nil || opened.Meta.Where != objects.Slices {
		t.Fatalf("%+v, %v", opened, err)
	}
	opened.Close()
}
