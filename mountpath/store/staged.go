package store

import (
	"errors"
	"fmt"
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
	mu         sync.Mutex
	slices     map[uint8]*Staged
	left       map[uint8]struct{} // those that ended, of which files may still be there
	begun      time.Time
	deadline   time.Time
	committing *committing // nil: no batch that names some is under way
}

// committing are the slices of a payload, by index, that a batch takes out of the table, which is
// under way: until it has ended nobody abandons them.
type committing struct {
	payload *stagedPayload
	slices  map[uint8]*Staged
}

func (c *committing) has(t *Staged) bool { return c != nil && c.slices[t.Index] == t }

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

// commit marks those of some slices of a payload that are sealed as being committed, until done
// is called; nil: none is, or they are another key's, or a part's. In the key's turn.
func (g *staging) commit(key objects.Key, payload objects.Generation, indices []uint8) *committing {
	p := g.of(payload, nil)
	if p == nil || p.part > 0 || p.key.Bucket.ID != key.Bucket.ID || p.key.Name != key.Name {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &committing{payload: p, slices: make(map[uint8]*Staged)}
	for _, index := range indices {
		if t := p.slices[index]; t != nil && t.sealed.Load() && !t.ended.Load() {
			c.slices[index] = t
		}
	}
	if len(c.slices) == 0 {
		return nil
	}
	p.committing = c // of a turn before, whose batch hangs in an index that is dead, nobody asks
	return c
}

// done ends what commit began. Named, a record names the slices, and they are staged no more.
func (c *committing) done(g *staging, named bool) {
	p := c.payload
	p.mu.Lock()
	defer p.mu.Unlock()
	for index, t := range c.slices {
		if named && p.slices[index] == t {
			t.ended.Store(true)
			delete(p.slices, index)
		}
	}
	if p.committing == c {
		p.committing = nil
	}
	g.forget(p)
}

// check fails if what is committed is not of the payload that a record names: errs.Conflict.
func (c *committing) check(meta *objects.Meta) error {
	for index, t := range c.slices {
		if t.form != formOf(meta.Slicing) || t.size != meta.Size || t.xxhash != meta.XXHash {
			return errs.E("store.commit", t.Key, errs.Conflict, fmt.Errorf("slice %s is staged for a payload of %d bytes with xxhash %016x in %+v, the record says %d with %016x in %s",
				layout.SliceSuffix(index), t.size, t.xxhash, t.form, meta.Size, meta.XXHash, meta.Slicing))
		}
	}
	return nil
}

// indices returns which slices are being committed, in order.
func (c *committing) indices() []uint8 {
	if c == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(c.slices))
}

// keepNamed is for a store that opens, which has settled these intents: what is staged and has
// none was committed, by a batch of which nobody learned the end.
func (g *staging) keepNamed(intents []*layout.Intent) {
	for _, p := range g.all() {
		p.mu.Lock()
		at := slices.IndexFunc(intents, func(i *layout.Intent) bool { return i.Kind == layout.IntentSlice && i.Payload == p.payload })
		for index, t := range p.slices {
			if at < 0 || !slices.Contains(intents[at].Indices, index) {
				t.ended.Store(true)
				delete(p.slices, index)
			}
		}
		g.forget(p)
		p.mu.Unlock()
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

// intent returns the intent of all that is staged, but for some, or may be left of what was; nil
// if nothing is. The caller has locked the payload.
func (p *stagedPayload) intent(but ...uint8) *layout.Intent {
	indices := slices.Sorted(maps.Keys(p.slices))
	indices = slices.DeleteFunc(indices, func(index uint8) bool { return slices.Contains(but, index) })
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
		var staged []*Staged
		for _, t := range p.slices {
			if !p.committing.has(t) {
				staged = append(staged, t)
			}
		}
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
