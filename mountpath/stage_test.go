package mountpath

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
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
	"github.com/troupe-storage/troupe/objects/erasure"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

// stageWait bounds what is waited for; it is reached only where something is wrong.
const stageWait = 20 * time.Second

// breaker does to messages for stagers what a test wants; nil: nothing.
type breaker struct {
	how atomic.Pointer[func() actors.Interception]
}

// Intercept implements actors.Interceptor.
func (b *breaker) Intercept(_ string, message any) actors.Interception {
	if _, ok := message.(*messages.StageSlice); ok {
		if how := b.how.Load(); how != nil {
			return (*how)()
		}
	}
	return actors.Interception{}
}

// stageBench is a mountpath with its actors over a disk that can be broken.
type stageBench struct {
	*testing.T
	system *actors.System
	store  *store.Store
	disk   *disk.Faulty
	slabs  *slab.Pool
	view   *messages.MountpathView
	broken breaker
	now    atomic.Int64 // seconds
	key    objects.Key
}

var (
	stageForm    = erasure.Form{Data: 2, Parity: 1, CellBytes: 64}
	stagePayload = objects.Generation{Map: 1, Seq: 77}
)

func newStageBench(t *testing.T, limits Limits) *stageBench {
	t.Helper()
	b := &stageBench{T: t, key: objects.Key{Bucket: objects.Bucket{ID: objects.BucketID{1}, Name: "bucket"}, Name: "key"}}
	b.now.Store(1000)
	log := logrus.New()
	log.SetOutput(io.Discard)
	b.system = actors.NewSystem(logrus.NewEntry(log))
	shared := index.NewShared(8<<20, 1)
	t.Cleanup(shared.Close)
	mem := disk.NewMem(1)
	b.must(store.Format(mem, layout.Format{Version: layout.FormatVersion, ClusterID: "c", NodeID: "n", MountpathID: "a", IndexFormat: fmt.Sprintf("pebble %d", index.FormatVersion), Created: time.Unix(1, 0).UTC()}))
	b.disk = disk.NewFaulty(mem)
	var err error
	b.store, err = store.Open(store.Options{
		FS: b.disk, Shared: shared, Generations: objects.NewSequencer(1, 1), MemTableBytes: index.MinMemTableBytes, Lifetime: new(store.Lifetime), Shares: true,
		BootID: "boot", Now: func() time.Time { return time.Unix(b.now.Load(), 0) },
	})
	b.must(err)
	b.slabs, err = slab.NewPool(64)
	b.must(err)
	var roster atomic.Pointer[messages.Roster]
	pid, err := b.system.Spawn(b.system.Root(), Spec(Config{System: b.system, Limits: limits, Published: &roster, Mounts: []Mount{{ID: "a", Path: "a", Store: b.store}}}))
	b.must(err)
	b.must(b.system.Await(stageWait, Name))
	b.view = &roster.Load().Mountpaths[0]
	b.must(b.system.Await(stageWait, b.view.Coordinator.Id))
	b.system.Intercept(&b.broken)
	t.Cleanup(func() {
		b.must(b.system.Stop(pid))
		b.system.Shutdown()
		b.must(b.store.Close())
		b.must(b.slabs.Close()) // nothing stays leased
	})
	return b
}

