package together

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/history"
	"github.com/troupe-storage/troupe/test/process/nodes"
	"github.com/troupe-storage/troupe/test/s3client"
	"github.com/troupe-storage/troupe/test/soak"
)

// A fourth node joins and another one is drained, while clients read and write, and nodes
// are killed with -9 in the middle of both plans: whoever reads is answered with the whole
// object, at once or after the 503 of a node that was just killed; what is listed and read
// in the end is what was written; each node has its share within a tenth; and the node
// that was drained has nothing left.
func TestGrowAndDrain(t *testing.T) {
	t.Parallel()
	newGrowth(t, rand.Uint64()).play(1)
}

// The same with five kills in each plan, of nodes that are back at once and of nodes that
// all have missed.
func TestGrowAndDrainSoak(t *testing.T) {
	slice := soak.Begin(t, soak.Row{Name: "kill-of-plans", Unit: "kills of nodes while a plan of a cluster was under way", Goal: 100})
	for slice.More() {
		seed := slice.Next()
		right := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			g := newGrowth(t, seed)
			g.play(5)
			slice.Count("reads", g.readers.reads.Load())
			slice.Count("reads answered 503 first", g.readers.refused.Load())
		})
		if right {
			slice.Add(10, seed+1)
		}
	}
}

// growth is a cluster that grows and shrinks.
type growth struct {
	*world
	random  *rand.Rand
	readers *readers
	// inKills is how often nodes found another one silent while one was killed.
	inKills int
}

const (
	// fixed is how many objects are written before the plans, of one copy each. By chance
	// alone, one of three nodes is off its share by a tenth in one run of ten thousand.
	fixed = 4000
	// fixedPrefix is what their names, and those of their payloads' files, begin with.
	fixedPrefix = "fixed-"
)

func fixedKey(n int) string { return fmt.Sprintf("folder-%d/%s%d", n%50, fixedPrefix, n) }

// fixedBody is above what nodes keep in their indexes.
func fixedBody(n int) string { return strings.Repeat(fixedKey(n)+"\n", 70+n%50) }

func newGrowth(t *testing.T, seed uint64) *growth {
	t.Helper()
	t.Logf("seed %d", seed)
	g := &growth{world: newWorld(t, nodes.Config{Mountpaths: 2, Args: []string{"--inline", "1KiB"}}), random: rand.New(rand.NewPCG(seed, 0))}
	numbers := make(chan int)
	var writing sync.WaitGroup
	for range 24 {
		writing.Go(func() {
			for n := range numbers {
				answer := g.until(func() (*s3client.Answer, error) {
					return g.s3[n%3].Put(t.Context(), bucket, fixedKey(n), []byte(fixedBody(n)))
				})
				if !answer.OK() {
					t.Errorf("%s: %+v", fixedKey(n), answer)
				}
			}
		})
	}
	for n := range fixed {
		numbers <- n
	}
	close(numbers)
	writing.Wait()
	return g
}

// play has a node join and another one drained, with so many kills in each plan.
func (g *growth) play(kills int) {
	t, ctx := g.t, g.t.Context()
	// From the beginning, so that no run of slots goes over before anyone could be killed.
	g.ask(api.ClusterRequest{Kind: api.ClusterLimit, Rate: &api.JobRate{Objects: int64(100 / kills)}})
	added, err := g.Add(ctx)
	g.must(err)
	g.s3 = append(g.s3, s3client.New(added.S3, g.Keys()))
	var loads []*history.Load
	for _, name := range []string{bucket, twice} {
		loads = append(loads, g.startLoad(name, 2, 40))
	}
	g.startReaders(3)
	all := []smap.NodeID{g.Nodes[0].ID, g.Nodes[1].ID, g.Nodes[2].ID, added.ID}
	g.kill(kills, 3)
	g.placed("the fourth owns its part", all)

	drained := g.random.IntN(3)
	g.ask(api.ClusterRequest{Kind: api.ClusterLimit, Rate: &api.JobRate{Objects: int64(200 / kills)}})
	g.ask(api.ClusterRequest{Kind: api.ClusterDrain, Node: string(g.Nodes[drained].ID)})
	g.kill(kills, drained)
	g.placed("one is drained", slices.DeleteFunc(all, func(id smap.NodeID) bool { return id == g.Nodes[drained].ID }))
	g.readers.end()
	// A node may be silent that nobody killed, on a machine that is too busy.
	if n := g.readers.unexpected.Load(); n > 0 && g.silences() == g.inKills {
		t.Errorf("%d reads were refused while no node was killed, and none was silent", n)
	}
	for _, l := range loads {
		l.Judge()
	}
	g.same()
	g.counts(drained)
	if g.readers.refused.Load() == 0 {
		t.Error("no read met a node that was killed")
	}
}

