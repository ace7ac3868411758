package supervisors

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// adoptionName is the name of the actor that has a node act on newer maps.
const adoptionName = "adoption"

// adoption has a node act on a map in three steps, so that what was admitted under an
// older one has ended, or was refused, before a request sees the newer one:
//
//	lanes     refuse from now on what was admitted under another epoch of its key
//	passed    every write lane is past what it was at
//	nodes     requests see it; generations carry its version
//
// It is a worker: it waits for lanes. Maps that were replaced while it waited are left
// out.
type adoption struct {
	node   *Node
	passed *smap.Smap // the last map that all lanes have passed
}

// adopting is what a node is to act on. Requests see it at the latest when nothing older
// is in a lane any more. Safe for concurrent use.
type adopting struct {
	mu     sync.Mutex // guards the order of what is stored
	latest atomic.Pointer[nodesAgreed]
	shown  atomic.Pointer[nodesAgreed] // what requests see; nil: what was there at the start
}

// nodesAgreed are the nodes under a map that is on stable storage. Sent to the adoption.
type nodesAgreed struct {
	set      *messages.NodeSet
	replaced chan struct{} // closed when a later one is shown
}

// AdoptNodes has the node act on its nodes under a map, which is on stable storage and
// as new as every one before. It does not block: requests see the nodes when no lane is
// at work under an older map any more. Replaced of the set is set here.
func (n *Node) AdoptNodes(set *messages.NodeSet) {
	agreed := &nodesAgreed{set: set, replaced: make(chan struct{})}
	set.Replaced = agreed.replaced
	n.adopting.mu.Lock()
	n.lanes().Store(set)
	n.adopting.latest.Store(agreed)
	n.adopting.mu.Unlock()
	if before := n.config.Road.Nodes.Load(); before == nil || before.Map == nil { // nothing was admitted yet
		n.show(agreed)
	}
	n.system.Root().Send(n.system.PID(nodeName+"/"+adoptionName), agreed)
}

// Receive implements actor.Actor.
func (a *adoption) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started: // after a panic, too: what it was at is the latest, or was replaced
		if latest := a.node.adopting.latest.Load(); latest != nil {
			a.adopt(ctx, latest)
		}
	case *nodesAgreed:
		a.adopt(ctx, m)
	default:
		actors.Unexpected(ctx, a.node.log)
	}
}

// adoptPause lies between two tries to pass the lanes.
const adoptPause = 100 * time.Millisecond

func (a *adoption) adopt(ctx actor.Context, m *nodesAgreed) {
	n := a.node
	if m != n.adopting.latest.Load() {
		return
	}
	if m.set.Map != a.passed {
		if err := n.passLanes(); err != nil {
			n.log.WithError(err).WithField("smap", m.set.Version()).Warn("writes that began under an older map have not ended; requests do not see the newer one until they do")
			self := ctx.Self()
			n.clock.AfterFunc(adoptPause, func() { n.system.Root().Send(self, m) })
			return
		}
		a.passed = m.set.Map
		n.generations.Advance(m.set.Version())
	}
	n.show(m)
}

// passLanes waits until every write lane is past what it was at. A lane whose disk hangs
// refuses, and so do its keys: what it may still do under an older map is acknowledged by
// nobody, because every acknowledgement looks at the lanes' map once more.
func (n *Node) passLanes() error {
	var replies []messages.Reply[struct{}]
	roster := n.roster.Load()
	if roster == nil {
		return nil // there are no lanes yet
	}
	for i := range roster.Mountpaths {
		m := &roster.Mountpaths[i]
		if m.Closed() != nil {
			continue
		}
		for _, lane := range m.Writers {
			pass := &messages.Pass{Reply: messages.NewReply[struct{}]()}
			n.system.Root().Send(lane, pass)
			replies = append(replies, pass.Reply)
		}
	}
	var failures []error
	for _, r := range replies {
		if _, err := r.WaitOn(n.clock, "supervisors.passLanes", passTime); err != nil && !errs.Is(errs.Offline, err) {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// passTime bounds the wait for a write lane.
const passTime = 30 * time.Second

// show has requests see nodes, and cuts what is under way at those that are not asked
// any more.
func (n *Node) show(m *nodesAgreed) {
	n.adopting.mu.Lock()
	defer n.adopting.mu.Unlock()
	before := n.config.Road.Nodes.Load()
	if before == m.set {
		return
	}
	n.config.Road.Nodes.Store(m.set)
	if was := n.adopting.shown.Swap(m); was != nil {
		close(was.replaced)
	}
	if before == nil {
		return
	}
	for i := range m.set.Nodes {
		node := &m.set.Nodes[i]
		if was := before.Find(node.ID); node.Away != "" && was != nil && was.Away == "" {
			n.CutNode(node.ID)
		}
	}
}

// spawnAdoption spawns the actor that has the node act on newer maps, if it has others to
// agree with.
func (n *Node) spawnAdoption() error {
	if n.road == nil {
		return nil
	}
	return n.spawn(actors.Spec{Name: adoptionName, Kind: "adoption of maps", New: func() actor.Actor { return &adoption{node: n} }})
}
