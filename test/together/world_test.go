// Package together runs three nodes of the real binary, each in a process of its own, over
// a real Consul, and does to them what happens to clusters: Consul away, nodes killed and
// cut off, strangers at the listener that is for nodes. What clients saw meanwhile is
// judged, key by key, as one register (test/history).
//
// Start with world_test.go; each other file is one kind of trouble.
package together

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"testing"

	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/history"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/process/nodes"
	"github.com/troupe-storage/troupe/test/s3client"
)

// TestMain builds the binary once; or is a node without fences.
func TestMain(m *testing.M) {
	if os.Getenv(unfencedVariable) != "" {
		if err := serveUnfenced(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	process.Main(m)
}

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

// until asks again for as long as it is told 503: on a machine that is too busy, nodes are
// silent for a while that nobody has harmed.
func (w *world) until(ask func() (*s3client.Answer, error)) *s3client.Answer {
	w.t.Helper()
	var answer *s3client.Answer
	w.must(nodes.Await(w.t.Context(), "an answer other than 503", func() (bool, string) {
		var err error
		if answer, err = ask(); err != nil {
			w.t.Fatal(err)
		}
		return answer.Status != http.StatusServiceUnavailable, string(answer.Body)
	}))
	return answer
}

// surely is get, asked again while it is 503.
func (w *world) surely(at int, key string) (int, string) {
	w.t.Helper()
	answer := w.until(func() (*s3client.Answer, error) { return w.s3[at].Get(w.t.Context(), bucket, key) })
	return answer.Status, string(answer.Body)
}

// startLoad lets clients loose on the keys of a bucket, through all nodes.
func (w *world) startLoad(bucket string, clients, keys int) *history.Load {
	return history.StartLoad(w.t, history.LoadConfig{
		Bucket: bucket, Clients: clients, Keys: keys, Nodes: len(w.s3), Node: func(at int) *s3client.Client { return w.s3[at] },
		Large: 100 << 10, Seed: rand.Uint64(),
	})
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
