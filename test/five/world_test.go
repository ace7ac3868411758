// Package five runs five whole nodes in the test's own process, over the memory provider
// and over links that lose, delay and break, while clients do random things to keys of one,
// two and three copies; nodes are stopped and started, cut off, cut from each other and
// from what they agree on. What clients were told is judged, key by key, as one register
// (test/history). It runs under the race detector.
//
// Start with world_test.go, then links_test.go, then five_test.go.
package five

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/test/history"
	"github.com/troupe-storage/troupe/test/s3client"
)

// patience is how long anything that has to happen may take on a busy machine.
const patience = 2 * time.Minute

const count = 5

// world is five nodes, and what is between them.
type world struct {
	t      *testing.T
	memory *embedded.Memory
	links  *links
	nodes  [count]*node
	loads  []*history.Load
}

// node is one of them; its directories outlive it. It belongs to the goroutine of the
// test, but for s3.
type node struct {
	*supervisors.Node // nil: it is stopped
	number            int
	id                smap.NodeID
	config            supervisors.Config
	provider          *embedded.MemoryProvider
	s3                atomic.Pointer[s3client.Client]
}

// newWorld starts five nodes, and waits until they are a cluster.
func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{t: t, memory: embedded.NewMemory(clock.NewSystem()), links: newLinks(seed)}
	t.Cleanup(w.memory.Close)
	for number := range w.nodes {
		dir := filepath.Join(t.TempDir(), fmt.Sprint("n", number))
		log := logrus.New()
		log.SetOutput(io.Discard)
		if testing.Verbose() {
			log.SetOutput(os.Stderr)
			log.SetFormatter(&logrus.TextFormatter{DisableColors: true, TimestampFormat: fmt.Sprintf("15:04:05.000 node %d", number), FullTimestamp: true})
		}
		w.nodes[number] = &node{number: number, config: supervisors.Config{
			Data: []string{filepath.Join(dir, "d0"), filepath.Join(dir, "d1")}, Native: "127.0.0.1:0", S3: "127.0.0.1:0", Intra: "127.0.0.1:0",
			MemoryBytes: supervisors.MinMemoryBytes, LimitHeap: func(int64) {}, InlineBytes: 4 << 10, Log: log, Reserve: supervisors.Reserve{Bytes: 1 << 20, Percent: 1},
			Cluster: supervisors.ClusterConfig{Name: "five", Secret: supervisors.Secret(strings.Repeat("0f", 32)), Dial: w.links.dial(number)},
		}}
		t.Cleanup(func() { w.stop(number) })
		w.start(number)
	}
	w.await("five nodes are up and own keys", func() bool {
		return w.agreed() && w.states() == "up up up up up" && len(w.view().Placement()) == count
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// start starts a node that does not run.
func (w *world) start(number int) {
	w.t.Helper()
	n := w.nodes[number]
	n.provider = w.memory.Provider()
	n.config.Cluster.Provider = n.provider
	started, err := supervisors.Start(n.config)
	if err != nil {
		w.t.Fatalf("node %d: %v", number, err)
	}
	n.Node, n.id = started, started.Cluster().Self
	w.links.listens(number, n.Intra())
	n.s3.Store(s3client.New(n.S3(), sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey}))
}

// stop ends a node. More than once is no failure.
func (w *world) stop(number int) {
	n := w.nodes[number]
	if n.Node == nil {
		return
	}
	n.s3.Load().Close()
	if err := n.Stop(); err != nil {
		w.t.Errorf("node %d: %v", number, err)
	}
	if err := n.provider.Close(); err != nil {
		w.t.Errorf("node %d: %v", number, err)
	}
	n.Node = nil
}

// view is the newest map that any node acts on.
func (w *world) view() *smap.Smap {
	var newest *smap.Smap
	for _, n := range w.nodes {
		if n.Node == nil {
			continue
		}
		if m := n.Cluster().Map; m != nil && (newest == nil || m.Version() > newest.Version()) {
			newest = m
		}
	}
	return newest
}

// agreed says whether all nodes that run act on that map.
func (w *world) agreed() bool {
	m := w.view()
	for _, n := range w.nodes {
		if n.Node != nil && (m == nil || n.Cluster().Map == nil || n.Cluster().Map.Version() != m.Version()) {
			return false
		}
	}
	return true
}

// states are those of all nodes in that map, by number, blanks between.
func (w *world) states() string {
	m := w.view()
	if m == nil {
		return ""
	}
	var states []string
	for _, n := range w.nodes {
		entry, _ := m.Node(n.id)
		states = append(states, string(entry.State))
	}
	return strings.Join(states, " ")
}

// isState says whether all of these nodes have a state in the map.
func (w *world) isState(state smap.State, numbers ...int) func() bool {
	return func() bool {
		m := w.view()
		for _, number := range numbers {
			if entry, _ := m.Node(w.nodes[number].id); entry.State != state {
				return false
			}
		}
		return true
	}
}

// await waits until something is so.
func (w *world) await(what string, is func() bool) {
	w.t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	late := time.After(patience)
	for !is() {
		select {
		case <-look.C:
		case <-late:
			w.t.Fatalf("%s: not within %s: %s", what, patience, w.states())
		}
	}
}

// bucket makes one whose objects are on so many nodes, and a load on it.
func (w *world) bucket(copies int, seed uint64) {
	w.t.Helper()
	name := fmt.Sprint("copies-", copies)
	body := fmt.Sprintf(`{"action":"create-bck","value":{"troupe":{"copies":%d}}}`, copies)
	answer, err := http.Post("http://"+w.nodes[0].Native()+"/v1/buckets/"+name, "application/json", strings.NewReader(body))
	w.must(err)
	said, err := io.ReadAll(answer.Body)
	w.must(err)
	w.must(answer.Body.Close())
	if answer.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %s: %s", name, answer.Status, said)
	}
	w.loads = append(w.loads, history.StartLoad(w.t, history.LoadConfig{
		Bucket: name, Clients: 3, Keys: 40, Nodes: count, Large: 20 << 10, Seed: seed + uint64(copies)<<32,
		Node: func(at int) *s3client.Client { return w.nodes[at].s3.Load() },
	}))
}

// more waits until each load has made so many requests more.
func (w *world) more(requests int) {
	w.t.Helper()
	for _, l := range w.loads {
		l.More(requests)
	}
}
