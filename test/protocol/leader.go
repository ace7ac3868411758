package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/troupe-storage/troupe/objects/smap"
)

// rule is what the one bucket asks of a switch.
func (w *world) rule() smap.SwitchRule {
	now, next := w.kv.Owners(w.setting.key(""))
	if w.profile.Data > 0 && w.setting.Rules.On(SpareSlices) {
		return w.ruleOfSlices()
	}
	if !w.setting.Rules.On(LesserCount) {
		now, next = max(now, next), max(now, next)
	}
	return smap.SwitchRule{Spare: min(now, next) - 1, Slack: min(now-w.setting.enough(now), next-w.setting.enough(next))}
}

// ruleOfSlices is what the bucket asks of a switch by its slices: the least of all forms that its
// values may be in, among the nodes that own keys and those that are to.
func (w *world) ruleOfSlices() smap.SwitchRule {
	nodes, after := len(w.kv.Placement()), len(w.kv.Placement())
	if next, ok := w.kv.Next(); ok {
		after = len(next.Placement)
	}
	rule := smap.SwitchRule{Spare: nodes, Slack: nodes}
	for _, f := range w.document.forms() {
		rule.Spare = min(rule.Spare, f.spare(min(nodes, after)))
		rule.Slack = min(rule.Slack, max(0, min(f.owners(), after)-w.setting.minimum(f)))
	}
	return rule
}

// propose drafts a successor of what Consul holds. Anybody may lead, several at
// once: drafts are written later, or never.
func (w *world) propose(what string, then func(), change func(*smap.Change)) {
	if !w.consul {
		return
	}
	base := w.kv
	if w.profile.Local {
		if !w.process.serves {
			return
		}
		base = w.process.doc.latest().smap
	}
	c := base.Change()
	change(c)
	next, err := c.Done()
	if err != nil {
		return
	}
	if w.profile.Local {
		w.put(next)
		return
	}
	w.draft(what, next, then)
}

func (w *world) draft(what string, next *smap.Smap, then func()) {
	w.say("drafted v%d: %s", next.Version(), what)
	w.drafts = append(w.drafts, draft{w.kv, next, what, then})
	if len(w.drafts) > 4 {
		w.drafts = w.drafts[1:]
	}
}

// stepWriteMap writes a draft by compare-and-set.
func (w *world) stepWriteMap(s uint64) {
	if d, ok := pick(s, w.drafts, func(d draft) string { return d.name }); ok {
		w.write(d)
	}
}

func (w *world) write(d draft) {
	w.drafts = slices.DeleteFunc(w.drafts, func(other draft) bool { return other.next == d.next })
	if !w.consul || d.base != w.kv && w.setting.Rules.On(CompareAndSet) {
		return
	}
	w.kv = d.next
	w.say("written v%d: %s", w.kv.Version(), d.name)
	if counts := w.kv.Counts(); len(counts) > 0 && counts[0].Owners != w.document.Copies {
		w.document.Version, w.document.Copies, w.document.Map = w.document.Version+1, counts[0].Owners, w.kv.Version()
	}
	if d.then != nil {
		d.then()
	}
}

// stepDown writes down a node that is silent, or is thought to be.
func (w *world) stepDown(s uint64) {
	nodes := slices.DeleteFunc(w.kv.Nodes(), func(n smap.Node) bool { return n.State.Away() })
	n, ok := pick(s, nodes, func(n smap.Node) string { return string(n.ID) })
	if !ok {
		return
	}
	state := smap.Down
	if s>>20&7 == 0 {
		state = smap.Maintenance
	}
	if s>>24&1 == 0 {
		serving := slices.DeleteFunc(slices.Clone(nodes), func(other smap.Node) bool { return !other.State.Serves() })
		w.together(serving[:min(len(serving), 2+int(s>>25&1))])
	}
	w.propose(fmt.Sprintf("%s is %s", n.ID, state), nil, func(c *smap.Change) { c.SetState(n.ID, n.Since, state) })
}

// together writes several nodes down in one version of the map. It is the map that refuses
// it: whoever leads may try.
func (w *world) together(nodes []smap.Node) {
	if len(nodes) < 2 || !w.consul {
		return
	}
	what := fmt.Sprintf("%v are down at once", names(nodes))
	if w.setting.Rules.On(OneLeaves) {
		w.propose(what, nil, func(c *smap.Change) {
			for _, n := range nodes {
				c.SetState(n.ID, n.Since, smap.Down)
			}
		})
		return
	}
	next := w.kv
	for _, n := range nodes {
		after, err := next.Change().SetState(n.ID, n.Since, smap.Down).Done()
		if err != nil {
			return
		}
		next = after
	}
	w.draft(what, asOne(w.kv, next, nodes), nil)
}

