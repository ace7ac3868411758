package soak

import (
	"path/filepath"
	"strings"
	"testing"
)

// recorder is a test that fails, without failing the one that watches it.
type recorder struct {
	testing.TB
	failed  bool
	cleanup []func()
}

func (r *recorder) Failed() bool       { return r.failed }
func (r *recorder) Fatal(args ...any)  { r.failed = true }
func (r *recorder) Cleanup(end func()) { r.cleanup = append(r.cleanup, end) }

func (r *recorder) end() {
	for _, end := range r.cleanup {
		end()
	}
}

// Slices add up, go on with seeds that were not used, and end at their goal; a
// failure stays in the sums with its seed.
func TestSlicesAddUp(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "soak")
	t.Setenv(Variable, dir)
	t.Setenv(MinutesVariable, "0.5")
	row := Row{Name: "row", Unit: "cases", Goal: 5}
	for slice, want := range []struct {
		next uint64
		left int64
	}{{1, 5}, {12, 3}, {22, 1}} {
		r := &recorder{TB: t}
		s := Begin(r, row)
		if s.Next() != want.next || s.Left() != want.left {
			t.Fatalf("slice %d begins at seed %d with %d left", slice, s.Next(), s.Left())
		}
		for n := 0; n < 2 && s.More(); n++ {
			s.Add(1, s.Next()+1)
			s.Count("operations", 10)
			s.Most("milliseconds", int64(100*slice))
		}
		switch slice {
		case 0:
			s.Add(0, 12)
		case 1:
			s.Add(0, 22)
			s.Fail("again: command")
			if s.More() {
				t.Error("it goes on after a failure")
			}
		}
		r.end()
	}
	text, clean, err := Sums(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"row: 5 of 5 cases in 3 slices, 1 violations; 50 operations; milliseconds at most 200", "VIOLATION seed 22", "again: command"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
	if clean {
		t.Error("sums with a violation are clean")
	}
}

// A slice whose time is over begins no case.
func TestSliceEnds(t *testing.T) {
	t.Setenv(Variable, t.TempDir())
	t.Setenv(MinutesVariable, "0.0000001")
	r := &recorder{TB: t}
	s := Begin(r, Row{Name: "row", Unit: "cases", Goal: 5})
	if s.More() {
		t.Error("it goes on")
	}
	r.end()
}
