// Package jobs runs jobs on whole nodes in the test's own process: over REST, over
// stops and starts of the node in their middle, and over its real disks.
//
// Start with TestJobGoesOnAfterAStopOfTheNode.
package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/supervisors"
)

// waitTime bounds every wait of this suite.
const waitTime = 60 * time.Second

// node is a running node and a client of its native listener.
type node struct {
	*supervisors.Node
	control client.Control
}

// start starts a node with three mountpaths below a directory.
func start(t *testing.T, dir string, kinds ...xaction.Kind) *node {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	config := supervisors.Config{
		Native: "127.0.0.1:0", S3: "127.0.0.1:0", MemoryBytes: 256 << 20, LimitHeap: func(int64) {}, MinPartBytes: 1, InlineBytes: 4 << 10, Log: log,
		Extensions: []supervisors.Extension{{Jobs: kinds}},
	}
	for i := range 3 {
		config.Data = append(config.Data, filepath.Join(dir, "d"+strconv.Itoa(i)))
	}
	running, err := supervisors.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Node: running, control: clientOf(t, running, supervisors.DefaultSecretKey)}
	t.Cleanup(func() { n.stop(t) })
	return n
}

func clientOf(t *testing.T, running *supervisors.Node, secret string) client.Control {
	t.Helper()
	connection, err := client.New(client.Config{
		Endpoint:    "http://" + running.Native(),
		Credentials: sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: secret},
		Patience:    -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(connection.Close)
	return client.Control{Connection: connection}
}

// stop stops the node, once.
func (n *node) stop(t *testing.T) {
	t.Helper()
	if n.Node == nil {
		return
	}
	if err := n.Stop(); err != nil {
		t.Errorf("the node did not stop cleanly: %v", err)
	}
	n.Node = nil
}

func (n *node) post(t *testing.T, path string, in any) (api.Job, error) {
	t.Helper()
	var job api.Job
	err := n.control.Post(t.Context(), path, nil, in, &job)
	return job, err
}

func (n *node) begin(t *testing.T, kind string, parameters string) api.Job {
	t.Helper()
	job, err := n.post(t, api.JobsPath, api.StartJob{Kind: kind, Parameters: json.RawMessage(parameters)})
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func (n *node) act(t *testing.T, id, action string) api.Job {
	t.Helper()
	job, err := n.post(t, api.JobsPath+"/"+id, api.JobAction{Action: action})
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func (n *node) get(t *testing.T, id string, wait time.Duration) api.Job {
	t.Helper()
	query := url.Values{}
	if wait > 0 {
		query.Set("wait", wait.String())
	}
	var job api.Job
	if err := n.control.Get(t.Context(), api.JobsPath+"/"+id, query, &job); err != nil {
		t.Fatal(err)
	}
	return job
}

func wantState(t *testing.T, job api.Job, state string) {
	t.Helper()
	if job.State != state {
		t.Fatalf("job %s (%s) is %s (%s), want %s", job.ID, job.Kind, job.State, job.Error, state)
	}
}

func status(err error) int {
	var f *client.Failure
	if errors.As(err, &f) {
		return f.Status
	}
	return 0
}

// stepping is a kind that takes one step whenever it is let, and says which.
type stepping struct {
	let  chan struct{}
	took chan int
}

func (s *stepping) kind() xaction.Kind {
	return xaction.Kind{Name: "stepping", Summary: "Takes a hundred steps.", Pausable: true, Resumable: true, Run: func(r *xaction.Run) error {
		var at int
		if _, err := r.Restore(&at); err != nil {
			return err
		}
		r.Expect(xaction.Amount{Objects: 100})
		for at < 100 {
			if err := r.Turn(); err != nil {
				return err
			}
			select {
			case <-s.let:
			case <-r.Context().Done():
				return xaction.ErrStop
			}
			at++
			r.Did(xaction.Amount{Objects: 1})
			if err := errors.Join(r.Checkpoint(1, at), r.Sync()); err != nil {
				return err
			}
			s.took <- at
		}
		return nil
	}}
}

// A job that is in its middle when the node stops goes on from its last checkpoint
// when it starts; a paused one stays paused; what has ended is remembered.
func TestJobGoesOnAfterAStopOfTheNode(t *testing.T) {
	dir := t.TempDir()
	s := &stepping{let: make(chan struct{}), took: make(chan int)}
	broken := xaction.Kind{Name: "broken", Run: func(*xaction.Run) error { panic("on purpose") }}
	n := start(t, dir, s.kind(), broken)
	job := n.begin(t, "stepping", "")
	for i := 1; i <= 40; i++ {
		s.let <- struct{}{}
		if at := <-s.took; at != i {
			t.Fatalf("step %d after %d", at, i-1)
		}
	}
	failed := n.get(t, n.begin(t, "broken", "").ID, waitTime)
	wantState(t, failed, "failed")

	n.stop(t)
	n = start(t, dir, s.kind(), broken)
	again := n.get(t, job.ID, 0)
	wantState(t, again, "running")
	if again.Runs != 2 || again.Progress.Objects != 40 || !again.Created.Equal(job.Created) {
		t.Errorf("after the restart it is %+v", again)
	}
	s.let <- struct{}{}
	if at := <-s.took; at != 41 {
		t.Errorf("it went on with step %d, the checkpoint says 40", at)
	}
	wantState(t, n.act(t, job.ID, api.JobPause), "paused")
	s.let <- struct{}{} // the step that was under way
	<-s.took
	if remembered := n.get(t, failed.ID, 0); remembered.State != "failed" || !strings.Contains(remembered.Error, "on purpose") {
		t.Errorf("the failed job is remembered as %+v", remembered)
	}

	n.stop(t)
	n = start(t, dir, s.kind(), broken)
	wantState(t, n.get(t, job.ID, 0), "paused")
	wantState(t, n.act(t, job.ID, api.JobResume), "running")
	go func() {
		for range 58 {
			s.let <- struct{}{}
			<-s.took
		}
	}()
	ended := n.get(t, job.ID, waitTime)
	wantState(t, ended, "finished")
	if ended.Progress.Objects != 100 {
		t.Errorf("%d steps of 100 were counted over three runs", ended.Progress.Objects)
	}
}

// Jobs are listed, shown and acted upon over REST, and only with the root pair.
func TestJobsOverREST(t *testing.T) {
	s := &stepping{let: make(chan struct{}), took: make(chan int, 100)}
	n := start(t, t.TempDir(), s.kind())
	job := n.begin(t, "stepping", "")
	other := n.begin(t, "stepping", "")
	if job := n.act(t, other.ID, api.JobStop); job.State != "stopping" && job.State != "stopped" {
		t.Errorf("told to stop, it is %s", job.State)
	}
	wantState(t, n.get(t, other.ID, waitTime), "stopped")

	var list api.Jobs
	for query, want := range map[string]int{"": 2, "active=true": 1, "kind=stepping": 2, "kind=nothing": 0, "bucket=photos": 0} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.control.Get(t.Context(), api.JobsPath, values, &list); err != nil {
			t.Fatal(err)
		}
		if len(list.Jobs) != want {
			t.Errorf("?%s lists %d jobs, want %d", query, len(list.Jobs), want)
		}
	}
	found := false
	for _, k := range list.Kinds {
		found = found || k.Name == "stepping" && k.Pausable && k.Resumable && k.Summary != ""
	}
	if !found {
		t.Errorf("the kinds are %+v", list.Kinds)
	}
	if early := n.get(t, job.ID, time.Millisecond); early.State != "running" || early.Idle {
		t.Errorf("a wait that is over answers %+v", early)
	}

	for _, c := range []struct {
		method, path string
		in           any
		want         int
	}{
		{http.MethodGet, api.JobsPath + "/none", nil, http.StatusNotFound},
		{http.MethodPost, api.JobsPath + "/none", api.JobAction{Action: api.JobStop}, http.StatusNotFound},
		{http.MethodPost, api.JobsPath, api.StartJob{Kind: "nothing"}, http.StatusBadRequest},
		{http.MethodPost, api.JobsPath, "no object", http.StatusBadRequest},
		{http.MethodPost, api.JobsPath + "/" + job.ID, api.JobAction{Action: "explode"}, http.StatusBadRequest},
		{http.MethodPost, api.JobsPath + "/" + job.ID, api.JobAction{Action: api.JobStart}, http.StatusConflict},
		{http.MethodPost, api.JobsPath + "/none", api.JobAction{Action: api.JobLimit}, http.StatusNotFound},
		{http.MethodPost, api.JobsPath + "/" + job.ID, api.JobAction{Action: api.JobLimit, Rate: &api.JobRate{Bytes: -1}}, http.StatusBadRequest},
		{http.MethodPost, api.JobsPath + "/" + job.ID, api.JobAction{Action: api.JobPause, Rate: &api.JobRate{Bytes: 1}}, http.StatusBadRequest},
		{http.MethodPost, api.JobsPath + "/" + other.ID, api.JobAction{Action: api.JobPause}, http.StatusConflict},
		{http.MethodDelete, api.JobsPath, nil, http.StatusMethodNotAllowed},
		{http.MethodGet, api.JobsPath + "/a/b", nil, http.StatusBadRequest},
	} {
		err := n.control.Do(t.Context(), c.method, c.path, nil, c.in, nil)
		if got := status(err); got != c.want {
			t.Errorf("%s %s %v: status %d (%v), want %d", c.method, c.path, c.in, got, err, c.want)
		}
	}
	bad := n.control.Get(t.Context(), api.JobsPath+"/"+job.ID, url.Values{"wait": {"long"}}, nil)
	if status(bad) != http.StatusBadRequest {
		t.Errorf("wait=long: %v", bad)
	}
	stranger := clientOf(t, n.Node, "another-secret")
	if err := stranger.Get(t.Context(), api.JobsPath, nil, nil); status(err) != http.StatusForbidden {
		t.Errorf("with a wrong secret: %v", err)
	}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+n.Native()+api.JobsPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	unsigned, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	unsigned.Body.Close()
	if unsigned.StatusCode != http.StatusForbidden {
		t.Errorf("unsigned: status %d", unsigned.StatusCode)
	}
	for range 100 {
		s.let <- struct{}{}
	}
	wantState(t, n.get(t, job.ID, waitTime), "finished")
}

// Metrics tell jobs by kind and state, and what they have done.
func TestJobMetrics(t *testing.T) {
	n := start(t, t.TempDir(), xaction.Kind{Name: "short", Run: func(r *xaction.Run) error {
		r.Did(xaction.Amount{Objects: 3, Bytes: 12})
		return nil
	}})
	n.get(t, n.begin(t, "short", "").ID, waitTime)
	response, err := http.Get("http://" + n.Native() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`troupe_jobs{kind="short",state="finished"} 1`, `troupe_jobs{kind="short",state="running"} 0`,
		`troupe_job_objects_total{kind="short"} 3`, `troupe_job_bytes_total{kind="short"} 12`,
	} {
		if !strings.Contains(string(text), line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
}

// Jobs are actors like others: listed, and killed by address. One that is killed
// is failed and can be taken up again; a kill of their coordinator costs none.
func TestJobsAreKilledByAddress(t *testing.T) {
	s := &stepping{let: make(chan struct{}), took: make(chan int)}
	n := start(t, t.TempDir(), s.kind())
	job := n.begin(t, "stepping", "")
	s.let <- struct{}{}
	<-s.took
	address := api.ActorsPath + "/node/xactions/stepping-" + job.ID
	var listed api.Actor
	if err := n.control.Get(t.Context(), address, nil, &listed); err != nil || listed.Kind != "job" {
		t.Fatalf("its actor is %+v: %v", listed, err)
	}
	kill := func(address string) {
		t.Helper()
		if err := n.control.Post(t.Context(), address, nil, api.ActorAction{Action: api.ActorKill}, nil); err != nil {
			t.Fatal(err)
		}
	}
	kill(address)
	killed := n.get(t, job.ID, waitTime)
	wantState(t, killed, "failed")
	if killed.Error != "killed" || killed.Progress.Objects != 1 {
		t.Errorf("it ended as %+v", killed)
	}
	if again := n.act(t, job.ID, api.JobStart); again.State != "running" {
		t.Fatalf("taken up again it is %+v", again)
	}
	s.let <- struct{}{}
	if at := <-s.took; at != 2 {
		t.Errorf("it went on with step %d, the checkpoint says 1", at)
	}
	kill(api.ActorsPath + "/node/xactions")
	s.let <- struct{}{}
	if at := <-s.took; at != 3 {
		t.Errorf("after a kill of the coordinator it went on with step %d", at)
	}
	if now := n.get(t, job.ID, 0); now.State != "running" || now.Runs != 3 {
		t.Errorf("after a kill of the coordinator it is %+v", now)
	}
}
