package faults

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Every effect on a step is what it says, for the jobs that it names; and is gone with
// the fault. A job that is to end does not wait.
func TestJobEffects(t *testing.T) {
	bubble(t, func(t *testing.T, d *Desk) {
		step := func(ctx context.Context, id string) (err error) {
			defer func() {
				if reason := recover(); reason != nil {
					err = errors.New(reason.(string))
				}
			}()
			return d.Step(ctx, "move", id)
		}
		for _, c := range []struct {
			job   Job
			text  string
			after time.Duration
		}{
			{Job{Job: "a1", Do: JobFail, Error: "no space"}, "no space: a fault was injected: fault", 0},
			{Job{Job: "mov?", Do: JobPanic}, "on purpose", 0},
			{Job{Job: "*", Do: JobDelay, Delay: time.Second}, "", time.Second},
			{Job{Job: "a2", Do: JobPanic}, "", 0},
			{Job{Job: "a1", Do: JobPause}, "", time.Hour},
		} {
			i := inject(t, d, Fault{Job: &c.job, Expiry: time.Hour})
			began := time.Now()
			err := step(t.Context(), "a1")
			if err == nil && c.text != "" || err != nil && (c.text == "" || !strings.Contains(err.Error(), c.text)) {
				t.Errorf("%+v: %v", c.job, err)
			}
			if took := time.Since(began); took != c.after {
				t.Errorf("%+v: it took %s, want %s", c.job, took, c.after)
			}
			i.Clear()
			if err := step(t.Context(), "a1"); err != nil || time.Since(began) != c.after {
				t.Errorf("%+v, lifted: %v after %s", c.job, err, time.Since(began))
			}
		}
		inject(t, d, Fault{Job: &Job{Job: "*", Do: JobPause}})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- step(ctx, "a1") }()
		synctest.Wait()
		if len(done) != 0 {
			t.Error("a job that is paused goes on")
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if !errs.Is(errs.Busy, func() error {
		d := New(Options{})
		defer d.Close()
		inject(t, d, Fault{Job: &Job{Job: "*", Do: JobFail}})
		return d.Step(t.Context(), "move", "x")
	}()) {
		t.Error("a step that fails is not busy by default")
	}
}

// A fault that is at work stays so at every moment, while others begin and end.
func TestOthersComeAndGoUnnoticed(t *testing.T) {
	d := New(Options{})
	defer d.Close()
	inject(t, d, Fault{Job: &Job{Job: "a", Do: JobFail}})
	over := make(chan struct{})
	go func() {
		defer close(over)
		for range 5000 {
			inject(t, d, Fault{Job: &Job{Job: "b", Do: JobFail}}).Clear()
		}
	}()
	for {
		if d.Step(t.Context(), "move", "a") == nil {
			t.Error("a step was not hit")
		}
		select {
		case <-over:
			return
		default:
		}
	}
}
