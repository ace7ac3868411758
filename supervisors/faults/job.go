package faults

import (
	"context"
	"path"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Job is a fault of the steps of jobs. It is no state of theirs: a job that is paused
// so is running to everybody, gets nowhere, and goes on when the fault is lifted. A
// job whose node is started again goes on at once.
type Job struct {
	// Job is a pattern, as path.Match has it, over ids of jobs and their kinds. Required.
	Job string
	Do  JobEffect

	Error  string        // of JobFail: the kind of the error in the words of errs.Kind; empty: busy
	Delay  time.Duration // of JobDelay: so long at least
	Jitter time.Duration // of JobDelay: and by chance up to so much more
}

// JobEffect is what becomes of a step that is hit.
type JobEffect string

const (
	// JobPause lets the job begin no step until the fault is lifted.
	JobPause JobEffect = "pause"
	// JobDelay lets the step begin later.
	JobDelay JobEffect = "delay"
	// JobFail ends the job: it has failed.
	JobFail JobEffect = "fail"
	// JobPanic makes the job panic.
	JobPanic JobEffect = "panic"
)

func (j *Job) validate(bad func(string, ...any)) {
	if _, err := path.Match(j.Job, ""); err != nil || j.Job == "" {
		bad("job: %q is no pattern of ids or kinds of jobs; * is every job", j.Job)
	}
	if _, ok := kindOf(j.Error); !ok {
		bad("error: there is no kind %q", j.Error)
	}
	switch j.Do {
	case JobPause, JobFail, JobPanic:
	case JobDelay:
		checkDelay(j.Delay, j.Jitter, bad)
	default:
		bad("do: %q; one of pause, delay, fail, panic", j.Do)
		return
	}
	idle(j.Do, bad, idleField{"error", j.Error != "" && j.Do != JobFail}, idleField{"delay, jitter", j.Delay|j.Jitter != 0 && j.Do != JobDelay})
}

// about reports whether the fault is about a job.
func (j *Job) about(name JobName) bool {
	for _, word := range []string{name.ID, name.Kind} {
		if ok, err := path.Match(j.Job, word); ok && err == nil {
			return true
		}
	}
	return false
}

// JobName is what a job is called.
type JobName struct{ Kind, ID string }

// Step is asked by jobs before each step (xaction.Config.Step). It waits at most until
// the context ends.
func (d *Desk) Step(ctx context.Context, kind, id string) error {
	all := d.steps.Load()
	if all == nil {
		return nil
	}
	name := JobName{Kind: kind, ID: id}
	for _, i := range *all {
		j := i.fault.Job
		if !j.about(name) || !i.hit(func() string { return "a step of job " + id + " (" + kind + ")" }) {
			continue
		}
		switch j.Do {
		case JobPause:
			select {
			case <-i.lifted:
			case <-ctx.Done():
			}
		case JobDelay:
			i.wait(ctx.Done(), j.Delay, j.Jitter)
		case JobFail:
			kind, _ := kindOf(j.Error) // Validate has seen it
			return errs.E("faults.Step", id, kind, i.injected())
		case JobPanic:
			panic(i.cause())
		}
	}
	return nil
}
