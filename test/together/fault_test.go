package together

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/process/nodes"
	"github.com/troupe-storage/troupe/test/s3client"
)

// desks is a cluster whose nodes can be broken on purpose, and the way to their desks.
type desks struct {
	*world
	at []client.Control
}

// newDesks starts a cluster with one bucket, whose objects are on two nodes each.
func newDesks(t *testing.T) *desks {
	t.Helper()
	w := &desks{world: &world{Cluster: nodes.ForTest(t, nodes.Config{Args: []string{"--faults"}}), t: t}}
	w.s3 = w.Clients()
	for i, n := range w.Nodes {
		c, err := client.New(client.Config{Endpoint: n.URL(n.Native), Credentials: w.Keys(), Patience: -1})
		w.must(err)
		w.at = append(w.at, client.Control{Connection: c})
		t.Cleanup(c.Close)
		t.Cleanup(w.s3[i].Close)
	}
	w.must(w.CreateBucket(t.Context(), twice, 2))
	return w
}

// inject has a fault begin at a node, which must take it; force: it must need that. On a
// machine that is too busy, other nodes are silent for a while, and it is asked again.
func (w *desks) inject(at int, spec api.FaultSpec, force bool) api.Fault {
	w.t.Helper()
	var injected api.InjectedFault
	w.must(nodes.Await(w.t.Context(), "a fault that may begin", func() (bool, string) {
		var err error
		if injected, err = w.at[at].InjectFault(w.t.Context(), api.InjectFault{FaultSpec: spec, Force: force}); err != nil && !errs.Is(errs.Conflict, err) {
			w.t.Fatal(err)
		}
		return err == nil, fmt.Sprint(err)
	}))
	if injected.Fault == nil || injected.Fault.Forced != force {
		w.t.Fatalf("%+v at node %d: %+v", spec, at, injected)
	}
	return *injected.Fault
}

func (w *desks) clear(at int) {
	w.t.Helper()
	_, err := w.at[at].ClearFaults(w.t.Context())
	w.must(err)
}

// touching is a fault that counts as one that touches what the node serves, and does no
// harm: there is no such file.
func touching() api.FaultSpec {
	return api.FaultSpec{Disk: &api.FaultOfDisk{Path: "nothing/there", Do: "fail"}, Expiry: api.Span(time.Hour)}
}

// With two copies the faults of all nodes together may touch one, whoever is asked, also
// if two are asked at a time; more need force, and so does anything once a bucket has one
// copy. A node that is away counts as touched.
func TestFaultsAndRedundancy(t *testing.T) {
	w := newDesks(t)
	ctx := t.Context()
	refused := func(at int, spec api.FaultSpec, words ...string) {
		t.Helper()
		w.must(nodes.Await(ctx, fmt.Sprintf("a refusal at node %d with %q", at, words), func() (bool, string) {
			injected, err := w.at[at].InjectFault(ctx, api.InjectFault{FaultSpec: spec})
			if !errs.Is(errs.Conflict, err) {
				t.Fatalf("at node %d: %v, %+v", at, err, injected)
			}
			missing := slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(err.Error(), word) })
			return !missing, err.Error()
		}))
		dry, err := w.at[at].InjectFault(ctx, api.InjectFault{FaultSpec: spec, DryRun: true})
		if err != nil || dry.Refused == "" || dry.Fault != nil {
			t.Errorf("a dry run at node %d: %v, %+v", at, err, dry)
		}
	}
	w.inject(0, touching(), false)
	w.inject(0, touching(), false) // the same node still
	refused(1, touching(), string(w.Nodes[0].ID)+" has faults", string(w.Nodes[1].ID)+" has faults", "2 of 3 nodes", twice)
	refused(0, api.FaultSpec{Link: &api.FaultOfLink{Do: "cut"}, Expiry: api.Span(time.Minute)}, "faults of links")
	w.inject(1, touching(), true)
	w.clear(0)
	w.clear(1)
	w.inject(1, touching(), false)
	w.clear(1)

	// Of two at a time, one at most may begin. Each is told to both before it is judged.
	for round := range 5 {
		var asking sync.WaitGroup
		failures := make([]error, 2)
		for at := range failures {
			asking.Go(func() { _, failures[at] = w.at[at].InjectFault(ctx, api.InjectFault{FaultSpec: touching()}) })
		}
		asking.Wait()
		if failures[0] == nil && failures[1] == nil {
			t.Errorf("round %d: two nodes are touched", round)
		}
		for _, err := range failures {
			if err != nil && !errs.Is(errs.Conflict, err) {
				t.Error(err)
			}
		}
		w.clear(0)
		w.clear(1)
	}

	// One that is away, and that cannot be asked, counts.
	w.must(w.Nodes[2].Kill())
	refused(0, touching(), string(w.Nodes[2].ID))
	w.must(w.Nodes[2].Restart(ctx))
	w.must(w.AwaitStates(ctx, "up up up"))
	w.inject(0, touching(), false)
	w.clear(0)

	w.must(w.CreateBucket(ctx, bucket, 1))
	w.must(nodes.Await(ctx, "a refusal because of a bucket with one copy", func() (bool, string) {
		_, err := w.at[2].InjectFault(ctx, api.InjectFault{FaultSpec: touching()})
		if err == nil {
			w.clear(2) // the node has not heard of the bucket yet
		}
		return errs.Is(errs.Conflict, err) && strings.Contains(err.Error(), bucket), fmt.Sprint(err)
	}))
}

