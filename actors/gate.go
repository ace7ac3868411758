package actors

import "sync/atomic"

// Gate bounds what enters: who sends takes a place first, and gives it back
// when the work is done. Beyond the limit the sender answers Busy at once,
// because a mailbox would take everything. Safe for concurrent use.
type Gate struct {
	limit  int64
	inside atomic.Int64
}

// NewGate makes a gate for at most limit at a time.
func NewGate(limit int) *Gate { return &Gate{limit: int64(limit)} }

// Enter takes a place; false: there is none.
func (g *Gate) Enter() bool {
	if g.inside.Add(1) > g.limit {
		g.inside.Add(-1)
		return false
	}
	return true
}

// Leave gives a place back.
func (g *Gate) Leave() { g.inside.Add(-1) }

// Inside returns how many are inside.
func (g *Gate) Inside() int { return int(g.inside.Load()) }
