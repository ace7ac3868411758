package mountpath

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/OneOfOne/xxhash"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/erasure"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

const benchWait = 30 * time.Second

var benchPayload = objects.Generation{Map: 1, Seq: 7}

// sliceBench is a mountpath with its actors in front of a disk that can be broken, and the
// slices 0 to 2 of a payload, in 2+1, and all of it, staged there.
type sliceBench struct {
	*testing.T
	fs     *disk.Faulty
	store  *store.Store
	system *actors.System
	roster atomic.Pointer[messages.Roster]
	slabs  *slab.Pool
	key    objects.Key
	body   []byte
	slices map[uint8][]byte
}

func newSliceBench(t *testing.T) *sliceBench {
	t.Helper()
	b := &sliceBench{
		T: t, fs: disk.NewFaulty(disk.NewMem(1)), body: bytes.Repeat([]byte("a cat of many cells "), 100), slices: make(map[uint8][]byte),
		key: objects.Key{Bucket: objects.Bucket{ID: objects.BucketID{5}, Name: "photos"}, Name: "cat"},
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	b.system = actors.NewSystem(logrus.NewEntry(log))
	var err error
	b.slabs, err = slab.NewPool(4)
	b.must(err)
	shared := index.NewShared(8<<20, 1)
	t.Cleanup(shared.Close)
	b.must(store.Format(b.fs, layout.Format{Version: layout.FormatVersion, ClusterID: "c", NodeID: "n", MountpathID: "m", IndexFormat: "pebble 24", Created: time.Unix(1, 0).UTC()}))
	b.store, err = store.Open(store.Options{
		FS: b.fs, Shared: shared, Generations: objects.NewSequencer(1, 1), MemTableBytes: index.MinMemTableBytes, InlineLimit: 4 << 10, Lifetime: new(store.Lifetime), BootID: "boot", Now: time.Now,
	})
	b.must(err)
	t.Cleanup(func() { b.must(b.store.Close()) })
	pid, err := b.system.Spawn(b.system.Root(), Spec(Config{System: b.system, Published: &b.roster, Mounts: []Mount{{ID: "m", Path: "m", Store: b.store}}}))
	b.must(err)
	b.must(b.system.Await(benchWait, Name))
	b.must(b.system.Await(benchWait, b.roster.Load().Mountpaths[0].Coordinator.Id))
	t.Cleanup(func() { // before the store
		b.fs.Clear()
		b.must(b.system.Stop(pid))
		b.system.Shutdown()
		b.must(b.slabs.Close())
	})
	b.stage()
	return b
}

func (b *sliceBench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// stage stages the slices of the payload, and all of it.
func (b *sliceBench) stage() {
	b.Helper()
	form := erasure.Form{Data: 2, Parity: 1, CellBytes: 64}
	var codecs erasure.Codecs
	codec, err := codecs.For(form)
	b.must(err)
	stripes, err := codec.NewStripes(1, make([]byte, form.Slices()*form.CellBytes))
	b.must(err)
	rooms := make([]bytes.Buffer, form.Slices())
	sinks := &erasure.Sinks{Need: len(rooms)}
	for i := range rooms {
		sinks.Writers = append(sinks.Writers, io.Writer(&rooms[i]))
	}
	made, err := codec.NewEncoder(benchPayload, int64(len(b.body))).Copy(context.Background(), stripes[0], bytes.NewReader(b.body), sinks)
	b.must(err)
	for i := range rooms {
		b.slices[uint8(i)] = rooms[i].Bytes()
	}
	b.slices[objects.WholeIndex] = b.body
	for i, content := range b.slices {
		staged, err := b.store.BeginStage(b.key, store.StageOptions{Payload: benchPayload, Form: form, Index: i, SizeHint: -1})
		b.must(err)
		b.must(staged.Append(content))
		b.must(staged.Seal(store.Sealing{Size: int64(len(b.body)), XXHash: xxhash.Checksum64(b.body), ETag: "e", Sums: made.Sums, Modified: time.Unix(7, 0).UTC()}))
	}
}

// ask sends a message to the coordinator.
func (b *sliceBench) ask(message any) {
	b.system.Root().Send(b.roster.Load().Mountpaths[0].Coordinator, message)
}

// open asks for a slice.
func (b *sliceBench) open(index uint8, window *slab.Window) *messages.OpenSlice {
	m := &messages.OpenSlice{Key: b.key, Payload: benchPayload, Index: index, Window: window, Reply: messages.NewReply[*messages.SliceOpened]()}
	b.ask(m)
	return m
}

// want waits for a slice, which is to be what was staged.
func (b *sliceBench) want(m *messages.OpenSlice) {
	b.Helper()
	opened, err := m.WaitOn(clock.System{}, "test", benchWait)
	b.must(err)
	defer opened.Close()
	got := make([]byte, opened.Bytes)
	if _, err := opened.File.ReadAt(got, 0); err != nil && err != io.EOF || !bytes.Equal(got, b.slices[m.Index]) {
		b.Fatalf("slice %02x is %d bytes, %v; want %d others", m.Index, len(got), err, len(b.slices[m.Index]))
	}
}

func (b *sliceBench) wantKind(what string, err error, kind errs.Kind) {
	b.Helper()
	if !errs.Is(kind, err) {
		b.Errorf("%s: %v, want %v", what, err, kind)
	}
}

// A coordinator has slices opened, and told of, by workers: what is there, and not what is not.
func TestReadSlices(t *testing.T) {
	b := newSliceBench(t)
	window, err := b.slabs.Lease(1)
	b.must(err)
	defer window.Release()
	for i := range b.slices {
		b.want(b.open(i, window))
	}
	_, err = b.open(3, nil).WaitOn(clock.System{}, "test", benchWait)
	b.wantKind("a slice that is not", err, errs.NotFound)
	_, err = b.open(objects.WholeIndex, nil).WaitOn(clock.System{}, "test", benchWait)
	b.wantKind("all of it, with no window", err, errs.Internal)

	have := &messages.HaveSlices{Key: b.key, Payloads: []objects.Generation{{Seq: 1}, benchPayload}, Reply: messages.NewReply[[][]uint8]()}
	b.ask(have)
	held, err := have.WaitOn(clock.System{}, "test", benchWait)
	if want := [][]uint8{nil, {0, 1, 2, objects.WholeIndex}}; err != nil || fmt.Sprint(held) != fmt.Sprint(want) {
		t.Errorf("has %v, %v; want %v", held, err, want)
	}
}

// A disk that hangs holds as many readers as may be at a time. What comes then is refused at
// once, and so is what it holds once the disk is said to hang; what was opened for who has
// gone is closed.
func TestReadSlicesOfAHungDisk(t *testing.T) {
	b := newSliceBench(t)
	gate := disk.NewGate()
	t.Cleanup(gate.Open) // also where it failed before
	_, err := b.fs.Add(disk.Rule{Calls: []disk.Call{disk.CallOpen}, Path: layout.SlicesDir + "/**", Wait: gate.Wait})
	b.must(err)
	var opens, closes atomic.Int64
	ended := make(chan struct{}, 4*maxSliceReaders)
	stop := b.fs.Observe(func(o disk.Operation) {
		switch o.Call {
		case disk.CallOpen:
			opens.Add(1)
		case disk.CallClose:
			closes.Add(1)
			ended <- struct{}{}
		}
	})
	defer stop()
	asked := []*messages.OpenSlice{b.open(0, nil)}
	<-gate.Reached()
	for len(asked) < maxSliceReaders {
		asked = append(asked, b.open(uint8(len(asked)%3), nil))
	}
	_, err = b.open(0, nil).WaitOn(clock.System{}, "test", benchWait)
	b.wantKind("one more than may be at a time", err, errs.Busy)
	have := &messages.HaveSlices{Key: b.key, Payloads: []objects.Generation{benchPayload}, Reply: messages.NewReply[[][]uint8]()}
	b.ask(have)
	_, err = have.WaitOn(clock.System{}, "test", benchWait)
	b.wantKind("and likewise of what is there", err, errs.Busy)

	gone := asked[0] // its answer is lost: who asked has given up
	if _, err := gone.WaitOn(clock.System{}, "test", time.Nanosecond); !errors.Is(err, messages.ErrNoAnswer) {
		t.Fatalf("a disk that hangs has answered: %v", err)
	}
	gate.Open()
	for _, m := range asked[1:] {
		b.want(m)
	}
	for range asked { // each was closed by who waited, and one by who opened it
		select {
		case <-ended:
		case <-time.After(benchWait):
			t.Fatalf("%d files of %d were closed", closes.Load(), len(asked))
		}
	}
	b.want(b.open(1, nil)) // there is room again
}

// What slice readers hold of a disk that is said to hang is answered with that, once.
func TestSliceReadersAreAnsweredForAHungDisk(t *testing.T) {
	b := newSliceBench(t)
	m := &messages.OpenSlice{Key: b.key, Payload: benchPayload, Reply: messages.NewReply[*messages.SliceOpened]()}
	c := &coordinator{system: b.system, mount: Mount{ID: "m", Path: "m", Store: b.store}, slicing: map[string]*sliceReading{"x": {watch: new(watch), request: m}}}
	c.answerHeld() // the control: the disk is well
	if len(m.Reply) > 0 {
		t.Fatal("it was answered while the disk was well")
	}
	c.health.hungRead = true
	c.answerHeld()
	if n := c.failSliceReadings(); n != 0 {
		t.Errorf("%d were answered twice", n)
	}
	opened, err := b.store.OpenSlice(b.key, store.Slice{Payload: benchPayload}, nil)
	b.must(err)
	m.Answer(opened, nil) // the disk comes back
	if opened.File != nil {
		t.Error("what was opened for nobody is left open")
	}
	var away *messages.MountpathAway
	if _, err := m.WaitOn(clock.System{}, "test", benchWait); !errs.Is(errs.Offline, err) || !errors.As(err, &away) {
		t.Errorf("%v, want that the mountpath is away", err)
	}
	late := &messages.OpenSlice{Key: b.key, Payload: benchPayload, Reply: messages.NewReply[*messages.SliceOpened]()}
	c.readSlice(nil, "test", late, late, nil)
	_, err = late.WaitOn(clock.System{}, "test", benchWait)
	b.wantKind("asked while it hangs", err, errs.Offline)
}

// A slice reader that panics is answered for, and costs nobody else anything.
func TestASliceReaderPanics(t *testing.T) {
	b := newSliceBench(t)
	_, err := b.fs.Add(disk.Rule{Calls: []disk.Call{disk.CallOpen}, Path: layout.SlicesDir + "/**", Times: 1, Panic: "a fault of the program"})
	b.must(err)
	_, err = b.open(0, nil).WaitOn(clock.System{}, "test", benchWait)
	if err == nil || errors.Is(err, messages.ErrNoAnswer) {
		t.Fatalf("a reader that panicked: %v", err)
	}
	b.want(b.open(0, nil))
}