// A node whose links are broken by a fault is cut off as by a cable that is pulled: the
// others write it down, and serve what it had of objects that are on two nodes; it is back
// when the fault is lifted. A link that is broken in one direction only costs one of two
// nodes its state. What was written meanwhile, is there.
func TestLinksAreBroken(t *testing.T) {
	w := newDesks(t)
	ctx := t.Context()
	put := func(at int, name string) {
		t.Helper()
		// A node may not have heard yet of what the map says.
		w.must(w.until(func() (*s3client.Answer, error) { return w.s3[at].Put(ctx, twice, name, []byte(name)) }).Err())
	}
	look := func(when string, names []string, at ...int) {
		t.Helper()
		for _, node := range at {
			for _, name := range names {
				answer := w.until(func() (*s3client.Answer, error) { return w.s3[node].Get(ctx, twice, name) })
				if answer.Status != http.StatusOK || string(answer.Body) != name {
					t.Errorf("%s: %s at node %d: %d %s", when, name, node, answer.Status, answer.Body)
				}
			}
		}
	}
	var names []string
	for n := range 24 {
		names = append(names, fmt.Sprintf("before-%02d", n))
		put(n%3, names[n])
	}
	const alone = 2
	drop := api.FaultSpec{Link: &api.FaultOfLink{Do: "drop"}, Expiry: api.Span(time.Hour), Reason: "a cable is pulled"}
	dry, err := w.at[alone].InjectFault(ctx, api.InjectFault{FaultSpec: drop, DryRun: true})
	w.must(err)
	if len(dry.Matches.Peers) != 2 || slices.Contains(dry.Matches.Peers, string(w.Nodes[alone].ID)) {
		t.Errorf("a dry run: %+v", dry)
	}
	fault := w.inject(alone, drop, false)
	w.must(w.AwaitStates(ctx, "up up down"))
	look("cut off", names, 0, 1)
	if answer, err := w.s3[alone].Get(ctx, twice, names[0]); err != nil || answer.Status != http.StatusServiceUnavailable {
		t.Errorf("at the node that is cut off: %v %+v", err, answer)
	}
	for n := range 8 {
		name := fmt.Sprintf("meanwhile-%d", n)
		names = append(names, name)
		put(n%2, name)
	}
	// The listener for other nodes is made anew, and what comes there is lost as before.
	const stranger = "a request from an unknown node" // it has not shown its certificate
	lost := func() uint64 {
		now, err := w.at[alone].Fault(ctx, fault.ID)
		w.must(err)
		for _, h := range now.Sample {
			if h.What == stranger {
				return h.Count
			}
		}
		return 0
	}
	_, err = w.at[alone].ControlActor(ctx, "node/edges/intra", api.ActorKill)
	w.must(err)
	before := lost()
	w.must(nodes.Await(ctx, "requests that are lost at a new listener", func() (bool, string) {
		now := lost()
		return now > before, fmt.Sprint(now)
	}))
	ended, err := w.at[alone].ClearFault(ctx, fault.ID)
	w.must(err)
	hit := func(id string) bool {
		return slices.ContainsFunc(ended.Sample, func(h api.FaultHit) bool { return strings.Contains(h.What, id) })
	}
	if ended.Hits == 0 || !hit(string(w.Nodes[0].ID)) || !hit(string(w.Nodes[1].ID)) {
		t.Errorf("it hit %+v", ended)
	}
	w.must(w.AwaitStates(ctx, "up up up"))
	look("lifted", names, 0, 1, 2)

	// One-way: the others ask, and this node does not ask one of them.
	fault = w.inject(alone, api.FaultSpec{
		Link: &api.FaultOfLink{Do: "cut", Direction: "out", Peers: []string{string(w.Nodes[0].ID)}}, Expiry: api.Span(time.Hour),
	}, false)
	w.must(w.AwaitMap(ctx, "one of two is down of which one does not reach the other", w.oneDown))
	ended, err = w.at[alone].ClearFault(ctx, fault.ID)
	w.must(err)
	w.must(w.AwaitStates(ctx, "up up up"))
	if ended.Hits == 0 || !hit("to "+string(w.Nodes[0].ID)) || hit(string(w.Nodes[1].ID)) || hit("from") {
		t.Errorf("it hit %+v", ended)
	}
	look("lifted again", names, 0, 1, 2)
}

