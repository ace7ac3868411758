package cluster

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// patience is how long anything that has to happen may take: the machine may be busy
// with seven other suites under the race detector.
const patience = 90 * time.Second

// world is a provider that all nodes of a test share, and what can befall it.
type world interface {
	// join returns the provider of one more node. It is closed with the test.
	join(t *testing.T) node
	// stop takes the service away from everybody, start brings it back as it was, wipe
	// without its data.
	stop(t *testing.T)
	start(t *testing.T)
	wipe(t *testing.T)
	// expireSessions ends all sessions.
	expireSessions(t *testing.T)
	// forget takes a node out of the catalogue behind its back; setMaintenance takes it
	// out of service as an operator does, or, without a reason, puts it back.
	forget(t *testing.T, nodeID string)
	setMaintenance(t *testing.T, nodeID, reason string)
}

// node is one node's provider, and what can befall the way to it.
type node struct {
	cluster.Provider
	// cut takes the way away, or brings it back.
	cut func(is bool)
	// loseAnswers has the next changes happen, and their answers get lost.
	loseAnswers func(count int)
}

// over runs a test over each kind of provider. Hurts says whether it breaks the
// service for everybody: then it has one of its own. The others share a server, under
// keys of their own: starting one takes seconds.
func over(t *testing.T, hurts bool, test func(t *testing.T, w world)) {
	t.Helper()
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, newMemoryWorld(t))
	})
	t.Run("consul", func(t *testing.T) {
		t.Parallel()
		test(t, newConsulWorld(t, hurts))
	})
}

const (
	own    = true  // the test needs a service of its own
	shared = false // it does not
)

// memoryWorld is embedded.Memory.
type memoryWorld struct {
	*embedded.Memory
	nodes []*embedded.MemoryProvider
	away  bool
}

func newMemoryWorld(t *testing.T) *memoryWorld {
	w := &memoryWorld{Memory: embedded.NewMemory(clock.NewSystem())}
	t.Cleanup(w.Close)
	return w
}

func (w *memoryWorld) join(t *testing.T) node {
	p := w.Provider()
	w.nodes = append(w.nodes, p)
	p.Faults().Cut(w.away)
	t.Cleanup(func() { check(t, p.Close()) })
	return node{Provider: p, cut: p.Faults().Cut, loseAnswers: p.Faults().LoseAnswers}
}

func (w *memoryWorld) setAway(is bool) {
	w.away = is
	for _, p := range w.nodes {
		p.Faults().Cut(is)
	}
}

func (w *memoryWorld) stop(*testing.T)  { w.setAway(true) }
func (w *memoryWorld) start(*testing.T) { w.setAway(false) }
func (w *memoryWorld) wipe(*testing.T)  { w.Wipe() }

func (w *memoryWorld) expireSessions(t *testing.T) {
	if w.ExpireSessions() == 0 {
		t.Error("there was no session")
	}
}

func (w *memoryWorld) forget(_ *testing.T, nodeID string) { w.Forget(nodeID) }
func (w *memoryWorld) setMaintenance(_ *testing.T, nodeID, reason string) {
	w.SetMaintenance(nodeID, reason)
}

// within returns a context that ends when a test has waited too long.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
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

func wantKind(t *testing.T, kind errs.Kind, err error) {
	t.Helper()
	if !errs.Is(kind, err) {
		t.Errorf("%v, want %v", err, kind)
	}
}

// keysOf returns the keys of a cluster of the test's own.
func keysOf(t *testing.T) cluster.Keys {
	t.Helper()
	keys, err := cluster.NewKeys(newID(t))
	must(t, err)
	return keys
}

func newID(t *testing.T) string {
	t.Helper()
	id, err := embedded.NewID()
	must(t, err)
	return id
}

// quick is a pace for tests: the waits after failures are short.
func quick() cluster.Pace {
	return cluster.Pace{Gap: time.Millisecond, Retry: 5 * time.Millisecond, RetryMax: 100 * time.Millisecond, Wait: 10 * time.Second}
}

// next waits for a state of a watch that wanted accepts. Failures in between are what
// a watch lives through; those that never end fail the test.
func next[T any](t *testing.T, w *cluster.Watch[T], wanted func(T) bool) T {
	t.Helper()
	ctx := within(t)
	for {
		state, err := w.Next(ctx)
		if ctx.Err() != nil {
			t.Fatalf("nothing that was waited for has come; last: %+v, %v", state, err)
		}
		if err == nil && wanted(state) {
			return state
		}
	}
}

// number reads a document that a test writes: a decimal number; 0 if there is none.
func number(t *testing.T, d cluster.Document) int {
	t.Helper()
	if !d.Exists() {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(d.Value)))
	if err != nil {
		t.Errorf("%s: %v", d.Key, err)
	}
	return n
}

// photos is a bucket with a name that has to be escaped.
func photos(name string) objects.Bucket {
	return objects.Bucket{Provider: objects.ProviderAIS, Name: name}
}
