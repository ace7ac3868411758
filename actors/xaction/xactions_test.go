package xaction

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A job is there before its start is answered, runs, tells its progress, and is
// remembered once it has finished.
func TestJobRunsToItsEnd(t *testing.T) {
	c := newCounting()
	n := newNode(t, c.kind()).start()
	job := n.begin("count", `{"to": 2, "bucket": "photos"}`)
	if n.store.doc(t, job.ID).Kind != "count" {
		t.Fatal("the start was answered before the job was on the disk")
	}
	wantState(t, n.get(job.ID), messages.JobRunning)
	c.step <- struct{}{}
	<-c.took
	if got := n.get(job.ID).Progress; got.Objects != 1 || got.Bytes != 10 || got.TotalObjects != 2 {
		t.Errorf("progress %+v after one step of two", got)
	}
	c.step <- struct{}{}
	ended := n.wait(job.ID)
	wantState(t, ended, messages.JobFinished)
	if ended.Progress.Objects != 2 || ended.Ended.IsZero() || !ended.Idle || ended.Bucket != "photos" || ended.Runs != 1 {
		t.Errorf("ended as %+v", ended)
	}
	kept := n.store.doc(t, job.ID)
	if kept.State != messages.JobFinished || kept.Checkpoint != nil || kept.Progress.Objects != 2 {
		t.Errorf("on the disk: %+v", kept)
	}
}

// What a kind does not take is refused in words, and leaves nothing.
func TestStartRefuses(t *testing.T) {
	once := Kind{Name: "once", Scope: OncePerNode, Run: func(r *Run) error { <-r.Context().Done(); return ErrStop }}
	perBucket := newCounting().kind()
	perBucket.Name, perBucket.Scope = "bucket", OncePerBucket
	n := newNode(t, once, perBucket).start()
	for _, c := range []struct {
		kind, parameters string
		want             errs.Kind
		says             string
	}{
		{"nothing", ``, errs.Invalid, "there are: bucket, once"},
		{"once", `{"a": 1}`, errs.Invalid, "no parameters"},
		{"once", `{`, errs.Invalid, "not JSON"},
		{"bucket", `{"to": 0}`, errs.Invalid, "at least 1"},
		{"bucket", `{"to": 1, "tow": 2}`, errs.Invalid, "tow"},
		{"bucket", `{"to": 1}`, errs.Invalid, "a bucket is needed"},
		{"bucket", `{"to": 1, "bucket": "` + strings.Repeat("b", maxParameters) + `"}`, errs.Invalid, "at most"},
	} {
		_, err := n.tryBegin(c.kind, c.parameters)
		if !errs.Is(c.want, err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %.40s: %v, want %s that says %q", c.kind, c.parameters, err, c.want, c.says)
		}
	}
	if jobs := n.list(); len(jobs) != 0 {
		t.Errorf("%d jobs are left", len(jobs))
	}

	first := n.begin("once", "")
	_, err := n.tryBegin("once", "")
	wantKind(t, err, errs.Conflict)
	if !strings.Contains(err.Error(), first.ID) {
		t.Errorf("%v does not name the job that is in the way", err)
	}
	n.begin("bucket", `{"to": 1, "bucket": "a"}`)
	n.begin("bucket", `{"to": 1, "bucket": "b"}`)
	_, err = n.tryBegin("bucket", `{"to": 1, "bucket": "a"}`)
	wantKind(t, err, errs.Conflict)
	// Negative control: once the job in the way has ended, the next may begin.
	if _, err := n.halt(first.ID); err != nil {
		t.Fatal(err)
	}
	wantState(t, n.wait(first.ID), messages.JobStopped)
	n.begin("once", "")
}

// A job that cannot be made durable was never there.
func TestStartNeedsADurableDocument(t *testing.T) {
	c := newCounting()
	n := newNode(t, c.kind()).start()
	n.store.refuseWith(errs.E("fake", errs.NoSpace))
	_, err := n.tryBegin("count", `{"to": 1}`)
	wantKind(t, err, errs.NoSpace)
	if jobs := n.list(); len(jobs) != 0 {
		t.Errorf("%d jobs are left", len(jobs))
	}
	select {
	case at := <-c.began:
		t.Errorf("it ran from %d", at)
	default:
	}
	n.store.refuseWith(nil)
	n.begin("count", `{"to": 1}`)
	if at := <-c.began; at != 0 {
		t.Errorf("the next one began at %d", at)
	}
}

