package xaction

import (
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// After a restart of the node a job that ran goes on from its last checkpoint, a
// paused one stays paused, and one that was to stop has stopped.
func TestJobsGoOnAfterARestart(t *testing.T) {
	c := newCounting()
	n := newNode(t, c.kind()).start()
	running := n.begin("count", `{"to": 4}`)
	<-c.began
	c.step <- struct{}{}
	<-c.took
	c.step <- struct{}{}
	<-c.took
	n.tickUntil(func() bool {
		d := n.store.doc(t, running.ID)
		return d.Checkpoint != nil && string(d.Checkpoint.State) == "2"
	})
	paused := n.begin("count", `{"to": 1}`)
	<-c.began
	if _, err := n.pause(paused.ID); err != nil {
		t.Fatal(err)
	}
	queuedPaused := n.begin("count", `{"to": 1}`)
	<-c.began
	n.stop()

	if doc := n.store.doc(t, running.ID); doc.State != messages.JobRunning {
		t.Fatalf("the stop of the node made the job %s: %s", doc.State, doc.Err)
	}
	stopping := n.store.doc(t, queuedPaused.ID)
	stopping.State = messages.JobStopping
	stopping.Version++
	content, err := stopping.encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.store.PutJob(stopping.ID, content); err != nil {
		t.Fatal(err)
	}

	n.start()
	if at := <-c.began; at != 2 {
		t.Errorf("it went on at %d, the checkpoint says 2", at)
	}
	if job := n.get(running.ID); job.State != messages.JobRunning || job.Runs != 2 || job.Progress.Objects != 2 {
		t.Errorf("it runs as %+v", job)
	}
	wantState(t, n.get(paused.ID), messages.JobPaused)
	wantState(t, n.get(stopping.ID), messages.JobStopped)
	select {
	case <-c.began:
		t.Error("a paused or stopped job began by itself")
	default:
	}
	if _, err := n.resume(paused.ID); err != nil {
		t.Fatal(err)
	}
	<-c.began
	close(c.step)
	wantState(t, n.wait(running.ID), messages.JobFinished)
	wantState(t, n.wait(paused.ID), messages.JobFinished)
	if got := n.get(running.ID).Progress.Objects; got != 4 {
		t.Errorf("%d objects of 4 were counted over both runs", got)
	}
}

// A stop in order costs nothing: what was done last is on the disk, jobs keep their
// states, and nothing begins any more.
func TestRestKeepsEverything(t *testing.T) {
	c := newCounting()
	n := newNode(t, c.kind())
	n.limits = Limits{Running: 2}
	n.start()
	running, paused, queued := n.begin("count", `{"to": 9}`), n.begin("count", `{"to": 9}`), n.begin("count", `{"to": 9}`)
	<-c.began
	<-c.began
	if _, err := n.pause(paused.ID); err != nil {
		t.Fatal(err)
	}
	<-c.began // the queued one has its place
	stopped := n.begin("count", `{"to": 9}`)
	if _, err := n.halt(queued.ID); err != nil {
		t.Fatal(err)
	}
	<-c.began // and this one that one's
	wantState(t, n.wait(queued.ID), messages.JobStopped)
	for range 3 {
		c.step <- struct{}{}
		<-c.took
	}
	n.rest()
	if _, err := n.tryBegin("count", `{"to": 1}`); !errs.Is(errs.Busy, err) {
		t.Errorf("a job was begun while the node stops: %v", err)
	}
	total := int64(0)
	for id, state := range map[string]messages.JobState{running.ID: messages.JobRunning, paused.ID: messages.JobPaused, stopped.ID: messages.JobRunning} {
		doc := n.store.doc(t, id)
		if doc.State != state {
			t.Errorf("on the disk %s is %s, want %s", id, doc.State, state)
		}
		total += doc.Progress.Objects
	}
	if total != 3 {
		t.Errorf("%d steps of 3 are on the disk", total)
	}
	n.stop()
	n.start()
	<-c.began
	<-c.began
	wantState(t, n.get(paused.ID), messages.JobPaused)
}

// tickUntil lets time pass, a second at a time, until the condition holds. Each
// tick is waited for: the coordinator asks for the next one in it.
func (n *node) tickUntil(condition func() bool) {
	n.t.Helper()
	for deadline := time.Now().Add(answerTime); time.Now().Before(deadline); {
		if condition() {
			return
		}
		n.list() // what came before has been handled
		for len(n.clock.set) > 0 {
			<-n.clock.set
		}
		n.clock.pass(time.Second)
		for d := range n.clock.set {
			if d == time.Second {
				break
			}
		}
	}
	n.t.Fatal("it does not come to hold")
}

// A job whose kind cannot resume, or is not there any more, is failed by a restart
// and says why; it is never repeated in silence.
func TestRestartFailsWhatCannotGoOn(t *testing.T) {
	c, gone := newCounting(), newCounting()
	rigid, other := c.kind(), gone.kind()
	rigid.Resumable = false
	other.Name = "gone"
	n := newNode(t, rigid, other).start()
	job := n.begin("count", `{"to": 2}`)
	lost := n.begin("gone", `{"to": 2}`)
	<-c.began
	<-gone.began
	c.step <- struct{}{}
	<-c.took
	n.tickUntil(func() bool { return n.store.doc(t, job.ID).Progress.Objects == 1 })
	n.stop()
	n.kinds = n.kinds[:1]
	n.start()
	failed := n.get(job.ID)
	wantState(t, failed, messages.JobFailed)
	if !strings.Contains(failed.Err, "interrupted") {
		t.Errorf("it says %q", failed.Err)
	}
	orphan := n.get(lost.ID)
	wantState(t, orphan, messages.JobFailed)
	if !strings.Contains(orphan.Err, `no kind of job "gone"`) {
		t.Errorf("it says %q", orphan.Err)
	}
	if _, err := n.again(orphan.ID); !errs.Is(errs.Invalid, err) {
		t.Errorf("a job of no kind was started again: %v", err)
	}
	if _, err := n.again(job.ID); err != nil {
		t.Fatal(err)
	}
	if at := <-c.began; at != 0 {
		t.Errorf("a kind that cannot resume began at %d", at)
	}
	if got := n.get(job.ID).Progress.Objects; got != 0 {
		t.Errorf("it begins with %d objects counted", got)
	}
	for _, tally := range n.census.Load().Tallies() { // what the metrics show never falls
		if tally.Done.Objects != 1 {
			t.Errorf("%d objects are counted for the metrics, 1 was done before", tally.Done.Objects)
		}
	}
}

// A coordinator that panics takes its jobs up again; who waits is answered.
func TestCoordinatorThatPanicsTakesJobsUp(t *testing.T) {
	c := newCounting()
	n := newNode(t, c.kind()).start()
	job := n.begin("count", `{"to": 3}`)
	<-c.began
	c.step <- struct{}{}
	<-c.took
	wait := &messages.WaitJob{ID: job.ID, Within: time.Minute, Reply: messages.NewReply[*messages.Job]()}
	n.system.Root().Send(n.self, wait)
	n.breakActor(Name)
	for d := range n.clock.set { // its supervisor waits a moment
		if d == time.Millisecond {
			break
		}
	}
	n.clock.pass(time.Millisecond)
	if at := <-c.began; at != 1 {
		t.Errorf("it went on at %d", at)
	}
	close(c.step)
	ended, err := wait.Reply.Wait("test", answerTime)
	if err != nil {
		t.Fatal(err)
	}
	wantState(t, ended, messages.JobFinished)
	if ended.Runs != 2 || ended.Progress.Objects != 3 {
		t.Errorf("ended as %+v", ended)
	}
}

// Ended jobs are remembered up to a number and an age, and their documents go.
func TestHistoryIsBounded(t *testing.T) {
	n := newNode(t, Kind{Name: "short", Run: func(*Run) error { return nil }}, newCounting().kind())
	n.limits = Limits{History: 3, Age: time.Hour}
	n.start()
	active := n.begin("count", `{"to": 1}`)
	var ids []string
	for range 5 {
		job := n.wait(n.begin("short", "").ID)
		ids = append(ids, job.ID)
		n.clock.pass(time.Minute)
	}
	remembered := func() int { return len(n.list()) - 1 }
	n.tickUntil(func() bool { return remembered() == 3 && len(n.store.all()) == 4 })
	for i, id := range ids {
		m := &messages.GetJob{ID: id, Reply: messages.NewReply[*messages.Job]()}
		_, err := ask(n, m, m.Reply)
		if forgotten := errs.Is(errs.NotFound, err); forgotten != (i < 2) {
			t.Errorf("job %d of 5: %v", i, err)
		}
	}
	n.clock.pass(2 * time.Hour)
	n.tickUntil(func() bool { return remembered() == 0 && len(n.store.all()) == 1 })
	wantState(t, n.get(active.ID), messages.JobRunning) // however old
}

// Checkpoints cost one write a second at most, however many there are; Sync writes
// at once, and tells when it cannot.
func TestCheckpointsAreCheap(t *testing.T) {
	kept, synced, next := make(chan struct{}), make(chan error, 1), make(chan struct{})
	n := newNode(t, Kind{Name: "busy", Resumable: true, Run: func(r *Run) error {
		for i := range 10_000 {
			if err := r.Checkpoint(1, i); err != nil {
				return err
			}
		}
		kept <- struct{}{}
		<-next
		synced <- r.Sync()
		<-next
		synced <- r.Sync()
		return nil
	}}).start()
	job := n.begin("busy", "")
	<-kept
	if writes := n.store.count(); writes > 3 {
		t.Errorf("%d writes for one job that has just begun", writes)
	}
	next <- struct{}{}
	if err := <-synced; err != nil {
		t.Fatal(err)
	}
	if doc := n.store.doc(t, job.ID); doc.Checkpoint == nil || string(doc.Checkpoint.State) != "9999" {
		t.Errorf("after Sync the disk has %+v", doc.Checkpoint)
	}
	n.store.refuseWith(errs.E("fake", errs.IO))
	next <- struct{}{}
	if err := <-synced; !errs.Is(errs.IO, err) {
		t.Errorf("Sync answered %v though nothing can be written", err)
	}
	wantState(t, n.wait(job.ID), messages.JobFinished) // the job itself goes on
	n.store.refuseWith(nil)
	n.tickUntil(func() bool { return n.store.doc(t, job.ID).State == messages.JobFinished })
}

// A document of a newer release, or one that is damaged, is left alone.
func TestStrangeDocumentsAreLeftAlone(t *testing.T) {
	n := newNode(t, newCounting().kind())
	n.store.docs["newer"] = []byte(`{"format": 2, "version": 1, "id": "newer", "kind": "count", "state": "running"}`)
	n.store.docs["torn"] = []byte(`{"format": 1, "ver`)
	n.start()
	if jobs := n.list(); len(jobs) != 0 {
		t.Errorf("%d jobs", len(jobs))
	}
	if len(n.store.all()) != 2 {
		t.Error("a document that is not understood was removed")
	}
}

// A document that lies under another id than its own is no job: were it one, its next
// write would replace the document of the job that it says it is. The log names both;
// the job of that id is as it was.
func TestDocumentUnderAnotherNameIsLeftAlone(t *testing.T) {
	c := newCounting()
	n := newNode(t, c.kind()).start()
	job := n.begin("count", `{"to": 1}`)
	<-c.began
	close(c.step)
	wantState(t, n.wait(job.ID), messages.JobFinished)
	n.stop()
	misnamed := n.store.doc(t, job.ID)
	misnamed.State, misnamed.Version = messages.JobRunning, misnamed.Version+7
	content, err := misnamed.encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.store.PutJob("copied", content); err != nil {
		t.Fatal(err)
	}
	n.start()
	if jobs := n.list(); len(jobs) != 1 {
		t.Errorf("%d jobs", len(jobs))
	}
	wantState(t, n.get(job.ID), messages.JobFinished)
	m := &messages.GetJob{ID: "copied", Reply: messages.NewReply[*messages.Job]()}
	if _, err := ask(n, m, m.Reply); !errs.Is(errs.NotFound, err) {
		t.Errorf("the copy is a job: %v", err)
	}
	if kept := n.store.all(); string(kept["copied"]) != string(content) || n.store.doc(t, job.ID).State != messages.JobFinished {
		t.Error("a document that was to be left alone was changed")
	}
	n.stop()
	if said := n.log.String(); !strings.Contains(said, "copied.json") || !strings.Contains(said, job.ID) || !strings.Contains(said, "give the file that name") {
		t.Errorf("the log says %q", said)
	}
}
