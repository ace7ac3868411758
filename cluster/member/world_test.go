package member_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/smap"
)

const clusterID = "00c0ffee00c0ffee"

// world is the nodes of a cluster in one process, what they agree on, and the network
// between them. Time is virtual.
type world struct {
	t      *testing.T
	memory *embedded.Memory
	nodes  map[smap.NodeID]*node
	order  []smap.NodeID
	giveUp time.Duration      // how long a node is down until it is given up
	rule   func() member.Rule // what buckets ask for; nil: one copy
	pace   cluster.Pace       // of calls to the provider

	mu   sync.Mutex
	cuts map[[2]smap.NodeID]bool // who does not reach whom
}

// node is one node: what is on its disks lives on when it is killed.
type node struct {
	world    *world
	id       smap.NodeID
	archive  *archive
	provider *embedded.MemoryProvider
	system   *actors.System
	pid      *actor.PID
	member   *member.Membership
	view     atomic.Pointer[messages.ClusterView]
	events   *member.Events
	data     atomic.Bool // it has a bucket
	shelf    *shelf
	buckets  *member.Buckets
	accounts *member.Accounts
	// accountShelf outlives the node.
	accountShelf *accountShelf
	catches      atomic.Int64
	behind       atomic.Bool                 // it never catches up
	lack         atomic.Pointer[member.Lack] // nil: it lacks nothing
	looks        atomic.Int64                // how often it was asked what it lacks: with every tick
	manual       bool
	adopted      atomic.Pointer[func()]                                         // called with every map that is new; nil: nobody is told
	settings     atomic.Pointer[member.Settings]                                // that it was told to follow
	asleep       atomic.Int64                                                   // how long its machine was suspended
	walk         atomic.Pointer[func(*messages.ClusterView) *messages.PlanWalk] // what it reports; nil: nothing
	log          *bytes.Buffer
	logLock      sync.Mutex
}

// Write implements io.Writer for the node's log.
func (n *node) Write(b []byte) (int, error) {
	n.logLock.Lock()
	defer n.logLock.Unlock()
	return n.log.Write(b)
}

// archive is stable storage in memory. In every test it sees that no node ever goes
// back, or over to another line.
type archive struct {
	t     *testing.T
	mu    sync.Mutex
	saved member.Adopted
	last  *smap.Smap
	fail  error
}

func (a *archive) Load() (member.Adopted, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.saved, nil
}

func (a *archive) Save(s member.Adopted) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail != nil {
		return a.fail
	}
	next, err := smap.Parse(s.Map)
	if err != nil {
		return err
	}
	same := a.last != nil && next.Hash() == a.last.Hash() // only what else is saved is something else
	if a.last != nil && !same && (next.Version() <= a.last.Version() || next.Lineage() != a.last.Lineage()) {
		a.t.Errorf("version %d of %s was followed by %d of %s", a.last.Version(), a.last.Lineage(), next.Version(), next.Lineage())
	}
	a.saved, a.last = s, next
	return nil
}

func (a *archive) setFail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail = err
}

// version is that of the map on stable storage; 0: there is none.
func (a *archive) version(t *testing.T) uint64 {
	saved, _ := a.Load()
	if len(saved.Map) == 0 {
		return 0
	}
	m, err := smap.Parse(saved.Map)
	must(t, err)
	return m.Version()
}

// run runs a test in a world of its own.
func run(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			t: t, memory: embedded.NewMemory(clock.NewSystem()), nodes: make(map[smap.NodeID]*node), cuts: make(map[[2]smap.NodeID]bool),
			pace: cluster.Pace{Gap: time.Millisecond, Retry: 50 * time.Millisecond, RetryMax: time.Second},
		}
		defer w.memory.Close()
		defer w.let(time.Minute) // protoactor counts dead letters for some seconds
		defer func() {
			for _, id := range w.order {
				w.nodes[id].kill()
				if t.Failed() {
					t.Logf("log of %s:\n%s", id, w.nodes[id].log)
				}
			}
		}()
		test(w)
	})
}

// start starts nodes, new ones or those that were killed.
func (w *world) start(ids ...smap.NodeID) {
	w.t.Helper()
	for _, id := range ids {
		n := w.nodes[id]
		if n == nil {
			n = &node{world: w, id: id, archive: &archive{t: w.t}, shelf: newShelf(), accountShelf: &accountShelf{all: objects.NewAccounts()}, log: &bytes.Buffer{}}
			w.mu.Lock()
			w.nodes[id] = n
			w.mu.Unlock()
			w.order = append(w.order, id)
		}
		n.start()
	}
}

