package faults_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/jobs"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// control is a client of the node's native listener; nothing is repeated.
func (w *world) control(keys sigv4.Credentials) client.Control {
	w.Helper()
	c, err := client.New(client.Config{Endpoint: "http://" + w.node.Native(), Credentials: keys, Patience: -1})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(c.Close)
	return client.Control{Connection: c}
}

func rootKeys() sigv4.Credentials {
	return sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey}
}

// order is a fault as clients ask for it, that lasts as long as a test may.
func order(s api.FaultSpec) api.InjectFault {
	if s.Expiry == 0 {
		s.Expiry = api.Span(2 * patience)
	}
	return api.InjectFault{FaultSpec: s}
}

func forced(s api.FaultSpec) api.InjectFault {
	f := order(s)
	f.Force = true
	return f
}

// ordered has a fault begin over the native listener.
func (w *world) ordered(root client.Control, f api.InjectFault) api.Fault {
	w.Helper()
	injected, err := root.InjectFault(w.Context(), f)
	if err != nil || injected.Fault == nil {
		w.Fatalf("%+v: %v, %+v", f, err, injected)
	}
	return *injected.Fault
}

// Parts of a node can be broken over its native listener: each fault has its effect while
// it lasts, and before and after it does not. It tells who injected it, what it hit, and
// how it ended.
func TestPublicFaults(t *testing.T) {
	w := start(t, faults.New(faults.Options{}))
	root := w.control(rootKeys())
	const lanes = "node/mountpaths/*/w*"
	for n, c := range []struct {
		name   string
		spec   api.FaultSpec
		try    func(w *world, key string) error
		broken func(error) bool
		hit    string // is in the sample
	}{
		{"an actor panics", api.FaultSpec{Actor: &api.FaultOfActor{Address: lanes, Message: "messages.PutObject", Do: "panic"}, When: &api.FaultWhen{Count: 1}},
			writeSmall, status(503), " messages.PutObject photos/small-k0"},
		{"actors are paused", api.FaultSpec{Actor: &api.FaultOfActor{Address: lanes, Do: "pause"}}, writeSmall, status(503), "node/mountpaths/d0/w0"},
		{"a listener is paused", api.FaultSpec{Actor: &api.FaultOfActor{Address: "node/edges/s3", Do: "pause"}}, read, status(503), "node/edges/s3"},
		{"bits rot", api.FaultSpec{Disk: &api.FaultOfDisk{Path: bucket + "/**", Do: "flip-bits"}}, read, failed, "read " + w.dir},
		{"the disks are full", api.FaultSpec{Disk: &api.FaultOfDisk{Path: ".troupe/work/*", Do: "full"}}, write, status(507), ".troupe/work/"},
		{"a disk is slow", api.FaultSpec{Disk: &api.FaultOfDisk{Path: ".troupe/work/*", Calls: []string{"create"}, Do: "slow", Delay: api.Span(delay)}, When: &api.FaultWhen{Count: 1}},
			slow(write), func(err error) bool { return errors.Is(err, errSlow) }, "create "},
		{"a lane panics on one key", api.FaultSpec{Actor: &api.FaultOfActor{Address: lanes, About: bucket + "/small-k6", Do: "panic"}, When: &api.FaultWhen{Count: 1}},
			func(w *world, key string) error {
				if err := writeSmall(w, "another"); err != nil {
					return fmt.Errorf("another key: %v", err)
				}
				return writeSmall(w, key)
			}, status(503), " messages.PutObject photos/small-k6"},
		{"the clock is behind", api.FaultSpec{Clock: &api.FaultOfClock{Skew: -api.Span(time.Hour)}}, read, status(403), "the clock"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{TB: t, dir: w.dir, node: w.node, client: w.client}
			key := fmt.Sprintf("k%d", n)
			w.eventually("before", func() error { return w.put(key, large(1)) })
			w.eventually("before the fault", func() error { return c.try(w, key) })
			c.spec.Reason = c.name
			fault := w.ordered(root, forced(c.spec))
			if err := c.try(w, key); !c.broken(err) {
				t.Errorf("with the fault: %v", err)
			}
			// With a wrong clock, control is refused, too: the desk is asked.
			if _, err := w.node.Faults().Clear(faults.ID(fault.ID)); err != nil {
				t.Fatal(err)
			}
			w.eventually("after the fault", func() error {
				if err := c.try(w, key); err != nil {
					return err
				}
				return read(w, key)
			})
			ended, err := root.Fault(t.Context(), fault.ID)
			if err != nil || ended.Hits == 0 || ended.End != "cleared" || ended.Ended == nil || ended.Reason != c.name || ended.By != rootKeys().AccessKey ||
				ended.Request == "" || ended.First == nil || ended.Last == nil || !slices.ContainsFunc(ended.Sample, func(h api.FaultHit) bool { return strings.Contains(h.What, c.hit) }) {
				t.Errorf("%v, %+v; %q is to be among what was hit", err, ended, c.hit)
			}
		})
	}
}

