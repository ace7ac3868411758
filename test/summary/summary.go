package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// event is a line of `go test -json`; see `go doc test2json`.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build-output and build-fail
	Test        string
	Elapsed     float64 // seconds
	Output      string
	FailedBuild string
}

// name identifies a test of the run; a package when test is empty.
type name struct{ pkg, test string }

// summary counts tests as their events arrive. It belongs to one goroutine.
type summary struct {
	out    io.Writer
	noSkip bool // a skip is a failure

	passed, failed, skipped int

	output  map[name][]string // what running tests and packages wrote so far
	parents map[name]bool     // tests that have subtests
	broken  map[name]bool     // tests and packages below which something failed
	counts  map[string]int    // finished leaves by package
	builds  map[string][]string
	running map[string]bool // packages that began and did not end
	skips   []string        // "package test: reason"
	fails   []string
}

func newSummary(out io.Writer) *summary {
	return &summary{
		out: out, output: map[name][]string{}, parents: map[name]bool{}, broken: map[name]bool{},
		counts: map[string]int{}, builds: map[string][]string{},
		running: map[string]bool{},
	}
}

// read takes events until the end of the stream. Lines that are no events (a
// panic of the go command, output of a tool before it) are printed as they are.
func (s *summary) read(in *bufio.Reader) error {
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil || e.Action == "" {
				fmt.Fprint(s.out, string(line))
			} else {
				s.take(e)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) take(e event) {
	at := name{e.Package, e.Test}
	switch e.Action {
	case "start":
		s.running[at.pkg] = true
	case "run":
		s.output[at] = nil // known to run, also while it says nothing
		for parent := at.parent(); parent.test != ""; parent = parent.parent() {
			s.parents[parent] = true
		}
	case "output":
		if !framing(e.Output) {
			s.output[at] = append(s.output[at], e.Output)
		}
	case "build-output":
		s.builds[e.ImportPath] = append(s.builds[e.ImportPath], e.Output)
	case "pass", "fail", "skip":
		if e.Test != "" {
			s.testEnded(at, e)
		} else {
			s.packageEnded(at, e)
		}
	}
}

// framing says whether a line of output only tells what the events tell.
func framing(line string) bool {
	line = strings.TrimLeft(line, " ")
	return strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") && strings.HasSuffix(line, "s)\n")
}

// parent is the test around a subtest; its test is empty at the top.
func (n name) parent() name {
	cut := strings.LastIndexByte(n.test, '/')
	return name{n.pkg, n.test[:max(cut, 0)]}
}

func (s *summary) testEnded(at name, e event) {
	said := strings.Join(s.output[at], "")
	delete(s.output, at)
	parent := s.parents[at]
	delete(s.parents, at)
	brokenBelow := s.broken[at]
	delete(s.broken, at)

	switch e.Action {
	case "fail":
		// All the way up: a subtest with a slash in its name has ancestors that never ran.
		for parent := at.parent(); parent.test != ""; parent = parent.parent() {
			s.broken[parent] = true
		}
		s.broken[name{pkg: at.pkg}] = true
		// A parent fails because of its children, or by what it says itself.
		if !parent || !brokenBelow {
			s.failed++
			s.counts[at.pkg]++
			s.fails = append(s.fails, at.pkg+" "+at.test)
		}
		fmt.Fprintf(s.out, "\n--- FAIL: %s %s (%.2fs)\n%s", shorten(at.pkg), at.test, e.Elapsed, said)
	case "skip":
		s.skipped++
		s.counts[at.pkg]++
		s.skips = append(s.skips, fmt.Sprintf("%s %s: %s", shorten(at.pkg), at.test, reason(said)))
	default:
		if !parent {
			s.passed++
			s.counts[at.pkg]++
		}
	}
}

func (s *summary) packageEnded(at name, e event) {
	said := strings.Join(s.output[at], "")
	delete(s.output, at)
	tests := s.counts[at.pkg]
	s.counts[at.pkg] = 0 // a later run of the same package counts anew
	switch e.Action {
	case "fail":
		if !s.broken[at] {
			s.failed++
			s.fails = append(s.fails, at.pkg)
			fmt.Fprintf(s.out, "\n--- FAIL: %s\n%s", shorten(at.pkg), said)
			// What was running when the package ended has no end of its own.
			for running, lines := range s.output {
				if running.pkg == at.pkg {
					fmt.Fprintf(s.out, "--- was running: %s\n%s", running.test, strings.Join(lines, ""))
					delete(s.output, running)
				}
			}
			fmt.Fprint(s.out, strings.Join(s.builds[e.FailedBuild], ""))
		}
		fmt.Fprintf(s.out, "FAIL\t%s\t%.1fs\n", shorten(at.pkg), e.Elapsed)
	case "pass":
		if tests > 0 {
			fmt.Fprintf(s.out, "ok\t%s\t%.1fs\t%d tests\n", shorten(at.pkg), e.Elapsed, tests)
		}
	}
	delete(s.broken, at)
	delete(s.running, at.pkg)
}

// reason is the last thing that a skipped test said before it was skipped.
func reason(said string) string {
	var last string
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if line != "" {
			last = line
		}
	}
	return last
}

// shorten leaves out what all packages begin with.
func shorten(pkg string) string {
	return strings.TrimPrefix(pkg, "github.com/troupe-storage/")
}

// finish prints the closing lines and says whether all is well.
func (s *summary) finish() bool {
	for _, pkg := range slices.Sorted(maps.Keys(s.running)) {
		s.failed++
		s.fails = append(s.fails, pkg+": no end was reported")
	}
	for _, skip := range s.skips {
		fmt.Fprintln(s.out, "SKIPPED", skip)
	}
	for _, fail := range s.fails {
		fmt.Fprintln(s.out, "FAILED", shorten(fail))
	}
	good := s.failed == 0
	if s.noSkip && s.skipped > 0 {
		fmt.Fprintln(s.out, "here nothing may be skipped")
		good = false
	}
	if s.passed+s.failed == 0 {
		fmt.Fprintln(s.out, "no test ran")
		good = false
	}
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	return good
}