// Links that are slow slow requests between nodes down, and cost no node its place; what
// goes to nodes that the fault is not about is as it was.
func TestLinksAreSlow(t *testing.T) {
	w := newDesks(t)
	ctx := t.Context()
	const delay = 40 * time.Millisecond
	fault := w.inject(0, api.FaultSpec{
		Link: &api.FaultOfLink{Do: "delay", Delay: api.Span(delay), Direction: "out", Peers: []string{string(w.Nodes[1].ID)}}, Expiry: api.Span(time.Hour),
	}, false)
	m, err := w.Map(ctx)
	w.must(err)
	seen := 0
	for n := 0; seen < 6; n++ {
		name := fmt.Sprintf("slow-%03d", n)
		if !w.passes(m, name) {
			continue
		}
		seen++
		before, err := w.at[0].Fault(ctx, fault.ID)
		w.must(err)
		var began time.Time
		w.must(w.until(func() (*s3client.Answer, error) {
			began = time.Now()
			return w.s3[0].Put(ctx, twice, name, []byte(name))
		}).Err())
		took := time.Since(began)
		after, err := w.at[0].Fault(ctx, fault.ID)
		w.must(err)
		if took < delay || after.Hits == before.Hits {
			t.Errorf("%s, which node 1 must have, took %s; %d hits before, %d after", name, took, before.Hits, after.Hits)
		}
	}
	w.clear(0)
	m, err = w.Map(ctx)
	w.must(err)
	for _, n := range m.Nodes() {
		if !n.State.Serves() {
			t.Errorf("node %s is %s", n.ID, n.State)
		}
	}
}

// passes reports whether a write of a key that node 0 is asked for goes on from there to
// node 1.
func (w *desks) passes(m *smap.Smap, name string) bool {
	key := objects.Key{Bucket: objects.Bucket{Provider: "ais", Name: twice}, Name: name}
	v := m.View(smap.Key{Digest: key.Digest(), Owners: 2})
	zero, one := w.Nodes[0].ID, w.Nodes[1].ID
	return v.InCharge == one || v.InCharge == zero && slices.Contains(v.Owners, one)
}
