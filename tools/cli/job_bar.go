package cli

import (
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/tools/terminal"
)

// jobBar shows the progress of a job on a terminal; nil shows nothing. Where the
// job does not know how much there is in all, the bar stays empty beside what is done.
//
//	move running [====>-----------]  31%  1204/3881 objects  eta 40s  35.1 MiB/s  66 objects/s
type jobBar struct {
	out      *Output
	progress *mpb.Progress
	bar      *mpb.Bar
	latest   atomic.Pointer[api.Job]
	closing  sync.Once
}

// newJobBar begins to draw; close ends it.
func newJobBar(out *Output) *jobBar {
	b := &jobBar{out: out}
	b.progress = terminal.NewBars(out.note)
	b.bar = b.progress.New(0, terminal.BarStyle(), // of a total that is known here it could only complete
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string {
			return terminal.LineStart + b.text(func(j *api.Job) string { return j.Kind + " " + j.State + " " })
		})),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string {
			return b.text(func(j *api.Job) string { return jobFigures(j, s.AvailableWidth) })
		})))
	out.putAbove(b.progress)
	return b
}

// jobFigures are what stands behind the bar of a job, as much as the width has room
// for.
func jobFigures(j *api.Job, width int) string {
	p := &j.Progress
	objects, bytes := strconv.FormatInt(p.Objects, 10), humanBytes(p.Bytes)
	var parts []string
	if done, total := shareOf(j); total > 0 {
		parts = append(parts, terminal.Percent(done, total))
	}
	if p.TotalObjects > 0 {
		objects += "/" + strconv.FormatInt(p.TotalObjects, 10)
	}
	if p.TotalBytes > 0 {
		bytes += "/" + humanBytes(p.TotalBytes)
	}
	parts = append(parts, objects+" objects")
	if left := leftText(j); left != "" {
		parts = append(parts, " eta "+left)
	}
	if tempoText(j) != "" {
		parts = append(parts, " "+bytesPerSecond(p.BytesPerSecond), " "+objectsPerSecond(p.ObjectsPerSecond))
	}
	return terminal.FitFigures(append(parts, " "+bytes), width)
}

func (b *jobBar) text(of func(*api.Job) string) string {
	if j := b.latest.Load(); j != nil {
		return of(j)
	}
	return ""
}

// shareOf is what the bar is filled by: bytes if the job knows how many there are,
// else objects; a total of 0 is not known.
func shareOf(j *api.Job) (done, total int64) {
	if j.Progress.TotalBytes > 0 {
		return j.Progress.Bytes, j.Progress.TotalBytes
	}
	return j.Progress.Objects, j.Progress.TotalObjects
}

func (b *jobBar) show(j *api.Job) {
	if b == nil {
		return
	}
	b.latest.Store(j)
	if done, total := shareOf(j); total > 0 {
		b.bar.SetTotal(total+1, false) // never complete before close
		b.bar.SetCurrent(min(done, total))
	}
}

// close takes the bar away. Idempotent.
func (b *jobBar) close() {
	if b == nil {
		return
	}
	b.closing.Do(func() {
		b.bar.Abort(true)
		b.out.takeAway(b.progress)
	})
}
