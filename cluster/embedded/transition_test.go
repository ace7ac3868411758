package embedded

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/troupe-storage/troupe/objects/errs"
)

// A change of the set that a kill interrupts in the middle of its write either is
// under way afterwards or was not begun; the node stays who it is, and a mountpath
// that joins is never one of its voters before the document names it.
func TestJoinInterruptedAtEveryWrite(t *testing.T) {
	for _, members := range []int{1, 2, 3} {
		for writes := 0; writes < 8; writes++ {
			n := newNode(t, members+1)
			old, joining := n.shelves[:members], n.shelves[members]
			d := n.start(old...)
			id := d.Node().NodeID
			// One of the shelves stops taking writes: as a kill there.
			left := writes
			for _, s := range append([]*shelf{joining}, old...) {
				s.writes, s.broken = max(0, left), errors.New("killed")
				left -= 2
			}
			_, err := d.Join(joining, "/joining")
			for _, s := range n.shelves {
				s.writes = -1
			}
			again, openErr := Open(shelvesOf(n.shelves))
			if openErr != nil {
				t.Fatal(openErr)
			}
			node := again.Node()
			if node.NodeID != id {
				t.Fatalf("%d members, %d writes: the node forgot who it is", members, writes)
			}
			named := slices.ContainsFunc(node.Mountpaths, func(m Mountpath) bool { return m.ID == joining.name })
			if named != (node.Transition != nil) {
				t.Fatalf("%d members, %d writes: named %v, transition %+v", members, writes, named, node.Transition)
			}
			if err == nil && !named {
				t.Fatalf("%d members, %d writes: acknowledged and lost", members, writes)
			}
		}
	}
}

func shelvesOf(list []*shelf) []Shelf {
	var all []Shelf
	for _, s := range list {
		all = append(all, s)
	}
	return all
}

