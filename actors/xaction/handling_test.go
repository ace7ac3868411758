package xaction

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A job that panicked three times is not begun any more, whether it is asked for anew,
// under its old id, or by a restart of the node: its document says why. Jobs of the kind
// with other parameters run. Released, it is begun again.
func TestJobThatPanicsAgainIsNotBegun(t *testing.T) {
	var runs atomic.Int64
	bad := Kind{Name: "bad", Resumable: true, Check: anything, Run: func(r *Run) error {
		var p map[string]int
		if err := r.Parameters(&p); err != nil {
			return err
		}
		if p["good"] == 1 {
			return nil
		}
		runs.Add(1)
		fall()
		return nil
	}}
	n := newNode(t, bad).start()
	first := n.wait(n.begin("bad", `{"good": 0}`).ID)
	wantState(t, first, messages.JobFailed)
	wantState(t, n.wait(n.begin("bad", `{"good":0}`).ID), messages.JobFailed)
	if _, err := n.again(first.ID); err != nil {
		t.Fatal(err)
	}
	wantState(t, n.wait(first.ID), messages.JobFailed)

	wantRefused := func(what string, err error) {
		t.Helper()
		var refusal *messages.Quarantined
		if !errors.As(err, &refusal) || !strings.Contains(refusal.Public(), `job bad {"good":0} (run)`) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := n.again(first.ID)
	wantRefused("under its id", err)
	_, err = n.tryBegin("bad", ` {"good" :0}`)
	wantRefused("anew", err)
	wantState(t, n.wait(n.begin("bad", `{"good": 1}`).ID), messages.JobFinished)
	list := n.system.Quarantine().List()
	if len(list) != 1 || !strings.Contains(list[0].Stack, "xaction.fall") || list[0].Cause != "the sky falls" {
		t.Fatalf("%+v", list)
	}

	// The node was killed before the document of the last run said that it failed.
	doc := n.store.doc(t, first.ID)
	doc.State, doc.Err, doc.Ended = messages.JobRunning, "", nil
	doc.Version++
	content, err := doc.encode()
	if err != nil {
		t.Fatal(err)
	}
	n.stop()
	if err := n.store.PutJob(doc.ID, content); err != nil {
		t.Fatal(err)
	}
	n.quarantined = []messages.Quarantine{list[0].Quarantine}
	n.start()
	after := n.get(first.ID)
	wantState(t, after, messages.JobFailed)
	if !strings.Contains(after.Err, "is quarantined") || runs.Load() != 3 {
		t.Errorf("after a restart: %q, %d runs", after.Err, runs.Load())
	}
	if _, err := n.system.Quarantine().Release(list[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := n.again(first.ID); err != nil {
		t.Error(err)
	}
	wantState(t, n.wait(first.ID), messages.JobFailed)
	if runs.Load() != 4 {
		t.Errorf("released, it ran %d times", runs.Load()-3)
	}
}

// anything lets all parameters pass.
func anything(json.RawMessage) (Target, error) { return Target{}, nil }

// fall is what a stack is to name.
func fall() { panic("the sky falls") }

// Parameters are what tells jobs of a kind apart, however they are written and however
// long they are.
func TestHandlingOfJobs(t *testing.T) {
	long := func(end string) []byte { return fmt.Appendf(nil, `{"names":%q}`, strings.Repeat("ü", 4000)+end) }
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{`{"a": 1}`, "{\n  \"a\": 1\n}", true},
		{`{"a": 1}`, `{"a": 2}`, false},
		{``, `{}`, true},
		{string(long("x")), string(long("x")), true},
		{string(long("x")), string(long("y")), false},
	} {
		a, b := handlingOf("k", []byte(c.a)), handlingOf("k", []byte(c.b))
		if (a == b) != c.same || len(a.Name) > 2*mostParameters {
			t.Errorf("%.40s and %.40s: %t, %d bytes", c.a, c.b, a == b, len(a.Name))
		}
	}
}

// A key on which a job panics, on a goroutine of its own, costs that key only: the job goes
// on with the others, the key is quarantined as others are, and the job quarantined never.
func TestKeyThatPanicsInAJob(t *testing.T) {
	var moved atomic.Int64
	key := objects.Key{Bucket: objects.Bucket{ID: objects.BucketID{7}, Name: "photos"}, Name: "bad"}
	n := newNode(t, Kind{Name: "walk", Check: anything, Run: func(r *Run) error {
		var failure error
		var working sync.WaitGroup
		for _, name := range []string{"bad", "good"} {
			working.Go(func() {
				key := objects.Key{Bucket: key.Bucket, Name: name}
				err := r.Apart(messages.HandlesKey(key, messages.MoveAccess), func() error {
					moved.Add(1)
					if name == "bad" {
						fall()
					}
					return nil
				})
				if err != nil {
					failure = err
				}
			})
		}
		working.Wait()
		return failure
	}}).start()
	for range 3 {
		if job := n.wait(n.begin("walk", "").ID); job.State != messages.JobFailed || !strings.Contains(job.Err, "photos/bad") || !strings.Contains(job.Err, "the sky falls") {
			t.Fatalf("%s: %s", job.State, job.Err)
		}
	}
	list := n.system.Quarantine().List()
	if len(list) != 1 || list[0].Handling != messages.HandlesKey(key, messages.MoveAccess) || !strings.Contains(list[0].Stack, "xaction.fall") || !strings.Contains(list[0].Address, "/walk-") {
		t.Fatalf("%+v", list)
	}
	moved.Store(0)
	if job := n.wait(n.begin("walk", "").ID); !strings.Contains(job.Err, "key photos/bad (move) is quarantined") || moved.Load() != 1 {
		t.Errorf("%s: %s; %d keys", job.State, job.Err, moved.Load())
	}
}

// Parameters on which a kind panics when it checks them are refused after three times, and
// cost no other job anything, which a restart of the coordinator would.
func TestParametersThatPanic(t *testing.T) {
	n := newNode(t, Kind{Name: "strict", Check: func(raw json.RawMessage) (Target, error) {
		if string(raw) == `{"bad":1}` {
			fall()
		}
		return Target{}, nil
	}, Run: func(*Run) error { return nil }}).start()
	for range 3 {
		if _, err := n.tryBegin("strict", `{"bad": 1}`); !errs.Is(errs.Busy, err) || !strings.Contains(err.Error(), "the sky falls") {
			t.Fatal(err)
		}
	}
	var refusal *messages.Quarantined
	if _, err := n.tryBegin("strict", `{"bad":1}`); !errors.As(err, &refusal) || refusal.Subject != `job strict {"bad":1} (run)` {
		t.Error(err)
	}
	wantState(t, n.wait(n.begin("strict", `{}`).ID), messages.JobFinished)
	if list := n.system.Quarantine().List(); n.system.Restarts() != 0 || len(list) != 1 || !strings.Contains(list[0].Stack, "xaction.fall") {
		t.Errorf("%d restarts; %+v", n.system.Restarts(), list)
	}
}