// kill kills nodes while the plan is under way, the given one first, and waits until each
// is back; then the plan may go as fast as it can.
func (g *growth) kill(kills, first int) {
	ctx := g.t.Context()
	var since uint64 // version of the map that began it
	g.must(g.AwaitMap(ctx, "a plan begins", func(m *smap.Smap) bool {
		next, planned := m.Next()
		since = next.Since
		return planned
	}))
	for number := range kills {
		victim := first
		if number > 0 {
			victim = g.random.IntN(len(g.Nodes))
		}
		before, at := g.progress(since), int64(0)
		g.must(nodes.Await(ctx, "the plan gets on", func() (bool, string) {
			at = g.progress(since)
			return at > before+10, fmt.Sprint(at, " copied, and ", before, " before")
		}))
		if m, err := g.Map(ctx); err != nil || m == nil {
			g.t.Fatalf("the map: %v", err)
		} else if _, planned := m.Next(); !planned {
			g.t.Errorf("kill %d: the plan was over before", number)
		}
		silences := g.silences()
		g.readers.trouble.Store(true)
		g.must(g.Nodes[victim].Kill())
		missed := number%2 == 1
		if missed {
			g.must(g.AwaitMap(ctx, "it is down", func(m *smap.Smap) bool { n, _ := m.Node(g.Nodes[victim].ID); return n.State == smap.Down }))
		}
		g.must(g.Nodes[victim].Restart(ctx))
		g.must(g.AwaitMap(ctx, "all serve", func(m *smap.Smap) bool {
			return !slices.ContainsFunc(m.Nodes(), func(n smap.Node) bool { return !n.State.Serves() })
		}))
		g.t.Logf("node %d was killed at %d copies; all had missed it: %v", victim, at, missed)
		g.readers.more(20) // what the kill left on connections is seen by then
		g.readers.trouble.Store(false)
		g.inKills += g.silences() - silences
	}
	g.ask(api.ClusterRequest{Kind: api.ClusterLimit, Rate: &api.JobRate{}})
}

// progress is how many objects the nodes say they have copied for a plan, and slots that
// have gone over: it grows while the plan gets on.
func (g *growth) progress(since uint64) int64 {
	c, err := g.control(0).Cluster(g.t.Context())
	if err != nil || c.Plan == nil || c.Plan.Since != since {
		return 0
	}
	sum := int64(c.Plan.Switched)
	for _, n := range c.Plan.Nodes {
		sum += n.Objects
	}
	return sum
}

// placed waits until nodes own all keys and no plan is under way.
func (g *growth) placed(what string, ids []smap.NodeID) {
	g.t.Helper()
	slices.Sort(ids)
	g.must(g.AwaitMap(g.t.Context(), what, func(m *smap.Smap) bool {
		_, planned := m.Next()
		return !planned && slices.Equal(m.Placement(), ids)
	}))
}

// control is the native API of a node.
func (g *growth) control(at int) client.Control {
	g.t.Helper()
	n := g.Nodes[at]
	connection, err := client.New(client.Config{Endpoint: n.URL(n.Native), Credentials: g.Keys()})
	g.must(err)
	g.t.Cleanup(connection.Close)
	return client.Control{Connection: connection}
}

// ask asks the leader through a node, again while nobody leads.
func (g *growth) ask(r api.ClusterRequest) {
	g.t.Helper()
	control := g.control(0)
	g.must(nodes.Await(g.t.Context(), fmt.Sprintf("an answer to %+v", r), func() (bool, string) {
		_, err := control.RequestCluster(g.t.Context(), r)
		return err == nil, fmt.Sprint(err)
	}))
}

// same fails unless every node lists, and all of them together show, exactly what was
// written before the plans.
func (g *growth) same() {
	g.t.Helper()
	var want []string
	for n := range fixed {
		want = append(want, fixedKey(n))
	}
	slices.Sort(want)
	for at := range g.s3 {
		var listed []s3client.Listed
		g.must(nodes.Await(g.t.Context(), "a listing", func() (bool, string) {
			var err error
			listed, err = g.s3[at].List(g.t.Context(), bucket, "folder-", 1000)
			return err == nil, fmt.Sprint(err)
		}))
		var names []string
		for _, l := range listed {
			names = append(names, l.Key)
		}
		if !slices.Equal(names, want) {
			g.t.Errorf("node %d lists %d objects, want %d", at, len(names), len(want))
		}
	}
	for n := range fixed {
		if status, body := g.surely(n%len(g.s3), fixedKey(n)); status != http.StatusOK || body != fixedBody(n) {
			g.t.Errorf("%s at node %d: %d, %d bytes", fixedKey(n), n%len(g.s3), status, len(body))
		}
	}
}

