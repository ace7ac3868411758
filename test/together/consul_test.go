package together

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process/nodes"
)

// With Consul stopped, killed or silent, every request for an object goes on to be served,
// by whichever node; buckets cannot be made, the answer is 503 and says why; and when
// Consul is back, so are buckets, by themselves.
func TestConsulAway(t *testing.T) {
	w := newWorld(t, nodes.Config{})
	l := w.startLoad(bucket, 6, 64)
	l.More(300)
	for _, trouble := range []struct {
		name     string
		begin    func() error
		end      func() error
		newNames string
	}{
		{"silent", func() error { return w.Consul.Pause(t.Context()) }, w.Consul.Continue, "silent"},
		{"killed", w.Consul.Kill, func() error { return w.Consul.Restart(t.Context()) }, "killed"},
	} {
		w.must(trouble.begin())
		l.More(500)
		var asked sync.WaitGroup
		for i := range w.Nodes {
			asked.Go(func() { w.refusesBucket(i, trouble.newNames) })
		}
		asked.Wait()
		for i := range w.Nodes {
			if status := w.ready(i); status != http.StatusOK {
				t.Errorf("Consul is %s: node %d is not ready: %d", trouble.name, i, status)
			}
		}
		l.More(500)
		w.must(trouble.end())
		back := time.Now()
		for i := range w.Nodes {
			name := trouble.newNames + "-" + string(rune('a'+i))
			w.must(nodes.Await(t.Context(), "a bucket is made at node "+string(rune('0'+i)), func() (bool, string) {
				answer, err := w.s3[i].Do(t.Context(), request("PUT", name))
				w.must(err)
				return answer.OK() || answer.Code == "BucketAlreadyOwnedByYou", string(answer.Body)
			}))
			for at := range w.Nodes { // and every node knows it
				if answer, err := w.s3[at].Put(t.Context(), name, "key", []byte("x")); err != nil || !answer.OK() {
					t.Errorf("%s at node %d: %v %+v", name, at, err, answer)
				}
			}
		}
		t.Logf("Consul was %s: buckets were made at every node %.1f s after it was back", trouble.name, time.Since(back).Seconds())
	}
	l.End()
	if n := l.Trouble(); n > 0 {
		t.Errorf("%d requests of %d were not served while Consul was away", n, l.History.Len())
	}
	l.Judge()
	w.must(w.AwaitStates(t.Context(), "up up up"))
}

// refusesBucket fails unless a node refuses to make a bucket, on both edges, for the time
// being, and says that Consul is the reason.
func (w *world) refusesBucket(at int, name string) {
	w.t.Helper()
	var both sync.WaitGroup
	both.Go(func() {
		answer, err := w.s3[at].Do(w.t.Context(), request("PUT", name))
		if err != nil || answer.Status != http.StatusServiceUnavailable || !strings.Contains(string(answer.Body), "Consul") {
			w.t.Errorf("node %d, S3: %v %+v, want 503 and the reason, Consul", at, err, answer)
		}
	})
	n := w.Nodes[at]
	response, err := http.Post(n.URL(n.Native)+"/v1/buckets/"+name+"-native", "application/json", strings.NewReader(`{"action":"create-bck"}`))
	if err != nil {
		w.t.Error(err)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "Consul cannot be reached") {
		w.t.Errorf("node %d, native: %v %d %s, want 503 and the reason, Consul", at, err, response.StatusCode, body)
	}
	both.Wait()
}
