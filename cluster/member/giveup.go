package member

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// GiveUpWait is for how long at least half of the nodes must have acted on it that a node is
// down, until it is given up: several times AloneAfter, so that it answers nothing by then.
// (docs/consistency.md, rule 9)
const GiveUpWait = time.Minute

// outage is what this node knows about one that is down. Moments are on the Elapsed of the
// clock.
type outage struct {
	since uint64        // of the entry
	seen  time.Duration // since when this node acts on it
	half  time.Duration // since when half of the nodes do; never: they do not, as far as is known
}

// watchOutages notes for how long nodes have been down.
func (m *member) watchOutages() {
	current, now := m.held.current, m.now()
	if current == nil {
		return
	}
	down := make(map[smap.NodeID]outage)
	for _, node := range current.Nodes() {
		if node.State != smap.Down || lost(node) {
			continue
		}
		o, known := m.outages[node.ID]
		if !known || o.since != node.Since {
			o = outage{node.Since, now, never}
		}
		if o.half == never && m.adopted(node.Since)*2 >= len(current.Nodes()) {
			o.half = now
		}
		down[node.ID] = o
	}
	m.outages = down
}

// adopted is how many nodes are known to act on a version of the map, or on a later one,
// this one among them.
func (m *member) adopted(version uint64) int {
	count := 1
	for _, c := range m.contacts {
		if c.heard != never && c.status.Lineage == m.held.current.Lineage() && c.status.Version >= version {
			count++
		}
	}
	return count
}

// waited says for how much longer a node that is down may not be given up.
func (e evidence) waited(node smap.Node) (left time.Duration, known bool) {
	o, known := e.outages[node.ID]
	if !known || o.since != node.Since || o.half == never {
		return GiveUpWait, false
	}
	return max(0, GiveUpWait-(e.now-o.half)), true
}

// givingUp gives a node up by itself that has been down for long: where every key has
// another copy by the number of nodes that are not up, and enough nodes are left for as
// many copies as before.
func (e evidence) givingUp() decision {
	_, planned := e.current.Next()
	if e.giveUpAfter <= 0 || planned || e.empty || !e.wished || e.wishes.Held {
		return decision{}
	}
	for _, node := range e.current.Nodes() {
		if node.State != smap.Down || lost(node) || !e.owns(node.ID) {
			continue
		}
		rule, rest := e.rule(), e.without(node.ID)
		o := e.outages[node.ID]
		if left, _ := e.waited(node); left > 0 || e.now-o.seen < e.giveUpAfter || len(rest) < max(1, rule.Copies) || !e.current.MayGiveUp(node.ID, rule.SwitchRule) {
			continue
		}
		return e.giveUp(node, rest, fmt.Sprintf("%s has been down for %s: it is given up, and its keys go to %s", node.ID, e.giveUpAfter, names(rest)))
	}
	return decision{}
}

// without is the placement without nodes that drain, whose loss was accepted, and one more.
func (e evidence) without(id smap.NodeID) []smap.NodeID {
	return slices.DeleteFunc(e.remaining(), func(other smap.NodeID) bool { return other == id })
}

// giveUp accepts the loss of a node, and moves its keys to the rest.
func (e evidence) giveUp(node smap.Node, rest []smap.NodeID, reason string) decision {
	return decision{
		change: func(c *smap.Change) {
			c.AcceptLoss(node.ID, node.Since)
			c.Begin(rest)
		},
		wishes:    func(w *wishes) { w.Leaving[node.ID] = true },
		placement: rest, reasons: []string{reason},
	}
}

// judgeLoss gives a node up by request, though what only it has is lost.
func (e evidence) judgeLoss(r Request, node smap.Node) (decision, error) {
	const op errs.Op = "member.Request"
	refuse := func(kind errs.Kind, format string, args ...any) (decision, error) {
		return decision{}, errs.E(op, string(r.Node), kind, fmt.Errorf(format, args...))
	}
	rest := e.without(node.ID)
	_, planned := e.current.Next()
	left, known := e.waited(node)
	switch {
	case node.State != smap.Down:
		return refuse(errs.Conflict, "it is %s: only the loss of a node that is down is accepted; stop it, or drain it", node.State)
	case planned:
		return refuse(errs.Busy, "a plan is under way: cancel it, or ask again when it has ended")
	case len(rest) == 0:
		return refuse(errs.Conflict, "no other node owns keys")
	case !known:
		return refuse(errs.Conflict, "fewer than half of the nodes are known to act on it that it is down: start them")
	case left > 0:
		return refuse(errs.Busy, "it may have served until a moment ago: ask again in %s", left.Round(time.Second))
	}
	return e.giveUp(node, rest, e.mayBeLost(node)+fmt.Sprintf("; keys are to live at %s", names(rest))), nil
}

// mayBeLost says for people what is lost with a node.
func (e evidence) mayBeLost(node smap.Node) string {
	notUp := 0
	for _, other := range e.current.Nodes() {
		if !other.State.Serves() && !lost(other) && e.owns(other.ID) {
			notUp++
		}
	}
	var exposed []string
	for _, bucket := range e.rule().Buckets {
		if bucket.Copies <= notUp || len(e.current.Placement()) <= notUp {
			exposed = append(exposed, fmt.Sprintf("%s (copies: %d)", bucket.Doc.Name, bucket.Copies))
		}
	}
	if len(exposed) == 0 {
		return fmt.Sprintf("%s is given up: nothing is lost, other nodes have all of its keys", node.ID)
	}
	text := fmt.Sprintf("the loss of %s is accepted: gone, or as they were earlier, are the keys of which only it has the last state, in %s", node.ID, strings.Join(exposed, ", "))
	if share := len(e.current.Placement()); share > 1 {
		text += fmt.Sprintf("; of a bucket with one copy that is about one key in %d", share)
	}
	return text
}

// Protection is how many copies of its keys there are of a bucket, the fewest while a plan
// changes that.
type Protection struct {
	Doc    *objects.BucketDoc
	Copies int
}

var errNeedsNode = errors.New("only the loss of a node can be accepted: accept_loss goes with remove")