// asOne makes one version of several, in which the nodes changed.
func asOne(base, last *smap.Smap, nodes []smap.Node) *smap.Smap {
	var d map[string]any
	text, err := last.MarshalJSON()
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber() // versions stay what they are
		err = decoder.Decode(&d)
	}
	if err != nil {
		panic(err) // a map writes what can be read
	}
	version := base.Version() + 1
	d["version"], d["previous"] = version, base.Hash()
	for _, entry := range d["nodes"].([]any) {
		node := entry.(map[string]any)
		if slices.ContainsFunc(nodes, func(n smap.Node) bool { return string(n.ID) == node["id"] }) {
			node["since"] = version
			if was, _ := base.Node(smap.NodeID(node["id"].(string))); was.State.Serves() {
				node["left"] = version
			}
		}
	}
	if text, err = json.Marshal(d); err == nil {
		last, err = smap.Parse(text)
	}
	if err != nil {
		panic(err) // likewise
	}
	return last
}

func names(nodes []smap.Node) (all []smap.NodeID) {
	for _, n := range nodes {
		all = append(all, n.ID)
	}
	return all
}

// lead acts on a report.
func (w *world) lead(m Message) {
	r := m.Report
	node, ok := w.kv.Node(m.From)
	if !ok || !w.consul || w.host(m.From).cut {
		return
	}
	since := r.Since
	if !w.setting.Rules.On(ReportSince) {
		since = node.Since
	}
	set := func(state smap.State) {
		w.propose(fmt.Sprintf("%s is %s", m.From, state), nil, func(c *smap.Change) { c.SetState(m.From, since, state) })
	}
	switch r.What {
	case "return":
		if node.State.Away() {
			set(smap.Recovering)
		}
	case "up":
		known := w.profile.Data == 0 || r.As == w.document.Version || !w.setting.Rules.On(WantedForm)
		if node.State == smap.Recovering && known {
			set(smap.Up)
		}
	case "lost":
		set(smap.Recovering)
	case "converted":
		w.converted = append(w.converted, was{m.From, r.As, r.Walked.Map})
		if len(w.converted) > 100 {
			w.converted = w.converted[1:]
		}
		w.converting()
	case "walked":
		w.onWalked(r.Walked)
	}
}

// onWalked switches a slot when it may.
func (w *world) onWalked(report smap.Walked) {
	w.walked = append(w.walked, report)
	if len(w.walked) > 100 {
		w.walked = w.walked[1:]
	}
	next, ok := w.kv.Next()
	if !ok || !w.maySwitch(report.Slot, next) {
		w.finish()
		return
	}
	w.propose(fmt.Sprintf("slot %d has switched", report.Slot), nil, func(c *smap.Change) { c.Switch(report.Slot) })
}

func (w *world) maySwitch(slot uint16, next smap.Next) bool {
	reports := slices.Clone(w.walked)
	if !w.setting.Rules.On(SwitchUnchanged) { // any report of this plan counts
		for i := range reports {
			if reports[i].Map >= next.Since {
				reports[i].Map = w.kv.Version()
			}
		}
	}
	if !w.setting.Rules.On(SwitchWalked) { // one is enough
		for _, id := range w.kv.Placement() {
			reports = append(reports, smap.Walked{By: id, Slot: slot, Map: w.kv.Version()})
		}
	}
	return w.kv.MaySwitch(slot, reports, w.rule())
}

// finish ends a plan whose slots have all switched. Slots that no key of the run
// lies in switch with the last of the others.
func (w *world) finish() {
	next, ok := w.kv.Next()
	if !ok {
		return
	}
	switched := func(slot uint16) bool {
		return slices.ContainsFunc(next.Switched, func(run smap.Switch) bool { return run.From <= slot && slot <= run.To })
	}
	for _, digest := range w.setting.Keys {
		if !switched(smap.SlotOf(digest)) {
			return
		}
	}
	rest := 0
	for _, run := range next.Switched {
		rest += int(run.To-run.From) + 1
	}
	if rest == smap.Slots {
		w.propose("the plan is finished", func() { w.plans++ }, func(c *smap.Change) { c.Finish() })
		return
	}
	w.propose("empty slots have switched", nil, func(c *smap.Change) {
		for slot := range uint16(smap.Slots) {
			if !switched(slot) {
				c.Switch(slot)
			}
		}
	})
}

// stepOperator begins or cancels a plan.
func (w *world) stepOperator(s uint64) {
	if !w.profile.Plans {
		return
	}
	if w.profile.Data > 0 && s>>50&1 == 0 {
		w.stepConvert(s)
		return
	}
	if next, ok := w.kv.Next(); ok {
		if s>>20&3 == 0 && len(next.Switched) == 0 {
			w.propose("the plan is canceled", nil, func(c *smap.Change) { c.Cancel() })
		}
		return
	}
	var to []smap.NodeID
	for i, h := range w.hosts {
		if s>>(24+i)&3 != 0 {
			to = append(to, h.node.id)
		}
	}
	copies, _ := w.kv.Owners(w.setting.key(""))
	if w.profile.Recounts && s>>40&1 == 0 {
		copies = 1 + int(s>>41&0xff)%len(w.hosts)
	}
	w.recount(to, copies)
}

// plan begins a plan to some nodes.
func (w *world) plan(to []smap.NodeID) {
	now, _ := w.kv.Owners(w.setting.key(""))
	w.recount(to, now)
}

