package api

import (
	"encoding/json"
	"time"
)

// JobsPath is where a node's jobs are, on the native listener. Everything there
// needs the root pair.
//
//	GET  /v1/jobs?kind=K&bucket=B&active=true   Jobs
//	POST /v1/jobs                               StartJob, answered by a Job
//	GET  /v1/jobs/ID?wait=30s                   Job, when it has ended or the time has passed
//	POST /v1/jobs/ID                            JobAction, answered by a Job
const JobsPath = "/v1/jobs"

// Jobs is the list of jobs, the newest first, and the kinds that can be started.
type Jobs struct {
	Jobs  []Job     `json:"jobs"`
	Kinds []JobKind `json:"kinds"`
}

// Job is one batch operation. Its states are queued, running, paused, stopping and,
// once it has ended, finished, stopped or failed.
type Job struct {
	ID         string          `json:"id"`
	Kind       string          `json:"kind"`
	Bucket     string          `json:"bucket,omitempty"`
	Parameters json.RawMessage `json:"parameters"`
	Rate       *JobRate        `json:"rate,omitempty"`
	State      string          `json:"state"`
	Error      string          `json:"error,omitempty"` // why it failed
	Created    time.Time       `json:"created"`
	Started    *time.Time      `json:"started,omitempty"`
	Ended      *time.Time      `json:"ended,omitempty"`
	Runs       int             `json:"runs"` // how often it was begun
	Idle       bool            `json:"idle"` // it does nothing now
	Progress   JobProgress     `json:"progress"`
}

// Active reports whether the job may still do something.
func (j *Job) Active() bool { return j.Ended == nil }

// JobProgress is how far a job has come. A total of 0 is not known.
type JobProgress struct {
	Objects      int64        `json:"objects"`
	Bytes        int64        `json:"bytes"`
	TotalObjects int64        `json:"total_objects,omitempty"`
	TotalBytes   int64        `json:"total_bytes,omitempty"`
	Errors       int64        `json:"errors,omitempty"`
	Failures     []JobFailure `json:"failures,omitempty"` // the last of the errors

	// How much is done in a second, over the last ten of them; 0 once nothing is.
	ObjectsPerSecond float64 `json:"objects_per_second,omitempty"`
	BytesPerSecond   float64 `json:"bytes_per_second,omitempty"`
}

// Left estimates how long the rest takes at the present rates; 0: that is not known.
// The slower of objects and bytes counts, because small objects cost by number and
// large ones by size.
func (p *JobProgress) Left() time.Duration {
	var seconds float64
	for _, part := range []struct {
		left int64
		rate float64
	}{{p.TotalObjects - p.Objects, p.ObjectsPerSecond}, {p.TotalBytes - p.Bytes, p.BytesPerSecond}} {
		if part.left > 0 && part.rate > 0 {
			seconds = max(seconds, float64(part.left)/part.rate)
		}
	}
	const most = 1000 * 24 * time.Hour
	return time.Duration(min(seconds, most.Seconds()) * float64(time.Second))
}

// JobFailure is one thing that failed while its job went on.
type JobFailure struct {
	Name  string `json:"name"`
	Error string `json:"error"`
}

// JobRate bounds what a job does in a second; 0: no bound.
type JobRate struct {
	Objects int64 `json:"objects_per_second,omitempty"`
	Bytes   int64 `json:"bytes_per_second,omitempty"`
}

// JobKind is a kind of job that can be started.
type JobKind struct {
	Name      string `json:"name"`
	Summary   string `json:"summary"`
	Pausable  bool   `json:"pausable"`
	Resumable bool   `json:"resumable"` // it goes on from its last checkpoint after a restart of the node
}

// StartJob asks for a job.
type StartJob struct {
	Kind       string          `json:"kind"`
	Parameters json.RawMessage `json:"parameters,omitempty"` // of the kind
	Rate       *JobRate        `json:"rate,omitempty"`
}

// JobAction asks something of a job.
type JobAction struct {
	// Action is "pause", "resume" or "stop"; "start", which takes up a job that
	// failed or was stopped, from its last checkpoint; or "limit", which makes Rate the
	// job's from now on.
	Action string   `json:"action"`
	Rate   *JobRate `json:"rate,omitempty"` // of limit; nil: no bound any more
}

// The actions.
const (
	JobPause  = "pause"
	JobResume = "resume"
	JobStop   = "stop"
	JobStart  = "start"
	JobLimit  = "limit"
)
