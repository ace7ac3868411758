package messages

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

// OpenSlice asks for a slice of a payload, or for all of it, to be read. Sent by the gateway
// to the coordinator of the key's mountpath, which has a worker open it: in no key's turn, for
// what has such a name never changes. Answered by SliceOpened or by a failure (NotFound, Busy,
// Corrupt, Offline, Canceled). A payload in the index is copied to slot 0 of Window, which
// stays the sender's. What is open in the answer is the receiver's to close; when nobody waits
// any more, who answers closes it.
type OpenSlice struct {
	Key      objects.Key
	Payload  objects.Generation
	Index    uint8        // objects.WholeIndex: all of the payload
	UploadID string       // of a part
	Part     int          // of a part: its number; 0: an object's
	Window   *slab.Window // needed for objects.WholeIndex only
	Reply    Reply[*SliceOpened]

	mu   sync.Mutex
	left bool // nobody waits any more; guarded by mu
}

// Answer answers, or closes what was opened where nobody waits for it. It does not block.
func (m *OpenSlice) Answer(opened *SliceOpened, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.left {
		select {
		case m.Reply <- Result[*SliceOpened]{opened, err}:
			return
		default: // another answer came before: nobody waits for this one
		}
	}
	opened.Close()
}

// WaitOn returns the answer as Reply.WaitOn does, once. The caller closes it.
func (m *OpenSlice) WaitOn(clock clock.Clock, op errs.Op, within time.Duration) (*SliceOpened, error) {
	opened, err := m.Reply.WaitOn(clock, op, within)
	if err == nil {
		return opened, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = true
	if errors.Is(err, ErrNoAnswer) {
		select {
		case late := <-m.Reply: // it was answered in the moment that it was left
			return late.Value, late.Err
		default:
		}
	}
	return nil, err
}

// Fail implements Failer.
func (m *OpenSlice) Fail(err error) { m.Reply.Fail(err) }

// Handles implements Handled.
func (m *OpenSlice) Handles() Handling { return HandlesKey(m.Key, ReadAccess) }

// Subject implements Subjected.
func (m *OpenSlice) Subject() string { return m.Key.String() }

// HaveSlices asks what a mountpath has of payloads of a key, staged or not. Sent by the
// gateway to the coordinator of the key's mountpath, which has a worker look. Answered by the
// indices of each, in the order asked, objects.WholeIndex for all of a payload; or by a
// failure (Busy, Offline, Canceled), which says that it cannot be told.
type HaveSlices struct {
	Key      objects.Key
	Payloads []objects.Generation
	Reply    Reply[[][]uint8]

	left atomic.Bool
}

// Left reports whether nobody waits for the answer any more.
func (m *HaveSlices) Left() bool { return m.left.Load() }

// WaitOn returns the answer as Reply.WaitOn does.
func (m *HaveSlices) WaitOn(clock clock.Clock, op errs.Op, within time.Duration) ([][]uint8, error) {
	held, err := m.Reply.WaitOn(clock, op, within)
	m.left.Store(err != nil)
	return held, err
}

// Fail implements Failer.
func (m *HaveSlices) Fail(err error) { m.Reply.Fail(err) }

// Handles implements Handled.
func (m *HaveSlices) Handles() Handling { return HandlesKey(m.Key, ReadAccess) }

// Subject implements Subjected.
func (m *HaveSlices) Subject() string { return m.Key.String() }