// A paused job begins no step until it is resumed; pausing and resuming twice is
// as once.
func TestPauseAndResume(t *testing.T) {
	c := newCounting()
	c.turned = make(chan int, 3)
	n := newNode(t, c.kind()).start()
	job := n.begin("count", `{"to": 3}`)
	c.step <- struct{}{}
	<-c.took
	for range 2 { // the second step is under way
		<-c.turned
	}
	for range 2 {
		paused, err := n.pause(job.ID)
		if err != nil {
			t.Fatal(err)
		}
		wantState(t, paused, messages.JobPaused)
	}
	if doc := n.store.doc(t, job.ID); doc.State != messages.JobPaused {
		t.Errorf("on the disk it is %s", doc.State)
	}
	c.step <- struct{}{} // the step that was under way ends
	<-c.took
	select {
	case c.step <- struct{}{}:
		t.Fatal("a paused job began a step")
	default:
	}
	for range 2 {
		resumed, err := n.resume(job.ID)
		if err != nil {
			t.Fatal(err)
		}
		wantState(t, resumed, messages.JobRunning)
	}
	c.step <- struct{}{}
	wantState(t, n.wait(job.ID), messages.JobFinished)
	_, err := n.pause(job.ID)
	wantKind(t, err, errs.Conflict)
	_, err = n.resume(job.ID)
	wantKind(t, err, errs.Conflict)

	rigid := newCounting()
	kind := rigid.kind()
	kind.Pausable = false
	m := newNode(t, kind).start()
	other := m.begin("count", `{"to": 1}`)
	_, err = m.pause(other.ID)
	wantKind(t, err, errs.Conflict)
}