// A node that is alone has the only copy: what may keep it from serving needs force, what
// costs a few requests or a moment does not. A dry run says both, and breaks nothing.
func TestPublicRefusals(t *testing.T) {
	w := start(t, faults.New(faults.Options{}))
	root := w.control(rootKeys())
	ctx := t.Context()
	every := api.FaultSpec{Disk: &api.FaultOfDisk{Path: bucket + "/**", Do: "fail"}}
	few := every
	few.When = &api.FaultWhen{Count: faults.HarmlessHits}

	if _, err := root.InjectFault(ctx, order(every)); !errs.Is(errs.Conflict, err) || !strings.Contains(err.Error(), bucket) {
		t.Errorf("reads that fail, without force: %v", err)
	}
	if list, err := root.Faults(ctx, true); err != nil || len(list) != 0 {
		t.Fatalf("what was refused is there: %v, %+v", err, list)
	}
	dry := order(every)
	dry.DryRun = true
	said, err := root.InjectFault(ctx, dry)
	if err != nil || said.Fault != nil || !strings.Contains(said.Refused, bucket) || len(said.Matches.Mountpaths) != 2 {
		t.Errorf("a dry run: %v, %+v", err, said)
	}
	dry.FaultSpec = api.FaultSpec{Disk: &api.FaultOfDisk{Mountpath: "d1", Path: bucket + "/**", Do: "fail"}, When: few.When, Expiry: dry.Expiry}
	if said, err = root.InjectFault(ctx, dry); err != nil || said.Refused != "" || len(said.Matches.Mountpaths) != 1 {
		t.Errorf("a dry run of a few: %v, %+v", err, said)
	}
	dry.FaultSpec = api.FaultSpec{Actor: &api.FaultOfActor{Address: "node/mountpaths/d1/r*", Do: "hang"}, Expiry: dry.Expiry}
	if said, err = root.InjectFault(ctx, dry); err != nil || said.Refused == "" || len(said.Matches.Actors) != 8 || said.Matches.Actors[0] != "node/mountpaths/d1/r0" {
		t.Errorf("a dry run of lanes: %v, %+v", err, said)
	}
	if list, err := root.Faults(ctx, true); err != nil || len(list) != 0 {
		t.Fatalf("a dry run is there: %v, %+v", err, list)
	}
	if f := w.ordered(root, order(few)); f.Forced {
		t.Errorf("a few needed force: %+v", f)
	}
	if _, err := root.InjectFault(ctx, order(few)); !errs.Is(errs.Conflict, err) {
		t.Errorf("a few, and a few more, without force: %v", err)
	}
	if f := w.ordered(root, forced(api.FaultSpec{Clock: &api.FaultOfClock{Skew: 1}})); f.Forced {
		t.Errorf("force was given in vain, and is told: %+v", f)
	}
	if f := w.ordered(root, forced(every)); !f.Forced {
		t.Errorf("force is not told: %+v", f)
	}
	ended, err := root.ClearFaults(ctx)
	if err != nil || len(ended) != 3 || ended[0].End != "cleared" || ended[0].ClearedBy != rootKeys().AccessKey || ended[0].Cleared == "" {
		t.Errorf("%v, %+v", err, ended)
	}
	if list, err := root.Faults(ctx, false); err != nil || len(list) != 0 {
		t.Errorf("%v, %+v", err, list)
	}
	if list, err := root.Faults(ctx, true); err != nil || len(list) != 3 || list[0].ID != ended[0].ID {
		t.Errorf("%v, %+v", err, list)
	}

	post := func(body string) func() error {
		return func() error { return root.Post(ctx, api.FaultsPath, nil, json.RawMessage(body), nil) }
	}
	for name, c := range map[string]struct {
		do     func() error
		status int
		says   string
	}{
		"no keys": {func() error { _, err := w.control(sigv4.Credentials{}).Faults(ctx, false); return err }, http.StatusForbidden, ""},
		"other keys": {func() error {
			_, err := w.control(sigv4.Credentials{AccessKey: "a", SecretKey: "b"}).ClearFaults(ctx)
			return err
		}, http.StatusForbidden, ""},
		"no expiry":            {post(`{"clock": {"skew": "1s"}}`), http.StatusBadRequest, "expiry"},
		"too long":             {post(`{"clock": {"skew": "1s"}, "expiry": "25h"}`), http.StatusBadRequest, "24h"},
		"no span":              {post(`{"clock": {"skew": "1s"}, "expiry": 60}`), http.StatusBadRequest, "JSON"},
		"misspelled":           {post(`{"clock": {"skew": "1s"}, "expiry": "1m", "dryrun": true}`), http.StatusBadRequest, "dryrun"},
		"a backend":            {post(`{"backend": {}, "expiry": "1m"}`), http.StatusBadRequest, "backend"},
		"nothing":              {post(`{"expiry": "1m"}`), http.StatusBadRequest, "exactly one"},
		"a link":               {post(`{"link": {"do": "cut"}, "expiry": "1m", "force": true}`), http.StatusBadRequest, "alone"},
		"no use":               {post(`{"actor": {"address": "node", "do": "drop", "delay": "5s"}, "expiry": "1m"}`), http.StatusBadRequest, "delay, jitter"},
		"a long jitter":        {post(`{"link": {"do": "delay", "jitter": "2562047h47m16.854775807s"}, "expiry": "1m"}`), http.StatusBadRequest, "24h"},
		"no effect":            {post(`{"disk": {"do": "melt"}, "expiry": "1m"}`), http.StatusBadRequest, "melt"},
		"nobody":               {func() error { _, err := root.Fault(ctx, 77); return err }, http.StatusNotFound, "fault 77"},
		"clear nobody":         {func() error { _, err := root.ClearFault(ctx, 77); return err }, http.StatusNotFound, "fault 77"},
		"clear one that ended": {func() error { _, err := root.ClearFault(ctx, ended[0].ID); return err }, http.StatusNotFound, ""},
		"no id":                {func() error { return root.Get(ctx, api.FaultsPath+"/first", nil, nil) }, http.StatusBadRequest, "first"},
		"further down":         {func() error { return root.Get(ctx, api.FaultsPath+"/1/2", nil, nil) }, http.StatusBadRequest, "/ID"},
		"another method":       {func() error { return root.Do(ctx, http.MethodPut, api.FaultsPath, nil, nil, nil) }, http.StatusMethodNotAllowed, ""},
	} {
		err := c.do()
		if f := client.AsFailure(err); f == nil || f.Status != c.status || !strings.Contains(f.Message, c.says) {
			t.Errorf("%s: %v, want %d %q", name, err, c.status, c.says)
		}
	}
}