func (n *node) start() {
	t := n.world.t
	log := logrus.New()
	log.SetOutput(io.Writer(n))
	log.SetLevel(logrus.DebugLevel)
	n.provider = n.world.memory.Provider()
	n.system = actors.NewSystemOn(clock.NewSystem(), logrus.NewEntry(log))
	n.events = member.NewEvents(logrus.NewEntry(log))
	n.buckets = n.bucketsOf(t, logrus.NewEntry(log))
	n.accounts = n.accountsOf(t, logrus.NewEntry(log))
	membership, err := member.New(member.Config{
		System: n.system, Provider: n.provider, ClusterID: clusterID, Name: "test",
		Record: member.Record{ID: n.id, Digest: smap.Digest(objects.DigestID("t" + string(n.id))), Addresses: messages.NodeAddresses{Intra: string(n.id)}},
		Registration: cluster.Registration{
			Address: "127.0.0.1", Port: 8080,
		},
		Peers: peers{n.world, n.id}, Archive: n.archive,
		Pace:       n.world.pace,
		Buckets:    n.buckets,
		Accounts:   n.accounts,
		HasBuckets: func() bool { return n.data.Load() || len(n.shelf.Buckets()) > 0 }, NewLineage: embedded.NewID, Publish: n.publish, Events: n.events,
		Settings: func(s member.Settings) { n.settings.Store(&s) },
		Policy:   func() member.Policy { return member.Policy{Manual: n.manual, GiveUpAfter: n.world.giveUp} }, Walked: n.walked, Lacks: n.lacks, Awake: n.awake, Rule: n.world.rule,
		CatchUp: func(ctx context.Context, _ *smap.Smap) error {
			n.catches.Add(1)
			if err := n.accounts.Current(ctx); err != nil {
				return err
			}
			if n.behind.Load() {
				<-ctx.Done()
			}
			if lack := n.lacks(); lack.Lost {
				n.lack.Store(nil) // others had it
			} else if lack.Why != "" {
				return errors.New(lack.Why)
			}
			return ctx.Err()
		},
	})
	must(t, err)
	n.world.mu.Lock()
	n.member = membership // others reach it
	n.world.mu.Unlock()
	n.pid, err = n.system.Spawn(n.system.Root(), membership.Spec())
	must(t, err)
}

// publish keeps what the node knows of the cluster.
func (n *node) publish(v *messages.ClusterView) {
	was := n.view.Swap(v)
	if told := n.adopted.Load(); told != nil && v.Map != nil && (was == nil || was.Map != v.Map) {
		(*told)()
	}
}

// awake is a clock that goes on while the machine is suspended.
func (n *node) awake() time.Duration {
	return n.system.Clock().Elapsed() + time.Duration(n.asleep.Load())
}

// lacks is what the node has not that others have.
func (n *node) lacks() member.Lack {
	n.looks.Add(1)
	if lack := n.lack.Load(); lack != nil {
		return *lack
	}
	return member.Lack{}
}

// walked is what the node reports of a plan.
func (n *node) walked() *messages.PlanWalk {
	view := n.view.Load()
	if walk := n.walk.Load(); walk != nil && view != nil && view.Map != nil {
		return (*walk)(view)
	}
	return nil
}

// kill ends a node without a word to anybody.
func (n *node) kill() {
	if n.system == nil {
		return
	}
	check(n.world.t, n.provider.Close())
	n.stop()
}

// stop ends a node as who started it does, and says how long that took.
func (n *node) stop() time.Duration {
	began := time.Now()
	check(n.world.t, n.system.Stop(n.pid))
	took := time.Since(began)
	n.system.Shutdown()
	check(n.world.t, n.provider.Close())
	n.world.mu.Lock()
	n.system, n.member = nil, nil
	n.world.mu.Unlock()
	return took
}

// cut takes the way between two nodes away in both directions, or brings it back.
func (w *world) cut(a, b smap.NodeID, is bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts[[2]smap.NodeID{a, b}], w.cuts[[2]smap.NodeID{b, a}] = is, is
}

// isolate cuts a node off from all others.
func (w *world) isolate(id smap.NodeID, is bool) {
	for _, other := range w.order {
		if other != id {
			w.cut(id, other, is)
		}
	}
}

// peers is the network as one node sees it.
type peers struct {
	world *world
	from  smap.NodeID
}

// member returns the membership of a node that is reached.
func (p peers) member(ctx context.Context, to smap.NodeID) (*member.Membership, error) {
	p.world.mu.Lock()
	other, cut := p.world.nodes[to], p.world.cuts[[2]smap.NodeID{p.from, to}]
	var membership *member.Membership
	if other != nil {
		membership = other.member
	}
	p.world.mu.Unlock()
	if cut {
		<-ctx.Done() // packets that are dropped are not answered
		return nil, errors.New("the network is cut")
	}
	if membership == nil {
		return nil, errors.New("connection refused")
	}
	return membership, nil
}

func (p peers) Ask(ctx context.Context, to member.Record, r member.Request) (member.Outcome, error) {
	membership, err := p.member(ctx, to.ID)
	if err != nil {
		return member.Outcome{}, err
	}
	return membership.Decide(r)
}

