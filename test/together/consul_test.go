package together

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/consul"
	"github.com/troupe-storage/troupe/test/history"
	"github.com/troupe-storage/troupe/test/process/nodes"
	"github.com/troupe-storage/troupe/test/soak"
)

// With Consul stopped, killed or silent, every request for an object goes on to be served,
// by whichever node; buckets cannot be made, the answer is 503 and says why; and when
// Consul is back, so are buckets, by themselves.
func TestConsulAway(t *testing.T) {
	w := newWorld(t, nodes.Config{})
	l := w.startLoad(bucket, 6, 64)
	l.More(300)
	for _, how := range outages {
		away := w.away(how, how.name, func() { l.More(500) })
		t.Logf("Consul was %s: buckets were made at every node %.1f s after it was back", how.name, away.Seconds())
	}
	w.unharmed(l)
}

// backWithin is after how long nodes are themselves again when Consul answers, however long
// it did not: a call that hung may take ten seconds to end, and the next one comes five later.
const backWithin = 30 * time.Second

// The same, ten minutes at a time.
func TestConsulAwaySoak(t *testing.T) {
	const minutes = 10
	slice := soak.Begin(t, soak.Row{Name: "consul-away", Unit: "minutes without Consul", Goal: 12 * minutes})
	for slice.Left() > 0 && slice.Time() > (minutes+2)*time.Minute && !t.Failed() {
		round := slice.Next()
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			w := newWorld(t, nodes.Config{})
			l := w.startLoad(bucket, 1, 64)
			l.More(300)
			back := w.away(outages[round%uint64(len(outages))], "away", func() {
				for begin := time.Now(); time.Since(begin) < minutes*time.Minute/2; {
					l.More(100)
				}
			})
			slice.Most("milliseconds until buckets were made at every node again", back.Milliseconds())
			if back > backWithin {
				t.Errorf("buckets were made again after %s", back)
			}
			w.unharmed(l)
			slice.Count("operations", int64(l.History.Len()))
		})
		slice.Add(minutes, round+1)
	}
}

// outage is a way in which Consul is away.
type outage struct {
	name       string
	begin, end func(t *testing.T, c *consul.Server) error
}

var outages = []outage{
	{
		"silent", func(t *testing.T, c *consul.Server) error { return c.Pause(t.Context()) },
		func(_ *testing.T, c *consul.Server) error { return c.Continue() },
	},
	{
		"killed", func(_ *testing.T, c *consul.Server) error { return c.Kill() },
		func(t *testing.T, c *consul.Server) error { return c.Restart(t.Context()) },
	},
}

// away has Consul away while pass is called twice, and returns how long it took
// afterwards until buckets were made at every node again, and known to every other one.
// Who asked too early asks again.
func (w *world) away(how outage, names string, pass func()) time.Duration {
	w.t.Helper()
	w.must(how.begin(w.t, w.Consul))
	pass()
	var asked sync.WaitGroup
	for i := range w.Nodes {
		asked.Go(func() { w.refusesBucket(i, names) })
	}
	asked.Wait()
	for i := range w.Nodes {
		if status := w.ready(i); status != http.StatusOK {
			w.t.Errorf("Consul is %s: node %d is not ready: %d", how.name, i, status)
		}
	}
	pass()
	w.must(how.end(w.t, w.Consul))
	back := time.Now()
	for i := range w.Nodes {
		name := names + "-" + string(rune('a'+i))
		w.must(nodes.Await(w.t.Context(), "a bucket is made at node "+string(rune('0'+i)), func() (bool, string) {
			answer, err := w.s3[i].Do(w.t.Context(), request("PUT", name))
			w.must(err)
			return answer.OK() || answer.Code == "BucketAlreadyOwnedByYou", string(answer.Body)
		}))
		for at := range w.Nodes {
			w.must(nodes.Await(w.t.Context(), fmt.Sprintf("%s is known to node %d", name, at), func() (bool, string) {
				answer, err := w.s3[at].Put(w.t.Context(), name, "key", []byte("x"))
				w.must(err)
				if answer.Status != http.StatusServiceUnavailable && !answer.OK() {
					w.t.Fatalf("%s at node %d: %+v", name, at, answer)
				}
				return answer.OK(), string(answer.Body)
			}))
		}
	}
	return time.Since(back)
}

// unharmed ends a load, and fails unless all of it was served and is right.
func (w *world) unharmed(l *history.Load) {
	w.t.Helper()
	l.End()
	if n := l.Trouble(); n > 0 {
		w.t.Errorf("%d requests of %d were not served while Consul was away", n, l.History.Len())
	}
	l.Judge()
	w.must(w.AwaitStates(w.t.Context(), "up up up"))
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
