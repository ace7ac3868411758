package loader

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/troupe-storage/troupe/tools/terminal"
)

// Standing is how a run stands.
type Standing struct {
	Elapsed time.Duration
	Begun   uint64  // operations
	Failed  uint64  // operations
	Share   float64 // of what the run is limited by, 0 to 1
	Paying  bool    // the load is done, and the server's debt is waited for
}

// standing returns how the run stands now. Safe for concurrent use.
func (r *run) standing() Standing {
	s := Standing{Elapsed: time.Since(r.began), Begun: r.turns.Load(), Failed: r.failures.Load(), Paying: r.paying.Load()}
	limit := r.load.Ops
	if single, alone := r.load.Mix.Single(); limit == 0 && alone && single == Delete && r.load.Keys.Order == Sequential {
		limit = r.load.Keys.Count
	}
	if limit > 0 { // every worker asks for one turn too many
		s.Begun = min(s.Begun, limit)
		s.Share = float64(s.Begun) / float64(limit)
	}
	if r.load.Duration > 0 {
		s.Share = max(s.Share, s.Elapsed.Seconds()/r.load.Duration.Seconds())
	}
	if r.load.Bytes > 0 {
		s.Share = max(s.Share, float64(r.bytes.Load())/float64(r.load.Bytes))
	}
	s.Share = min(s.Share, 1)
	return s
}

// meter shows on a terminal how the run under way stands, and prints above that what
// is written to it. Where there is no terminal it only prints. Safe for concurrent use.
//
//	server GET, 64 connections [=====>--------]  35% 123456 ops 21034/s eta 7s
type meter struct {
	out      io.Writer
	mu       sync.Mutex
	progress *mpb.Progress // nil: nothing is drawn
}

func newMeter(out io.Writer) *meter { return &meter{out: out} }

// meterParts is what a bar is filled by: more than a screen has columns.
const meterParts = 10_000

// Write implements io.Writer.
func (m *meter) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.progress == nil {
		return m.out.Write(p)
	}
	if _, err := io.WriteString(m.progress, terminal.LineStart+string(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// begin shows a bar for a run. Watch is for Observed, and end takes the bar away.
func (m *meter) begin(what string) (watch func(now func() Standing), end func()) {
	if !terminal.Is(m.out) {
		return nil, func() {}
	}
	var now atomic.Pointer[func() Standing]
	var speed terminal.Speed
	var counted uint64 // in speed
	progress := terminal.NewBars(m.out)
	bar := progress.New(meterParts+1, terminal.BarStyle(), // never complete before it is taken away
		mpb.PrependDecorators(decor.Any(func(s decor.Statistics) string { return terminal.LineStart + cutOff(what, s.AvailableWidth/2) + " " })),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string {
			standing := now.Load()
			if standing == nil {
				return ""
			}
			stands := (*standing)()
			speed.Add(int64(stands.Begun - counted))
			counted = stands.Begun
			return stands.figures(speed.Rate(), s.AvailableWidth)
		})))
	m.mu.Lock()
	m.progress = progress
	m.mu.Unlock()
	ended := make(chan struct{})
	var filling sync.WaitGroup
	watch = func(standing func() Standing) {
		now.Store(&standing)
		filling.Go(func() {
			look := time.NewTicker(fillEvery)
			defer look.Stop()
			for {
				select {
				case <-look.C:
					bar.SetCurrent(int64(standing().Share * meterParts))
				case <-ended:
					return
				}
			}
		})
	}
	return watch, func() {
		close(ended)
		filling.Wait()
		bar.Abort(true)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.progress = nil
		progress.Wait()
		io.WriteString(m.out, terminal.BareScreen) //nolint:errcheck // as all that is told beside the figures
	}
}

// cutOff cuts a text that is too long.
func cutOff(text string, width int) string {
	if runes := []rune(text); len(runes) > width && width > 0 {
		return string(runes[:width-1]) + "…"
	}
	return text
}

// fillEvery is how often a bar grows.
const fillEvery = 100 * time.Millisecond

// figures are what stands behind the bar, as much as the width has room for.
func (s Standing) figures(rate float64, width int) string {
	if s.Paying {
		return " waiting for the server's compactions"
	}
	parts := []string{terminal.Percent(int64(s.Share*meterParts), meterParts), fmt.Sprintf("%.0f/s", rate)}
	if s.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d errors", s.Failed))
	}
	if s.Share > 0 {
		left := time.Duration(float64(s.Elapsed) * (1 - s.Share) / s.Share)
		parts = append(parts, "eta "+left.Round(time.Second).String())
	}
	return terminal.FitFigures(append(parts, fmt.Sprintf("%d ops", s.Begun)), width)
}

// run is Run with a bar for it.
func (m *meter) run(ctx context.Context, what string, load Load, observed Observed) (*Result, error) {
	watch, end := m.begin(fmt.Sprintf("%s, %d connections", what, load.withDefaults().Connections))
	defer end()
	observed.Watch = watch
	return Run(ctx, load, observed)
}
