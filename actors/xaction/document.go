package xaction

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Store keeps the documents of jobs. Used by one goroutine at a time; it may block.
type Store interface {
	// PutJob replaces a job's document, durably and whole. Its versions come in
	// ascending order.
	PutJob(id string, content []byte) error
	// RemoveJob removes a document durably; one that is not there is no failure.
	RemoveJob(id string) error
}

// documentFormat is the form of a job's document; a greater one is a newer
// release's.
const documentFormat = 1

// document is a job on the disk: JSON, described in docs/on-disk-format.md.
type document struct {
	Format     int               `json:"format"`
	Version    uint64            `json:"version"` // counts the writes of this document, from 1
	ID         string            `json:"id"`
	Kind       string            `json:"kind"`
	Bucket     string            `json:"bucket,omitempty"`
	Parameters json.RawMessage   `json:"parameters"`
	Rate       *rate             `json:"rate,omitempty"`
	State      messages.JobState `json:"state"`
	Err        string            `json:"error,omitempty"`
	Created    time.Time         `json:"created"`
	Started    *time.Time        `json:"started,omitempty"`
	Ended      *time.Time        `json:"ended,omitempty"`
	Runs       int               `json:"runs,omitempty"`
	Progress   progress          `json:"progress"`
	Checkpoint *checkpoint       `json:"checkpoint,omitempty"`
}

type rate struct {
	Objects int64 `json:"objects,omitempty"`
	Bytes   int64 `json:"bytes,omitempty"`
}

type progress struct {
	Objects      int64     `json:"objects,omitempty"`
	Bytes        int64     `json:"bytes,omitempty"`
	TotalObjects int64     `json:"total_objects,omitempty"`
	TotalBytes   int64     `json:"total_bytes,omitempty"`
	Errors       int64     `json:"errors,omitempty"`
	Failures     []failure `json:"failures,omitempty"`
}

type failure struct {
	Name string `json:"name"`
	Err  string `json:"error"`
}

// checkpoint is what a job needs to go on where it was.
type checkpoint struct {
	Version int             `json:"version"` // of the state's form; its kind's
	State   json.RawMessage `json:"state"`
}

// encode returns the document as it is kept.
func (d *document) encode() ([]byte, error) {
	content, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, errs.E("xaction.encode", d.ID, errs.Internal, err)
	}
	return append(content, '\n'), nil
}

// decode reads what encode wrote and Store.PutJob put under the id. A document that
// says it is another job's is refused: its next write would replace that one's.
func decode(id string, content []byte) (*document, error) {
	const op errs.Op = "xaction.decode"
	d := new(document)
	if err := json.Unmarshal(content, d); err != nil {
		return nil, errs.E(op, id, errs.Corrupt, err)
	}
	switch {
	case d.Format > documentFormat:
		return nil, errs.E(op, id, errs.Invalid, fmt.Errorf("the job's document has format %d, this release knows %d", d.Format, documentFormat))
	case d.ID == "" || d.Kind == "" || !slices.Contains(messages.JobStates(), d.State):
		return nil, errs.E(op, id, errs.Corrupt, errors.New("a job's document lacks its id, kind or state"))
	case d.ID != id:
		return nil, errs.E(op, id, errs.Corrupt,
			fmt.Errorf("documents/jobs/%s.json says that it is of job %q: with the node stopped, give the file that name on every mountpath, or remove it", id, d.ID))
	}
	return d, nil
}

// rate returns how fast the job may be.
func (d *document) rate() messages.JobRate {
	if d.Rate == nil {
		return messages.JobRate{}
	}
	return messages.JobRate(*d.Rate)
}

// setRate changes how fast the job may be.
func (d *document) setRate(to messages.JobRate) {
	d.Rate = nil
	if to != (messages.JobRate{}) {
		r := rate(to)
		d.Rate = &r
	}
}

// snapshot returns what others see.
func (d *document) snapshot() *messages.Job {
	job := &messages.Job{
		ID: d.ID, Kind: d.Kind, Bucket: d.Bucket, Parameters: slices.Clone(d.Parameters), State: d.State, Err: d.Err,
		Created: d.Created, Runs: d.Runs, Idle: d.State.Ended() || d.State == messages.JobQueued, Progress: d.Progress.message(),
	}
	job.Rate = d.rate()
	if d.Started != nil {
		job.Started = *d.Started
	}
	if d.Ended != nil {
		job.Ended = *d.Ended
	}
	return job
}

func (p *progress) message() messages.JobProgress {
	m := messages.JobProgress{
		Objects: p.Objects, Bytes: p.Bytes, TotalObjects: p.TotalObjects, TotalBytes: p.TotalBytes, Errors: p.Errors,
	}
	for _, f := range p.Failures {
		m.Failures = append(m.Failures, messages.JobFailure(f))
	}
	return m
}
