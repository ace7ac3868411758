package xaction

import (
	"testing"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A rate spreads the work over time: after n objects at r a second the next turn
// comes n/r later, and what was not used is not saved up.
func TestPace(t *testing.T) {
	at := time.Unix(1000, 0)
	rate := messages.JobRate{Objects: 10, Bytes: 1 << 20}
	p := pace{}
	due := func(objects, bytes int64, now time.Time) time.Duration {
		done := Amount{Objects: objects, Bytes: bytes}
		due := p.due(done, rate, now)
		p.give(done, due)
		return due.Sub(now)
	}
	if d := due(0, 0, at); d != 0 {
		t.Errorf("the first turn waits %s", d)
	}
	if d := due(5, 0, at); d != 500*time.Millisecond {
		t.Errorf("5 objects at 10/s: %s", d)
	}
	at = at.Add(500 * time.Millisecond)
	if d := due(6, 2<<20, at); d != 2*time.Second {
		t.Errorf("2 MiB at 1 MiB/s: %s", d)
	}
	at = at.Add(time.Hour) // it did nothing
	if d := due(6, 2<<20, at); d != 0 {
		t.Errorf("after an idle hour: %s", d)
	}
	if d := due(26, 2<<20, at); d != 2*time.Second {
		t.Errorf("20 objects after an idle hour: %s; it was saved up", d)
	}
	p, rate = pace{}, messages.JobRate{}
	due(0, 0, at)
	if d := due(1e6, 1<<40, at); d != 0 {
		t.Errorf("a job without a rate waits %s", d)
	}
}

// The rate of a job delays its turns, and a stop does not wait for it.
func TestRateDelaysTurns(t *testing.T) {
	turns := make(chan int, 10)
	n := newNode(t, Kind{Name: "paced", Pausable: true, Run: func(r *Run) error {
		for i := range 3 {
			if err := r.Turn(); err != nil {
				return err
			}
			turns <- i
			r.Did(Amount{Objects: 10})
		}
		return nil
	}}).start()
	m := &messages.StartJob{Kind: "paced", Rate: messages.JobRate{Objects: 1}, Reply: messages.NewReply[*messages.Job]()}
	job, err := ask(n, m, m.Reply)
	if err != nil {
		t.Fatal(err)
	}
	<-turns
	n.clock.awaitTimer(10 * time.Second)
	select {
	case i := <-turns:
		t.Fatalf("turn %d came at once", i)
	default:
	}
	n.clock.pass(10 * time.Second)
	<-turns
	if _, err := n.halt(job.ID); err != nil {
		t.Fatal(err)
	}
	wantState(t, n.wait(job.ID), messages.JobStopped)
}

// limit changes the rate of a job.
func (n *node) limit(id string, rate messages.JobRate) (*messages.Job, error) {
	m := &messages.LimitJob{ID: id, Rate: rate, Reply: messages.NewReply[*messages.Job]()}
	return ask(n, m, m.Reply)
}

// awaitTimer returns when somebody waits for so long.
func (c *fakeClock) awaitTimer(d time.Duration) {
	for set := range c.set {
		if set == d {
			return
		}
	}
}

// The rate of a job is another one as soon as that is asked for, also for the turn that
// it waits for, and after a restart.
func TestRateChangesWhileTheJobRuns(t *testing.T) {
	turns := make(chan int, 10)
	n := newNode(t, Kind{Name: "paced", Resumable: true, Run: func(r *Run) error {
		for i := 0; ; i++ {
			if err := r.Turn(); err != nil {
				return err
			}
			select {
			case turns <- i:
			case <-r.Context().Done():
			}
			r.Did(Amount{Objects: 60})
		}
	}}).start()
	m := &messages.StartJob{Kind: "paced", Rate: messages.JobRate{Objects: 1}, Reply: messages.NewReply[*messages.Job]()}
	job, err := ask(n, m, m.Reply)
	if err != nil {
		t.Fatal(err)
	}
	limit := func(rate messages.JobRate) {
		t.Helper()
		if got, err := n.limit(job.ID, rate); err != nil || got.Rate != rate {
			t.Fatalf("limited to %+v: %+v, %v", rate, got, err)
		}
	}
	<-turns
	n.clock.awaitTimer(time.Minute) // 60 objects at one a second
	limit(messages.JobRate{Objects: 30})
	n.clock.awaitTimer(2 * time.Second)
	n.clock.pass(2 * time.Second)
	<-turns
	n.clock.awaitTimer(2 * time.Second)
	limit(messages.JobRate{Objects: 2})
	n.clock.awaitTimer(30 * time.Second)
	if doc := n.store.doc(t, job.ID); doc.rate() != (messages.JobRate{Objects: 2}) {
		t.Errorf("its document says %+v", doc.Rate)
	}
	n.stop()
	n.start()
	if got := n.get(job.ID); got.Rate != (messages.JobRate{Objects: 2}) {
		t.Errorf("after a restart: %+v", got)
	}
	<-turns // the first one of a run waits for nothing
	n.clock.awaitTimer(30 * time.Second)
	limit(messages.JobRate{})
	for range 3 {
		<-turns
	}
	limit(messages.JobRate{Bytes: 1})
	if _, err := n.halt(job.ID); err != nil {
		t.Fatal(err)
	}
	wantState(t, n.wait(job.ID), messages.JobStopped)
	limit(messages.JobRate{Objects: 4}) // of the next run
}

// A limit that cannot be is refused, and so is one of a job that there is not, or that
// is finished.
func TestLimitsThatCannotBe(t *testing.T) {
	n := newNode(t, Kind{Name: "quick", Run: func(*Run) error { return nil }}).start()
	_, err := n.limit("nobody", messages.JobRate{Objects: 1})
	wantKind(t, err, errs.NotFound)
	job := n.begin("quick", "")
	_, err = n.limit(job.ID, messages.JobRate{Bytes: -1})
	wantKind(t, err, errs.Invalid)
	wantState(t, n.wait(job.ID), messages.JobFinished)
	_, err = n.limit(job.ID, messages.JobRate{Objects: 1})
	wantKind(t, err, errs.Conflict)
}
