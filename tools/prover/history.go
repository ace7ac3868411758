package prover

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// history is what was asked of a node and what it answered, by cell: an object, by its key,
// or an upload under way or a part of it. A cell has one writer at a time. Safe for
// concurrent use.
type history struct {
	mu    sync.Mutex
	cells map[string][]*entry // oldest first
}

// entry is one request that was to change a cell.
type entry struct {
	Begun   int64   `json:"begun"` // the position before it was sent
	Ended   int64   `json:"ended"` // the position when its answer was there
	Outcome outcome `json:"outcome"`
	Value   *value  `json:"value,omitempty"` // that the cell holds if it happened; nil: nothing
	// Relaxed says that the receipt named this class: a power cut may undo it.
	Relaxed bool `json:"relaxed,omitempty"`
}

// outcome is what a request came to.
type outcome string

const (
	acknowledged outcome = "acknowledged"
	refused      outcome = "refused" // it did not happen, and never will
	doubtful     outcome = "doubtful"
)

func newHistory() *history { return &history{cells: make(map[string][]*entry)} }

// uploadCell names the cell of an upload, partCell that of a part. No key has a
// NUL in it.
func uploadCell(key, id string) string { return key + "\x00" + id }

func partCell(key, id string, number int) string {
	return fmt.Sprintf("%s\x00%05d", uploadCell(key, id), number)
}

// isObject reports whether a cell is an object's.
func isObject(cell string) bool { return !strings.Contains(cell, "\x00") }

// readable is a cell's name for people.
func readable(cell string) string {
	switch parts := strings.Split(cell, "\x00"); len(parts) {
	case 2:
		return "upload " + parts[1] + " of " + parts[0]
	case 3:
		return "part " + strings.TrimLeft(parts[2], "0") + " of upload " + parts[1] + " of " + parts[0]
	}
	return cell
}

// begin says that a cell may hold a value from now on. Until it has ended the request is
// in doubt, whatever happens.
func (h *history) begin(cell string, v *value, position int64) *entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := &entry{Begun: position, Outcome: doubtful, Value: v}
	h.cells[cell] = append(h.cells[cell], e)
	return e
}

// end says what came of requests that are one.
func (h *history) end(outcome outcome, position int64, relaxed bool, entries ...*entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range entries {
		e.Outcome, e.Ended, e.Relaxed = outcome, position, relaxed
	}
}

// current returns what a cell holds, and whether that is certain.
func (h *history) current(cell string) (v *value, certain bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	certain = true
	for _, e := range h.cells[cell] {
		switch e.Outcome {
		case acknowledged:
			v, certain = e.Value, true
		case doubtful:
			certain = false
		}
	}
	return v, certain
}

// names returns every cell, in order.
func (h *history) names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := make([]string, 0, len(h.cells))
	for name := range h.cells {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// acknowledgements returns the positions at which answers were there, in order: the
// moments from which on something must last.
func (h *history) acknowledgements() []int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []int64
	for _, entries := range h.cells {
		for _, e := range entries {
			if e.Outcome == acknowledged {
				all = append(all, e.Ended)
			}
		}
	}
	slices.Sort(all)
	return all
}

// settle says what the cells hold, as found when nothing was under way: doubt ends.
func (h *history) settle(found map[string]*value) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cells = make(map[string][]*entry, len(found))
	for cell, v := range found {
		if v != nil {
			h.cells[cell] = []*entry{{Outcome: acknowledged, Value: v}}
		}
	}
}

// doubting returns a history that says the same, and that a cell may hold a value, too.
func (h *history) doubting(cell string, v *value) *history {
	h.mu.Lock()
	defer h.mu.Unlock()
	other := &history{cells: maps.Clone(h.cells)}
	other.cells[cell] = append(slices.Clone(h.cells[cell]), &entry{Begun: -1, Outcome: doubtful, Value: v})
	return other
}

// cutKind says what a cut takes away.
type cutKind string

const (
	kill     cutKind = "kill"  // what the operating system has stays
	powerCut cutKind = "power" // what was not synced may go
)

// verdict is what a cell that was looked at after a cut shows.
type verdict string

const (
	kept        verdict = ""            // what must be there, or may be
	lost        verdict = "lost"        // what was acknowledged is not there, nor anything newer
	resurrected verdict = "resurrected" // what was deleted is there again
	torn        verdict = "torn"        // what is there was never written so
	undone      verdict = "undone"      // lost or resurrected, as a power cut may do to the class relaxed
	wrong       verdict = "wrong"       // anything else that must not be
)

// judge says what became of a cell after a cut at a position. must is what was
// acknowledged last before it; nil also where nothing was.
func (h *history) judge(cell string, found *value, kind cutKind, at int64) (_ verdict, must *value) {
	h.mu.Lock()
	defer h.mu.Unlock()
	allowed, undoable := []*value{nil}, []*value{}
	for _, e := range h.cells[cell] {
		switch {
		case e.Begun >= at || e.Outcome == refused:
		case e.Outcome != acknowledged || e.Ended > at:
			allowed = append(allowed, e.Value)
		default:
			if e.Relaxed && kind == powerCut {
				undoable = append(undoable, allowed...)
			} else {
				undoable = nil
			}
			allowed, must = []*value{e.Value}, e.Value
		}
	}
	switch {
	case slices.ContainsFunc(allowed, found.equal):
		return kept, must
	case slices.ContainsFunc(undoable, found.equal):
		return undone, must
	case found == nil:
		return lost, must
	}
	written := slices.IndexFunc(h.cells[cell], func(e *entry) bool { return e.Value.equal(found) })
	switch {
	case written < 0:
		return torn, must
	case h.cells[cell][written].Begun >= at || h.cells[cell][written].Outcome == refused:
		return wrong, must
	case must == nil:
		return resurrected, must
	}
	return lost, must // an older one is there
}
