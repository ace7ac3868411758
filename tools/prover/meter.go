package prover

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/troupe-storage/troupe/tools/terminal"
)

// meter shows how far a proof is: a bar on a terminal, and a line for each finding.
//
//	cuts 31/100 [====>-----------]  31%  acknowledged 4120  lost 0  torn 0
type meter struct {
	out      io.Writer
	progress *mpb.Progress // nil: there is no terminal
	bar      *mpb.Bar
	state    atomic.Pointer[Result] // a copy
	cuts     int                    // in all; 0: nobody knows
	began    time.Time
	time     time.Duration // in all; 0: nobody knows
	closing  sync.Once
}

// newMeter begins to draw if it is a terminal that is written to; close ends it.
func newMeter(out io.Writer, o Options) *meter {
	m := &meter{out: out, cuts: o.Cuts, began: time.Now(), time: o.Time}
	if !terminal.Is(out) {
		return m
	}
	if o.Only > 0 {
		m.cuts = 0
	}
	m.progress = terminal.NewBars(out)
	m.bar = m.progress.New(0, terminal.BarStyle(),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return terminal.LineStart + m.label() })),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string { return m.figures(s.AvailableWidth) })))
	return m
}

// label says how many cuts are made.
func (m *meter) label() string {
	r := m.state.Load()
	switch {
	case r == nil:
		return "cuts 0 "
	case m.cuts > 0:
		return fmt.Sprintf("cuts %d/%d ", r.Kills.Cuts+r.PowerCuts.Cuts, m.cuts)
	}
	return fmt.Sprintf("cuts %d ", r.Kills.Cuts+r.PowerCuts.Cuts)
}

// figures are what stands behind the bar, as much as the width has room for.
func (m *meter) figures(width int) string {
	r := m.state.Load()
	if r == nil {
		return ""
	}
	var parts []string
	if done, total := m.share(r); total > 0 {
		parts = append(parts, terminal.Percent(done, total))
	}
	parts = append(parts,
		fmt.Sprintf(" acknowledged %d", r.Kills.Acknowledged+r.PowerCuts.Acknowledged),
		fmt.Sprintf(" lost %d", r.Kills.Lost+r.PowerCuts.Lost),
		fmt.Sprintf(" torn %d", r.Kills.Torn+r.PowerCuts.Torn),
		fmt.Sprintf(" checked %d", r.Kills.Checked+r.PowerCuts.Checked))
	return terminal.FitFigures(parts, width)
}

// share is how much of the proof is done.
func (m *meter) share(r *Result) (done, total int64) {
	if m.cuts > 0 {
		return int64(r.Kills.Cuts + r.PowerCuts.Cuts), int64(m.cuts)
	}
	return int64(time.Since(m.began)), int64(m.time)
}

// cut shows that another cut is made.
func (m *meter) cut(r *Result) {
	if m.bar == nil {
		return
	}
	copied := *r
	copied.Findings = nil
	m.state.Store(&copied)
	if done, total := m.share(r); total > 0 {
		m.bar.SetTotal(total+1, false) // never complete before close
		m.bar.SetCurrent(min(done, total))
	}
}

// tell writes a line above the bar.
func (m *meter) tell(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if m.progress != nil {
		fmt.Fprintln(m.progress, terminal.LineStart+line)
		return
	}
	fmt.Fprintln(m.out, line)
}

// close takes the bar away. Idempotent.
func (m *meter) close() {
	m.closing.Do(func() {
		if m.bar == nil {
			return
		}
		m.bar.Abort(true)
		m.progress.Wait()
		io.WriteString(m.out, terminal.BareScreen) //nolint:errcheck // as all that is told on standard error
	})
}