// A job is stopped wherever it stands, and can be taken up again where it was.
func TestStopAndStartAgain(t *testing.T) {
	c := newCounting()
	n := newNode(t, c.kind()).start()
	job := n.begin("count", `{"to": 3}`)
	<-c.began
	c.step <- struct{}{}
	<-c.took
	if _, err := n.again(job.ID); !errs.Is(errs.Conflict, err) {
		t.Errorf("a job that runs was started again: %v", err)
	}
	if _, err := n.halt(job.ID); err != nil {
		t.Fatal(err)
	}
	stopped := n.wait(job.ID)
	wantState(t, stopped, messages.JobStopped)
	if stopped.Err != "" || stopped.Progress.Objects != 1 {
		t.Errorf("stopped as %+v", stopped)
	}
	same, err := n.halt(job.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantState(t, same, messages.JobStopped)

	taken, err := n.again(job.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantState(t, taken, messages.JobRunning)
	if at := <-c.began; at != 1 {
		t.Errorf("it went on at %d, the checkpoint says 1", at)
	}
	if _, err := n.pause(job.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := n.halt(job.ID); err != nil { // while it is paused
		t.Fatal(err)
	}
	wantState(t, n.wait(job.ID), messages.JobStopped)
	if _, err := n.again(job.ID); err != nil {
		t.Fatal(err)
	}
	c.step <- struct{}{}
	c.step <- struct{}{}
	wantState(t, n.wait(job.ID), messages.JobFinished)
	_, err = n.again(job.ID)
	wantKind(t, err, errs.Conflict)
}

// A job that panics, fails or is killed is recorded with the cause, costs no other
// job, and begins again only on request.
func TestFailuresAreRecorded(t *testing.T) {
	failing := Kind{Name: "failing", Run: func(*Run) error { return errs.E("test", "photos/cat.jpg", errs.NoSpace) }}
	panics := Kind{Name: "panicking", Run: func(*Run) error { panic("the sky falls") }}
	c, quiet := newCounting(), newCounting()
	other := quiet.kind()
	other.Name = "other"
	n := newNode(t, failing, panics, c.kind(), other).start()
	bystander := n.begin("other", `{"to": 1}`)
	for kind, says := range map[string]string{"failing": "photos/cat.jpg: no space", "panicking": "panic: the sky falls"} {
		ended := n.wait(n.begin(kind, "").ID)
		wantState(t, ended, messages.JobFailed)
		if !strings.Contains(ended.Err, says) {
			t.Errorf("%s: %q, want %q in it", kind, ended.Err, says)
		}
		if doc := n.store.doc(t, ended.ID); doc.State != messages.JobFailed || doc.Err != ended.Err {
			t.Errorf("%s: on the disk %s: %s", kind, doc.State, doc.Err)
		}
		if ended.Runs != 1 {
			t.Errorf("%s: it ran %d times", kind, ended.Runs)
		}
	}

	victim := n.begin("count", `{"to": 2}`)
	c.step <- struct{}{}
	address := Name + "/count-" + victim.ID
	n.system.Root().Stop(n.system.PID(address))
	killed := n.wait(victim.ID)
	wantState(t, killed, messages.JobFailed)
	if killed.Err != "killed" {
		t.Errorf("killed: %q", killed.Err)
	}

	broken := n.begin("count", `{"to": 1}`)
	n.breakActor(Name + "/count-" + broken.ID)
	ended := n.wait(broken.ID)
	wantState(t, ended, messages.JobFailed)
	if !strings.Contains(ended.Err, "on purpose") {
		t.Errorf("its actor panicked: %q", ended.Err)
	}

	wantState(t, n.get(bystander.ID), messages.JobRunning)
	close(quiet.step)
	wantState(t, n.wait(bystander.ID), messages.JobFinished)
	close(c.step)
	if _, err := n.again(killed.ID); err != nil {
		t.Fatal(err)
	}
	wantState(t, n.wait(killed.ID), messages.JobFinished)
}

// A wait ends with the job, or with its time; then it answers the job as it is.
func TestWait(t *testing.T) {
	c := newCounting()
	n := newNode(t, c.kind())
	n.limits.Waiting = 2
	n.start()
	job := n.begin("count", `{"to": 1}`)
	waits := make([]*messages.WaitJob, 3)
	for i := range waits {
		waits[i] = &messages.WaitJob{ID: job.ID, Within: time.Duration(i+1) * time.Minute, Reply: messages.NewReply[*messages.Job]()}
		n.system.Root().Send(n.self, waits[i])
	}
	_, err := waits[2].Reply.Wait("test", answerTime)
	wantKind(t, err, errs.Busy)
	n.get(job.ID) // both waits are there
	n.clock.pass(time.Minute)
	early, err := waits[0].Reply.Wait("test", answerTime)
	if err != nil {
		t.Fatal(err)
	}
	wantState(t, early, messages.JobRunning)
	c.step <- struct{}{}
	ended, err := waits[1].Reply.Wait("test", answerTime)
	if err != nil {
		t.Fatal(err)
	}
	wantState(t, ended, messages.JobFinished)

	unknown := &messages.WaitJob{ID: "none", Within: time.Minute, Reply: messages.NewReply[*messages.Job]()}
	_, err = ask(n, unknown, unknown.Reply)
	wantKind(t, err, errs.NotFound)
	long := &messages.WaitJob{ID: n.begin("count", `{"to": 1}`).ID, Within: time.Hour, Reply: messages.NewReply[*messages.Job]()}
	_, err = ask(n, long, long.Reply)
	wantKind(t, err, errs.Invalid)
}

// Beyond the limit jobs wait for room, by priority and then by age, and beyond
// that they are refused.
func TestRoomIsGivenByPriority(t *testing.T) {
	began := make(chan string, 10)
	end := make(chan struct{})
	kind := func(name string, priority int) Kind {
		return Kind{Name: name, Priority: priority, Run: func(r *Run) error {
			began <- name
			select {
			case <-end:
				return nil
			case <-r.Context().Done():
				return ErrStop
			}
		}}
	}
	n := newNode(t, kind("low", 0), kind("high", 5))
	n.limits = Limits{Running: 1, Queued: 3}
	n.start()
	first := n.begin("low", "")
	<-began
	n.clock.pass(time.Second)
	for _, name := range []string{"low", "low", "high"} {
		job := n.begin(name, "")
		wantState(t, job, messages.JobQueued)
		n.clock.pass(time.Second)
	}
	_, err := n.tryBegin("high", "")
	wantKind(t, err, errs.Busy)
	end <- struct{}{}
	n.wait(first.ID)
	if name := <-began; name != "high" {
		t.Errorf("%s went first", name)
	}
	queued := n.list()[1] // the newest first: high, low, low, low
	if _, err := n.halt(queued.ID); err != nil {
		t.Fatal(err)
	}
	stopped := n.get(queued.ID)
	wantState(t, stopped, messages.JobStopped)
	if stopped.Runs != 0 {
		t.Errorf("a queued job that was stopped ran %d times", stopped.Runs)
	}
	close(end)
	if name := <-began; name != "low" {
		t.Errorf("%s came next", name)
	}
}

// Things that fail while a job goes on are counted, and the last are kept with
// their names, so that a job over a million broken objects stays small.
func TestFailuresOnTheWayAreBounded(t *testing.T) {
	n := newNode(t, Kind{Name: "messy", Run: func(r *Run) error {
		for i := range 1000 {
			r.Failed(fmt.Sprint("object-", i), errors.New(strings.Repeat("x", 2000)))
		}
		return nil
	}}).start()
	job := n.wait(n.begin("messy", "").ID)
	wantState(t, job, messages.JobFinished)
	p := job.Progress
	if p.Errors != 1000 || len(p.Failures) != maxFailures || p.Failures[maxFailures-1].Name != "object-999" {
		t.Errorf("%d errors, %d kept, the last %v", p.Errors, len(p.Failures), p.Failures[len(p.Failures)-1].Name)
	}
	if size := len(n.store.docs[job.ID]); size > 64<<10 {
		t.Errorf("the document has %d bytes", size)
	}
	_, err := (&ledger{}).keepTest(strings.Repeat("x", maxCheckpoint))
	if err == nil {
		t.Error("a checkpoint of any size is taken")
	}
}

func (l *ledger) keepTest(state any) (*checkpoint, error) {
	err := l.keep(1, state)
	return l.checkpoint, err
}

// Kinds that cannot be are all named.
func TestKindsAreChecked(t *testing.T) {
	run := func(*Run) error { return nil }
	_, err := newKinds([]Kind{{Name: "Bad", Run: run}, {Name: "same", Run: run}, {Name: "same", Run: run}, {Name: "lazy"}, {Name: "prefixed", Prefix: "A/", Run: run}})
	for _, says := range []string{`"Bad"`, "two of that name", `"lazy": it does nothing`, `"A/"`} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %s", err, says)
		}
	}
	if _, err := newKinds([]Kind{{Name: "good-1", Prefix: "gd-", Run: run}}); err != nil {
		t.Error(err)
	}
}