// recount begins a plan to some nodes, with so many copies.
func (w *world) recount(to []smap.NodeID, copies int) {
	now, _ := w.kv.Owners(w.setting.key(""))
	switch {
	case len(to) < copies:
	case copies == now:
		w.propose(fmt.Sprintf("a plan to %v", to), nil, func(c *smap.Change) { c.Begin(to) })
	default:
		w.propose(fmt.Sprintf("a plan to %v, with %d copies", to, copies), nil, func(c *smap.Change) { c.Begin(to, smap.Count{Bucket: bucketID(), Owners: copies}) })
	}
}

// watchHalves notes when half of the nodes have adopted that one is down.
func (w *world) watchHalves() {
	if !w.profile.Losses {
		return
	}
	for _, node := range w.kv.Nodes() {
		name := fmt.Sprint(node.ID, node.Since)
		if _, ok := w.halfAt[name]; ok || node.State != smap.Down {
			continue
		}
		adopted := 0
		for _, h := range w.hosts {
			if h.node.smap.Version() >= node.Since {
				adopted++
			}
		}
		if adopted*2 >= len(w.hosts) {
			w.halfAt[name] = w.now
		}
	}
}

// acceptLoss accepts the loss of a node that is down for long, and moves its keys.
func (w *world) acceptLoss(s uint64) {
	var down []smap.Node
	for _, node := range w.kv.Nodes() {
		at, ok := w.halfAt[fmt.Sprint(node.ID, node.Since)]
		waited := ok && w.now >= at+giveUp || !w.setting.Rules.On(GiveUpWaits)
		if node.State == smap.Down && node.Left > 0 && waited {
			down = append(down, node)
		}
	}
	node, ok := pick(s, down, func(n smap.Node) string { return string(n.ID) })
	if _, planned := w.kv.Next(); !ok || planned || w.leftovers() {
		return
	}
	before := w.kv
	safe := before.MayGiveUp(node.ID, w.rule()) // then no key has it as its only source
	if w.profile.Data > 0 && !safe {
		return // nobody asks for it
	}
	then := func() {
		w.givenUp++
		for _, key := range w.host(node.ID).node.keys() {
			if lost, value := w.loses(before, key, node.ID); lost && !safe {
				w.clock++
				w.history = append(w.history, event{client: len(w.clients), key: key, op: Op{Value: value}, call: w.clock, acceptedLoss: true})
			}
		}
	}
	rest := slices.DeleteFunc(w.kv.Placement(), func(id smap.NodeID) bool { return id == node.ID })
	w.propose(fmt.Sprintf("the loss of %s is accepted", node.ID), then, func(c *smap.Change) {
		c.AcceptLoss(node.ID, node.Since)
		c.Begin(rest)
	})
}

// loses reports whether a node is the only source of a key, and what the last to leave of
// the other owners has, which is what survives.
func (w *world) loses(m *smap.Smap, key string, id smap.NodeID) (bool, string) {
	v := m.View(w.setting.key(key))
	survivor, left := "", uint64(0)
	for _, owner := range v.Owners {
		node, _ := m.Node(owner)
		if owner != id && node.State.Serves() {
			return false, ""
		}
		if owner != id && node.Left > left {
			left, survivor = node.Left, w.host(owner).node.disk.Records[key].Value
		}
	}
	return slices.Contains(v.InSync, id) || len(v.InSync) == 0, survivor
}

// leftovers reports whether a node holds what it does not own.
func (w *world) leftovers() bool {
	return slices.ContainsFunc(w.hosts, func(h *host) bool {
		if node, _ := w.kv.Node(h.node.id); w.profile.Data > 0 && node.State == smap.Down && node.Left == 0 {
			return false // it joins again, empty
		}
		for key := range h.node.disk.Records {
			v := w.kv.View(w.setting.key(key))
			if !v.Holds(h.node.id) {
				return true
			}
		}
		return false
	})
}

// rejoin removes nodes whose loss was accepted, once they own nothing, and lets
// them join again, empty.
func (w *world) rejoin() {
	for _, node := range w.kv.Nodes() {
		if node.State == smap.Down && node.Left == 0 {
			w.propose(fmt.Sprintf("%s is removed", node.ID), nil, func(c *smap.Change) { c.Remove(node.ID) })
			if _, planned := w.kv.Next(); !planned { // the plan without it was canceled, or is yet to come
				rest := slices.DeleteFunc(w.kv.Placement(), func(id smap.NodeID) bool {
					other, _ := w.kv.Node(id)
					return other.State == smap.Down && other.Left == 0
				})
				w.propose(fmt.Sprintf("a plan to %v", rest), nil, func(c *smap.Change) { c.Begin(rest) })
			}
		}
	}
	for _, h := range w.hosts {
		if _, ok := w.kv.Node(h.node.id); ok {
			continue
		}
		then := func() {
			h.node = NewNode(h.node.id, w.setting, w.kv)
			h.node.Tick(w.now)
			h.dead, h.paused, h.cut = false, false, false
		}
		w.propose(fmt.Sprintf("%s joins", h.node.id), then, func(c *smap.Change) { c.Join(h.node.id, w.digests[h.node.id]) })
	}
}
