package member

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects/smap"
)

// Who is written down, from what one leader knows. Each case says what is known of c, of
// five nodes; a leads.
func TestAccused(t *testing.T) {
	const now = time.Minute
	m, err := smap.New("line", smap.Node{ID: "a", Digest: 1}, smap.Node{ID: "b", Digest: 2}, smap.Node{ID: "c", Digest: 3}, smap.Node{ID: "d", Digest: 4}, smap.Node{ID: "e", Digest: 5})
	if err != nil {
		t.Fatal(err)
	}
	complaint := func(by smap.NodeID) []smap.Complaint { return []smap.Complaint{{By: by, About: "c", Since: 1}} }
	well := func(id smap.NodeID, list []smap.Complaint, unsteady ...smap.NodeID) contact {
		return newContact().answered(now-time.Second, Status{Node: id, Lineage: "line", Version: 1, Complaints: list, Unsteady: unsteady})
	}
	back := func(id smap.NodeID, since time.Duration) contact {
		c := well(id, nil)
		c.steady = since
		return c
	}
	gone := newContact().failed(now-SilentAfter, errors.New("refused"))
	for _, test := range []struct {
		name     string
		contacts map[smap.NodeID]contact
		want     string
	}{
		{"nobody is", map[smap.NodeID]contact{"b": well("b", nil), "c": well("c", nil)}, "[]"},
		{"nobody reaches it", map[smap.NodeID]contact{"b": well("b", complaint("b")), "c": gone, "d": well("d", complaint("d")), "e": well("e", complaint("e"))}, "[c]"},
		{"others reach it: of the pair the lower id", map[smap.NodeID]contact{"b": well("b", nil), "c": gone, "d": well("d", nil), "e": well("e", nil)}, "[a]"},
		{"others may not reach it: it is waited for", map[smap.NodeID]contact{"b": well("b", nil, "c"), "c": gone, "d": well("d", nil, "c"), "e": well("e", complaint("e"))}, "[]"},
		{"it is back, and others may not know it yet", map[smap.NodeID]contact{"b": well("b", complaint("b")), "c": back("c", now-2*time.Second), "d": well("d", complaint("d")), "e": well("e", nil)}, "[]"},
		{"it is back, and others have tried since: of the pair the lower id", map[smap.NodeID]contact{"b": well("b", complaint("b")), "c": back("c", now-3*time.Second), "d": well("d", nil), "e": well("e", nil)}, "[b]"},
		{"it answers, and others complain: of each pair the one with more", map[smap.NodeID]contact{"b": well("b", complaint("b")), "c": back("c", 0), "d": well("d", complaint("d")), "e": well("e", nil)}, "[c]"},
		{"the complaint is about an earlier entry", map[smap.NodeID]contact{"b": well("b", []smap.Complaint{{By: "b", About: "c", Since: 7}}), "c": well("c", nil)}, "[]"},
		{"it has not failed for long", map[smap.NodeID]contact{"b": well("b", nil), "c": newContact().failed(now-SilentAfter+1, errors.New("refused"))}, "[]"},
	} {
		e := evidence{self: "a", now: now, current: m, contacts: test.contacts}
		if got := fmt.Sprint(e.accused()); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}

	// The same as c sees it, which has begun of late, or long ago.
	contacts := map[smap.NodeID]contact{"a": well("a", complaint("a")), "b": well("b", nil), "d": well("d", nil), "e": well("e", nil)}
	for began, want := range map[time.Duration]string{now - 2*time.Second: "[]", now - 3*time.Second: "[a]"} {
		e := evidence{self: "c", now: now, began: began, current: m, contacts: contacts}
		if got := fmt.Sprint(e.accused()); got != want {
			t.Errorf("c itself, after %s: %s, want %s", now-began, got, want)
		}
	}
}

// A report that a node lacks something is about its entry as it is, and voids that it has
// caught up.
func TestLosing(t *testing.T) {
	const now = time.Minute
	m, err := smap.New("line", smap.Node{ID: "a", Digest: 1}, smap.Node{ID: "b", Digest: 2})
	if err != nil {
		t.Fatal(err)
	}
	recovering, err := m.Change().SetState("b", 1, smap.Recovering).Done()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		m      *smap.Smap
		status Status
		want   smap.State // of b in the next map
		since  uint64
	}{
		{"it lost one", m, Status{Lost: &Lost{Since: 1, Gone: true}}, smap.Recovering, 2},
		{"it did in an earlier life", recovering, Status{Lost: &Lost{Since: 1, Gone: true}}, smap.Recovering, 2},
		{"it has caught up", recovering, Status{CaughtUp: 2}, smap.Up, 3},
		{"it lost one after it had caught up", recovering, Status{CaughtUp: 2, Lost: &Lost{Since: 2, Gone: true}}, smap.Recovering, 3},
	} {
		test.status.Node, test.status.Lineage, test.status.Version = "b", "line", test.m.Version()
		e := evidence{self: "a", now: now, leads: true, current: test.m, rule: func() Rule { return Rule{Copies: 2} },
			contacts: map[smap.NodeID]contact{"b": newContact().answered(now-time.Second, test.status)}}
		next := test.m
		if d := e.decide(); d.change != nil {
			change := test.m.Change()
			d.change(change)
			if next, err = change.Done(); err != nil {
				t.Fatal(err)
			}
		}
		if b, _ := next.Node("b"); b.State != test.want || b.Since != test.since {
			t.Errorf("%s: %s since %d, want %s since %d", test.name, b.State, b.Since, test.want, test.since)
		}
	}
}
