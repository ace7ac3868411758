package control_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects/errs"
)

// control is a client of the node's control; patience 0: nothing is repeated.
func (w *world) control(keys sigv4.Credentials, patience time.Duration) client.Control {
	w.Helper()
	if patience == 0 {
		patience = -1
	}
	c, err := client.New(client.Config{Endpoint: "http://" + w.node.Native(), Credentials: keys, Patience: patience})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(c.Close)
	return client.Control{Connection: c}
}

// Control works over HTTP for who holds the root pair, and for nobody else.
func TestREST(t *testing.T) {
	before := goleak.IgnoreCurrent()
	w := start(t, t.TempDir(), nil)
	t.Cleanup(func() {
		w.stop()
		leaves(t, before)
	})
	ctx := t.Context()
	root := w.control(rootKeys(), 0)

	all, err := root.Actors(ctx, "")
	if err != nil || len(all) < 50 || all[0].Address != "node" || all[0].Kind != "node" || len(all[0].Children) == 0 {
		t.Fatalf("%v, %d actors: %+v", err, len(all), all)
	}
	lanes, err := root.Actors(ctx, "node/mountpaths/d0/w*")
	if err != nil || len(lanes) != 16 || lanes[2].Address != "node/mountpaths/d0/w2" || lanes[10].Address != "node/mountpaths/d0/w10" || lanes[0].Parent != "node/mountpaths/d0" {
		t.Errorf("%v, %+v", err, lanes)
	}
	var below api.Actors
	if err := root.Get(ctx, api.ActorsPath, url.Values{"prefix": {"node/edges"}}, &below); err != nil || len(below.Actors) != 3 {
		t.Errorf("%v, %+v", err, below)
	}
	const lane = "node/mountpaths/d0/w7"
	for _, c := range []struct{ action, status string }{
		{api.ActorSuspend, "suspended"}, {api.ActorResume, "running"}, {api.ActorRestart, "running"}, {api.ActorKill, "running"},
	} {
		changed, err := root.ControlActor(ctx, lane, c.action)
		if err != nil || changed.Pending != "" || changed.Actor.Status != c.status || changed.Actor.Address != lane {
			t.Errorf("%s: %v, %+v", c.action, err, changed)
		}
	}
	shown, err := root.Actor(ctx, lane)
	if err != nil || shown.Restarts != 2 || shown.LastCause != "killed by control" || shown.LastFailed == nil || time.Since(*shown.LastFailed) > patience {
		t.Errorf("%v, %+v", err, shown)
	}

	for name, c := range map[string]struct {
		do     func() error
		status int
		says   string
	}{
		"nobody":         {func() error { _, err := root.Actor(ctx, "node/nobody"); return err }, http.StatusNotFound, "node/nobody"},
		"kill of nobody": {func() error { _, err := root.ControlActor(ctx, "node/nobody", "kill"); return err }, http.StatusNotFound, "node/nobody"},
		"no action":      {func() error { _, err := root.ControlActor(ctx, lane, "tickle"); return err }, http.StatusBadRequest, "suspend, resume, restart and kill"},
		"no pattern":     {func() error { _, err := root.Actors(ctx, "node/["); return err }, http.StatusBadRequest, "node/["},
		"two wishes": {func() error {
			return root.Get(ctx, api.ActorsPath, url.Values{"prefix": {"a"}, "pattern": {"b"}}, nil)
		}, http.StatusBadRequest, "together"},
		"no JSON": {func() error { return root.Post(ctx, api.ActorsPath+"/"+lane, nil, "kill", nil) }, http.StatusBadRequest, "JSON"},
		"a list that is posted": {func() error {
			return root.Post(ctx, api.ActorsPath, nil, api.ActorAction{Action: "kill"}, nil)
		}, http.StatusMethodNotAllowed, ""},
		"no keys": {func() error { _, err := w.control(sigv4.Credentials{}, 0).Actors(ctx, ""); return err }, http.StatusForbidden, ""},
		"other keys": {func() error {
			_, err := w.control(sigv4.Credentials{AccessKey: rootKeys().AccessKey, SecretKey: "another"}, 0).ControlActor(ctx, lane, "kill")
			return err
		}, http.StatusForbidden, ""},
	} {
		err := c.do()
		f := client.AsFailure(err)
		if f == nil || f.Status != c.status || !strings.Contains(f.Message, c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nobody can lock himself out: the listener that control comes through can be
// suspended, restarted and killed through itself, with all above it, and is back.
func TestRESTOnItself(t *testing.T) {
	before := goleak.IgnoreCurrent()
	w := start(t, t.TempDir(), nil)
	t.Cleanup(func() {
		w.stop()
		leaves(t, before)
	})
	ctx := t.Context()
	root := w.control(rootKeys(), patience)
	for _, address := range []string{"node/edges/native", "node/edges", "node"} {
		for _, action := range []string{api.ActorRestart, api.ActorKill} {
			was, err := root.Actor(ctx, address)
			if err != nil {
				t.Fatal(err)
			}
			var changed api.ActorChanged
			w.eventually("the end of the restart before", func() bool {
				changed, err = root.ControlActor(ctx, address, action)
				f := client.AsFailure(err)
				return f == nil || f.Status != http.StatusConflict
			})
			if err != nil || changed.Pending == "" {
				t.Errorf("%s %s: %v, %+v", action, address, err, changed)
			}
			var now api.Actor
			w.eventually(action+" "+address, func() bool {
				now, err = root.Actor(ctx, address)
				return err == nil && now.Restarts > was.Restarts && now.Status == "running"
			})
			if now.Restarts != was.Restarts+1 {
				t.Errorf("%s %s: %+v, before %+v", action, address, now, was)
			}
			w.eventually("the listeners", func() bool {
				edges, err := root.Actors(ctx, "node/edges/*")
				return err == nil && len(edges) == 2 && edges[1].Status == "running"
			})
		}
	}
	// Suspended, it answers control and nothing else, in the words of each side.
	impatient := w.control(rootKeys(), 0)
	for _, address := range []string{"node/edges/native", "node/edges/s3"} {
		if changed, err := impatient.ControlActor(ctx, address, api.ActorSuspend); err != nil || changed.Actor.Status != "suspended" {
			t.Fatalf("suspend %s: %v, %+v", address, err, changed)
		}
	}
	if err := impatient.Get(ctx, "/v1/health", nil, nil); !errs.Is(errs.Busy, err) {
		t.Errorf("health: %v", err)
	}
	answer, err := w.client.Get(context.Background(), bucket, "k")
	if err != nil || answer.Status != http.StatusServiceUnavailable || answer.Code == "" || answer.Header.Get("Retry-After") == "" {
		t.Errorf("S3: %v, %+v", err, answer)
	}
	for _, address := range []string{"node/edges/native", "node/edges/s3"} {
		if changed, err := impatient.ControlActor(ctx, address, api.ActorResume); err != nil || changed.Actor.Status != "running" {
			t.Fatalf("resume %s: %v, %+v", address, err, changed)
		}
	}
	if err := impatient.Do(ctx, http.MethodHead, "/v1/health", nil, nil, nil); err != nil {
		t.Errorf("health: %v", err)
	}
	if err := w.client.CreateBucket(ctx, bucket); err != nil {
		t.Error(err)
	}
}

// eventually waits until something holds.
func (w *world) eventually(what string, holds func() bool) {
	w.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	over := time.After(patience)
	for !holds() {
		select {
		case <-look.C:
		case <-over:
			w.Fatalf("%s: not within %s", what, patience)
		}
	}
}
