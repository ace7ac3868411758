// Package jobs is the Go client of a node's jobs: it lists, starts, pauses,
// resumes, stops and waits for them over the native listener. The JSON is api.Job's.
package jobs

import (
	"context"
	"net/url"
	"time"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/client"
)

// Client asks a node about its jobs, signed with the root pair. As safe for
// concurrent use as its Control.
type Client struct{ Control client.Control }

// Query selects jobs; empty fields do not.
type Query struct {
	Kind   string
	Bucket string
	Active bool // only those that have not ended
}

// List returns jobs, the newest first, and the kinds that can be started.
func (c Client) List(ctx context.Context, q Query) (api.Jobs, error) {
	values := url.Values{}
	for name, value := range map[string]string{"kind": q.Kind, "bucket": q.Bucket} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if q.Active {
		values.Set("active", "true")
	}
	var answer api.Jobs
	err := c.Control.Get(ctx, api.JobsPath, values, &answer)
	return answer, err
}

// Get returns a job as it is now.
func (c Client) Get(ctx context.Context, id string) (api.Job, error) { return c.get(ctx, id, nil) }

// waitAtOnce is how long one request waits: shorter than proxies let a
// connection be silent.
const waitAtOnce = 25 * time.Second

// Wait returns the job when it has ended, or as it is once so much time has
// passed: at most 25 s. Asked again, it goes on waiting.
func (c Client) Wait(ctx context.Context, id string, within time.Duration) (api.Job, error) {
	return c.get(ctx, id, url.Values{"wait": {min(within, waitAtOnce).String()}})
}

func (c Client) get(ctx context.Context, id string, query url.Values) (api.Job, error) {
	var job api.Job
	err := c.Control.Get(ctx, api.JobsPath+"/"+id, query, &job)
	return job, err
}

// Start starts a job; it is durable when it is returned.
func (c Client) Start(ctx context.Context, start api.StartJob) (api.Job, error) {
	var job api.Job
	err := c.Control.Post(ctx, api.JobsPath, nil, start, &job)
	return job, err
}

// Do does one of the actions (api.JobPause, JobResume, JobStop, JobStart) and
// returns the job as it is then.
func (c Client) Do(ctx context.Context, id, action string) (api.Job, error) {
	var job api.Job
	err := c.Control.Post(ctx, api.JobsPath+"/"+id, nil, api.JobAction{Action: action}, &job)
	return job, err
}

// Limit bounds what a job does in a second from now on, in place of what bounded it;
// zero: nothing does.
func (c Client) Limit(ctx context.Context, id string, rate api.JobRate) (api.Job, error) {
	var job api.Job
	err := c.Control.Post(ctx, api.JobsPath+"/"+id, nil, api.JobAction{Action: api.JobLimit, Rate: &rate}, &job)
	return job, err
}
