package messages

import (
	"encoding/json"
	"time"
)

// JobState is where a job stands.
type JobState string

const (
	// JobQueued: it will run when there is room.
	JobQueued JobState = "queued"
	// JobRunning: its actor is at work.
	JobRunning JobState = "running"
	// JobPaused: it begins no further step until it is resumed, also after a
	// restart of the node.
	JobPaused JobState = "paused"
	// JobStopping: it was told to stop and has not come to an end yet.
	JobStopping JobState = "stopping"
	// JobFinished: it did what it was for.
	JobFinished JobState = "finished"
	// JobStopped: it was stopped on demand.
	JobStopped JobState = "stopped"
	// JobFailed: it ended otherwise; Job.Err says why.
	JobFailed JobState = "failed"
)

// JobStates returns all states in the order in which a job passes them.
func JobStates() []JobState {
	return []JobState{JobQueued, JobRunning, JobPaused, JobStopping, JobFinished, JobStopped, JobFailed}
}

// Ended reports whether a job in this state will do nothing more by itself.
func (s JobState) Ended() bool { return s == JobFinished || s == JobStopped || s == JobFailed }

// Job is what can be seen of a job from outside: a snapshot.
type Job struct {
	ID         string
	Kind       string
	Bucket     string          // name of the bucket that it works on; empty: none in particular
	Parameters json.RawMessage // as validated by its kind
	Rate       JobRate
	State      JobState
	Err        string    // why it failed
	Created    time.Time // when it was asked for
	Started    time.Time // when it first ran; zero: not yet
	Ended      time.Time // zero: it has not
	Runs       int       // how often it was begun: more than 1 after a restart of the node
	Idle       bool      // it does nothing now: paused, waiting for work, or ended
	Progress   JobProgress
}

// JobProgress is how far a job has come.
type JobProgress struct {
	Objects      int64 // dealt with
	Bytes        int64
	TotalObjects int64 // expected in all; 0: not known
	TotalBytes   int64
	Errors       int64        // things that failed while the job went on
	Failures     []JobFailure // the last of them

	// How much a run under way did in a second, over the last ten of them.
	ObjectsPerSecond float64
	BytesPerSecond   float64
}

// JobFailure is one thing that failed while its job went on.
type JobFailure struct {
	Name string // of the thing: an object, a bucket, a mountpath
	Err  string
}

// JobRate bounds what a job does in a second. A zero field does not.
type JobRate struct {
	Objects int64
	Bytes   int64
}

// StartJob starts a job. Sent by the edges and by other actors to the xactions
// coordinator; answered by the job, queued or running, once it is durable, or by a
// failure: Invalid (no such kind, parameters that it does not take), Conflict (the
// kind runs once, and one is there), Busy (too many jobs wait).
type StartJob struct {
	Kind       string
	Parameters json.RawMessage // of the kind; empty: none
	Rate       JobRate
	Reply      Reply[*Job]
}

// Fail implements Failer.
func (m *StartJob) Fail(err error) { m.Reply.Fail(err) }

// RestartJob takes up a job that failed or was stopped, under its own id, from
// its last checkpoint if its kind keeps any. Answered like StartJob; NotFound,
// or Conflict if it has not ended or is finished.
type RestartJob struct {
	ID    string
	Reply Reply[*Job]
}

// Fail implements Failer.
func (m *RestartJob) Fail(err error) { m.Reply.Fail(err) }

// PauseJob makes a job begin no further step. Sent to the xactions coordinator;
// answered once that is durable; the step under way may still end. Conflict if the
// kind cannot pause or the job has ended. Repeating it is no failure.
type PauseJob struct {
	ID    string
	Reply Reply[*Job]
}

// Fail implements Failer.
func (m *PauseJob) Fail(err error) { m.Reply.Fail(err) }

// ResumeJob lets a paused job go on. Answered like PauseJob; one that is not
// paused goes on as it does.
type ResumeJob struct {
	ID    string
	Reply Reply[*Job]
}

// Fail implements Failer.
func (m *ResumeJob) Fail(err error) { m.Reply.Fail(err) }

// StopJob ends a job at its next step. Answered once that is durable, with a job
// that is stopping or has ended: WaitJob tells when. One that has ended stays as
// it is.
type StopJob struct {
	ID    string
	Reply Reply[*Job]
}

// Fail implements Failer.
func (m *StopJob) Fail(err error) { m.Reply.Fail(err) }

// LimitJob bounds what a job does in a second from now on, in place of what bounded it
// so far: the step under way ends, and the next one begins when the new rate allows
// it. Of a job that failed or was stopped it counts when it is restarted. Sent to the
// xactions coordinator; answered once that is durable. Invalid, NotFound, or Conflict
// if the job is finished.
type LimitJob struct {
	ID    string
	Rate  JobRate // zero: none
	Reply Reply[*Job]
}

// Fail implements Failer.
func (m *LimitJob) Fail(err error) { m.Reply.Fail(err) }

// GetJob asks for one job; NotFound if there is none, or not any more.
type GetJob struct {
	ID    string
	Reply Reply[*Job]
}

// Fail implements Failer.
func (m *GetJob) Fail(err error) { m.Reply.Fail(err) }

// ListJobs asks for the jobs that there are, the newest first, ended ones as long
// as they are remembered. Empty fields do not select.
type ListJobs struct {
	Kind   string
	Bucket string
	Active bool // only those that have not ended
	Reply  Reply[[]*Job]
}

// Fail implements Failer.
func (m *ListJobs) Fail(err error) { m.Reply.Fail(err) }

// WaitJob asks for a job when it has ended, or when Within has passed: then it is
// answered as it is, which is no failure. Busy if too many wait. The sender waits
// a little longer than Within.
type WaitJob struct {
	ID     string
	Within time.Duration // at most MaxJobWait
	Reply  Reply[*Job]
}

// MaxJobWait is the longest that one WaitJob waits.
const MaxJobWait = 10 * time.Minute

// Fail implements Failer.
func (m *WaitJob) Fail(err error) { m.Reply.Fail(err) }

// RestJobs ends every run, as a stop of the node does, but for what a kill would
// cost: checkpoints and progress are on the disk when it is answered. Jobs keep
// their states, and go on when the coordinator starts again. Sent by who stops the
// node, to the xactions coordinator, which begins nothing afterwards.
type RestJobs struct{ Reply Reply[struct{}] }

// Fail implements Failer.
func (m *RestJobs) Fail(err error) { m.Reply.Fail(err) }

// ListJobKinds asks for the kinds of jobs that the node can run.
type ListJobKinds struct{ Reply Reply[[]JobKind] }

// Fail implements Failer.
func (m *ListJobKinds) Fail(err error) { m.Reply.Fail(err) }

// JobKind is what can be seen of a kind of job.
type JobKind struct {
	Name      string
	Summary   string // one sentence
	Pausable  bool
	Resumable bool
}
