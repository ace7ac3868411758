package gateway

import (
	"fmt"
	"io"
	"slices"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

// Slices that this node has are read whoever asks, and whatever the map says of the node: no
// charge is looked at. They lie where their key does; while that moves to another mountpath,
// they are at both, or at either.

// Slice opens bytes of a slice of this node, as SliceKeeper has it. The reader leases a window
// where a payload of the index is in it, and releases it when it is closed.
func (g *Gateway) Slice(bucket *objects.BucketDoc, name string, w *SliceWanted) (io.ReadCloser, error) {
	const op errs.Op = "gateway.Slice"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	held, err := g.openSlice(op, key, w)
	if err != nil {
		return nil, err
	}
	if w.Offset < 0 || w.Length < 1 || w.Offset > held.opened.Bytes || w.Length > held.opened.Bytes-w.Offset {
		bytes := held.opened.Bytes
		_ = held.Close() // nothing was read
		return nil, errs.E(op, key, errs.Invalid, fmt.Errorf("%w: %d bytes from %d of slice %02x, which has %d", objects.ErrInvalidRange, w.Length, w.Offset, w.Index, bytes))
	}
	held.at, held.end = w.Offset, w.Offset+w.Length
	return held, nil
}

// openSlice asks the mountpaths of a key for a slice.
func (g *Gateway) openSlice(op errs.Op, key objects.Key, w *SliceWanted) (*heldSlice, error) {
	held := &heldSlice{key: key}
	if w.Index == objects.WholeIndex { // it may be in the index
		var err error
		if held.window, err = g.Slabs.Lease(1); err != nil {
			return nil, errs.E(op, key, err)
		}
	}
	var err error
	held.opened, err = find(g, op, key, func(view *messages.MountpathView, _ uint64) (*messages.SliceOpened, error) {
		m := &messages.OpenSlice{
			Key: key, Payload: w.Payload, Index: w.Index, UploadID: w.UploadID, Part: w.Part, Window: held.window,
			Reply: messages.NewReply[*messages.SliceOpened](),
		}
		if err := g.askCoordinator(op, key, view, m); err != nil {
			return nil, err
		}
		return m.WaitOn(g.System.Clock(), op, Deadline)
	})
	if err != nil || held.opened.File != nil {
		held.release()
	}
	if err != nil {
		return nil, err
	}
	return held, nil
}

// askCoordinator sends a message to the coordinator of a mountpath; errs.Offline if there is
// none now.
func (g *Gateway) askCoordinator(op errs.Op, key objects.Key, view *messages.MountpathView, message any) error {
	if view.Coordinator == nil {
		return errs.E(op, key, errs.Offline, fmt.Errorf("mountpath %s has no coordinator now", view.ID))
	}
	g.System.Root().Send(view.Coordinator, message)
	return nil
}

// heldSlice is bytes of a slice of this node. Not safe for concurrent use.
type heldSlice struct {
	key     objects.Key
	opened  *messages.SliceOpened
	window  *slab.Window // holds a payload of the index; nil: there is a file
	at, end int64
}

// Read implements io.Reader: it fails rather than end early.
func (h *heldSlice) Read(room []byte) (int, error) {
	if h.at == h.end {
		return 0, io.EOF
	}
	room = room[:min(int64(len(room)), h.end-h.at)]
	if h.window != nil {
		n := copy(room, h.window.Slab(0)[h.at:h.end])
		h.at += int64(n)
		return n, nil
	}
	n, err := h.opened.File.ReadAt(room, h.at)
	h.at += int64(n)
	if n == len(room) {
		return n, nil
	}
	if err = short(err); errs.KindOf(err) == errs.Corrupt {
		err = errs.E("gateway.Slice", h.key, errs.Corrupt, fmt.Errorf("it ends at %d: %w", h.at, err))
	}
	return n, err
}

// Close gives back what the slice holds. Idempotent.
func (h *heldSlice) Close() error {
	h.opened.Close()
	h.release()
	return nil
}

func (h *heldSlice) release() {
	if h.window != nil {
		h.window.Release()
		h.window = nil
	}
}

// HaveSlices tells what this node has of payloads of a name, as SliceKeeper has it: while the
// key moves, what both of its mountpaths have. A mountpath that cannot be asked is an error: it
// cannot be told then.
func (g *Gateway) HaveSlices(bucket *objects.BucketDoc, name string, payloads []objects.Generation) (HeldSlices, error) {
	const op errs.Op = "gateway.HaveSlices"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	if len(payloads) > MaxHaveSlices {
		return HeldSlices{}, errs.E(op, key, errs.Invalid, fmt.Errorf("%d payloads, at most %d can be asked for", len(payloads), MaxHaveSlices))
	}
	lost := len(g.Roster.Load().Lost) > 0 // before it is looked: what is found afterwards was caught up with
	for look := 1; ; look++ {
		held, epoch, err := g.haveOnce(op, key, payloads)
		if err != nil || look == maxLooks || epoch == g.Roster.Load().Epoch {
			return HeldSlices{Indices: held, Lost: lost || len(g.Roster.Load().Lost) > 0}, err
		}
	}
}

// haveOnce is HaveSlices by one roster, whose epoch it returns.
func (g *Gateway) haveOnce(op errs.Op, key objects.Key, payloads []objects.Generation) ([][]uint8, uint64, error) {
	p, err := g.place(op, key)
	if err != nil {
		return nil, 0, err
	}
	epoch := p.roster.Epoch
	views := []*messages.MountpathView{p.owner}
	if p.former != nil { // first: what moves is at the owner before it leaves
		views = []*messages.MountpathView{p.former, p.owner}
	}
	held := make([][]uint8, len(payloads))
	for _, view := range views {
		if err := view.Away(); err != nil {
			return nil, epoch, errs.E(op, key, errs.Offline, err)
		}
		m := &messages.HaveSlices{Key: key, Payloads: payloads, Reply: messages.NewReply[[][]uint8]()}
		if err := g.askCoordinator(op, key, view, m); err != nil {
			return nil, epoch, err
		}
		have, err := m.WaitOn(g.System.Clock(), op, Deadline)
		if err != nil {
			return nil, epoch, err
		}
		for i := range held {
			held[i] = union(held[i], have[i])
		}
	}
	return held, epoch, nil
}

// union returns the indices of both, in order, each once. It does not change what it is given.
func union(a, b []uint8) []uint8 {
	if len(a) == 0 {
		return b
	}
	both := append(slices.Clone(a), b...)
	slices.Sort(both)
	return slices.Compact(both)
}
