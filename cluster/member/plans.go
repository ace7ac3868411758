package member

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Rule is what the buckets ask of plans, and of nodes that leave.
type Rule struct {
	smap.SwitchRule
	Copies int // the most that a bucket asks for: so many nodes are to be left
	// Buckets are all of them, by name.
	Buckets []Protection
}

// planning begins a plan by itself: for nodes that drain, unless plans are manual for nodes
// that have joined and that all have reached for SteadyAfter, and for buckets that are to have
// other copies.
func (e evidence) planning() decision {
	if _, planned := e.current.Next(); planned || e.empty || !e.wished || !e.allServe() {
		return decision{}
	}
	list := e.remaining()
	if !e.manual && !e.wishes.Held {
		for _, node := range e.current.Nodes() {
			if node.State == smap.Up && !slices.Contains(list, node.ID) && e.reachedByAll(node) {
				list = append(list, node.ID)
			}
		}
	}
	if d := e.begin(list); !d.nothing() {
		return d
	}
	return e.recounting()
}

// allServe reports whether all nodes serve that own keys, but those whose loss was
// accepted: a plan that is begun while one does not cannot end before it is back.
func (e evidence) allServe() bool {
	return !slices.ContainsFunc(e.current.Placement(), func(id smap.NodeID) bool {
		node, _ := e.current.Node(id)
		return !node.State.Serves() && !lost(node)
	})
}

// remaining is the placement without the nodes that drain, or whose loss was accepted.
func (e evidence) remaining() []smap.NodeID {
	return slices.DeleteFunc(e.current.Placement(), func(id smap.NodeID) bool {
		node, _ := e.current.Node(id)
		return node.State == smap.Draining || lost(node)
	})
}

// begin is the decision to begin a plan to a list of nodes, if that is another placement
// than the one there is.
func (e evidence) begin(list []smap.NodeID) decision {
	slices.Sort(list)
	if len(list) == 0 || slices.Equal(list, e.current.Placement()) {
		return decision{}
	}
	return decision{
		change: func(c *smap.Change) { c.Begin(list) }, known: true, placement: list,
		reasons: []string{fmt.Sprintf("a plan begins: keys go to %s", names(list))},
	}
}

func names(list []smap.NodeID) string {
	text := make([]string, len(list))
	for i, id := range list {
		text[i] = string(id)
	}
	return strings.Join(text, ", ")
}

// draining marks a node that was away while it was drained, or after that: else the next
// plan would give it its part again.
func (e evidence) draining() decision {
	for _, node := range e.current.Nodes() {
		if node.State == smap.Up && e.wishes.Draining[node.ID] {
			return decision{
				change:  func(c *smap.Change) { c.SetState(node.ID, node.Since, smap.Draining) },
				known:   true,
				reasons: []string{fmt.Sprintf("%s is back, and drained still: that was asked for", node.ID)},
			}
		}
	}
	return decision{}
}

// leaving removes nodes that were to leave, once they own nothing.
func (e evidence) leaving() decision {
	for _, node := range e.current.Nodes() {
		if e.wishes.Leaving[node.ID] && !e.owns(node.ID) {
			return e.remove(node.ID)
		}
	}
	return decision{}
}

// owns reports whether a node owns keys, or will.
func (e evidence) owns(id smap.NodeID) bool {
	next, _ := e.current.Next()
	return slices.Contains(e.current.Placement(), id) || slices.Contains(next.Placement, id)
}

func (e evidence) remove(id smap.NodeID) decision {
	return decision{
		change: func(c *smap.Change) { c.Remove(id) }, forget: []smap.NodeID{id},
		wishes:  func(w *wishes) { delete(w.Leaving, id); delete(w.Draining, id); delete(w.Maintenance, id) },
		reasons: []string{fmt.Sprintf("%s is no node of the cluster any more", id)},
	}
}

// switching gives the slots to their next owners that may go over, and ends a plan of
// which all have.
func (e evidence) switching() decision {
	next, planned := e.current.Next()
	if !planned {
		return decision{}
	}
	slots, left := e.mayswitch(next)
	switch {
	case left == 0 && len(slots) == 0:
		return decision{change: func(c *smap.Change) { c.Finish() }, reasons: []string{fmt.Sprintf("the plan is finished: %s own the keys", names(next.Placement))}}
	case len(slots) == 0 || e.unfit(next) != "":
		return decision{}
	}
	return decision{
		change: func(c *smap.Change) {
			for _, slot := range slots {
				c.Switch(slot)
			}
		},
		reasons: []string{fmt.Sprintf("%d slots go over, %d are left", len(slots), left-len(slots))},
	}
}