func (p peers) Probe(ctx context.Context, to member.Record, probe member.Probe) (member.Status, error) {
	membership, err := p.member(ctx, to.ID)
	if err != nil {
		return member.Status{}, err
	}
	status, err := membership.Answer(probe)
	if err != nil {
		return status, err
	}
	text, err := json.Marshal(status) // as over the wire
	if err != nil {
		return status, err
	}
	status = member.Status{}
	return status, json.Unmarshal(text, &status)
}

// let lets time pass: all of it virtual.
func (w *world) let(pass time.Duration) {
	elapsed, _ := clock.NewSystem().NewTimer(pass)
	<-elapsed
}

// wait lets time pass until something is so, for two minutes of it at most.
func (w *world) wait(what string, is func() bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	for time.Since(began) < 2*time.Minute {
		synctest.Wait()
		if is() {
			return time.Since(began)
		}
		w.let(50 * time.Millisecond)
	}
	w.t.Fatalf("%s: not within two minutes; %s", what, w.describe())
	return 0
}

// pass lets time pass, and checks all the while that something stays so.
func (w *world) pass(how time.Duration, what string, is func() bool) {
	w.t.Helper()
	for began := time.Now(); time.Since(began) < how; {
		synctest.Wait()
		if !is() {
			w.t.Fatalf("%s: not so after %s; %s", what, time.Since(began), w.describe())
		}
		w.let(50 * time.Millisecond)
	}
}

func (w *world) describe() string {
	var b strings.Builder
	for _, id := range w.order {
		v := w.nodes[id].view.Load()
		fmt.Fprintf(&b, "\n%s: ", id)
		if v.Map != nil {
			text, _ := v.Map.MarshalJSON()
			b.Write(text)
		}
		fmt.Fprintf(&b, " leader %q, refused %q, unconfirmed %q, silent %v", v.Leader, v.Refused, v.Unconfirmed, v.Silent)
	}
	return b.String()
}

// states returns the states in the map of a node, as "a up, b down".
func (w *world) states(id smap.NodeID) string {
	v := w.nodes[id].view.Load()
	if v == nil || v.Map == nil {
		return ""
	}
	var list []string
	for _, n := range v.Map.Nodes() {
		list = append(list, fmt.Sprintf("%s %s", n.ID, n.State))
	}
	return strings.Join(list, ", ")
}

// agree reports whether all nodes that run see these states under one version, and all
// of them own keys if places is set.
func (w *world) agree(states string) bool {
	versions := make(map[uint64]bool)
	for _, id := range w.order {
		if w.nodes[id].system == nil {
			continue
		}
		if w.states(id) != states {
			return false
		}
		versions[w.nodes[id].view.Load().Map.Version()] = true
	}
	return len(versions) == 1
}

// found starts nodes and waits until they are a cluster and own keys.
func (w *world) found(ids ...smap.NodeID) {
	w.t.Helper()
	w.start(ids...)
	var states []string
	for _, id := range slices.Sorted(slices.Values(ids)) {
		states = append(states, string(id)+" up")
	}
	w.wait("the cluster is founded", func() bool {
		return w.agree(strings.Join(states, ", ")) && len(w.smapOf(ids[0]).Placement()) == len(ids)
	})
}

func (w *world) smapOf(id smap.NodeID) *smap.Smap { return w.nodes[id].view.Load().Map }

// leader returns who leads, by the one that does.
func (w *world) leader() smap.NodeID {
	w.t.Helper()
	var leader smap.NodeID
	w.wait("somebody leads", func() bool {
		for _, id := range w.order {
			if w.nodes[id].system != nil && w.nodes[id].view.Load().Leader == id {
				leader = id
				return true
			}
		}
		return false
	})
	return leader
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) keys() cluster.Keys {
	keys, err := cluster.NewKeys(clusterID)
	must(w.t, err)
	return keys
}

// document reads what the provider has, by a way of the test's own.
func (w *world) document(t *testing.T, key string) cluster.Document {
	t.Helper()
	p := w.memory.Provider()
	defer func() { check(t, p.Close()) }()
	doc, _, err := p.Read(t.Context(), key, cluster.Query{})
	must(t, err)
	return doc
}

// mapThere is the map that the provider has.
func (w *world) mapThere(t *testing.T) *smap.Smap {
	t.Helper()
	m, err := smap.Parse(w.document(t, w.keys().Smap()).Value)
	must(t, err)
	return m
}

// putMap puts a map where nobody but a leader should.
func (w *world) putMap(t *testing.T, m *smap.Smap) {
	t.Helper()
	p := w.memory.Provider()
	defer func() { check(t, p.Close()) }()
	text, err := m.MarshalJSON()
	must(t, err)
	version := fmt.Sprintf(`{"version":%d,"lineage":%q,"hash":%q}`, m.Version(), m.Lineage(), m.Hash())
	store := cluster.NewStore(p, cluster.Pace{})
	must(t, store.Commit(t.Context(), w.document(t, w.keys().Smap()).Put(text), w.document(t, w.keys().SmapVersion()).Put([]byte(version))))
}
