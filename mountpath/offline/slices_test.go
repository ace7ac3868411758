package offline

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"testing"
	"time"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/erasure"
)

var sliceForm = erasure.Form{Data: 2, Parity: 1, CellBytes: 64}

// slicedPayload is what slicedYard has of each of its objects.
var slicedPayload = objects.Generation{Map: 1, Start: 9, Seq: 0x1234}

// slicedYard is a mountpath of node n with slices 0 and 2 of one object, all of it beside
// (keep_whole), all of a small one, and the record of a small one that other nodes hold.
func slicedYard(t *testing.T) *yard {
	t.Helper()
	y := newYard(t, 1)
	s := y.open(2)
	self := objects.NodeDigest("n")
	body := bytes.Repeat([]byte("cat!"), 200)
	sealing := store.Sealing{Size: int64(len(body)), XXHash: xxhash.Checksum64(body), ETag: "e", Modified: time.Unix(7, 0).UTC()}
	var codecs erasure.Codecs
	codec, err := codecs.For(sliceForm)
	if err != nil {
		t.Fatal(err)
	}
	stripes, err := codec.NewStripes(1, make([]byte, sliceForm.Slices()*sliceForm.CellBytes))
	if err != nil {
		t.Fatal(err)
	}
	rooms := make([]bytes.Buffer, sliceForm.Slices())
	sinks := &erasure.Sinks{Need: len(rooms)}
	for i := range rooms {
		sinks.Writers = append(sinks.Writers, io.Writer(&rooms[i]))
	}
	made, err := codec.NewEncoder(slicedPayload, sealing.Size).Copy(context.Background(), stripes[0], bytes.NewReader(body), sinks)
	if err != nil {
		t.Fatal(err)
	}
	put := func(name string, payload objects.Generation, members []objects.Member, whole bool, files map[uint8][]byte, sealing store.Sealing) {
		t.Helper()
		for i, content := range files {
			staged, err := s.BeginStage(y.key(name), store.StageOptions{Payload: payload, Form: sliceForm, Index: i, SizeHint: -1})
			if err == nil {
				err = errors.Join(staged.Append(content), staged.Seal(sealing))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		meta := y.meta(body)
		meta.Generation, meta.Payload, meta.Where = payload, payload, objects.Slices
		meta.Slicing = &objects.Slicing{Data: 2, Parity: 1, CellBytes: 64, Whole: whole, Members: members}
		batch := s.Index().NewBatch()
		batch.Set(layout.ObjectKey(nil, y.bucket.ID, name), layout.AppendRecord(nil, &meta))
		batch.Delete(layout.IntentKey(nil, y.bucket.ID, name, payload))
		if err := s.Index().Commit(batch); err != nil {
			t.Fatal(err)
		}
	}
	sliced := sealing
	sliced.Sums = made.Sums
	put("sliced", slicedPayload, []objects.Member{{Node: self, Index: 0}, {Node: 5, Index: 1}, {Node: self, Index: 2}}, false,
		map[uint8][]byte{0: rooms[0].Bytes(), 2: rooms[2].Bytes(), objects.WholeIndex: body}, sliced)
	wholePayload, elsewhere := slicedPayload, slicedPayload
	wholePayload.Seq++
	elsewhere.Seq += 2
	put("whole", wholePayload, []objects.Member{{Node: self, Index: 0, Holds: true}, {Node: 5, Index: 1, Holds: true}}, true,
		map[uint8][]byte{objects.WholeIndex: body}, sealing)
	put("elsewhere", elsewhere, []objects.Member{{Node: 5, Index: 0, Holds: true}, {Node: self, Index: 2}}, true, nil, sealing)
	if err := errors.Join(s.Index().Flush(), s.Close()); err != nil {
		t.Fatal(err)
	}
	return y
}

// change changes what the index has, without a store.
func (y *yard) change(how func(*index.Batch)) {
	y.t.Helper()
	s := y.open(3)
	batch := s.Index().NewBatch()
	how(batch)
	if err := errors.Join(s.Index().Commit(batch), s.Index().Flush(), s.Close()); err != nil {
		y.t.Fatal(err)
	}
}

// A check finds each kind of damage to slices, by name, and nothing where there is none; what
// is inside of cells only where it reads them.
func TestCheckOfSlices(t *testing.T) {
	first, third := layout.SlicePath(slicedPayload, 0), layout.SlicePath(slicedPayload, 2)
	beside := layout.SlicePath(slicedPayload, objects.WholeIndex)
	small := slicedPayload
	small.Seq++
	whole := layout.SlicePath(small, objects.WholeIndex)
	write := func(name string, at int64, b []byte) func(*yard) {
		return func(y *yard) {
			file, err := y.fs.OpenFile(name, os.O_RDWR, 0)
			if err == nil {
				_, err = file.WriteAt(b, at)
				err = errors.Join(err, file.Close())
			}
			if err != nil {
				y.t.Fatal(err)
			}
		}
	}
	attribute := func(name string, how func(*layout.Attribute)) func(*yard) {
		return func(y *yard) {
			raw, err := y.fs.GetAttr(name, layout.AttributeName)
			var a *layout.Attribute
			if err == nil {
				a, err = layout.DecodeAttribute(raw)
			}
			if err != nil {
				y.t.Fatal(err)
			}
			how(a)
			y.setAttribute(name, layout.AppendAttribute(nil, a))
		}
	}
	for _, test := range []struct {
		what   string
		damage func(*yard)
		want   []string // level: kind: path
		reads  bool     // it shows with Verify alone
	}{
		{"nothing", func(*yard) {}, nil, false},
		{"a slice is missing", func(y *yard) { y.remove(third) }, []string{"fault: slice missing: " + third}, false},
		{"all that is whole is missing", func(y *yard) { y.remove(whole) }, []string{"fault: slice missing: " + whole}, false},
		{"what lies beside is missing", func(y *yard) { y.remove(beside) }, nil, false},
		{"a slice is cut", func(y *yard) { y.truncate(first, 17) }, []string{"fault: slice of wrong size: " + first}, false},
		{"a slice is too long", func(y *yard) { y.truncate(first, 100_000) }, []string{"fault: slice of wrong size: " + first}, false},
		{"a cell is flipped", write(first, 70, []byte{0xff, 0xfe}), []string{"fault: slice checksum differs: " + first}, true},
		{"a checksum is flipped", write(third, 63, []byte{0xff}), []string{"fault: slice checksum differs: " + third}, true},
		{"a whole payload is flipped", write(whole, 70, []byte{0xff}), []string{"fault: slice checksum differs: " + whole}, true},
		{"another slice of the payload", func(y *yard) { y.overwrite(third, first) }, []string{"fault: slice checksum differs: " + third}, true},
		{"sums of another payload", attribute(first, func(a *layout.Attribute) { a.Sums[0]++ }), []string{"fault: slice checksum differs: " + first}, true},
		{"an attribute is lost", func(y *yard) { y.setAttribute(first, []byte("?")) }, []string{"fault: attribute damaged: " + first}, false},
		{"an attribute of another index", attribute(first, func(a *layout.Attribute) { a.Index = 1 }), []string{"fault: slice differs: " + first}, false},
		{"an attribute of another size", attribute(first, func(a *layout.Attribute) { a.Size++ }), []string{"fault: slice differs: " + first}, false},
		{"an attribute of another form", attribute(first, func(a *layout.Attribute) { a.Form.CellBytes = 128 }), []string{"fault: slice differs: " + first}, false},
		{"a record of another payload", func(y *yard) {
			y.change(func(b *index.Batch) { b.Delete(layout.ObjectKey(nil, y.bucket.ID, "sliced")) })
		}, []string{"orphan: slice without record: " + first, "orphan: slice without record: " + third, "orphan: slice without record: " + beside}, false},
		{"a reclaim entry of some", func(y *yard) {
			y.change(func(b *index.Batch) {
				b.Delete(layout.ObjectKey(nil, y.bucket.ID, "sliced"))
				b.Set(layout.ReclaimKey(nil, y.bucket.ID, "sliced", slicedPayload), layout.AppendReclaim(nil, &layout.Reclaim{
					Kind: layout.ReclaimSlices, Bucket: y.bucket.ID, Name: "sliced", Payload: slicedPayload, Indices: []uint8{0, 2},
				}))
			})
		}, []string{"orphan: slice without record: " + beside}, false},
		{"another directory", func(y *yard) { y.rename(beside, layout.SlicesDir+"/77/"+path.Base(beside)) }, []string{"orphan: no name of a slice: " + layout.SlicesDir + "/77/" + path.Base(beside)}, false},
		{"another name", func(y *yard) { y.rename(beside, beside+"x") }, []string{"orphan: no name of a slice: " + beside + "x"}, false},
	} {
		t.Run(test.what, func(t *testing.T) {
			y := slicedYard(t)
			test.damage(y)
			for _, verify := range []bool{false, true} {
				got := y.check(verify)
				want := slices.Clone(test.want)
				if test.reads && !verify {
					want = nil
				}
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("verify %v: found %q, want %q", verify, got, want)
				}
			}
		})
	}
}

// check returns what a check finds but what is pending, sorted.
func (y *yard) check(verify bool) []string {
	y.t.Helper()
	m, err := OpenMount(y.fs, "m", false)
	if err != nil {
		y.t.Fatal(err)
	}
	var found []string
	checked, err := Check(m, CheckOptions{Buckets: y.buckets, Verify: verify, Found: func(f Finding) {
		if f.Level != Pending {
			found = append(found, string(f.Level)+": "+f.Kind+": "+string(f.Path))
		}
	}})
	if err := errors.Join(err, m.Close()); err != nil {
		y.t.Fatal(err)
	}
	if checked.Objects < 22 {
		y.t.Errorf("%d objects were looked at", checked.Objects)
	}
	slices.Sort(found)
	return found
}

func (y *yard) setAttribute(name string, value []byte) {
	y.t.Helper()
	file, err := y.fs.OpenFile(name, os.O_RDWR, 0)
	if err == nil {
		err = errors.Join(file.SetAttr(layout.AttributeName, value), file.Close())
	}
	if err != nil {
		y.t.Fatal(err)
	}
}

func (y *yard) truncate(name string, bytes int64) {
	y.t.Helper()
	file, err := y.fs.OpenFile(name, os.O_RDWR, 0)
	if err == nil {
		err = errors.Join(file.Truncate(bytes), file.Close())
	}
	if err != nil {
		y.t.Fatal(err)
	}
}

// overwrite gives a file the bytes of another, and leaves its attribute.
func (y *yard) overwrite(name, from string) {
	y.t.Helper()
	content, err := store.ReadFile(y.fs, from)
	if err != nil {
		y.t.Fatal(err)
	}
	file, err := y.fs.OpenFile(name, os.O_RDWR, 0)
	if err == nil {
		_, err = file.WriteAt(content, 0)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		y.t.Fatal(err)
	}
}

func (y *yard) remove(name string) {
	y.t.Helper()
	if err := y.fs.Remove(name); err != nil {
		y.t.Fatal(err)
	}
}

func (y *yard) rename(name, to string) {
	y.t.Helper()
	if err := y.fs.Mkdir(path.Dir(to), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		y.t.Fatal(err)
	}
	if err := y.fs.Rename(name, to); err != nil {
		y.t.Fatal(err)
	}
}
