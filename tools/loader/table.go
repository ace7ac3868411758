package loader

import (
	"fmt"
	"strings"
	"time"
)

// namedResult is a run and whom it was against.
type namedResult struct {
	Who    string  `json:"who"`  // "server" or the name it was given, "bare memory", "bare file"
	Pair   int     `json:"pair"` // from 1
	Result *Result `json:"result"`
}

// writeRuns prints single runs: one line for each kind of operation. CPU and
// memory are the process's, so they stand on the line of the whole run.
func writeRuns(to sheet, runs []namedResult) error {
	t := table{keys: 4, head: []string{
		"op", "size", "class", "connections", "ops", "errors", "ops/s", "MB/s", "p50", "p99", "server CPU µs/op", "client CPU µs/op", "RSS",
	}}
	for _, run := range runs {
		r := run.Result
		micros, resident := "-", "-"
		if m, known := r.ServerMicros(); known {
			micros, resident = fmt.Sprintf("%.1f", m), megabytes(r.Resident)
		}
		whose := ""
		if run.Who != "server" {
			whose = " (" + run.Who + ")"
		}
		if r.TLS != "" {
			whose += " with TLS"
		}
		class := r.Class
		if class == "" {
			class = "-"
		}
		if len(r.Operations) > 1 {
			for _, o := range r.Operations {
				t.add(o.Operation+whose, r.Sizes, class, fmt.Sprint(r.Connections), fmt.Sprint(o.Ops), fmt.Sprint(o.Errors),
					fmt.Sprintf("%.0f", perSecond(float64(o.Ops), r.Elapsed)), fmt.Sprintf("%.1f", perSecond(float64(o.Bytes)/1e6, r.Elapsed)),
					short(o.Latency.P50), short(o.Latency.P99), "", "", "")
			}
		}
		t.add(r.Mix+whose, r.Sizes, class, fmt.Sprint(r.Connections), fmt.Sprint(r.Ops), fmt.Sprint(r.Errors),
			fmt.Sprintf("%.0f", r.OpsPerSecond()), fmt.Sprintf("%.1f", r.MegabytesPerSecond()),
			short(r.Latency.P50), short(r.Latency.P99), micros, fmt.Sprintf("%.1f", r.ClientMicros()), resident)
	}
	if err := to.table(t); err != nil {
		return err
	}
	written := make(map[string]bool)
	for _, run := range runs {
		for _, note := range notesOf(run) {
			if written[note] {
				continue
			}
			written[note] = true
			if err := to.text("%s", note); err != nil {
				return err
			}
		}
	}
	return nil
}

// notesOf returns what a table has no column for, a line each.
func notesOf(run namedResult) []string {
	r := run.Result
	var notes []string
	if r.TLS != "" {
		notes = append(notes, "TLS is included, on both sides: "+r.TLS)
	}
	if r.Debt != "" {
		notes = append(notes, fmt.Sprintf("compaction debt %s, %v", r.Debt, r.Drain.Round(time.Millisecond)))
	}
	if r.Entries > 0 {
		notes = append(notes, fmt.Sprintf("%d keys listed", r.Entries))
	}
	if r.Interrupted {
		notes = append(notes, "interrupted: figures so far")
	}
	if r.GaveUp != "" {
		notes = append(notes, "gave up: "+r.GaveUp)
	}
	for _, failure := range r.Failures {
		notes = append(notes, fmt.Sprintf("%d × %s, first: %s", failure.Count, failure.Code, failure.Example))
	}
	for i, note := range notes {
		notes[i] = fmt.Sprintf("- %s: %s", run.Who, note)
	}
	return notes
}

// writeRows prints the reference table: bare handler, Troupe and target, server
// CPU in µs per operation, with misses in bold.
func writeRows(to sheet, environment Environment, rows []RowResult) error {
	if err := to.text("%s\n\nServer CPU in µs per operation.\n", environment); err != nil {
		return err
	}
	t := table{keys: 2, head: []string{
		"operation", "class", "bare handler", "Troupe", "target", "", "ratio (target)", "ops/s", "MB/s", "p50", "p99", "errors", "RSS",
	}}
	var notes []string
	for _, row := range rows {
		target := fmt.Sprintf("≤ %.0f", row.Target)
		if row.Reason != "" {
			t.add(row.Title, string(row.Class), "-", "not measured", target, "", "-", "-", "-", "-", "-", "-", "-")
			notes = append(notes, fmt.Sprintf("%s, %s: not measured: %s", row.Title, row.Class, row.Reason))
			continue
		}
		var bare, ratios []string
		for _, c := range row.Comparison {
			bare = append(bare, fmt.Sprintf("%s (%s)", c.Measured, c.Kind))
			ratios = append(ratios, fmt.Sprintf("%.2f (%.2f)", c.Ratio, c.Wanted))
		}
		verdict := "met"
		if row.Missed {
			verdict = "**missed**"
		}
		last := row.Server[len(row.Server)-1]
		t.add(row.Title, string(row.Class), orDash(strings.Join(bare, ", ")), row.Micros.String(), target, verdict,
			orDash(strings.Join(ratios, ", ")),
			fmt.Sprintf("%.0f", last.OpsPerSecond()), fmt.Sprintf("%.1f", last.MegabytesPerSecond()),
			short(last.Latency.P50), short(last.Latency.P99), fmt.Sprint(last.Errors), megabytes(last.Resident))
		for _, segment := range row.Server {
			if segment.Debt != "" && segment.Debt != DebtPaid {
				notes = append(notes, fmt.Sprintf("%s, %s: compaction debt %s", row.Title, row.Class, segment.Debt))
				break
			}
		}
	}
	if err := to.table(t); err != nil {
		return err
	}
	for _, note := range notes {
		if err := to.text("- %s", escapeCell(note)); err != nil {
			return err
		}
	}
	return nil
}

// String is the median, with lowest and highest where there are several.
func (s Spread) String() string {
	if s.Low == s.High {
		return fmt.Sprintf("%.0f", s.Median)
	}
	return fmt.Sprintf("%.0f [%.0f, %.0f]", s.Median, s.Low, s.High)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// perSecond divides by a time that may be zero.
func perSecond(n float64, elapsed time.Duration) float64 {
	if elapsed <= 0 {
		return 0
	}
	return n / elapsed.Seconds()
}

// short writes a time with three digits.
func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%d µs", d.Microseconds())
}

// megabytes writes bytes in MiB.
func megabytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