func (b *stageBench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// slices returns the slices of a body, and what is known of it.
func (b *stageBench) slices(body []byte) ([][]byte, objects.Sealing) {
	b.Helper()
	var codecs erasure.Codecs
	codec, err := codecs.For(stageForm)
	b.must(err)
	stripes, err := codec.NewStripes(1, make([]byte, stageForm.Slices()*stageForm.CellBytes))
	b.must(err)
	rooms := make([]bytes.Buffer, stageForm.Slices())
	sinks := &erasure.Sinks{Need: len(rooms)}
	for i := range rooms {
		sinks.Writers = append(sinks.Writers, io.Writer(&rooms[i]))
	}
	made, err := codec.NewEncoder(stagePayload, int64(len(body))).Copy(context.Background(), stripes[0], bytes.NewReader(body), sinks)
	b.must(err)
	files := make([][]byte, len(rooms))
	for i := range rooms {
		files[i] = rooms[i].Bytes()
	}
	return files, objects.Sealing{Size: int64(len(body)), XXHash: xxhash.Checksum64(body), ETag: "e", Sums: made.Sums, Modified: time.Unix(7, 0).UTC()}
}

// begin sends a stage on its way; the answer comes to its Reply. The window is given back
// with the test.
func (b *stageBench) begin(index uint8, offset int64, cells io.Reader, length int64, last *objects.Sealing) *messages.StageSlice {
	b.Helper()
	m := b.send(index, offset, cells, length, last)
	if m.Window != nil {
		b.Cleanup(m.Window.Release)
	}
	return m
}

// send sends a stage on its way, whose window its caller gives back.
func (b *stageBench) send(index uint8, offset int64, cells io.Reader, length int64, last *objects.Sealing) *messages.StageSlice {
	b.Helper()
	m := &messages.StageSlice{
		Key: b.key, Payload: stagePayload, Form: stageForm, Index: index, Offset: offset, Length: length, SizeHint: -1, Cells: cells, Last: last,
		Reply: messages.NewReply[messages.Staged](),
	}
	if cells != nil {
		window, err := b.slabs.Lease(2)
		b.must(err)
		m.Window = window
	}
	b.system.Root().Send(b.view.Coordinator, m)
	return m
}

// stage stages bytes and waits. The stager before may not have ended yet, which is Busy.
func (b *stageBench) stage(index uint8, offset int64, cells []byte, last *objects.Sealing) (messages.Staged, error) {
	b.Helper()
	for end := time.Now().Add(stageWait); ; {
		var from io.Reader
		if cells != nil {
			from = bytes.NewReader(cells)
		}
		m := b.send(index, offset, from, int64(len(cells)), last)
		staged, err := m.Reply.Wait("stage", stageWait)
		if m.Window != nil {
			m.Window.Release() // it has answered: it is done with the window
		}
		if err == nil || !strings.Contains(err.Error(), "on their way already") || time.Now().After(end) {
			return staged, err
		}
	}
}

func (b *stageBench) want(when string, got messages.Staged, err error, want messages.Staged) {
	b.Helper()
	if err != nil || got != want {
		b.Fatalf("%s: %+v, %v; want %+v", when, got, err, want)
	}
}

// put commits the payload with slices 0 and 2 at this node.
func (b *stageBench) put(body []byte) (objects.Receipt, error) {
	self := objects.NodeDigest("n")
	m := &messages.PutSlices{Key: b.key, Reply: messages.NewReply[objects.Receipt](), Meta: objects.Meta{
		Payload: stagePayload, Where: objects.Slices, Size: int64(len(body)), XXHash: xxhash.Checksum64(body), ETag: "e", Modified: time.Unix(7, 0),
		Slicing: &objects.Slicing{Data: 2, Parity: 1, CellBytes: 64, Members: []objects.Member{{Node: self, Index: 0}, {Node: 5, Index: 1}, {Node: self, Index: 2}}},
	}}
	b.system.Root().Send(b.view.Writer(b.key.Digest()), m)
	return m.Reply.Wait("put", stageWait)
}

// A slice comes in pieces, each where the last ended, is sealed, and is named by the record:
// which is not stored before all of the node's slices are there.
func TestSlicesAreStagedAndNamed(t *testing.T) {
	b := newStageBench(t, Limits{})
	body := bytes.Repeat([]byte("cat!"), 100)
	files, sealing := b.slices(body)
	at, err := b.stage(0, 0, nil, nil)
	b.want("nothing is there", at, err, messages.Staged{})
	half := len(files[0]) / 2
	at, err = b.stage(0, 0, files[0][:half], nil)
	b.want("half", at, err, messages.Staged{Offset: int64(half)})
	if _, err = b.stage(0, 0, files[0][:half], nil); !errs.Is(errs.Conflict, err) {
		t.Fatalf("the same half again: %v", err)
	}
	at, err = b.stage(0, int64(half), files[0][half:], &sealing)
	b.want("the rest", at, err, messages.Staged{Offset: int64(len(files[0])), Sealed: true})
	at, err = b.stage(0, 0, files[0], &sealing)
	b.want("sealed, again", at, err, messages.Staged{Offset: int64(len(files[0])), Sealed: true})
	if _, err := b.put(body); !errors.Is(err, objects.ErrNoSlice) || !errs.Is(errs.Busy, err) {
		t.Fatalf("named with a slice that is not there: %v", err)
	}
	at, err = b.stage(2, 0, files[2], &sealing)
	b.want("another", at, err, messages.Staged{Offset: int64(len(files[2])), Sealed: true})
	if _, err := b.put(body); err != nil {
		t.Fatal(err)
	}
	if count, _ := b.store.Staged(); count != 0 {
		t.Fatalf("%d slices are staged that are named", count)
	}
	at, err = b.stage(2, 0, files[2], &sealing)
	b.want("named, again", at, err, messages.Staged{Offset: int64(len(files[2])), Sealed: true})
}

// What came of a sender that went away stays, and the slice goes on behind it; until the first
// has ended a second one is refused, and so is one beyond what the mountpath admits.
func TestStagesAreAdmitted(t *testing.T) {
	b := newStageBench(t, Limits{Transfers: 1})
	files, sealing := b.slices(bytes.Repeat([]byte("cat!"), 100))
	from, to := io.Pipe()
	first := b.begin(0, 0, from, int64(len(files[0])), &sealing)
	_, err := to.Write(files[0][:100]) // it is being read
	b.must(err)
	for index, says := range []string{"on their way already", "1 transfers"} {
		_, err := b.begin(uint8(index), 0, bytes.NewReader(files[index]), int64(len(files[index])), nil).Reply.Wait("stage", stageWait)
		if !errs.Is(errs.Busy, err) || !strings.Contains(err.Error(), says) {
			t.Errorf("slice %d: %v, want %q", index, err, says)
		}
	}
	b.must(to.Close())
	if _, err := first.Reply.Wait("stage", stageWait); !errs.Is(errs.Canceled, err) {
		t.Fatalf("its cells ended early: %v", err)
	}
	at, err := b.stage(0, 100, files[0][100:], &sealing)
	b.want("it goes on", at, err, messages.Staged{Offset: int64(len(files[0])), Sealed: true})
}

// A stage that is lost, panics, or is carried out unheard gives its place back, and the slice
// can be asked about and go on.
func TestBrokenStagesGiveTheirPlaceBack(t *testing.T) {
	lost := errors.New("lost")
	for name, how := range map[string]func() actors.Interception{
		"lost":    func() actors.Interception { return actors.Interception{Drop: true, Err: lost} },
		"unheard": func() actors.Interception { return actors.Interception{Unheard: true} },
		"panic":   func() actors.Interception { panic("on purpose") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newStageBench(t, Limits{Transfers: 1})
			files, sealing := b.slices(bytes.Repeat([]byte("cat!"), 100))
			b.broken.how.Store(&how)
			m := b.begin(0, 0, bytes.NewReader(files[0]), int64(len(files[0])), &sealing)
			wait := stageWait
			if name == "unheard" {
				wait = 100 * time.Millisecond // nothing comes
			}
			if at, err := m.Reply.Wait("stage", wait); err == nil {
				t.Fatalf("answered by %+v", at)
			}
			b.broken.how.Store(nil)
			at, err := b.stage(0, 0, files[0], &sealing)
			b.want("again", at, err, messages.Staged{Offset: int64(len(files[0])), Sealed: true})
		})
	}
}

// What is abandoned is gone, and what nobody was heard of is, by the keeper.
func TestStagesAreAbandoned(t *testing.T) {
	b := newStageBench(t, Limits{})
	files, sealing := b.slices(bytes.Repeat([]byte("cat!"), 100))
	for _, overdue := range []bool{false, true} {
		at, err := b.stage(0, 0, files[0], &sealing)
		b.want("staged", at, err, messages.Staged{Offset: int64(len(files[0])), Sealed: true})
		if overdue {
			b.now.Add(int64(store.StageTime/time.Second) + 1)
			done := make(chan struct{})
			(&keeper{system: b.system, store: b.store, custody: newCustody(), watch: new(watch)}).onKeep(&keep{done: func() { close(done) }})
		} else {
			m := &messages.AbandonStage{Key: b.key, Payload: stagePayload, Reply: messages.NewReply[struct{}]()}
			b.system.Root().Send(b.view.Coordinator, m)
			if _, err := m.Reply.Wait("abandon", stageWait); err != nil {
				t.Fatal(err)
			}
		}
		if at, err := b.stage(0, 0, nil, nil); err != nil || at != (messages.Staged{}) {
			t.Fatalf("overdue %t: %+v, %v is left", overdue, at, err)
		}
	}
}
