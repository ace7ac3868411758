// Package history writes down what clients did with keys and what they were told, and
// judges it: every key must behave like one register, whichever node was asked, whatever
// broke meanwhile (linearizability, by porcupine).
//
//	h := history.New()
//	call := h.Begin(key, history.Op{Do: history.Put, Value: v})
//	…                                             // the request
//	call.End(history.Answer{Outcome: history.Done})
//	wrong := h.Judge()
//
// Client drives S3 with it. Values are distinct; the judge relies on that.
//
// Start with History, then judge.go, then client.go.
package history

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Do is what a client asks for.
type Do string

// What clients ask for.
const (
	Get    Do = "get"
	Put    Do = "put"
	Delete Do = "delete"
	Create Do = "create" // a put that is refused if the key is there
)

// Op is one request about a key.
type Op struct {
	Do    Do
	Value string // that a Put or Create writes
}

// Outcome is what a client knows afterwards.
type Outcome string

// Outcomes.
const (
	Done    Outcome = "done"
	Failed  Outcome = "failed"  // the condition of a Create was not met
	Refused Outcome = "refused" // nothing was read, or certainly nothing was changed
	Unknown Outcome = "unknown" // a write may have happened, or may still happen
)

// Answer is what a client was told.
type Answer struct {
	Outcome Outcome
	Value   string // that a Get saw; empty: the key is absent
}

// Call is one request, from its beginning on.
type Call struct {
	h          *History
	key        string
	op         Op
	begun      time.Duration
	ended      time.Duration // 0: it has not
	answer     Answer
	note       string
	client, at int
}

// History is the calls of all clients. Safe for concurrent use.
type History struct {
	start time.Time

	mu    sync.Mutex
	calls []*Call
}

// New begins a history.
func New() *History { return &History{start: time.Now()} }

// now is monotonic, and never 0.
func (h *History) now() time.Duration { return time.Since(h.start) + 1 }

// Begin writes down that a request begins. client tells clients apart, of which each does
// one thing at a time; at is the node that it asks.
func (h *History) Begin(client, at int, key string, op Op) *Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &Call{h: h, key: key, op: op, client: client, at: at, begun: h.now()}
	h.calls = append(h.calls, c)
	return c
}

// End writes down what a client was told; note is for whoever reads a violation.
func (c *Call) End(a Answer, note string) {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	c.ended, c.answer, c.note = c.h.now(), a, note
}

// Count returns how many calls ended in an outcome.
func (h *History) Count(outcome Outcome) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, c := range h.calls {
		if c.ended > 0 && c.answer.Outcome == outcome {
			n++
		}
	}
	return n
}

// Present returns the keys that were there when they were last read, sorted.
func (h *History) Present() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := map[string]*Call{}
	for _, c := range h.calls {
		if c.op.Do == Get && c.ended > 0 && c.answer.Outcome == Done && (last[c.key] == nil || last[c.key].ended < c.ended) {
			last[c.key] = c
		}
	}
	var keys []string
	for key, c := range last {
		if c.answer.Value != "" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Len returns how many calls have begun.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.calls)
}

// Longest returns the longest time in which nothing about any of the keys was done, after
// something had been, and before something was again or the history ended; and the key.
// Calls that took long count from their beginning: what ended in a Done was served then.
func (h *History) Longest(keys []string, since time.Time) (outage time.Duration, key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	served := map[string]time.Duration{}
	from := since.Sub(h.start)
	calls := slices.Clone(h.calls)
	slices.SortFunc(calls, func(a, b *Call) int { return int(a.ended - b.ended) })
	for _, c := range calls {
		if c.ended < from || !slices.Contains(keys, c.key) {
			continue
		}
		before, ok := served[c.key]
		if !ok {
			before = from
		}
		if c.answer.Outcome == Done || c.answer.Outcome == Failed {
			served[c.key] = c.ended
		}
		if waited := c.ended - before; waited > outage {
			outage, key = waited, c.key
		}
	}
	return outage, key
}

// line is a call as people read it.
func (c *Call) line() string {
	end := "?"
	if c.ended > 0 {
		end = fmt.Sprintf("%.4f", c.ended.Seconds())
	}
	return fmt.Sprintf("%10.4f %10s  client %d at node %d: %s %s: %s %s %s", c.begun.Seconds(), end, c.client, c.at, c.op.Do, c.op.Value, c.answer.Outcome, c.answer.Value, c.note)
}
