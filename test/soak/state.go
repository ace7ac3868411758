package soak

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// State is what a row's file holds.
type State struct {
	Row
	Done       int64            `json:"done"`
	Next       uint64           `json:"next"` // the first seed that was not used
	Slices     int              `json:"slices"`
	Sums       map[string]int64 `json:"sums,omitempty"` // figures that are no goal
	Most       map[string]int64 `json:"most,omitempty"`
	Commit     string           `json:"commit"` // of the last slice
	Time       time.Time        `json:"time"`   // of the last case
	Violations []Violation      `json:"violations,omitempty"`
}

// Violation is a slice that failed.
type Violation struct {
	Seed   uint64    `json:"seed"` // the first that was not done
	Commit string    `json:"commit"`
	Time   time.Time `json:"time"`
	Reason string    `json:"reason"`
}

const extension = ".json"

func stateFile(dir, name string) string { return filepath.Join(dir, name+extension) }

// load reads a row's file; the zero State if there is none.
func load(file string) (s State, err error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("soak: %w", err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("soak: %s: %w; repair it, or remove it to begin the row anew", file, err)
	}
	return s, nil
}

// save replaces a row's file: a session that ends meanwhile leaves the old one.
func (s *State) save(file string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("soak: %w", err)
	}
	if err := os.WriteFile(file+".new", append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("soak: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("soak: %w", err)
	}
	return nil
}

// line tells a row in one line.
func (s *State) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d of %d %s in %d slices, %d violations", s.Name, s.Done, s.Goal, s.Unit, s.Slices, len(s.Violations))
	for _, what := range slices.Sorted(maps.Keys(s.Sums)) {
		fmt.Fprintf(&b, "; %d %s", s.Sums[what], what)
	}
	for _, what := range slices.Sorted(maps.Keys(s.Most)) {
		fmt.Fprintf(&b, "; %s at most %d", what, s.Most[what])
	}
	fmt.Fprintf(&b, " (last %s, commit %s, next seed %d)", s.Time.Format("2006-01-02"), s.Commit, s.Next)
	return b.String()
}

// Sums returns the rows of a directory, one a line, by name, with their violations
// below them; clean is false if there is one.
func Sums(dir string) (text string, clean bool, err error) {
	files, err := filepath.Glob(stateFile(dir, "*"))
	if err != nil {
		return "", false, fmt.Errorf("soak: %w", err)
	}
	slices.Sort(files)
	clean = true
	var b strings.Builder
	for _, file := range files {
		s, err := load(file)
		if err != nil {
			return "", false, err
		}
		fmt.Fprintln(&b, s.line())
		for _, v := range s.Violations {
			clean = false
			fmt.Fprintf(&b, "  VIOLATION seed %d, commit %s, %s: %s\n", v.Seed, v.Commit, v.Time.Format(time.RFC3339), v.Reason)
		}
	}
	if len(files) == 0 {
		fmt.Fprintf(&b, "%s holds no row: no slice has ended\n", dir)
	}
	return b.String(), clean, nil
}