// counts waits until payloads are where they belong and nowhere else, and looks whether
// that is even, and whether the node that was drained has anything.
func (g *growth) counts(drained int) {
	g.t.Helper()
	counts := make([]int, len(g.Nodes))
	g.must(nodes.Await(g.t.Context(), "nothing is left over", func() (bool, string) {
		sum := 0
		for at := range g.Nodes {
			counts[at] = g.payloads(at)
			sum += counts[at]
		}
		return sum == fixed && counts[drained] == 0, fmt.Sprint(counts, " payloads; drained was ", drained)
	}))
	for at, count := range counts {
		if at != drained {
			even(g.t, fmt.Sprint("node ", at), count, fixed/(len(g.Nodes)-1))
		}
	}
	g.must(nodes.Await(g.t.Context(), "the node that was drained has removed everything", func() (bool, string) {
		m, err := g.Nodes[drained].Metrics(g.t.Context())
		g.must(err)
		running, known := m[`troupe_jobs{kind="rebalance",state="running"}`]
		return known && running+m.Sum("troupe_reclaimable_payloads") == 0, fmt.Sprint(m.Own())
	}))
	g.must(g.Nodes[drained].Stop(g.t.Context()))
	for _, m := range g.count(g.Nodes[drained]) {
		if m.Objects != 0 || m.Pending != 0 {
			g.t.Errorf("%s of the node that was drained has %d objects, %d pending", m.Mountpath, m.Objects, m.Pending)
		}
	}
}

// payloads counts files of payloads of what was written before the plans.
func (g *growth) payloads(at int) int {
	g.t.Helper()
	count := 0
	for _, dir := range g.Nodes[at].Mountpaths {
		err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && strings.HasPrefix(entry.Name(), fixedPrefix) {
				count++
			}
			return nil // it went meanwhile
		})
		g.must(err)
	}
	return count
}

// readers read what was written before the plans, at random nodes, and read again, at
// another one, what a node refuses for the time being or does not answer.
type readers struct {
	world   *world
	stop    atomic.Bool
	running sync.WaitGroup
	// trouble: a node was killed, and may not be back; unexpected is how often there was a
	// refusal while none was.
	trouble        atomic.Bool
	reads, refused atomic.Int64
	unexpected     atomic.Int64
	longest        atomic.Int64 // nanoseconds until somebody was answered
}

func (g *growth) startReaders(count int) {
	g.readers = &readers{world: g.world}
	for range count {
		random := rand.New(rand.NewPCG(g.random.Uint64(), 0))
		g.readers.running.Go(func() { g.readers.work(random) })
	}
	g.t.Cleanup(func() { g.readers.stop.Store(true); g.readers.running.Wait() })
}

func (r *readers) work(random *rand.Rand) {
	t := r.world.t
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for !r.stop.Load() {
		n, begun := random.IntN(fixed), time.Now()
		for again := true; again; <-pace.C {
			at, calm := random.IntN(len(r.world.s3)), !r.trouble.Load()
			answer, err := r.world.s3[at].Get(t.Context(), bucket, fixedKey(n))
			refused := err != nil || answer.Status == http.StatusServiceUnavailable
			again = refused && time.Since(begun) < time.Minute
			if t.Context().Err() != nil {
				return
			}
			switch {
			case refused && calm && !r.trouble.Load():
				r.unexpected.Add(1)
				t.Logf("%s at node %d, with nobody killed: %v %+v", fixedKey(n), at, err, answer)
			case refused:
				r.refused.Add(1)
			}
			if !again && (err != nil || answer.Status != http.StatusOK || string(answer.Body) != fixedBody(n)) {
				t.Errorf("%s at node %d after %s: %v %+v", fixedKey(n), at, time.Since(begun), err, answer)
				return
			}
		}
		r.reads.Add(1)
		for took, was := int64(time.Since(begun)), r.longest.Load(); took > was && !r.longest.CompareAndSwap(was, took); was = r.longest.Load() {
			continue // another reader was faster
		}
	}
}

// more waits for so many reads more.
func (r *readers) more(count int64) {
	r.world.t.Helper()
	until := r.reads.Load() + count
	r.world.must(nodes.Await(r.world.t.Context(), "reads go on", func() (bool, string) { return r.reads.Load() >= until, "" }))
}

// end ends the readers, and tells what they met.
func (r *readers) end() {
	r.world.t.Helper()
	r.stop.Store(true)
	r.running.Wait()
	r.world.t.Logf("%d reads; of their tries, %d met the 503, or the silence, of a node that was killed; the longest took %.1f s",
		r.reads.Load(), r.refused.Load(), time.Duration(r.longest.Load()).Seconds())
}
