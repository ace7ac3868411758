package smap

import (
	"slices"
	"testing"
)

// Who is in sync, in charge and in the ack set, as nodes leave and return.
func TestView(t *testing.T) {
	m := founded(t, 3)
	key := Key{Digest: 42, Owners: 3}
	owners := m.View(key).Owners
	a, b, c := owners[0], owners[1], owners[2]
	check := func(what string, inCharge NodeID, inSync, ackSet []NodeID) {
		t.Helper()
		v := m.View(key)
		if !slices.Equal(v.Owners, owners) {
			t.Errorf("%s: owners %v became %v", what, owners, v.Owners)
		}
		if v.InCharge != inCharge || !slices.Equal(v.InSync, inSync) || !slices.Equal(v.AckSet, ackSet) {
			t.Errorf("%s: in charge %q, in sync %v, ack set %v; want %q, %v, %v", what, v.InCharge, v.InSync, v.AckSet, inCharge, inSync, ackSet)
		}
	}
	check("all up", a, owners, owners)
	m = to(t, m, a, Down)
	check("the first is down", b, []NodeID{b, c}, []NodeID{b, c})
	m = to(t, m, b, Down)
	m = to(t, m, c, Down)
	check("all are down, c left last", "", []NodeID{c}, nil)
	m = to(t, m, a, Recovering)
	check("the first to leave returns: it is no source, and nobody is in charge", "", []NodeID{c}, []NodeID{a})
	m = to(t, m, c, Recovering)
	check("the last to leave returns", c, []NodeID{c}, []NodeID{a, c})
	m = to(t, m, c, Up)
	m = to(t, m, a, Up)
	m = to(t, m, a, Draining)
	check("draining serves", a, []NodeID{a, c}, []NodeID{a, c})
	if m.MayDropTombstone(m.View(key)) {
		t.Error("a tombstone may go while an owner is down")
	}
	m = to(t, m, b, Recovering, Up)
	if !m.MayDropTombstone(m.View(key)) {
		t.Error("a tombstone may not go although all owners are up")
	}
}

// A loss that was accepted leaves what the others have.
func TestAcceptedLoss(t *testing.T) {
	m := founded(t, 2)
	key := Key{Digest: 42, Owners: 2}
	owners := m.View(key).Owners
	m = to(t, m, owners[1], Down)
	m = to(t, m, owners[0], Down)
	m = to(t, m, owners[1], Recovering)
	if v := m.View(key); v.InCharge != "" {
		t.Fatalf("%s is in charge with what is older", v.InCharge)
	}
	lost, _ := m.Node(owners[0])
	m = done(t, m.Change().AcceptLoss(lost.ID, lost.Since))
	if v := m.View(key); v.InCharge != owners[1] {
		t.Fatalf("%q is in charge, want %s", v.InCharge, owners[1])
	}
	single := Key{Digest: 42, Owners: 1}
	if v := m.View(single); v.InCharge != "" || len(v.InSync) != 0 {
		t.Fatalf("%v: nobody has the key", v)
	}
}

// Under a plan both owners and next owners acknowledge; a slot that switched has
// its next owners only, and those that leave hold nothing.
func TestViewOfAPlan(t *testing.T) {
	m := done(t, founded(t, 3).Change().Join("n4", Digest(1)<<63))
	m = done(t, m.Change().Begin([]NodeID{"n2", "n4"}))
	key := Key{Digest: 7 << 52, Owners: 2}
	v := m.View(key)
	if len(v.Next) != 2 || v.Epoch.Map != 3 || len(v.AckSet) < 3 {
		t.Fatalf("%+v", v)
	}
	m = done(t, m.Change().Switch(7))
	after := m.View(key)
	if len(after.Next) != 0 || !slices.Equal(after.Owners, v.Next) || after.Epoch.Map != 4 || after.Holds("n1") || after.Holds("n3") {
		t.Fatalf("%+v", after)
	}
	if other := m.View(Key{Digest: 8 << 52, Owners: 2}); other.Epoch.Map != 3 || len(other.Next) == 0 {
		t.Fatalf("a slot that has not switched: %+v", other)
	}
}
