package mountpath

import (
	"sync/atomic"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// commitFile asks a lane to make a sealed payload the object or the part that
// it is for. Sent by the transfer; the lane answers the gateway.
type commitFile struct {
	fence      messages.Fence
	incoming   *store.Incoming
	meta       objects.Meta // for an object
	sums       checksum.Sums
	part       bool
	conditions objects.Conditions
	hand       *handover
	Reply      messages.Reply[messages.Uploaded] // exported, so that a fault can lose its answer
}

// Fail implements messages.Failer. A payload that no lane has taken is abandoned
// by the keeper: who refuses a message must not wait for a disk.
func (m *commitFile) Fail(err error) {
	if m.hand.refuse() {
		m.hand.custody.leave(m.incoming)
	}
	m.Reply.Fail(err)
}

// Subject implements messages.Subjected.
func (m *commitFile) Subject() string { return m.incoming.Key.String() }

// Handles implements messages.Handled.
func (m *commitFile) Handles() messages.Handling {
	return messages.HandlesKey(m.incoming.Key, messages.WriteAccess)
}

// take makes the payload the lane's. false: it was refused or revoked meanwhile,
// its client knows, and it must not become the object any more, since others may
// have written the key since.
func (m *commitFile) take() bool {
	if m.hand.state.CompareAndSwap(offered, taken) {
		return true
	}
	if m.hand.refuse() {
		m.hand.custody.leave(m.incoming)
	}
	return false
}

// handover is the way of one payload from its transfer to the lane. Safe for
// concurrent use.
type handover struct {
	custody *custody
	state   atomic.Int32
}

const (
	offered int32 = iota // also before the transfer has offered it
	taken                // by the lane
	revoked              // the transfer was killed
	refused              // by whoever stood in front of the lane
)

// revoke takes the payload back, if the lane has not taken it yet.
func (h *handover) revoke() { h.state.CompareAndSwap(offered, revoked) }

// refuse reports whether the payload is now whose who refuses it: neither a lane
// nor another refusal has it.
func (h *handover) refuse() bool {
	return h.state.CompareAndSwap(offered, refused) || h.state.CompareAndSwap(revoked, refused)
}