// mayswitch returns the slots that may go over now, and how many have not.
func (e evidence) mayswitch(next smap.Next) (slots []uint16, left int) {
	rule := e.rule().SwitchRule
	walks := e.walks(next)
	// Between two neighbouring cuts all slots are alike: reported in the same runs, and
	// switched or not.
	cuts := []int{0, smap.Slots}
	for _, walk := range walks {
		for _, run := range walk.Runs {
			cuts = append(cuts, int(run.From), int(run.To)+1)
		}
	}
	for _, run := range next.Switched {
		cuts = append(cuts, int(run.From), int(run.To)+1)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	for i, from := range cuts[:len(cuts)-1] {
		first, end := uint16(from), cuts[i+1]
		if slices.ContainsFunc(next.Switched, func(s smap.Switch) bool { return s.From <= first && first <= s.To }) {
			continue
		}
		left += end - from
		var reports []smap.Walked
		for by, walk := range walks {
			for _, run := range walk.Runs {
				if run.From <= first && first <= run.To {
					reports = append(reports, smap.Walked{By: by, Slot: first, Map: run.Map})
				}
			}
		}
		if e.current.MaySwitch(first, reports, rule) {
			for slot := from; slot < end; slot++ {
				slots = append(slots, uint16(slot))
			}
		}
	}
	return slots, left
}

// walks are the reports about a plan that are known and sound.
func (e evidence) walks(next smap.Next) map[smap.NodeID]*messages.PlanWalk {
	walks := make(map[smap.NodeID]*messages.PlanWalk)
	note := func(id smap.NodeID, walk *messages.PlanWalk) {
		if walk == nil || walk.Plan != next.Since || len(walk.Runs) > messages.MaxSlotRuns {
			return
		}
		for _, run := range walk.Runs {
			if run.From > run.To || run.To >= smap.Slots || run.Map > e.current.Version() {
				return
			}
		}
		walks[id] = walk
	}
	note(e.self, e.own.Walk)
	for id, c := range e.contacts {
		if c.fresh(e.now) && c.status.Lineage == e.current.Lineage() {
			note(id, c.status.Walk)
		}
	}
	return walks
}

// judge decides on a request.
func (e evidence) judge(r Request) (decision, error) {
	const op errs.Op = "member.Request"
	refuse := func(kind errs.Kind, format string, args ...any) (decision, error) {
		return decision{}, errs.E(op, string(r.Kind), kind, fmt.Errorf(format, args...))
	}
	node, there := e.current.Node(r.Node)
	if r.Node != "" && !there {
		return refuse(errs.NotFound, "%s is no node of the cluster", r.Node)
	}
	if there && lost(node) && r.Kind != RequestRemove {
		return refuse(errs.Conflict, "the loss of %s was accepted: remove it, and let it join again, empty", r.Node)
	}
	next, planned := e.current.Next()
	switch r.Kind {
	case RequestJoin:
		return e.judgeJoin(r, node)
	case RequestDrain, RequestLeave:
		return e.judgeDrain(r, node)
	case RequestRemove:
		if e.owns(r.Node) && r.AcceptLoss && !lost(node) {
			return e.judgeLoss(r, node)
		}
		if e.owns(r.Node) {
			return refuse(errs.Conflict, "%s owns keys: drain it first", r.Node)
		}
		return e.remove(r.Node), nil
	case RequestMaintenance:
		return e.judgeMaintenance(r, node)
	case RequestLead:
		return e.judgeLead(r, node)
	case RequestReturn:
		if _, is := e.wishes.Maintenance[r.Node]; !is {
			return refuse(errs.Conflict, "%s is %s, and not in maintenance by request", r.Node, node.State)
		}
		return decision{wishes: func(w *wishes) { delete(w.Maintenance, r.Node) }, reasons: []string{fmt.Sprintf("the maintenance of %s has ended: it returns when all have reached it for %s", r.Node, SteadyAfter)}}, nil
	case RequestCancel:
		if !planned {
			return refuse(errs.Conflict, "no plan is under way")
		}
		if len(next.Switched) > 0 {
			return refuse(errs.Conflict, "slots have gone over to their next owners: the plan can only be finished, and then be turned round by join or drain")
		}
		if slices.Equal(next.Placement, e.current.Placement()) { // it was begun for copies, also where their bucket is destroyed by now
			return e.unrecounted(next.Counts)
		}
		return e.cancel(), nil
	case RequestPause, RequestResume:
		paused := r.Kind == RequestPause
		if e.wishes.Paused == paused {
			return decision{reasons: []string{"it is so already"}}, nil
		}
		text := "nodes copy for plans again"
		if paused {
			text = "nodes do not copy for plans until that is resumed"
		}
		return decision{wishes: func(w *wishes) { w.Paused = paused }, reasons: []string{text}}, nil
	case RequestLimit:
		return decision{wishes: func(w *wishes) { w.Rate = r.Rate }, reasons: []string{fmt.Sprintf("each node copies %s for plans", rateText(r.Rate))}}, nil
	}
	return refuse(errs.Invalid, "no such request")
}

func rateText(r messages.JobRate) string {
	var parts []string
	if r.Objects > 0 {
		parts = append(parts, fmt.Sprintf("%d objects", r.Objects))
	}
	if r.Bytes > 0 {
		parts = append(parts, fmt.Sprintf("%d bytes", r.Bytes))
	}
	if parts == nil {
		return "as much as it can"
	}
	return "at most " + strings.Join(parts, " and ") + " a second"
}

// judgeJoin begins a plan that gives a node, or all that are up, their part.
func (e evidence) judgeJoin(r Request, node smap.Node) (decision, error) {
	const op errs.Op = "member.Request"
	next, planned := e.current.Next()
	list := e.remaining()
	if planned {
		list = next.Placement
	}
	var back []smap.Node
	for _, other := range e.current.Nodes() {
		if r.Node != "" && other.ID != r.Node {
			continue
		}
		if other.State == smap.Draining && r.Node != "" {
			back = append(back, other)
		}
		switch {
		case slices.Contains(list, other.ID):
			continue
		case other.State == smap.Up, len(back) > 0:
		case r.Node != "":
			return decision{}, errs.E(op, string(r.Node), errs.Conflict, fmt.Errorf("it is %s: only a node that is up can be given keys", node.State))
		default:
			continue
		}
		list = append(list, other.ID)
	}
	slices.Sort(list)
	now := e.current.Placement()
	if planned {
		now = next.Placement
	}
	differs := !slices.Equal(list, now)
	switch {
	case !differs && len(back) == 0:
		d := decision{reasons: []string{"it owns keys already, or will by the plan that is under way"}}
		if e.wishes.Held || e.wishes.Draining[r.Node] {
			d.wishes = func(w *wishes) { w.Held = false; delete(w.Draining, r.Node); delete(w.Leaving, r.Node) }
		}
		return d, nil
	case planned && differs:
		return decision{}, errs.E(op, string(r.Node), errs.Busy, fmt.Errorf("a plan is under way since version %d of the map: cancel it, or ask again when it has ended", next.Since))
	case len(list) == 0:
		return decision{}, errs.E(op, errs.Conflict, errors.New("no node is up that could own keys"))
	}
	return decision{
		change: func(c *smap.Change) {
			for _, other := range back {
				c.SetState(other.ID, other.Since, smap.Up)
			}
			if differs {
				c.Begin(list)
			}
		},
		wishes: func(w *wishes) {
			w.Held = false
			delete(w.Draining, r.Node)
			delete(w.Leaving, r.Node)
		},
		placement: list, reasons: []string{fmt.Sprintf("keys are to live at %s", names(list))},
	}, nil
}

// judgeDrain takes the keys from a node: by a plan at once, or by the next one.
func (e evidence) judgeDrain(r Request, node smap.Node) (decision, error) {
	const op errs.Op = "member.Request"
	if !node.State.Serves() {
		return decision{}, errs.E(op, string(r.Node), errs.Conflict, fmt.Errorf("it is %s: only a node that serves can be drained", node.State))
	}
	_, planned := e.current.Next()
	list := slices.DeleteFunc(e.remaining(), func(id smap.NodeID) bool { return id == r.Node })
	serving := 0
	for _, id := range list {
		if other, _ := e.current.Node(id); other.State.Serves() {
			serving++
		}
	}
	need := max(1, e.rule().Copies)
	if e.owns(r.Node) && (len(list) == 0 || serving < need && !r.Force) {
		return decision{}, errs.E(op, string(r.Node), errs.Conflict, fmt.Errorf("%d nodes that serve would be left, and %d are needed", serving, need))
	}
	d := decision{reasons: []string{fmt.Sprintf("%s is drained", r.Node)}, placement: list}
	begins := !planned && slices.Contains(e.current.Placement(), r.Node) && !e.empty
	places := !planned && slices.Contains(e.current.Placement(), r.Node) && e.empty
	d.empty = places
	switch {
	case planned:
		d.placement, d.reasons = nil, []string{fmt.Sprintf("%s is drained when the plan that is under way has ended", r.Node)}
	case !begins && !places:
		d.placement = nil
	}
	d.change = func(c *smap.Change) {
		if node.State != smap.Draining {
			c.SetState(node.ID, node.Since, smap.Draining)
		}
		switch {
		case begins:
			c.Begin(list)
		case places:
			c.Place(list)
		}
	}
	if node.State == smap.Draining && !begins && !places {
		d.change = nil
	}
	d.wishes = func(w *wishes) {
		w.Draining[r.Node] = true
		if r.Kind == RequestLeave {
			w.Leaving[r.Node] = true
		}
	}
	return d, nil
}

// judgeMaintenance takes a node out of service.
func (e evidence) judgeMaintenance(r Request, node smap.Node) (decision, error) {
	const op errs.Op = "member.Request"
	if e.owns(r.Node) && !r.Force && !node.State.Away() {
		away := 1
		for _, other := range e.current.Nodes() {
			if other.ID != r.Node && !other.State.Serves() && e.owns(other.ID) {
				away++
			}
		}
		if rule := e.rule(); !e.empty && away > rule.Slack {
			return decision{}, errs.E(op, string(r.Node), errs.Conflict, fmt.Errorf("keys would have too few copies while %d nodes are away; force it if they may", away))
		}
	}
	reason := cmp.Or(r.Reason, "by request")
	d := decision{wishes: func(w *wishes) { w.Maintenance[r.Node] = reason }, reasons: []string{fmt.Sprintf("%s is out of service: %s", r.Node, reason)}}
	if node.State != smap.Maintenance {
		d.change = func(c *smap.Change) { c.SetState(node.ID, node.Since, smap.Maintenance) }
	}
	return d, nil
}

// cancel drops the plan under way, and what brought it about.
func (e evidence) cancel() decision {
	var draining []smap.Node
	for _, node := range e.current.Nodes() {
		if node.State == smap.Draining {
			draining = append(draining, node)
		}
	}
	return decision{
		change: func(c *smap.Change) {
			c.Cancel()
			for _, node := range draining {
				c.SetState(node.ID, node.Since, smap.Up)
			}
		},
		wishes: func(w *wishes) {
			w.Held = true
			clear(w.Draining)
			clear(w.Leaving)
		},
		placement: e.current.Placement(), reasons: []string{"the plan is canceled; none is begun by itself until one is asked for (join, drain)"},
	}
}

// plan is what is known of the plan under way. Own is what this node tells others.
func (m *member) plan(own Status) *messages.ClusterPlan {
	if m.held.current == nil {
		return nil
	}
	next, planned := m.held.current.Next()
	if !planned {
		return nil
	}
	p := &messages.ClusterPlan{Since: next.Since, From: m.held.current.Placement(), To: next.Placement, Paused: m.wishes.Paused, Rate: m.wishes.Rate}
	for _, run := range next.Switched {
		p.Switched += int(run.To-run.From) + 1
	}
	if len(next.Counts) > 0 {
		p.Copies = planCopies(next.Counts, m.Rule().Buckets)
	}
	e := evidence{self: m.Record.ID, now: m.now(), current: m.held.current, contacts: m.contacts, own: own}
	walks := e.walks(next)
	for _, id := range p.From {
		walk := walks[id]
		if walk == nil {
			continue
		}
		done := messages.PlanProgress{Node: id, Objects: walk.Objects, Bytes: walk.Bytes, Failure: walk.Failure}
		for _, run := range walk.Runs {
			done.Slots += int(run.To-run.From) + 1
		}
		p.Nodes = append(p.Nodes, done)
	}
	for _, node := range m.held.current.Nodes() {
		if !node.State.Serves() && e.owns(node.ID) {
			p.Waits = fmt.Sprintf("%s is %s", node.ID, node.State)
		}
	}
	if p.Waits == "" {
		p.Waits = e.unfit(next)
	}
	return p
}
