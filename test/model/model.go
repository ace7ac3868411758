package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/troupe-storage/troupe/objects"
)

// Model is the reference. Safe for concurrent use; but the operations of one
// cell are begun one at a time, as a store gives the writes of a key their turns:
// Begin panics otherwise, because the test would prove nothing.
type Model struct {
	mu    sync.Mutex
	cells map[Cell]*history
}

// history is what is known of one cell. A cell without one holds nothing.
type history struct {
	must   *Value       // the value that was last acknowledged for good; nil: nothing
	now    *Value       // the value that was last acknowledged, for good or until the power goes
	may    []*Operation // promised, under way or doubtful since must was acknowledged, oldest first
	active *Operation   // of these, the one under way
	doubts int          // of these, how many are doubtful
}

// New returns a model of an empty store.
func New() *Model { return &Model{cells: make(map[Cell]*history)} }

// Change is the new value of one cell; nil empties it.
type Change struct {
	Cell  Cell
	Value *Value
}

// Operation is a change of one or several cells, which happens in all of them or
// in none. Its methods end it; the first one counts.
type Operation struct {
	model   *Model
	changes map[Cell]*Value
	ended   bool
}

// Begin says that the changes may happen from now on.
func (m *Model) Begin(changes ...Change) *Operation {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := &Operation{model: m, changes: make(map[Cell]*Value, len(changes))}
	for _, c := range changes {
		h := m.cells[c.Cell]
		if h == nil {
			h = &history{}
			m.cells[c.Cell] = h
		}
		if h.active != nil {
			panic(fmt.Sprintf("model: two operations of %s at a time", c.Cell))
		}
		o.changes[c.Cell] = c.Value
		h.active = o
		h.may = append(h.may, o)
	}
	return o
}

// Acknowledge says that the operation happened.
func (o *Operation) Acknowledge() {
	o.end(func(h *history, value *Value) { *h = history{must: value, now: value} })
}

// Promise says that the operation happened, and lasts unless the power goes before
// the next Checkpoint: then it, or what it replaced, is there.
func (o *Operation) Promise() {
	o.end(func(h *history, value *Value) { h.now, h.doubts = value, 0 })
}

// Refuse says that the operation did not happen and never will.
func (o *Operation) Refuse() {
	o.end(func(h *history, _ *Value) {
		h.may = slices.DeleteFunc(h.may, func(other *Operation) bool { return other == o })
	})
}

// Doubt says that the operation ended and nobody knows how.
func (o *Operation) Doubt() { o.end(func(h *history, _ *Value) { h.doubts++ }) }

// Checkpoint says that what was promised lasts now. Nothing is under way, and
// what is doubtful stays so.
func (m *Model) Checkpoint() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.cells {
		if h.active == nil && h.doubts == 0 {
			h.must, h.may = h.now, nil
		}
	}
}

func (o *Operation) end(change func(h *history, value *Value)) {
	o.model.mu.Lock()
	defer o.model.mu.Unlock()
	if o.ended {
		return
	}
	o.ended = true
	for cell, value := range o.changes {
		h := o.model.cells[cell]
		h.active = nil
		change(h, value)
	}
}

// Current returns the value of a cell that was last acknowledged, and whether it
// is certain: nothing is under way or doubtful.
func (m *Model) Current(cell Cell) (value *Value, certain bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.cells[cell]
	if h == nil {
		return nil, true
	}
	return h.now, h.active == nil && h.doubts == 0
}

// Cells returns the cells that hold something, or may, ordered.
func (m *Model) Cells() []Cell {
	m.mu.Lock()
	defer m.mu.Unlock()
	var cells []Cell
	for c, h := range m.cells {
		if h.must != nil || h.now != nil || len(h.may) > 0 {
			cells = append(cells, c)
		}
	}
	slices.SortFunc(cells, compare)
	return cells
}

func compare(a, b Cell) int {
	for _, order := range []int{
		strings.Compare(string(a.Bucket[:]), string(b.Bucket[:])), strings.Compare(a.Name, b.Name),
		strings.Compare(a.Upload, b.Upload), a.Part - b.Part,
	} {
		if order != 0 {
			return order
		}
	}
	return 0
}

// Settle says what every cell holds, as found when nothing was under way: doubt
// ends. Cells that found does not name hold nothing.
func (m *Model) Settle(found map[Cell]*Value) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cells = make(map[Cell]*history, len(found))
	for cell, value := range found {
		if value != nil {
			m.cells[cell] = &history{must: value, now: value}
		}
	}
}

// Judge says whether a conditional write or delete may happen on an object that
// is now as given: nil, or what the product must refuse with. It is a second
// opinion on objects.Conditions, for the conditions that histories use: IfMatch
// and IfNoneMatch with one entity tag or "*".
func Judge(c objects.Conditions, current *Value) error {
	if current == nil {
		if c.IfMatch != "" {
			return objects.ErrNoSuchKey
		}
		return nil
	}
	if c.IfMatch != "" && c.IfMatch != "*" && strings.Trim(c.IfMatch, `"`) != current.ETag {
		return objects.ErrPreconditionFailed
	}
	if c.IfNoneMatch != "" && (c.IfNoneMatch == "*" || strings.Trim(c.IfNoneMatch, `"`) == current.ETag) {
		return objects.ErrPreconditionFailed
	}
	return nil
}

// Parts returns the numbers and values of an upload's parts as last acknowledged,
// in order of number.
func (m *Model) Parts(key objects.Key, uploadID string) (numbers []int, values map[int]*Value) {
	m.mu.Lock()
	defer m.mu.Unlock()
	values = make(map[int]*Value)
	for c, h := range m.cells {
		if c.Bucket == key.Bucket.ID && c.Name == key.Name && c.Upload == uploadID && c.Part > 0 && h.now != nil {
			values[c.Part] = h.now
		}
	}
	return slices.Sorted(maps.Keys(values)), values
}
