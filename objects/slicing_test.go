package objects

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What a node is to have follows from the members and its digest.
func TestSlicingOf(t *testing.T) {
	members := []Member{{Node: 7, Index: 0, Holds: true}, {Node: 9, Index: 1, Holds: true}, {Node: 8, Index: 2}, {Node: 9, Index: 2}, {Node: 7, Index: 3}}
	sliced := &Slicing{Data: 2, Parity: 2, CellBytes: 65536, Members: members}
	whole := &Slicing{Data: 2, Parity: 2, CellBytes: 65536, Whole: true, Members: members}
	for node, want := range map[uint64][]uint8{7: {0, 3}, 8: {2}, 9: {1, 2}, 1: nil} {
		if indices, all := sliced.Of(node); !slices.Equal(indices, want) || all {
			t.Errorf("sliced: node %d has %v and all of it: %v; want %v", node, indices, all, want)
		}
	}
	for node, want := range map[uint64]bool{7: true, 8: false, 9: true, 1: false} {
		if indices, all := whole.Of(node); indices != nil || all != want {
			t.Errorf("whole: node %d has %v and all of it: %v; want %v", node, indices, all, want)
		}
	}
	if sliced.String() != "2+2" || whole.String() != "2+2, whole" || sliced.Width() != 4 {
		t.Errorf("%s, %s", sliced, whole)
	}
}

// Slicings that cannot be are refused by what is wrong with them.
func TestSlicingsAreRefused(t *testing.T) {
	good := Slicing{Data: 3, Parity: 2, CellBytes: 65536, Members: []Member{{Node: 5, Index: 0}, {Node: 4, Index: 1}}}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Slicing){
		"0 slices of data":               func(s *Slicing) { s.Data = 0 },
		"33 slices of data":              func(s *Slicing) { s.Data = 33 },
		"0 slices of parity":             func(s *Slicing) { s.Parity = 0 },
		"33 slices of parity":            func(s *Slicing) { s.Parity = 33 },
		"cells of 0 bytes":               func(s *Slicing) { s.CellBytes = 0 },
		"slice 5 of 5":                   func(s *Slicing) { s.Members = []Member{{Node: 4, Index: 5}} },
		"slice 1 is out of order":        func(s *Slicing) { s.Members = []Member{{Node: 4, Index: 1}, {Node: 4, Index: 1, Holds: true}} },
		"129 members, at most 128":       func(s *Slicing) { s.Members = make([]Member, MaxMembers+1) },
		"000000000004 with slice 0 is o": func(s *Slicing) { s.Members = []Member{{Node: 5, Index: 0}, {Node: 4, Index: 0}} },
	} {
		bad := good
		change(&bad)
		if err := bad.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Members are read as they were written, and have one spelling.
func TestMembersRoundTrip(t *testing.T) {
	if got := AppendMembers(nil, []Member{{Node: 0x0102030405060708, Index: 3}, {Node: 0xff, Index: 4, Holds: true}}); !bytes.Equal(got, []byte("\x01\x02\x03\x04\x05\x06\x07\x08\x03\x00\x00\x00\x00\x00\x00\x00\x00\xff\x04\x01")) {
		t.Errorf("% x", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes")
		if rapid.Bool().Draw(t, "of members") {
			for b = b[:len(b)/memberBytes*memberBytes]; rapid.Bool().Draw(t, "more"); {
				b = AppendMembers(b, []Member{{rapid.Uint64().Draw(t, "node"), rapid.Uint8().Draw(t, "index"), rapid.Bool().Draw(t, "holds")}})
			}
		}
		members, err := ParseMembers(b)
		if err == nil && !bytes.Equal(AppendMembers(nil, members), b) {
			t.Fatalf("% x is read as %v", b, members)
		}
		if bad := slices.ContainsFunc(slices.Collect(slices.Chunk(b, memberBytes)), func(m []byte) bool { return len(m) != memberBytes || m[9] > 1 }); bad != (err != nil) {
			t.Fatalf("% x: %v", b, err)
		}
	})
	if _, err := ParseMembers(make([]byte, (MaxMembers+1)*memberBytes)); err == nil {
		t.Error("129 members were read")
	}
}
