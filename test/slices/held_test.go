package slices

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A gateway gives slices of its own mountpath through the actors in front of it: any bytes of
// them, all of a payload, and which there are.
func TestGatewayHolds(t *testing.T) {
	const waitTime = 30 * time.Second
	w := newWorld(t, options{keeps: true})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	system := actors.NewSystem(logrus.NewEntry(log))
	var roster atomic.Pointer[messages.Roster]
	var buckets atomic.Pointer[messages.BucketSet]
	buckets.Store(messages.NewBucketSet([]*messages.BucketView{{Doc: w.bucket}}))
	pid, err := system.Spawn(system.Root(), mountpath.Spec(mountpath.Config{System: system, Published: &roster, Mounts: []mountpath.Mount{{ID: "m", Path: "m", Store: w.store}}}))
	must(err)
	t.Cleanup(func() {
		must(system.Stop(pid))
		system.Shutdown()
	})
	must(system.Await(waitTime, mountpath.Name))
	must(system.Await(waitTime, roster.Load().Mountpaths[0].Coordinator.Id))
	g := gateway.New(gateway.Config{System: system, Slabs: w.slabs, Roster: &roster, Buckets: &buckets})

	p := w.payload(500_000)
	for _, index := range []uint8{1, 4} {
		w.all(p, index, int64(len(p.slices[index])))
	}
	staged, err := w.store.BeginStage(keyOf(w.bucket, name), store.StageOptions{Payload: p.generation, Form: form, Index: objects.WholeIndex, SizeHint: -1})
	must(err)
	must(staged.Append(p.body))
	must(staged.Seal(*p.sealing))

	size := int64(len(p.slices[1]))
	for _, c := range []struct {
		index          uint8
		offset, length int64
		of             []byte
	}{
		{1, 0, size, p.slices[1]}, {4, 5, size - 9, p.slices[4]}, {4, size - 1, 1, p.slices[4]}, {objects.WholeIndex, 77, 400_000, p.body},
	} {
		body, err := g.Slice(w.bucket, name, &gateway.SliceWanted{Payload: p.generation, Index: c.index, Offset: c.offset, Length: c.length})
		must(err)
		got, err := io.ReadAll(body)
		must(errors.Join(err, body.Close(), body.Close()))
		if !bytes.Equal(got, c.of[c.offset:c.offset+c.length]) {
			t.Errorf("%d bytes from %d of slice %02x came as %d others", c.length, c.offset, c.index, len(got))
		}
	}
	for what, c := range map[string]struct {
		wanted gateway.SliceWanted
		kind   errs.Kind
	}{
		"a slice that is not":   {gateway.SliceWanted{Payload: p.generation, Index: 0, Length: 1}, errs.NotFound},
		"another payload":       {gateway.SliceWanted{Payload: objects.Generation{Seq: 77}, Index: objects.WholeIndex, Length: 1}, errs.NotFound},
		"more than there is":    {gateway.SliceWanted{Payload: p.generation, Index: 1, Offset: 1, Length: size}, errs.Invalid},
		"from behind its end":   {gateway.SliceWanted{Payload: p.generation, Index: 1, Offset: size + 1, Length: 1}, errs.Invalid},
		"more than can be said": {gateway.SliceWanted{Payload: p.generation, Index: 1, Offset: 5, Length: 1<<63 - 1}, errs.Invalid},
	} {
		if _, err := g.Slice(w.bucket, name, &c.wanted); !errs.Is(c.kind, err) {
			t.Errorf("%s: %v, want %v", what, err, c.kind)
		}
	}
	held, err := g.HaveSlices(w.bucket, name, []objects.Generation{{Seq: 77}, p.generation})
	if want := [][]uint8{nil, {1, 4, objects.WholeIndex}}; err != nil || held.Lost || fmt.Sprint(held.Indices) != fmt.Sprint(want) {
		t.Errorf("has %+v, %v; want %v", held, err, want)
	}
	if _, err := g.HaveSlices(w.bucket, name, make([]objects.Generation, gateway.MaxHaveSlices+1)); !errs.Is(errs.Invalid, err) {
		t.Errorf("more payloads than may be: %v", err)
	}
	lost := *roster.Load()
	lost.Lost = []messages.LostMountpath{{ID: "gone"}}
	roster.Store(&lost)
	if held, err := g.HaveSlices(w.bucket, name, []objects.Generation{p.generation}); err != nil || !held.Lost {
		t.Errorf("with a mountpath that is lost: %+v, %v", held, err)
	}
}
