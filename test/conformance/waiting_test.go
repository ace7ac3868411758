package conformance

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/troupe-storage/troupe/test/s3client"
)

// judge runs a test. One of a step that is not built must fail: the list is to stay true.
func (w *world) judge(t *testing.T, name Name, test test, built []string) {
	if slices.Contains(built, name.Step) {
		test(&client{subject: t, world: w, ctx: t.Context()})
		return
	}
	if fault := w.wait(t.Context(), test); fault == "" {
		t.Errorf("%s passes and is still listed as waiting for step %s", name.Name, name.Step)
	} else {
		t.Logf("waits for step %s: %s", name.Step, fault)
	}
}

// wait runs a test whose failure is no failure, and returns the first thing that it
// reports; empty: it passed.
func (w *world) wait(ctx context.Context, test test) string {
	watched := &waiting{context: ctx}
	done := make(chan struct{})
	go func() { // which the test may end
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				watched.Errorf("panic: %v", p)
			}
		}()
		test(&client{subject: watched, world: w, ctx: ctx})
	}()
	<-done
	return watched.fault()
}

// waiting is the subject of a test that need not pass.
type waiting struct {
	context context.Context
	mu      sync.Mutex
	first   string
}

func (*waiting) Helper()                    {}
func (w *waiting) Context() context.Context { return w.context }
func (w *waiting) Failed() bool             { return w.fault() != "" }

func (w *waiting) fault() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first
}

func (w *waiting) Errorf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first == "" {
		w.first = fmt.Sprintf(format, args...)
	}
}

func (w *waiting) Fatalf(format string, args ...any) {
	w.Errorf(format, args...)
	runtime.Goexit()
}

// Negative control: a test that passes is reported as long as its name waits, one that
// fails, ends or panics is not, and what is reported is what was wrong.
func TestWaitingMustFail(t *testing.T) {
	w := new(world)
	for _, control := range []struct {
		what, fault string
		test        test
	}{
		{"passes", "", func(c *client) { c.answers("it", &s3client.Answer{Status: http.StatusOK}, http.StatusOK, "") }},
		{"fails", "it: 1, want 2", func(c *client) { c.is("it", 1, 2) }},
		{"ends", "no", func(c *client) { c.Fatalf("no") }},
		{"panics", "panic: no", func(*client) { panic("no") }},
	} {
		if fault := w.wait(t.Context(), control.test); fault != control.fault {
			t.Errorf("a test that %s: %q, want %q", control.what, fault, control.fault)
		}
	}
}
