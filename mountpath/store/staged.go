package store

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// StageTime is how long what is staged waits for its next bytes, or once it is sealed for
// the record that names it. It is what a writer takes from its last byte to its commit, many
// times over; who needs a slice that went builds it again.
const StageTime = 10 * time.Minute

// staging is what is staged on a mountpath: slices that are on their way here, or lie sealed
// at their names, and are named by nothing yet. It outlives actors, and with what is sealed
// a store. Safe for concurrent use; the zero value is ready.
type staging struct {
	mu       sync.Mutex
	payloads map[objects.Generation]*stagedPayload
	store    atomic.Pointer[Store] // that is open, or was the last
}

// stagedPayload is what is staged of one payload. They have one intent, which names all of
// them.
type stagedPayload struct {
	key      objects.Key
	payload  objects.Generation
	uploadID string // of a part
	part     int    // of a part: its number; 0: an object

	// mu orders the intents that are written of the payload, and guards what follows. It is
	// taken before that of the table.
	mu       sync.Mutex
	slices   map[uint8]*Staged
	left     map[uint8]struct{} // those that ended, of which files may still be there
	begun    time.Time
	deadline time.Time
}

// add puts a slice into the table, or says why it cannot be staged: it is (Exists, and Busy
// before it is sealed), or its payload is that of another key or part (Conflict). With no
// error the payload is returned locked.
func (g *staging) add(t *Staged, now time.Time) (*stagedPayload, error) {
	for {
		p := g.of(t.Payload, t)
		p.mu.Lock()
		g.mu.Lock()
		current := g.payloads[t.Payload] == p
		g.mu.Unlock()
		if !current { // its last slice ended meanwhile
			p.mu.Unlock()
			continue
		}
		err := p.admits(t)
		if err != nil {
			p.mu.Unlock()
			return nil, err
		}
		if p.begun.IsZero() {
			p.begun = now
		}
		p.slices[t.Index] = t
		p.deadline = now.Add(StageTime)
		return p, nil
	}
}

// of returns what is staged of a payload; for a slice that comes, also if there is nothing yet.
func (g *staging) of(payload objects.Generation, comes *Staged) *stagedPayload {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.payloads[payload]
	if p == nil && comes != nil {
		p = &stagedPayload{
			key: comes.Key, payload: payload, uploadID: comes.uploadID, part: comes.part,
			slices: make(map[uint8]*Staged), left: make(map[uint8]struct{}),
		}
		if g.payloads == nil {
			g.payloads = make(map[objects.Generation]*stagedPayload)
		}
		g.payloads[payload] = p
	}
	return p
}

// all returns what is staged of all payloads.
func (g *staging) all() []*stagedPayload {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Values(g.payloads))
}

// forget drops a payload of which nothing is staged any more. The caller has locked it.
func (g *staging) forget(p *stagedPayload) {
	if len(p.slices) > 0 || len(p.left) > 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.payloads[p.payload] == p {
		delete(g.payloads, p.payload)
	}
}

// begin is for a store that opens: what is not sealed ends here, and opening undoes it. What
// is sealed stays, with the store that follows.
func (g *staging) begin() {
	for _, p := range g.all() {
		p.mu.Lock()
		for index, t := range p.slices {
			if !t.sealed.Load() {
				t.ended.Store(true)
				delete(p.slices, index)
			}
		}
		clear(p.left) // opening settles every intent
		g.forget(p)
		p.mu.Unlock()
	}
}

// admits says why a slice cannot be staged beside those that are.
func (p *stagedPayload) admits(t *Staged) error {
	if p.key.Bucket.ID != t.Key.Bucket.ID || p.key.Name != t.Key.Name || p.uploadID != t.uploadID || p.part != t.part {
		return errs.E("store.BeginStage", t.Key, errs.Conflict, errors.New("the payload is another one's, "+p.key.String()))
	}
	other := p.slices[t.Index]
	_, left := p.left[t.Index]
	switch {
	case left:
		return errs.E("store.BeginStage", t.Key, errs.Busy, errors.New("slice "+layout.SliceSuffix(t.Index)+" of the payload was abandoned, and is not settled yet"))
	case other == nil:
		return nil
	case other.sealed.Load():
		return errs.E("store.BeginStage", t.Key, errs.Exists, errors.New("slice "+layout.SliceSuffix(t.Index)+" of the payload is staged"))
	}
	return errs.E("store.BeginStage", t.Key, errs.Busy, errors.New("slice "+layout.SliceSuffix(t.Index)+" of the payload is being staged"))
}

// intent returns the intent of all that is staged, or may be left of what was; nil if nothing is.
// The caller has locked the payload.
func (p *stagedPayload) intent() *layout.Intent {
	indices := slices.Sorted(maps.Keys(p.slices))
	for index := range p.left {
		if !slices.Contains(indices, index) {
			indices = append(indices, index)
		}
	}
	if len(indices) == 0 {
		return nil
	}
	slices.Sort(indices)
	return &layout.Intent{
		Kind: layout.IntentSlice, Key: p.key, Payload: p.payload, Begun: p.begun, UploadID: p.uploadID, Part: p.part, Indices: indices,
	}
}

// heard puts the deadline off.
func (p *stagedPayload) heard(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = now.Add(StageTime)
}

// Staged returns how many slices are staged, under way and sealed, and the bytes that have come of them.
func (s *Store) Staged() (count int, bytes int64) {
	for _, p := range s.staging.all() {
		p.mu.Lock()
		for _, t := range p.slices {
			count++
			bytes += t.bytes.Load()
		}
		p.mu.Unlock()
	}
	return count, bytes
}

// AbandonOverdue abandons what was not heard of for StageTime, and returns how many slices
// that were. One whose writer hangs in the disk is left to the next time. Blocks on the disk.
func (s *Store) AbandonOverdue() (ended int, err error) {
	now := s.now()
	var failures []error
	for _, p := range s.staging.all() {
		p.mu.Lock()
		overdue := now.After(p.deadline)
		staged := slices.Collect(maps.Values(p.slices))
		p.mu.Unlock()
		for _, t := range staged {
			if !overdue || !t.mu.TryLock() {
				continue
			}
			t.mu.Unlock()
			ended++
			failures = append(failures, s.endStage(t))
		}
	}
	return ended, errors.Join(failures...)
}
