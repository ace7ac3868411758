package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Expectation is what a store may hold at one moment. Immutable.
type Expectation struct {
	must map[Cell]*Value
	may  map[Cell][]*Operation
}

// Freeze holds the model still while cut is called, and returns what a store may
// hold at that moment. No operation begins or ends meanwhile, so cut must not
// wait for one.
func (m *Model) Freeze(cut func()) *Expectation {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := &Expectation{must: make(map[Cell]*Value, len(m.cells)), may: make(map[Cell][]*Operation)}
	for cell, h := range m.cells {
		if h.must != nil {
			e.must[cell] = h.must
		}
		if len(h.may) > 0 {
			e.may[cell] = slices.Clone(h.may)
		}
	}
	cut()
	return e
}

// Without returns the expectation of a store that lost what the function names
// on purpose: a bucket that was destroyed.
func (e *Expectation) Without(gone func(Cell) bool) *Expectation {
	next := &Expectation{must: maps.Clone(e.must), may: maps.Clone(e.may)}
	maps.DeleteFunc(next.must, func(c Cell, _ *Value) bool { return gone(c) })
	maps.DeleteFunc(next.may, func(c Cell, _ []*Operation) bool { return gone(c) })
	return next
}

// Violation is one cell that does not hold what it may.
type Violation struct {
	Cell    Cell
	Found   *Value
	Allowed []*Value
	Why     string
}

// Error tells the violation.
func (v *Violation) Error() string {
	var allowed []string
	for _, a := range v.Allowed {
		allowed = append(allowed, a.String())
	}
	return fmt.Sprintf("%s holds %s; allowed: %s: %s", v.Cell, v.Found, strings.Join(allowed, " | "), v.Why)
}

// Check compares what was found in every cell (absent ones may be left out) with
// what may be there, and returns every violation, ordered by cell.
func (e *Expectation) Check(found map[Cell]*Value) []*Violation {
	var violations []*Violation
	for _, cell := range e.cells(found) {
		value := found[cell]
		allowed := []*Value{e.must[cell]}
		for _, o := range e.may[cell] {
			allowed = append(allowed, o.changes[cell])
		}
		if !slices.ContainsFunc(allowed, value.Equal) {
			violations = append(violations, &Violation{Cell: cell, Found: value, Allowed: allowed, Why: "none of these"})
		}
	}
	return append(violations, e.halves(found)...)
}

// cells returns every cell that matters, ordered.
func (e *Expectation) cells(found map[Cell]*Value) []Cell {
	all := make(map[Cell]struct{})
	for c := range e.must {
		all[c] = struct{}{}
	}
	for c := range e.may {
		all[c] = struct{}{}
	}
	for c, value := range found {
		if value != nil {
			all[c] = struct{}{}
		}
	}
	return slices.SortedFunc(maps.Keys(all), compare)
}

// halves finds operations of several cells that happened in some of them only.
// A cell tells whether an operation happened if its value before differs from
// the one after and no other operation may have changed it.
func (e *Expectation) halves(found map[Cell]*Value) []*Violation {
	var violations []*Violation
	seen := make(map[*Operation]bool)
	for _, cell := range e.cells(nil) {
		for _, o := range e.may[cell] {
			if seen[o] || len(o.changes) < 2 {
				continue
			}
			seen[o] = true
			var did, didNot []Cell
			for c, after := range o.changes {
				before := e.must[c]
				if len(e.may[c]) != 1 || before.Equal(after) {
					continue
				}
				switch value := found[c]; {
				case value.Equal(after):
					did = append(did, c)
				case value.Equal(before):
					didNot = append(didNot, c)
				}
			}
			if len(did) > 0 && len(didNot) > 0 {
				slices.SortFunc(didNot, compare)
				slices.SortFunc(did, compare)
				violations = append(violations, &Violation{
					Cell: didNot[0], Found: found[didNot[0]], Allowed: []*Value{o.changes[didNot[0]]},
					Why: fmt.Sprintf("an operation is half there: %s has changed", did[0]),
				})
			}
		}
	}
	return violations
}
