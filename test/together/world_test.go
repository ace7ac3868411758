// Package together runs three nodes of the real binary, each in a process of its own, over
// a real Consul, and does to them what happens to clusters: Consul away, nodes killed and
// cut off, strangers at the listener that is for nodes. What clients saw meanwhile is
// judged, key by key, as one register (test/history).
//
// Start with world_test.go; each other file is one kind of trouble.
package together

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/history"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/process/nodes"
	"github.com/troupe-storage/troupe/test/s3client"
)

// TestMain builds the binary once.
func TestMain(m *testing.M) { process.Main(m) }

const bucket = "bucket"

// world is a cluster with buckets, and a client of each node.
type world struct {
	*nodes.Cluster
	t  *testing.T
	s3 []*s3client.Client
}

// twice is a bucket whose objects are on two nodes each.
const twice = "twice"

func newWorld(t *testing.T, config nodes.Config) *world {
	t.Helper()
	w := &world{Cluster: nodes.ForTest(t, config), t: t}
	w.s3 = w.Clients()
	t.Cleanup(func() {
		for _, client := range w.s3 {
			client.Close()
		}
	})
	w.must(w.s3[0].CreateBucket(t.Context(), bucket))
	w.must(w.CreateBucket(t.Context(), twice, 2))
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// get is the status of a read of a key at a node, and the body.
func (w *world) get(at int, key string) (int, string) {
	w.t.Helper()
	answer, err := w.s3[at].Get(w.t.Context(), bucket, key)
	w.must(err)
	return answer.Status, string(answer.Body)
}

// load is clients that do random things to keys of their own and to keys of all, until
// they are stopped.
type load struct {
	t       *testing.T
	world   *world
	bucket  string
	seed    uint64
	history *history.History
	clients []*history.Client
	stop    context.CancelFunc
	done    sync.WaitGroup

	mu     sync.Mutex
	failed []error
}

// loadPace is between two requests of a client: a node that refuses at once is not asked
// so often that nobody can judge what happened.
const loadPace = 15 * time.Millisecond

// startLoad lets clients loose on so many keys, each client on all nodes. Which node is in
// charge of a key is as it comes.
func (w *world) startLoad(bucket string, clients, keys int) *load {
	ctx, stop := context.WithCancel(w.t.Context())
	l := &load{t: w.t, world: w, history: history.New(), stop: stop}
	l.seed, l.bucket = rand.Uint64(), bucket
	w.t.Logf("load: seed %d", l.seed)
	for number := range clients {
		c := &history.Client{
			History: l.history, Number: number, Bucket: bucket, Nodes: w.s3, Random: rand.New(rand.NewPCG(l.seed, uint64(number))), Large: 100 << 10,
		}
		for i := range keys {
			// A quarter of the keys is everybody's.
			if name := fmt.Sprintf("load/%d", i); i%4 == 0 || i%clients == number {
				c.Keys = append(c.Keys, name)
			}
		}
		l.clients = append(l.clients, c)
		l.done.Go(func() {
			pace := time.NewTicker(loadPace)
			defer pace.Stop()
			for ctx.Err() == nil {
				<-pace.C
				if err := c.Step(context.WithoutCancel(ctx)); err != nil {
					l.mu.Lock()
					l.failed = append(l.failed, err)
					l.mu.Unlock()
					return
				}
			}
		})
	}
	w.t.Cleanup(l.end)
	return l
}

// more waits until so many requests more have been made.
func (l *load) more(count int) {
	l.t.Helper()
	until := l.history.Len() + count
	if err := nodes.Await(l.t.Context(), "load goes on", func() (bool, string) {
		return l.history.Len() >= until || l.broken() != nil, fmt.Sprint(l.history.Len())
	}); err != nil {
		l.t.Fatal(err)
	}
	if err := l.broken(); err != nil {
		l.t.Fatal(err)
	}
}

// broken is the first thing that no client must ever be told; nil: there was none.
func (l *load) broken() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.failed) == 0 {
		return nil
	}
	return l.failed[0]
}

func (l *load) end() {
	l.stop()
	l.done.Wait()
}

// judge ends the load, reads and lists everything at every node, and says what was wrong.
func (l *load) judge() {
	l.t.Helper()
	l.end()
	if err := l.broken(); err != nil {
		l.t.Error(err)
	}
	for _, c := range l.clients { // one after another: nobody changes anything
		if err := c.ReadAll(l.t.Context()); err != nil {
			l.t.Fatal(err)
		}
	}
	want := l.history.Present()
	for at, client := range l.world.s3 {
		listed, err := client.List(l.t.Context(), l.bucket, "load/", 7)
		var names []string
		for _, o := range listed {
			names = append(names, o.Key)
		}
		if err != nil || !slices.Equal(names, want) {
			l.t.Errorf("node %d lists %q (%v), and what can be read is %q", at, names, err, want)
		}
	}
	v := l.history.Judge()
	if v.Wrong != "" {
		l.t.Error(v.Wrong)
	}
	if len(v.Undecided) > 0 {
		l.t.Errorf("undecided: %q", v.Undecided)
	}
	l.t.Logf("%d calls, %d refused, %d of unknown outcome; %d keys judged", l.history.Len(), l.refused(), l.history.Count(history.Unknown), v.Keys)
}

// refused is how many requests did nothing.
func (l *load) refused() int { return l.history.Count(history.Refused) }

// trouble is how many requests were not served.
func (l *load) trouble() int { return l.refused() + l.history.Count(history.Unknown) }

// keys are those of all clients.
func (l *load) keys() []string {
	var all []string
	for _, c := range l.clients {
		all = append(all, c.Keys...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// ready is the status of a node's readiness.
func (w *world) ready(at int) int {
	w.t.Helper()
	n := w.Nodes[at]
	answer, err := http.Get(n.URL(n.Native) + "/v1/health?readiness=true")
	w.must(err)
	w.must(answer.Body.Close())
	return answer.StatusCode
}

// oneDown says whether one node is down and the others are up.
func (w *world) oneDown(m *smap.Smap) bool {
	down, up := 0, 0
	for _, n := range m.Nodes() {
		switch n.State {
		case smap.Down:
			down++
		case smap.Up:
			up++
		}
	}
	return down == 1 && up == len(w.Nodes)-1
}
