package model

import (
	"errors"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/objects"
)

func value(etag string) *Value { return &Value{Size: int64(len(etag)), ETag: etag} }

func cell(name string) Cell { return Cell{Name: name} }

// What must be there, what may be there, and what must not: the three outcomes
// of an operation, each with something that the check has to catch.
func TestOutcomes(t *testing.T) {
	m := New()
	m.Begin(Change{cell("a"), value("1")}).Acknowledge()
	m.Begin(Change{cell("a"), value("2")}).Refuse()
	m.Begin(Change{cell("b"), value("3")}).Doubt()
	underWay := m.Begin(Change{cell("a"), nil})
	e := m.Freeze(func() {})
	for _, c := range []struct {
		what  string
		found map[Cell]*Value
		wrong string // the cell that is wrong; empty: none
	}{
		{"as acknowledged", map[Cell]*Value{cell("a"): value("1")}, ""},
		{"the delete under way happened", nil, ""},
		{"the doubtful one happened", map[Cell]*Value{cell("a"): value("1"), cell("b"): value("3")}, ""},
		{"what was refused is there", map[Cell]*Value{cell("a"): value("2")}, `"a"`},
		{"torn", map[Cell]*Value{cell("a"): {Size: 1, ETag: "1", Digest: 7}}, `"a"`},
		{"other metadata", map[Cell]*Value{cell("a"): {Size: 1, ETag: "1", Draft: objects.Draft{User: []objects.Pair{{Name: "x"}}}}}, `"a"`},
		{"nobody wrote it", map[Cell]*Value{cell("c"): value("1")}, `"c"`},
		{"something else in a doubtful place", map[Cell]*Value{cell("b"): value("4")}, `"b"`},
	} {
		violations := e.Check(c.found)
		switch {
		case c.wrong == "" && len(violations) > 0:
			t.Errorf("%s: %v", c.what, violations[0])
		case c.wrong != "" && (len(violations) != 1 || !strings.Contains(violations[0].Error(), c.wrong)):
			t.Errorf("%s: %v, want one of %s", c.what, violations, c.wrong)
		}
	}
	underWay.Acknowledge()
	if v := m.Freeze(func() {}).Check(map[Cell]*Value{cell("a"): value("1")}); len(v) != 1 {
		t.Errorf("a deleted object came back, and the model says %v", v)
	}
}

// An operation of several cells is there in all of them or in none.
func TestHalfOperations(t *testing.T) {
	m := New()
	m.Begin(Change{Cell{Name: "a", Upload: "u"}, value("")}).Acknowledge()
	m.Begin(Change{cell("a"), value("1")}, Change{Cell{Name: "a", Upload: "u"}, nil})
	e := m.Freeze(func() {})
	upload := Cell{Name: "a", Upload: "u"}
	if v := e.Check(map[Cell]*Value{cell("a"): value("1")}); len(v) != 0 {
		t.Errorf("all of it: %v", v)
	}
	if v := e.Check(map[Cell]*Value{upload: value("")}); len(v) != 0 {
		t.Errorf("none of it: %v", v)
	}
	if v := e.Check(map[Cell]*Value{cell("a"): value("1"), upload: value("")}); len(v) != 1 {
		t.Errorf("half of it: %v", v)
	}
	if v := e.Check(nil); len(v) != 1 {
		t.Errorf("the other half of it: %v", v)
	}
}

// What was promised may be lost to a power cut, as far as what it replaced and no
// further, until a checkpoint.
func TestPromise(t *testing.T) {
	m := New()
	m.Begin(Change{cell("a"), value("0")}).Acknowledge()
	m.Begin(Change{cell("a"), value("1")}).Acknowledge()
	m.Begin(Change{cell("a"), value("2")}).Promise()
	if v, certain := m.Current(cell("a")); !v.Equal(value("2")) || !certain {
		t.Errorf("served is %s, certain %t", v, certain)
	}
	for etag, want := range map[string]int{"0": 1, "1": 0, "2": 0} {
		if v := m.Freeze(func() {}).Check(map[Cell]*Value{cell("a"): value(etag)}); len(v) != want {
			t.Errorf("%s: %v", etag, v)
		}
	}
	m.Checkpoint()
	if v := m.Freeze(func() {}).Check(map[Cell]*Value{cell("a"): value("1")}); len(v) != 1 {
		t.Errorf("it was lost after the checkpoint: %v", v)
	}
}

// Settle ends doubt: what was found once must be found again.
func TestSettle(t *testing.T) {
	m := New()
	m.Begin(Change{cell("a"), value("1")}).Doubt()
	m.Settle(nil)
	if v := m.Freeze(func() {}).Check(map[Cell]*Value{cell("a"): value("1")}); len(v) != 1 {
		t.Errorf("it was not there, and then it was: %v", v)
	}
	m.Settle(map[Cell]*Value{cell("a"): value("1")})
	if v := m.Freeze(func() {}).Check(nil); len(v) != 1 {
		t.Errorf("it was there, and then it was not: %v", v)
	}
}

// The model's own reading of conditions agrees with the product's.
func TestJudge(t *testing.T) {
	for _, c := range []objects.Conditions{
		{}, {IfMatch: "*"}, {IfMatch: `"1"`}, {IfMatch: `"2"`}, {IfNoneMatch: "*"}, {IfNoneMatch: `"1"`}, {IfNoneMatch: `"2"`},
	} {
		for _, current := range []*Value{nil, value("1")} {
			var meta *objects.Meta
			if current != nil {
				meta = &objects.Meta{ETag: current.ETag}
			}
			if got, want := Judge(c, current), c.ForWrite(meta); !errors.Is(got, want) {
				t.Errorf("%+v on %s: the model says %v, the product %v", c, current, got, want)
			}
		}
	}
}
