package loader

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// someRuns are of two servers, with one step or several.
func someRuns(who string, connections ...int) []namedResult {
	var runs []namedResult
	for _, n := range connections {
		for _, who := range []string{"server", who} {
			latency := Latency{P50: 1234 * time.Microsecond, P99: 56789 * time.Microsecond}
			runs = append(runs, namedResult{Who: who, Pair: 1, Result: &Result{
				Mix: "PUT=30,GET=60", Sizes: "4KiB", Class: "synced", Connections: n, Ops: 1234567, Bytes: 1 << 40, Elapsed: time.Minute,
				Latency: latency, ServerKnown: true, ServerCPU: time.Minute, ClientCPU: time.Minute, Resident: 123 << 20,
				Operations: []OperationResult{
					{Operation: "PUT", Ops: 1, Latency: latency}, {Operation: "GET", Ops: 1234566, Bytes: 1 << 40, Latency: latency},
				},
				Failures: []Failure{{Code: "SlowDown", Count: 3, Example: "a long story that the server tells whoever asks why it has not done what it was asked to do"}},
			}})
		}
	}
	return runs
}

// What does not fit a terminal is stacked: no line is wider, no figure is lost, and
// every row of figures says whose it is. Where there is no terminal, or room, it is one
// table.
func TestTablesFitTheTerminal(t *testing.T) {
	for _, who := range []string{"other", "a server with quite a long name for it"} {
		for _, steps := range [][]int{{64}, {1, 64, 1024}} {
			var wide strings.Builder
			if err := writeRuns(sheet{&wide, 0}, someRuns(who, steps...)); err != nil {
				t.Fatal(err)
			}
			if strings.Count(wide.String(), "| op ") != 1 {
				t.Fatalf("where there is no terminal:\n%s", &wide)
			}
			for _, width := range []int{60, 80, 100, 132, 1000} {
				var out strings.Builder
				if err := writeRuns(sheet{&out, width}, someRuns(who, steps...)); err != nil {
					t.Fatal(err)
				}
				if width == 1000 && out.String() != wide.String() {
					t.Errorf("there is room:\n%s", &out)
				}
				for line := range strings.Lines(out.String()) {
					if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
						t.Errorf("%d columns on a terminal of %d: %s\n%s", n, width, line, &out)
					}
				}
				for _, figure := range []string{"4KiB", "synced", "64", "1234567", "1.23 ms", "56.79 ms", "48.6", "123 MiB", "SlowDown", "server CPU"} {
					if !strings.Contains(out.String(), figure) {
						t.Errorf("%d columns, %s is not in\n%s", width, figure, &out)
					}
				}
				if width == 80 {
					t.Logf("%s, steps %v\n%s", who, steps, &out)
				}
			}
		}
	}
}

// The comparison and the reference table fit, too.
func TestComparisonsFitTheTerminal(t *testing.T) {
	var runs []namedResult
	for pair := range 6 {
		for i, run := range someRuns("other", 64) {
			one := *run.Result
			one.Ops += uint64(1000*pair + 7*i)
			runs = append(runs, namedResult{Who: run.Who, Pair: pair + 1, Result: &one})
		}
	}
	comparison, ok := newComparison(runs, "server", "other", 64)
	if !ok {
		t.Fatal("nothing is compared")
	}
	row := RowResult{Title: "PUT 128 KiB", Row: Row{Class: "synced", Target: 500}, Server: []*Result{runs[0].Result}, Micros: Spread{Median: 900, Low: 800, High: 1000}, Missed: true}
	for _, width := range []int{60, 80, 120} {
		var out strings.Builder
		if err := writeComparisons(sheet{&out, width}, []Comparison{comparison}); err != nil {
			t.Fatal(err)
		}
		environment := Environment{CPU: strings.Repeat("a processor ", 8), Cores: 2, Commit: "abc"}
		if err := writeRows(sheet{&out, width}, environment, []RowResult{row, {Title: row.Title, Row: row.Row, Reason: "nobody knows why, and it takes many words to say that"}}); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("%d columns on a terminal of %d: %s\n%s", n, width, line, &out)
			}
		}
		for _, text := range []string{"server", "other", "ratio", "**missed**", "not measured: nobody", fmt.Sprint(len(runs) / 2)} {
			if !strings.Contains(out.String(), text) {
				t.Errorf("%d columns, %s is not in\n%s", width, text, &out)
			}
		}
		if width == 80 {
			t.Logf("\n%s", &out)
		}
	}
}
