package cli

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/troupe-storage/troupe/tools/terminal"
)

// Bars of single files are shown for large ones, as many at a time as leave room
// for what was on the screen.
const maxFileBars = 6

// bars shows progress on a terminal: one bar over everything, and one for each of
// the first few large files under way. Safe for concurrent use.
//
//	photos/2026/film.bin    [=====>----------]  35%  412 MiB/1.15 GiB
//	 1204/15000  [===>-------------]  24%  1.31 GiB/5.40 GiB  212 MiB/s  eta 19s
type bars struct {
	out      *Output
	progress *mpb.Progress
	total    *mpb.Bar

	files, ended atomic.Int64
	bytes, size  atomic.Int64
	shown        atomic.Int64 // bars of files
	speed        terminal.Speed
}

// bar is the bar of one file; nil: the file has none.
type bar struct{ bar *mpb.Bar }

// newBars begins to draw; close ends it.
func newBars(out *Output) *bars {
	b := &bars{out: out}
	b.progress = terminal.NewBars(out.note)
	b.total = b.progress.New(0, terminal.BarStyle(),
		mpb.BarPriority(1<<20), // the last line
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string {
			return fmt.Sprintf("%s%d/%d ", terminal.LineStart, b.ended.Load(), b.files.Load())
		})),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string { return b.figures(s.AvailableWidth) })))
	out.putAbove(b.progress)
	return b
}

// putAbove has everything that people are told stand above bars.
func (o *Output) putAbove(progress *mpb.Progress) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.above = func(text string) { fmt.Fprintln(progress, terminal.LineStart+text) }
}

// takeAway waits until bars that have been aborted are gone, with all that is left of
// them on the screen.
func (o *Output) takeAway(progress *mpb.Progress) {
	o.mutex.Lock()
	o.above = nil
	o.mutex.Unlock()
	progress.Wait()
	o.mutex.Lock()
	defer o.mutex.Unlock()
	io.WriteString(o.note, terminal.BareScreen) //nolint:errcheck // as all that is told on standard error
}

// figures are what stands behind the bar of everything. What the width has no
// room for is left out, the least important first.
func (b *bars) figures(width int) string {
	done, size := b.bytes.Load(), b.size.Load()
	rate := b.speed.Rate()
	parts := []string{
		terminal.Percent(done, size),
		fmt.Sprintf("%9s/%-9s", humanBytes(done), humanBytes(size)),
		fmt.Sprintf("%9s/s", humanBytes(int64(rate))),
		"eta " + remaining(size-done, rate),
	}
	return terminal.FitFigures(parts, width)
}

// remaining writes how long the rest takes.
func remaining(left int64, rate float64) string {
	if left <= 0 {
		return "0s   "
	}
	if rate < 1 {
		return "-    "
	}
	return fmt.Sprintf("%-5s", etaText(time.Duration(float64(left)/rate*float64(time.Second))))
}

// foundOne adds a file to everything.
func (b *bars) foundOne(size int64) {
	b.files.Add(1)
	b.total.SetTotal(b.size.Add(size)+1, false) // never complete before close
}

// moved is told of bytes that passed.
func (b *bars) moved(n int64) {
	b.speed.Add(n)
	b.total.SetCurrent(b.bytes.Add(n))
}

// begin shows a bar for a large file if there is room.
func (b *bars) begin(k task) *bar {
	if b.shown.Add(1) > maxFileBars {
		b.shown.Add(-1)
		return nil
	}
	name := k.from
	if k.op == opUpload {
		name = k.to
	}
	label := printable(name.String())
	if name.remote {
		label = printable(name.key)
	}
	return &bar{b.progress.New(max(k.size, 1), terminal.BarStyle(), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Any(func(s decor.Statistics) string {
			return terminal.LineStart + fitLeft(label, min(40, s.AvailableWidth*3/10)) + " "
		})),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string {
			return fmt.Sprintf(" %s %9s/%-9s", terminal.Percent(s.Current, s.Total), humanBytes(s.Current), humanBytes(s.Total))
		})))}
}

// moved is told of bytes of the file that passed.
func (f *bar) moved(n int64) {
	if f != nil {
		f.bar.IncrInt64(n)
	}
}

// end is told that a file is done or given up: what it moved, and what it was
// expected to.
func (b *bars) end(f *bar, ok bool, moved, expected int64) {
	b.ended.Add(1)
	if ok && moved != expected { // a file that grew or shrank, or a copy that moved nothing
		b.total.SetTotal(b.size.Add(moved-expected)+1, false)
	}
	if f != nil {
		f.bar.Abort(true)
		b.shown.Add(-1)
	}
}

// close takes the bars away.
func (b *bars) close() {
	b.total.Abort(true)
	b.out.takeAway(b.progress)
}

// fitLeft makes a text so many columns wide: the end of a long name tells more
// than its beginning.
func fitLeft(text string, width int) string {
	n := utf8.RuneCountInString(text)
	if n <= width {
		return text + strings.Repeat(" ", width-n)
	}
	runes := []rune(text)
	return "…" + string(runes[n-max(width-1, 0):])
}

// etaText writes an estimate: nobody knows tenths of seconds of it.
func etaText(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%ds", int(d.Round(time.Second).Seconds()))
	}
	return shortDuration(d)
}
