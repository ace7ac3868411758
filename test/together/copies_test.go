package together

import (
	"fmt"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process/nodes"
	"github.com/troupe-storage/troupe/test/soak"
)

// failover is for how long keys of a node that was killed may be 503 while other nodes
// have them. It is promised within ten seconds of a machine that is not busy; how long it
// took is logged.
const failover = 30 * time.Second

// One node after another is killed with -9 under load, and comes back, with two copies of each
// object: nothing that was acknowledged is lost, nothing old or deleted is shown, its keys
// are served by the others after the failover, and it serves again.
func TestKilledWithTwoCopies(t *testing.T) {
	w := newWorld(t, nodes.Config{})
	w.killInTurn(2)
}

// The same, for long.
func TestKilledWithTwoCopiesSoak(t *testing.T) {
	slice := soak.Begin(t, soak.Row{Name: "kill-of-three", Unit: "kills of a node of three under load", Goal: 500})
	for slice.More() {
		const kills = 6
		if t.Run(fmt.Sprint("round ", slice.Next()), func(t *testing.T) { newWorld(t, nodes.Config{}).killInTurn(kills) }) {
			slice.Add(kills, slice.Next()+1)
		}
	}
}

// killInTurn kills so many nodes, one after another, and lets each come back.
func (w *world) killInTurn(count int) {
	w.t.Helper()
	ctx := w.t.Context()
	l := w.startLoad(twice, 6, 96)
	first := int(l.Seed % uint64(len(w.Nodes)))
	l.More(300)
	for number := range count {
		dead := (first + number) % len(w.Nodes)
		killed := time.Now()
		w.must(w.Nodes[dead].Kill())
		states := []string{"up up up", "down up up", "up down up", "up up down"}
		w.must(w.AwaitStates(ctx, states[1+dead]))
		l.More(300)
		outage, key := l.History.Longest(l.Keys(), killed)
		w.t.Logf("node %d was killed: the longest that a key was not served is %.1f s (%s)", dead, outage.Seconds(), key)
		if outage > failover {
			w.t.Errorf("node %d was killed: %s was not served for %s", dead, key, outage)
		}
		w.must(w.Nodes[dead].Restart(ctx))
		w.must(w.AwaitStates(ctx, states[0]))
		l.More(300)
	}
	if l.Trouble() == 0 {
		w.t.Error("the load met no trouble: it did not ask for keys of the nodes that were killed")
	}
	l.Judge()
}
