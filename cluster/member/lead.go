package member

import (
	"context"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

func (m *member) onMembersSeen(msg *membersSeen) {
	if m.watchErr = msg.err; msg.err != nil {
		return
	}
	clear(m.catalogue)
	for _, member := range msg.members {
		m.catalogue[smap.NodeID(member.NodeID)] = member
	}
}

// onRecordsSeen learns where nodes are. Those that the provider has lost are asked
// still where they were.
func (m *member) onRecordsSeen(ctx actor.Context, msg *recordsSeen) {
	if m.watchErr = msg.err; msg.err != nil {
		return
	}
	m.looked = true
	own, there := msg.records[m.Record.ID]
	m.told = there && sameRecord(own, m.Record)
	next := map[smap.NodeID]Record{m.Record.ID: m.Record}
	for id, r := range m.held.records {
		if m.held.current != nil {
			if _, in := m.held.current.Node(id); in {
				next[id] = r
			}
		}
	}
	for id, r := range msg.records {
		if id != m.Record.ID {
			next[id] = r
		}
	}
	m.held.records = next
	m.publish()
	m.probeAll(ctx)
}

func sameRecord(a, b Record) bool {
	return a.ID == b.ID && a.Digest == b.Digest && a.Addresses == b.Addresses && a.Version == b.Version && fmt.Sprint(a.Mountpaths) == fmt.Sprint(b.Mountpaths)
}

// tell tells the others of this node.
func (m *member) tell(ctx actor.Context) {
	m.telling = true
	store, keys, record, clock := m.store, m.keys(), m.Record, m.System.Clock()
	m.task(ctx, "tell", func(ctx context.Context) any {
		ctx, done := cluster.Within(ctx, clock, callTime)
		defer done()
		return tell(ctx, store, keys, record)
	}, func(err error) any { return &recordWritten{err} })
}

func (m *member) onRecordWritten(msg *recordWritten) {
	m.telling = false
	if m.told = msg.err == nil; !m.told {
		m.later(msg.err)
	}
}

func (m *member) onHolderSeen(msg *holderSeen) {
	if m.watchErr = msg.err; msg.err != nil {
		return
	}
	if msg.holder.Held() { // a leader that is silent is known until there is another one
		m.leader = smap.NodeID(msg.holder.Value)
	}
}

func (m *member) onProbed(ctx actor.Context, msg *probed) {
	if m.probers[msg.id] == nil {
		return // it is no node any more
	}
	c, known := m.contacts[msg.id]
	if !known {
		c = newContact()
	}
	if msg.err != nil {
		m.contacts[msg.id] = c.failed(msg.began, msg.err)
		return
	}
	told := msg.status
	msg.status.Map = nil
	c = c.answered(msg.began, msg.status)
	c.asked = msg.asked
	m.contacts[msg.id] = c
	m.confirmMap()
	m.learn(ctx, msg.id, told)
}

// learn considers the map that a node has answered with, if it is later than this node's.
func (m *member) learn(ctx actor.Context, id smap.NodeID, status Status) {
	if len(status.Map) == 0 || status.Version <= versionOf(m.newest()) {
		return
	}
	next, err := smap.Parse(status.Map)
	if err != nil {
		m.refuse(fmt.Sprintf("the map of %s cannot be read: %v", id, err))
		return
	}
	if current := m.newest(); current == nil || current.Lineage() == next.Lineage() {
		m.consider(ctx, next)
	}
}

func versionOf(m *smap.Smap) uint64 {
	if m == nil {
		return 0
	}
	return m.Version()
}

// want begins or ends to want to lead.
func (m *member) want(ctx actor.Context) {
	may := m.mayLead()
	switch {
	case may && m.candidate == nil:
		candidate, err := cluster.NewCandidate(m.Provider, m.keys().Leader(), []byte(m.Record.ID), session(string(m.Record.ID)), m.Pace)
		if err != nil {
			panic(err) // the session is a constant
		}
		self, root := ctx.Self(), m.System.Root()
		m.candidates++
		m.candidate = m.lasting(ctx, fmt.Sprintf("candidate-%d", m.candidates), func(ctx context.Context) {
			m.campaign(ctx, candidate, func(message any) { root.Send(self, message) })
		})
	case !may && m.candidate != nil:
		ctx.Stop(m.candidate)
		m.candidate = nil
	}
}

// mayLead reports whether this node is one that may lead: of the cluster, or of those
// that found it.
func (m *member) mayLead() bool {
	if m.now() < m.aside {
		return false
	}
	if m.held.current == nil {
		for _, c := range m.contacts {
			if c.status.Lineage != "" {
				return false // there is a map, though the provider may have lost it
			}
		}
		return m.told && !m.hasMap
	}
	_, in := m.held.current.Node(m.Record.ID)
	return in && (m.refused == "" || m.lost)
}

func (m *member) onLeadWon(ctx actor.Context, msg *leadWon) {
	if msg.lead.Context().Err() != nil {
		return // it is over. One that is not certain just now may be so again: who would not know of it, would keep it from others
	}
	m.lead, m.leadSince, m.leader = msg.lead, m.now(), m.Record.ID
	m.emit(messages.ClusterEvent{Kind: messages.ClusterLeadWon, Node: m.Record.ID})
	m.fetch(ctx) // what it is to lead from, by a consistent read
}

func (m *member) onLeadLost(msg *leadLost) {
	if m.lead == msg.lead {
		m.lead = nil
		m.emit(messages.ClusterEvent{Kind: messages.ClusterLeadLost, Node: m.Record.ID, Reason: msg.why})
	}
}

func (m *member) evidence() evidence {
	policy := m.Policy()
	var forgotten func(objects.BucketID) bool
	if m.Buckets != nil {
		forgotten = m.Buckets.isForgotten
	}
	return evidence{
		self: m.Record.ID, clusterID: m.ClusterID, now: m.now(), began: m.began, current: m.held.current,
		contacts: m.contacts, records: m.held.records, catalogue: m.catalogue,
		leads: m.lead != nil && m.lead.Held(), leader: m.leader, own: m.held.out.Load().status,
		empty:  !m.HasBuckets() && m.now() >= m.filled,
		wishes: m.wishes, wished: m.wished, manual: policy.Manual, outages: m.outages, giveUpAfter: policy.GiveUpAfter, rule: m.Rule, forgotten: forgotten,
	}
}

// act writes the next map, if there is to be one and this node is who writes it.
func (m *member) act(ctx actor.Context) {
	if m.writing || m.fetching || m.saving || m.waiting != nil || m.now() < m.retry || m.heir != "" {
		return
	}
	e := m.evidence()
	if e.leads && m.now()-m.leadSince < settleAfter {
		return // others are asked first
	}
	switch {
	case e.current == nil:
		if e.leads && !m.hasMap && m.now()-m.leadSince >= foundAfter && m.now() >= m.mended {
			m.found(ctx, e)
		}
	case m.lost:
		if e.leads {
			m.restore(ctx, e)
		}
	case m.refused == "" && !m.answerAsked(ctx, e):
		m.follow(ctx, e.decide())
	}
}

// follow carries a decision out.
func (m *member) follow(ctx actor.Context, d decision) {
	switch {
	case d.newer:
		return // the answer to a probe brings it
	case d.resign != "":
		m.emit(messages.ClusterEvent{Kind: messages.ClusterLeadLost, Node: m.Record.ID, Reason: d.resign})
		m.aside, m.lead = m.now()+standAside, nil
		m.want(ctx)
	case !d.nothing():
		base, known := m.held.current, m.wishes
		m.write(ctx, d.reasons, func(ctx context.Context, w writing) *mapWritten { return w.change(ctx, base, known, d) })
	}
}

// found writes the first map.
func (m *member) found(ctx actor.Context, e evidence) {
	nodes, why := e.founding()
	if nodes == nil {
		m.explain("the cluster is not founded yet", why)
		return
	}
	lineage, err := m.NewLineage()
	if err != nil {
		m.later(err)
		return
	}
	m.write(ctx, nil, func(ctx context.Context, w writing) *mapWritten { return w.found(ctx, lineage, nodes) })
}

// restore writes the map again that the provider has lost.
func (m *member) restore(ctx actor.Context, e evidence) {
	if why := e.restoring(); why != "" {
		m.explain("the map was lost and is not restored yet", why)
		return
	}
	current := e.current
	m.write(ctx, nil, func(ctx context.Context, w writing) *mapWritten { return w.restore(ctx, current) })
}

// explain logs why something is not done, when the reason is a new one.
func (m *member) explain(what, why string) {
	if m.shown != what+why {
		m.shown = what + why
		m.System.Log().WithField("reason", why).Warn(what)
	}
}

func (m *member) write(ctx actor.Context, reasons []string, work func(ctx context.Context, w writing) *mapWritten) {
	m.writing = true
	lead, clock, asked := m.lead, m.System.Clock(), m.Awake()
	w := writing{store: m.store, keys: m.keys(), reasons: reasons, name: m.Name, id: m.ClusterID, buckets: m.Buckets, held: func() bool { return lead == nil || lead.Held() }}
	m.task(ctx, "write", func(ctx context.Context) any {
		ctx, done := cluster.Within(ctx, clock, callTime)
		defer done()
		written := work(ctx, w)
		written.asked = asked
		return written
	}, func(err error) any { return &mapWritten{err: err} })
}

func (m *member) onMapWritten(ctx actor.Context, msg *mapWritten) {
	m.writing = false
	if msg.wishes != nil {
		m.wishes = *msg.wishes
		m.publish()
	}
	m.answer(msg)
	switch {
	case msg.next != nil:
		for _, reason := range msg.reasons {
			m.System.Log().WithField("smap", msg.next.Version()).Info("cluster: " + reason)
		}
		if failures, lasted := m.unwritten.ended(m.now()); failures > 0 {
			m.System.Log().WithField("failures", failures).WithField("after", lasted.Round(time.Second)).Info("the map of the cluster is written again")
		}
		if msg.unnamed != nil {
			m.System.Log().WithError(msg.unnamed).Error("the map of the cluster was restored, and the key of its name is left alone")
		}
		m.lost, m.hasMap, m.shown = false, true, ""
		m.read = reading{msg.asked, msg.next.Version(), msg.next.Lineage()} // it was the newest then
		if msg.restored {
			m.emit(messages.ClusterEvent{Kind: messages.ClusterMapRestored, Version: msg.next.Version()})
		}
		m.consider(ctx, msg.next)
	case msg.wishes != nil && msg.err == nil && !msg.stale:
		for _, reason := range msg.reasons {
			m.System.Log().Info("cluster: " + reason)
		}
	case msg.filled:
		m.filled = m.now() + standAside
	case msg.early: // it is tried again with the next tick
	case msg.stale:
		m.fetch(ctx)
	case msg.err != nil:
		if m.unwritten.failed(m.now()) {
			m.System.Log().WithError(msg.err).WithField("tries", m.unwritten.failures).Warn("the map of the cluster was not written")
		}
		if m.later(msg.err); isForPeople(msg.err) {
			m.mended = m.now() + min(retryAfter<<min(m.unwritten.failures, 10), mendPause)
		}
		if !errs.Is(errs.Offline, msg.err) {
			m.fetch(ctx) // what became of it
		}
	}
}