// One change at a time; turned round it ends where it began; what left is named
// among the removed.
func TestTransitions(t *testing.T) {
	n := newNode(t, 3)
	d := n.start(n.shelves[:2]...)
	if _, err := d.Join(n.shelves[2], "/d2"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.SetTransitionJob([]string{"d0", "d1", "d2"}, "job-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Leave("d0"); !errs.Is(errs.Conflict, err) {
		t.Fatalf("a second change: %v", err)
	}
	turned, err := d.Turn()
	if err != nil || !turned.Transition.Turned || !slices.Equal(turned.Transition.To, []string{"d0", "d1"}) {
		t.Fatalf("turned: %+v, %v", turned.Transition, err)
	}
	if same, err := d.FinishTransition([]string{"d0", "d1", "d2"}); err != nil || same.Transition == nil {
		t.Fatalf("the change that was turned cannot finish: %+v, %v", same.Transition, err)
	}
	node, err := d.FinishTransition([]string{"d0", "d1"})
	if err != nil || node.Transition != nil || len(node.Mountpaths) != 2 || !slices.Equal(node.Removed, []string{"d2"}) {
		t.Fatalf("finished: %+v, %v", node, err)
	}
	if again, err := Open(shelvesOf(n.shelves)); err != nil || len(again.Node().Mountpaths) != 2 {
		t.Fatalf("read again, with the one that left: %+v, %v", again.Node(), err)
	}
	if _, err := d.Leave("d1"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.FinishTransition([]string{"d0"}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Leave("d0"); !errs.Is(errs.Conflict, err) {
		t.Fatalf("the last one leaves: %v", err)
	}
}

// Every other change of the set is whole or was not made, at whichever write of
// whichever mountpath a kill interrupts it; and the next start agrees with itself: its
// sets name mountpaths that the node has, and what was removed is none of them.
func TestChangesInterruptedAtEveryWrite(t *testing.T) {
	join := func(d *Documents, n *node) (Node, error) { return d.Join(n.shelves[2], "/d2") }
	leave := func(d *Documents, _ *node) (Node, error) { return d.Leave("d0") }
	lose := func(d *Documents, _ *node) (Node, error) { return d.GiveUp("d0", true) }
	for name, c := range map[string]struct {
		before func(*Documents, *node) (Node, error) // nil: nothing
		change func(*Documents, *node) (Node, error)
	}{
		"leave":          {nil, leave},
		"turn":           {join, func(d *Documents, _ *node) (Node, error) { return d.Turn() }},
		"turn back":      {leave, func(d *Documents, _ *node) (Node, error) { return d.Turn() }},
		"job":            {leave, func(d *Documents, _ *node) (Node, error) { return d.SetTransitionJob([]string{"d1"}, "job") }},
		"has joined":     {join, func(d *Documents, _ *node) (Node, error) { return d.FinishTransition([]string{"d0", "d1", "d2"}) }},
		"has left":       {leave, func(d *Documents, _ *node) (Node, error) { return d.FinishTransition([]string{"d1"}) }},
		"given up":       {nil, func(d *Documents, _ *node) (Node, error) { return d.GiveUp("d0", true) }},
		"caught up":      {lose, func(d *Documents, _ *node) (Node, error) { return d.Found([]string{"d0"}) }},
		"joiner is lost": {join, func(d *Documents, _ *node) (Node, error) { return d.GiveUp("d2", true) }},
		"leaver is lost": {leave, func(d *Documents, _ *node) (Node, error) { return d.GiveUp("d0", true) }},
		"source is lost": {join, func(d *Documents, _ *node) (Node, error) { return d.GiveUp("d0", true) }},
	} {
		for writes := range 6 {
			n := newNode(t, 3)
			d := n.start(n.shelves[:2]...)
			if c.before != nil {
				if _, err := c.before(d, n); err != nil {
					t.Fatal(err)
				}
			}
			was := d.Node()
			for i, s := range n.shelves { // a kill: the first ones were written, the others not
				s.writes, s.broken = max(0, min(1, writes-i)), errors.New("killed")
				if writes > 4 {
					s.writes = -1 // negative control: none
				}
			}
			wanted, err := c.change(d, n)
			for _, s := range n.shelves {
				s.writes = -1
			}
			again, openErr := Open(shelvesOf(n.shelves))
			if openErr != nil {
				t.Fatal(openErr)
			}
			node := again.Node()
			same := func(other Node) bool {
				return node.Transition.Equal(other.Transition) && len(node.Mountpaths) == len(other.Mountpaths) && fmt.Sprint(node.Lost) == fmt.Sprint(other.Lost) && slices.Equal(node.Removed, other.Removed)
			}
			switch {
			case err == nil && !same(wanted):
				t.Errorf("%s, %d writes: acknowledged %+v, found %+v", name, writes, wanted, node)
			case err != nil && writes > 4:
				t.Errorf("%s: %v", name, err)
			case node.NodeID != was.NodeID:
				t.Errorf("%s, %d writes: the node forgot who it is", name, writes)
			}
			for _, id := range node.Removed {
				if slices.ContainsFunc(node.Mountpaths, func(m Mountpath) bool { return m.ID == id }) {
					t.Errorf("%s, %d writes: %s is removed and there", name, writes, id)
				}
			}
			if node.Transition != nil {
				for _, id := range slices.Concat(node.Transition.From, node.Transition.To) {
					if !slices.ContainsFunc(node.Mountpaths, func(m Mountpath) bool { return m.ID == id }) {
						t.Errorf("%s, %d writes: keys are placed on %s, which is none", name, writes, id)
					}
				}
			}
		}
	}
}

// What is lost is so until it is found: with the sets that keys were placed on, also those
// of a change that was under way. Where nobody else has copies nothing is.
func TestLostUntilFound(t *testing.T) {
	n := newNode(t, 3)
	d := n.start(n.shelves[:2]...)
	if _, err := d.Join(n.shelves[2], "/d2"); err != nil {
		t.Fatal(err)
	}
	lost, err := d.GiveUp("d0", true)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(lost.Lost), "[{d0 [[d0 d1 d2] [d0 d1]]}]"; got != want {
		t.Fatalf("lost: %s, want %s", got, want)
	}
	if again, err := Open(shelvesOf(n.shelves)); err != nil || len(again.Node().Lost) != 1 {
		t.Fatalf("read again: %+v, %v", again.Node().Lost, err)
	}
	if node, err := d.GiveUp("d2", false); err != nil || len(node.Lost) != 1 {
		t.Fatalf("without copies: %+v, %v", node.Lost, err)
	}
	if node, err := d.Found([]string{"d0"}); err != nil || len(node.Lost) != 0 || !slices.Equal(node.GivenUp, []string{"d0", "d2"}) {
		t.Fatalf("found: %+v, %v", node, err)
	}
}
