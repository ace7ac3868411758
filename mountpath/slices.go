package mountpath

import (
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// maxSliceReaders is how many slices of a mountpath are opened, or looked for, at a time: they
// end with the opening, so that as many as this are there only where the disk stands still.
const maxSliceReaders = 64

// sliceReaderPrefix begins the names of slice readers among a coordinator's children.
const sliceReaderPrefix = "slices-"

// sliceReading is a slice reader at work. It belongs to the coordinator.
type sliceReading struct {
	watch   *watch
	request messages.Failer
	failed  bool // it was answered in the place of the disk
}

// onOpenSlice has a worker open a slice.
func (c *coordinator) onOpenSlice(ctx actor.Context, m *messages.OpenSlice) {
	if m.Index == objects.WholeIndex && m.Window == nil {
		m.Fail(errs.E("mountpath.OpenSlice", m.Key, errs.Internal, errors.New("all of a payload is asked for, with no window for one in the index")))
		return
	}
	c.readSlice(ctx, "mountpath.OpenSlice", m, m, func(r *sliceReader) { r.open(m) })
}

// onHaveSlices has a worker look what is here of some payloads.
func (c *coordinator) onHaveSlices(ctx actor.Context, m *messages.HaveSlices) {
	c.readSlice(ctx, "mountpath.HaveSlices", m, m, func(r *sliceReader) { r.have(m) })
}

// readSlice admits a request about slices and has a worker do it.
func (c *coordinator) readSlice(ctx actor.Context, op errs.Op, request messages.Failer, handled interface {
	messages.Handled
	messages.Subjected
}, do func(*sliceReader)) {
	switch subject := handled.Subject(); {
	case c.report.state == messages.MountpathDisabled:
		request.Fail(errs.E(op, subject, errs.Offline, fmt.Errorf("the mountpath is %s: %s", c.report.state, c.report.reason)))
		return
	case c.held.reads:
		request.Fail(errs.E(op, subject, errs.Offline, &messages.MountpathAway{Path: c.mount.Path, State: c.report.state, Reason: c.report.reason}))
		return
	case len(c.slicing) >= maxSliceReaders:
		request.Fail(errs.E(op, subject, errs.Busy, fmt.Errorf("%d slices are being opened, as many as may be at a time", len(c.slicing))))
		return
	}
	reading := &sliceReading{watch: new(watch), request: request}
	reader := &sliceReader{system: c.system, store: c.mount.Store, watch: reading.watch, stopping: &c.stopping, do: do}
	pid, err := c.system.Spawn(ctx, actors.Spec{
		Name: sliceReaderPrefix + strconv.FormatUint(c.custody.transfers.Add(1), 36), Kind: "slice reader", Policy: actors.Policy{NoRestart: true},
		Subject: handled.Subject(), Handles: handled.Handles(),
		New:       func() actor.Actor { return reader },
		Abandoned: func(any) func() { return c.custody.holdRead(reading.watch) },
	})
	if err != nil {
		request.Fail(errs.E(op, handled.Subject(), errs.Busy, err))
		return
	}
	c.slicing[pid.Id] = reading
}

// endSliceReading forgets a slice reader that has ended. One that panicked, or was killed, has
// answered nothing: an answer that is there already counts.
func (c *coordinator) endSliceReading(pid *actor.PID) {
	if reading := c.slicing[pid.Id]; reading != nil {
		delete(c.slicing, pid.Id)
		reading.request.Fail(errs.E("mountpath.sliceReader", errs.Busy, errors.New("the slice reader ended before it was through")))
	}
}

// failSliceReadings answers what slice readers wait for of a disk that does not answer, and
// returns how many it answered. They stay in their calls; what they open then is closed.
func (c *coordinator) failSliceReadings() (answered int) {
	for _, reading := range c.slicing {
		if !reading.failed {
			reading.failed = true
			answered++
			reading.request.Fail(errs.E("mountpath", errs.Offline, &messages.MountpathAway{Path: c.mount.Path, State: c.report.state, Reason: c.report.reason, Begun: true}))
		}
	}
	return answered
}

// sliceReader does one request about slices. It is a worker: it blocks on its disk, lives for
// one request, and is never restarted. It holds no lane.
type sliceReader struct {
	system *actors.System
	store  *store.Store
	watch  *watch
	// stopping says that nobody waits any more, and the disk is to be left alone.
	stopping *atomic.Bool
	do       func(*sliceReader)
}

// Receive implements actor.Actor.
func (r *sliceReader) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		r.watch.begin(r.system.Clock())
		defer r.watch.end()
		r.do(r)
		ctx.Stop(ctx.Self())
	default:
		actors.Unexpected(ctx, r.system.Log())
	}
}

func (r *sliceReader) open(m *messages.OpenSlice) {
	const op errs.Op = "sliceReader.open"
	var room []byte
	if m.Window != nil {
		slab, ok := m.Window.Pin(0)
		if !ok {
			m.Fail(errs.E(op, m.Key, errs.Canceled, errors.New("the sender has gone")))
			return
		}
		defer m.Window.Unpin()
		room = slab
	}
	m.Answer(r.store.OpenSlice(m.Key, store.Slice{Payload: m.Payload, Index: m.Index, UploadID: m.UploadID, Part: m.Part}, room))
}

func (r *sliceReader) have(m *messages.HaveSlices) {
	const op errs.Op = "sliceReader.have"
	held := make([][]uint8, len(m.Payloads))
	for i, payload := range m.Payloads {
		if r.stopping.Load() || m.Left() {
			m.Fail(errs.E(op, m.Key, errs.Canceled, errors.New("nobody waits for it any more")))
			return
		}
		indices, err := r.store.HaveSlices(m.Key, payload)
		if err != nil {
			m.Fail(err)
			return
		}
		held[i] = indices
	}
	m.Reply.Send(held, nil)
}
