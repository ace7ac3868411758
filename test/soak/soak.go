// Package soak keeps what long tests reached over many short sessions.
//
// A figure of the reliability table (a million crash states, 500 kills) takes
// hours, and a session of `make soak` ends after two at most. So every long form is
// a row: it does cases until its goal is reached or its share of the session is
// over, and keeps how far it came in one file of the directory that TROUPE_SOAK
// names. The next session goes on with seeds that were not used yet. A violation
// stays in the file, with its seed and commit, until a person removes it there.
//
//	slice := soak.Begin(t, soak.Row{Name: "kill", Unit: "kills", Goal: 500})
//	for slice.More() {
//		… one case, from slice.Next() …
//		slice.Add(1, next)
//	}
//
// `go run ./test/soak/sums DIR` prints all rows; `make soak` does so at its end.
//
// Start with Begin.
package soak

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// Variable names the environment variable with the directory of the rows'
	// files. Without it long forms are skipped.
	Variable = "TROUPE_SOAK"
	// MinutesVariable names the environment variable that says after how many
	// minutes a slice begins no further case; fractions are allowed.
	MinutesVariable = "TROUPE_SOAK_MINUTES"
	// defaultTime leaves room for the last case below the two hours that a session
	// may take.
	defaultTime = 110 * time.Minute
)

// Row is one figure to reach.
type Row struct {
	Name string `json:"name"` // of its file, without extension; a row keeps it for ever
	Unit string `json:"unit"` // what is counted, in the plural
	Goal int64  `json:"goal"` // how many; above 0
}

// Slice is a row's part of one session. Its methods are called by one goroutine
// at a time.
type Slice struct {
	t      testing.TB
	file   string
	state  State
	until  time.Time
	reason string
}

// Begin begins a slice of a row, or skips the test where no soak is asked for, or
// the row is done. What the test fails with afterwards is kept as a violation.
func Begin(t testing.TB, row Row) *Slice {
	t.Helper()
	dir := os.Getenv(Variable)
	if dir == "" {
		t.Skipf("make soak runs it: %s is not set", Variable)
	}
	patience := defaultTime
	if text := os.Getenv(MinutesVariable); text != "" {
		minutes, err := strconv.ParseFloat(text, 64)
		if err != nil || minutes <= 0 {
			t.Fatalf("%s=%q is no number of minutes above 0", MinutesVariable, text)
		}
		patience = time.Duration(minutes * float64(time.Minute))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &Slice{t: t, file: stateFile(dir, row.Name), until: time.Now().Add(patience)}
	var err error
	if s.state, err = load(s.file); err != nil {
		t.Fatal(err)
	}
	s.state.Row = row
	if s.state.Next == 0 {
		s.state.Next = 1
	}
	if s.state.Done >= row.Goal {
		t.Skipf("done: %s", s.state.line())
	}
	s.state.Slices++
	s.state.Commit = commit()
	t.Cleanup(s.end)
	return s
}

// More reports whether another case is to be done: the goal is not reached, the
// time is not over, and nothing has failed.
func (s *Slice) More() bool { return s.Left() > 0 && time.Now().Before(s.until) && !s.t.Failed() }

// Left is how many cases are missing; at least 0.
func (s *Slice) Left() int64 { return max(0, s.state.Goal-s.state.Done) }

// Time is how long the slice may still go on; at least 0.
func (s *Slice) Time() time.Duration { return max(0, time.Until(s.until)) }

// Next is the first seed that no slice has used; at least 1.
func (s *Slice) Next() uint64 { return s.state.Next }

// Add notes that so many cases were done and are right, and which seed comes next.
// It is on disk when Add returns: a session may end at any moment.
func (s *Slice) Add(done int64, next uint64) {
	s.t.Helper()
	s.state.Done += done
	s.state.Next = next
	s.save()
}

// Count adds to a figure that is no goal: acknowledged operations, say.
func (s *Slice) Count(what string, n int64) {
	if s.state.Sums == nil {
		s.state.Sums = make(map[string]int64)
	}
	s.state.Sums[what] += n
}

// Most keeps the greatest of a figure: the slowest start in milliseconds, say.
func (s *Slice) Most(what string, n int64) {
	if s.state.Most == nil {
		s.state.Most = make(map[string]int64)
	}
	s.state.Most[what] = max(s.state.Most[what], n)
}

// Fail fails the test; the row keeps the reason, which should say how to repeat it.
func (s *Slice) Fail(reason string) {
	s.t.Helper()
	s.reason = reason
	s.t.Fatal(reason)
}

func (s *Slice) end() {
	if s.t.Failed() {
		if s.reason == "" {
			s.reason = "see the output of the test"
		}
		s.state.Violations = append(s.state.Violations, Violation{Seed: s.state.Next, Commit: s.state.Commit, Time: time.Now().UTC(), Reason: s.reason})
	}
	s.save()
	s.t.Log(s.state.line())
}

func (s *Slice) save() {
	s.t.Helper()
	s.state.Time = time.Now().UTC()
	if err := s.state.save(s.file); err != nil {
		s.t.Fatal(err)
	}
}

// commit names the commit that is tested; "unknown" outside a clone.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