// Negative control: a node that was given no desk refuses everything, in words that name
// the setting, and nobody learns that without keys.
func TestPublicFaultsAreOff(t *testing.T) {
	w := start(t, nil)
	ctx := t.Context()
	root, stranger := w.control(rootKeys()), w.control(sigv4.Credentials{})
	harmless := order(api.FaultSpec{Clock: &api.FaultOfClock{Skew: 1}})
	for name, do := range map[string]func(c client.Control) error{
		"list":   func(c client.Control) error { _, err := c.Faults(ctx, true); return err },
		"show":   func(c client.Control) error { _, err := c.Fault(ctx, 1); return err },
		"inject": func(c client.Control) error { _, err := c.InjectFault(ctx, harmless); return err },
		"clear":  func(c client.Control) error { _, err := c.ClearFaults(ctx); return err },
	} {
		for _, c := range []client.Control{root, stranger} {
			err := do(c)
			f := client.AsFailure(err)
			if named := f != nil && strings.Contains(f.Message, `"faults" is off`) && strings.Contains(f.Message, "--faults"); f == nil ||
				f.Status != http.StatusForbidden || named != (c == root) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// A fault that was injected over the listener ends by itself, though nobody asks again, and
// is told to have expired.
func TestPublicFaultsExpire(t *testing.T) {
	w := start(t, faults.New(faults.Options{}))
	root := w.control(rootKeys())
	if err := w.put("k", large(1)); err != nil {
		t.Fatal(err)
	}
	spec := api.FaultSpec{Actor: &api.FaultOfActor{Address: "node/mountpaths/**", Do: "pause"}, Expiry: api.Span(time.Second)}
	fault := w.ordered(root, forced(spec))
	if err := w.get("k", large(1)); statusOf(err) != http.StatusServiceUnavailable {
		t.Errorf("while actors are paused: %v", err)
	}
	w.eventually("the end of the fault", func() error { return w.get("k", large(1)) })
	ended, err := root.Fault(t.Context(), fault.ID)
	if err != nil || ended.End != "expired" || ended.Ended.Sub(ended.Began) < time.Second || ended.Left != 0 || ended.ClearedBy != "" {
		t.Errorf("%v, %+v", err, ended)
	}
}

// A paused actor answers nothing, also after a kill of it and of what is above it, and a
// resume; and it is well when the fault is lifted.
func TestAPauseOutlivesActors(t *testing.T) {
	w := start(t, faults.New(faults.Options{}))
	root := w.control(rootKeys())
	ctx := t.Context()
	const keys = 20
	for n := range keys {
		if err := w.put(fmt.Sprint("k", n), large(n)); err != nil {
			t.Fatal(err)
		}
	}
	fault := w.ordered(root, forced(api.FaultSpec{Actor: &api.FaultOfActor{Address: "node/mountpaths/*/r*", Do: "pause"}}))
	for _, done := range []struct{ action, address string }{
		{api.ActorKill, "node/mountpaths/d0/r0"}, {api.ActorKill, "node/mountpaths/d0"}, {api.ActorRestart, "node/mountpaths/d1"},
		{api.ActorKill, "node/mountpaths"}, {api.ActorResumeBelow, "node/mountpaths"},
	} {
		if _, err := root.ControlActor(ctx, done.address, done.action); err != nil {
			t.Errorf("%s %s: %v", done.action, done.address, err)
		}
		for n := range keys {
			if err := w.get(fmt.Sprint("k", n), large(n)); statusOf(err) != http.StatusServiceUnavailable {
				t.Errorf("after %s of %s: k%d: %v", done.action, done.address, n, err)
			}
		}
	}
	if _, err := root.ClearFault(ctx, fault.ID); err != nil {
		t.Error(err)
	}
	for n := range keys {
		w.eventually("reads", func() error { return w.get(fmt.Sprint("k", n), large(n)) })
	}
}

// Nobody can lock himself out: with every actor of the node paused, those included that
// the request comes through, faults are listed and cleared, and then all is served again.
func TestEverythingIsPaused(t *testing.T) {
	w := start(t, faults.New(faults.Options{}))
	root := w.control(rootKeys())
	ctx := t.Context()
	if err := w.put("k", large(1)); err != nil {
		t.Fatal(err)
	}
	fault := w.ordered(root, forced(api.FaultSpec{Actor: &api.FaultOfActor{Address: "node/**", Do: "pause"}}))
	for name, do := range map[string]func() error{
		"a read": func() error { return w.get("k", large(1)) }, "a write": func() error { return w.put("k", large(1)) },
		"a small write": func() error { return writeSmall(w, "k") },
	} {
		if err := do(); statusOf(err) != http.StatusServiceUnavailable {
			t.Errorf("%s while all is paused: %v", name, err)
		}
	}
	if list, err := root.Faults(ctx, false); err != nil || len(list) != 1 || list[0].ID != fault.ID || list[0].Hits < 50 {
		t.Errorf("%v, %+v", err, list)
	}
	if _, err := root.ClearFault(ctx, fault.ID); err != nil {
		t.Fatal(err)
	}
	actors, err := root.Actors(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range actors {
		if a.Status == "suspended" {
			t.Errorf("%s is %s", a.Address, a.Status)
		}
	}
	w.eventually("a write", func() error { return w.put("k", large(2)) })
	w.eventually("a read", func() error { return w.get("k", large(2)) })
}

// Jobs can be paused, delayed and failed by a fault; a pause is no state of the job, which
// goes on when the fault is lifted.
func TestPublicFaultsOfJobs(t *testing.T) {
	steps, stepped := make(chan struct{}), make(chan struct{})
	kind := xaction.Kind{Name: "stroll", Summary: "takes steps", Run: func(r *xaction.Run) error {
		for range 3 {
			if err := r.Turn(); err != nil {
				return err
			}
			select {
			case stepped <- struct{}{}:
			case <-r.Context().Done():
				return xaction.ErrStop
			}
			select {
			case <-steps:
			case <-r.Context().Done():
				return xaction.ErrStop
			}
		}
		return nil
	}}
	w := startWith(t, faults.New(faults.Options{}), func(c *supervisors.Config) {
		c.Extensions = []supervisors.Extension{{Jobs: []xaction.Kind{kind}}}
	})
	root := w.control(rootKeys())
	ctx := t.Context()
	strolls := jobs.Client{Control: root}
	stroll := func() api.Job {
		j, err := strolls.Start(ctx, api.StartJob{Kind: "stroll"})
		if err != nil {
			t.Fatal(err)
		}
		<-stepped
		return j
	}

	j := stroll()
	spec := api.FaultSpec{Job: &api.FaultOfJob{Job: j.ID, Do: "pause"}}
	dry := order(spec)
	dry.DryRun = true
	if said, err := root.InjectFault(ctx, dry); err != nil || said.Refused != "" || !slices.Equal(said.Matches.Jobs, []string{j.ID}) {
		t.Errorf("a dry run: %v, %+v", err, said)
	}
	pause := w.ordered(root, order(spec))
	steps <- struct{}{}
	w.eventually("the pause hits", func() error {
		if f, err := root.Fault(ctx, pause.ID); err != nil || f.Hits == 0 {
			return fmt.Errorf("no hit: %w", err)
		}
		return nil
	})
	select {
	case <-stepped:
		t.Error("a job that is paused took a step")
	default:
	}
	if now, err := strolls.Get(ctx, j.ID); err != nil || now.State != "running" {
		t.Errorf("a pause by a fault is a state of the job: %v, %+v", err, now)
	}
	if _, err := root.ClearFault(ctx, pause.ID); err != nil {
		t.Error(err)
	}
	<-stepped // the second step
	steps <- struct{}{}
	<-stepped
	steps <- struct{}{}
	if ended, err := strolls.Wait(ctx, j.ID, patience); err != nil || ended.State != "finished" {
		t.Errorf("%v, %+v", err, ended)
	}

	for do, cause := range map[string]string{"fail": "a fault was injected", "panic": "on purpose"} {
		j := stroll()
		fault := w.ordered(root, order(api.FaultSpec{Job: &api.FaultOfJob{Job: "stroll", Do: do}}))
		steps <- struct{}{}
		ended, err := strolls.Wait(ctx, j.ID, patience)
		if err != nil || ended.State != "failed" || !strings.Contains(ended.Error, cause) {
			t.Errorf("%s: %v, %+v", do, err, ended)
		}
		if _, err := root.ClearFault(ctx, fault.ID); err != nil {
			t.Error(err)
		}
	}
}

// A disk on which calls panic costs the actors that make them: who is no actor, such as
// what writes the documents of buckets, meets an error, and the node goes on and stops.
func TestPanicsOfDisksEndNoProcess(t *testing.T) {
	for _, call := range []string{"create", "sync", "syncdir"} {
		t.Run(call, func(t *testing.T) {
			w := start(t, faults.New(faults.Options{}))
			root := w.control(rootKeys())
			fault := w.ordered(root, forced(api.FaultSpec{Disk: &api.FaultOfDisk{Calls: []string{call}, Do: "panic"}}))
			if err := w.client.CreateBucket(t.Context(), "another"); err == nil {
				t.Error("a bucket was made")
			}
			if err := errors.Join(w.put("k", large(1)), writeSmall(w, "k")); err == nil {
				t.Error("writes were acknowledged")
			}
			ended, err := root.ClearFault(t.Context(), fault.ID)
			if err != nil || ended.Hits == 0 {
				t.Errorf("%v, %+v", err, ended)
			}
		})
	}
}
