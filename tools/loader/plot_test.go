package loader

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mustBeSVG checks that a file is well-formed XML with a root called svg, and that
// its texts hold each of the words.
func mustBeSVG(t *testing.T, path string, words ...string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	root := ""
	decoder := xml.NewDecoder(strings.NewReader(string(content)))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if root == "" {
				root = token.Name.Local
			}
		case xml.CharData:
			texts = append(texts, strings.TrimSpace(string(token)))
		}
	}
	if root != "svg" {
		t.Errorf("%s: the root is %q", path, root)
	}
	all := strings.Join(texts, "\n")
	for _, word := range words {
		if !strings.Contains(all, word) {
			t.Errorf("%q is in no text of %s:\n%s", word, path, all)
		}
	}
}

// A picture of made-up runs holds a line for every contender and figure, in the
// contender's colour, and opens where its font is not installed. Without steps it
// has no curves of steps: the control.
func TestPictureHoldsEverySeries(t *testing.T) {
	var runs []namedResult
	for pair := range 2 {
		for _, connections := range []int{1, 8, 32} {
			for i, who := range []string{"left & right", "<other>", "bare file"} {
				f := newFigures()
				line := newTimeline()
				s := stretch{timeline: line, number: -1}
				for n := range 3000 {
					took := time.Duration(n%100+1) * time.Duration((i+1)*connections) * time.Microsecond
					f.took(took)
					s.done(time.Duration(n)*time.Millisecond, took, 10)
				}
				s.flush()
				runs = append(runs, namedResult{who, pair + 1, &Result{
					Mix: "GET", Sizes: "4KiB", Connections: connections, Ops: 3000, Elapsed: 3 * time.Second,
					Latency: f.latency(), Percentiles: f.percentiles(), Timeline: line.gather(3 * time.Second),
					ServerKnown: true, ServerCPU: time.Duration(i+1) * time.Second,
				}})
			}
		}
	}
	draw := func(runs []namedResult) string {
		content, err := drawRuns(document{Environment: readEnvironment(t.TempDir(), time.Now()), Runs: runs}, "<other>")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "picture.svg")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		mustBeSVG(t, path, "left & right", "<other>", "bare file", "GET, 4KiB", "2 pairs", "Throughput over time", "ops/s",
			"p99 solid, p50 dashed", "Latency by percentile", "99.9", "latency", "seconds", "ms")
		if !strings.Contains(string(content), "Arial,Helvetica,sans-serif") {
			t.Error("no font to fall back to")
		}
		return string(content)
	}
	steps := draw(runs)
	for _, text := range []string{"Throughput by connections", "p99 by connections", "Server CPU by connections", ">32<", "Latency by percentile, 32 connections"} {
		if !strings.Contains(steps, text) {
			t.Errorf("%q is not in the picture of steps", text)
		}
	}
	// 2 timelines of throughput, 4 of latency, a distribution, three curves, the key;
	// each contender's in its colour.
	for i, ink := range []string{"#0072B2", "#D55E00", "#009E73"} {
		if n := strings.Count(steps, "stroke:"+ink); n != 2+4+1+3+1 {
			t.Errorf("contender %d has %d lines, want 11", i, n)
		}
	}
	var plain []namedResult
	for _, run := range runs {
		if run.Result.Connections == 8 {
			plain = append(plain, run)
		}
	}
	if text := draw(plain); strings.Contains(text, "by connections") {
		t.Error("curves of steps without steps")
	}
	if _, err := drawRuns(document{}, "x"); err == nil {
		t.Error("nothing was drawn, and that is no error")
	}
	// A run in which nothing was done has a picture, if a bare one.
	if _, err := drawRuns(document{Runs: []namedResult{{"x", 1, &Result{Mix: "GET", Connections: 1}}}}, "x"); err != nil {
		t.Errorf("an empty run: %v", err)
	}
}

// Numbers at the axes are round, few, and inside.
func TestAxisNumbers(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		want      string
	}{
		{0, 5.5, "0 1 2 3 4 5"}, {0, 3000, "0 500 1,000 1,500 2,000 2,500 3,000"}, {0, 12000, "0 2,000 4,000 6,000 8,000 10,000 12,000"},
		{0, 0.9, "0 0.2 0.4 0.6 0.8"}, {3, 3, ""}, {0, math.Inf(1), ""},
	} {
		var got []string
		for _, tick := range (plainTicks{}).Ticks(c.low, c.high) {
			got = append(got, tick.Label)
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%g to %g: %s, want %s", c.low, c.high, text, c.want)
		}
	}
	var times []string
	for _, tick := range (timeTicks{}).Ticks(40e-6, 1.5e-3) {
		times = append(times, tick.Label)
	}
	if text := strings.Join(times, ", "); text != "50 µs, 100 µs, 200 µs, 500 µs, 1 ms" {
		t.Errorf("times: %s", text)
	}
}
