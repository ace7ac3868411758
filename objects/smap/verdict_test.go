package smap

import (
	"slices"
	"testing"
)

// Only a node that reaches a majority writes others down; with half it takes the
// lock, or Consul's word.
func TestMayWriteDown(t *testing.T) {
	four := founded(t, 4)
	three := to(t, four, "n4", Down)
	for _, test := range []struct {
		what  string
		m     *Smap
		reach Reach
		want  Verdict
	}{
		{"three of four", four, Reach{Nodes: []NodeID{"n1", "n2", "n3"}}, Write},
		{"half", four, Reach{Nodes: []NodeID{"n1", "n2"}}, Resign},
		{"half and the lock", four, Reach{Nodes: []NodeID{"n1", "n2"}, Lock: true}, Write},
		{"half and Consul", four, Reach{Nodes: []NodeID{"n1", "n2"}, Critical: true}, Write},
		{"alone with the lock", four, Reach{Nodes: []NodeID{"n1"}, Lock: true, Critical: true}, Resign},
		{"two of three that are up", three, Reach{Nodes: []NodeID{"n1", "n2"}}, Write},
		{"those that are down do not count", three, Reach{Nodes: []NodeID{"n1", "n4"}}, Resign},
	} {
		if got := test.m.MayWriteDown(test.reach); got != test.want {
			t.Errorf("%s: %v, want %v", test.what, got, test.want)
		}
	}
	if got := four.StandIn("n2"); got != "n3" {
		t.Errorf("%s stands in for n2", got)
	}
	if got := three.StandIn("n3"); got != "n1" {
		t.Errorf("%s stands in for n3", got)
	}
}

// Of two that do not speak, the one with more complaints goes, then the lower id;
// what was said about an earlier life does not count.
func TestAccused(t *testing.T) {
	m := founded(t, 4)
	for _, test := range []struct {
		what       string
		complaints []Complaint
		want       []NodeID
	}{
		{"one about another", []Complaint{{"n2", "n3", 1}}, []NodeID{"n2"}},
		{"one that nobody reaches", []Complaint{{"n1", "n3", 1}, {"n2", "n3", 1}, {"n4", "n3", 1}}, []NodeID{"n3"}},
		{"one that reaches nobody", []Complaint{{"n3", "n1", 1}, {"n3", "n2", 1}}, []NodeID{"n3"}},
		{"two pairs", []Complaint{{"n1", "n2", 1}, {"n4", "n3", 1}}, []NodeID{"n1", "n3"}},
		{"an earlier life", []Complaint{{"n2", "n3", 9}}, nil},
		{"of a node that is not there", []Complaint{{"n9", "n3", 1}}, nil},
	} {
		if got := m.Accused(test.complaints); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.what, got, test.want)
		}
	}
}

// Writes wait for a node that is recovering as for any other: it is accused, and of two
// that do not speak rather than one that serves. One that is away is not accused again.
func TestAccusedWhileRecovering(t *testing.T) {
	m := to(t, to(t, founded(t, 4), "n4", Down), "n3", Down)
	m = done(t, m.Change().SetState("n3", m.Version(), Recovering))
	since := m.Version()
	for _, test := range []struct {
		what       string
		complaints []Complaint
		want       []NodeID
	}{
		{"about it", []Complaint{{"n1", "n3", since}}, []NodeID{"n3"}},
		{"by it", []Complaint{{"n3", "n1", 1}}, []NodeID{"n3"}},
		{"by it, and one that others do not reach either", []Complaint{{"n3", "n1", 1}, {"n2", "n1", 1}}, []NodeID{"n1", "n3"}},
		{"of its earlier life", []Complaint{{"n1", "n3", 1}}, nil},
		{"about one that is down", []Complaint{{"n1", "n4", since - 1}}, nil},
	} {
		if got := m.Accused(test.complaints); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.what, got, test.want)
		}
	}
}

// A slot switches on reports of all that can be in charge, made since the last
// change of a state, and only while enough nodes are up.
func TestMaySwitch(t *testing.T) {
	m := done(t, founded(t, 3).Change().Join("n4", 4).Begin([]NodeID{"n2", "n3", "n4"}))
	reports := []Walked{{"n1", 7, 2}, {"n2", 7, 2}, {"n3", 7, 2}}
	protected := SwitchRule{Spare: 1, Slack: 1}
	if !m.MaySwitch(7, reports, protected) {
		t.Error("all have walked")
	}
	if m.MaySwitch(8, reports, protected) {
		t.Error("nobody has walked slot 8")
	}
	if m.MaySwitch(7, reports[1:], protected) {
		t.Error("one has not walked")
	}
	later := to(t, m, "n2", Down)
	if later.MaySwitch(7, reports, protected) {
		t.Error("a state has changed since")
	}
	fresh := []Walked{{"n1", 7, 3}, {"n3", 7, 3}}
	if !later.MaySwitch(7, fresh, protected) {
		t.Error("all that are not down have walked since")
	}
	if later.MaySwitch(7, fresh, SwitchRule{}) {
		t.Error("keys with one copy have nobody in charge")
	}
	if later.MaySwitch(7, fresh, SwitchRule{Spare: 1}) {
		t.Error("a next owner is down, and all of them are needed")
	}
	if !later.MayGiveUp("n2", protected) || later.MayGiveUp("n2", SwitchRule{}) || later.MayGiveUp("n1", protected) {
		t.Error("one that is down may be given up where there is another copy")
	}
}
