package member

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/smap"
)

// onVersionSeen fetches the map if it may be another one than this node's.
func (m *member) onVersionSeen(ctx actor.Context, msg *versionSeen) {
	m.watchErr = msg.err
	if msg.err != nil {
		return
	}
	var seen versionDocument
	if msg.doc.Exists() && json.Unmarshal(msg.doc.Value, &seen) == nil && m.held.current != nil &&
		seen.Lineage == m.held.current.Lineage() && seen.Version == m.held.current.Version() && seen.Hash == m.held.current.Hash() {
		m.lost, m.hasMap = false, true
		m.accept()
		return
	}
	m.fetch(ctx)
}

// fetch asks the provider for the map, once more if it is being asked already.
func (m *member) fetch(ctx actor.Context) {
	if m.fetching {
		m.again = true
		return
	}
	m.fetching, m.again = true, false
	store, keys, clock, asked := m.store, m.keys(), m.System.Clock(), m.Awake()
	m.task(ctx, "fetch", func(ctx context.Context) any {
		ctx, done := cluster.Within(ctx, clock, callTime)
		defer done()
		fetched := fetch(ctx, store, keys)
		fetched.asked = asked
		return fetched
	}, func(err error) any { return &mapFetched{err: err} })
}

func (m *member) onMapFetched(ctx actor.Context, msg *mapFetched) {
	m.fetching = false
	if msg.err != nil {
		m.again = true
		m.later(msg.err)
		return
	}
	m.hasMap = msg.next != nil
	if msg.next != nil {
		m.read = reading{msg.asked, msg.next.Version(), msg.next.Lineage()}
		m.confirmMap()
	}
	m.lost = m.held.current != nil && (msg.next == nil || msg.next.Lineage() == m.held.current.Lineage() && msg.next.Version() < m.newest().Version())
	if msg.next != nil {
		m.consider(ctx, msg.next)
	}
	m.act(ctx)
}

// newest is the newest map that this node has agreed to, saved or not.
func (m *member) newest() *smap.Smap {
	if m.waiting != nil {
		return m.waiting
	}
	return m.held.current
}

// later notes a failure that is to be tried again.
func (m *member) later(err error) {
	m.retry = m.now() + retryAfter
	m.System.Log().WithError(err).Debug("work for the cluster failed and is repeated")
}

// consider adopts a map if it is the node's own and newer, and refuses what cannot
// follow what the node acts on.
func (m *member) consider(ctx actor.Context, next *smap.Smap) {
	current := m.newest()
	if current == nil {
		if _, in := next.Node(m.Record.ID); !in {
			return // it is not in the cluster yet: the leader sees it and has it join
		}
		m.adopt(ctx, next)
		return
	}
	switch {
	case next.Lineage() != current.Lineage():
		m.refuse(fmt.Sprintf("there is a map of another lineage (%s, version %d) than this node's (%s, version %d)", next.Lineage(), next.Version(), current.Lineage(), current.Version()))
	case next.Version() < current.Version():
		m.refuse(fmt.Sprintf("there is an older map (version %d) than this node's (version %d)", next.Version(), current.Version()))
	case next.Version() == current.Version() && next.Hash() != current.Hash(),
		next.Version() == current.Version()+1 && !next.Follows(current):
		m.refuse(fmt.Sprintf("version %d of the map does not follow from what this node acts on (version %d)", next.Version(), current.Version()))
	case next.Version() == current.Version():
		m.accept()
	default:
		m.adopt(ctx, next)
	}
}

// refuse does not follow what is there; accept does again.
func (m *member) refuse(why string) {
	if m.refused != why {
		m.emit(messages.ClusterEvent{Kind: messages.ClusterMapRefused, Reason: why})
	}
	m.refused = why
	m.publish()
}

func (m *member) accept() { m.refused = "" }

// adopt puts a map on stable storage, and then acts on it.
func (m *member) adopt(ctx actor.Context, next *smap.Smap) {
	m.accept()
	m.waiting = next
	if !m.saving {
		m.save(ctx)
	}
}

// save saves the newest map, and what else the node is to know after a start.
func (m *member) save(ctx actor.Context) {
	m.saving, m.unsaved = true, false
	archive, next := m.Archive, m.newest()
	adopted := Adopted{Settings: *m.held.settings.Load()}
	for _, id := range slices.Sorted(maps.Keys(m.held.records)) {
		adopted.Records = append(adopted.Records, m.held.records[id])
	}
	m.task(ctx, "save", func(context.Context) any { return save(archive, next, adopted) }, func(err error) any { return &mapSaved{next, err} })
}

func (m *member) onMapSaved(ctx actor.Context, msg *mapSaved) {
	m.saving = false
	if msg.err != nil {
		m.unsaved = true
		m.System.Log().WithError(msg.err).Error("the map of the cluster cannot be kept, and is not acted on")
		m.later(msg.err)
		return
	}
	was := m.held.current
	m.held.current = msg.next
	if m.waiting == msg.next {
		m.waiting = nil
	}
	m.publish()
	if was != msg.next {
		m.announce(was, msg.next)
	}
	if m.waiting != nil {
		m.save(ctx)
	}
	m.act(ctx)
}

// announce tells what is new in a map.
func (m *member) announce(was, next *smap.Smap) {
	m.emit(messages.ClusterEvent{Kind: messages.ClusterMapAdopted, Version: next.Version()})
	before := make(map[smap.NodeID]smap.Node)
	if was != nil {
		for _, node := range was.Nodes() {
			before[node.ID] = node
		}
	}
	for _, node := range next.Nodes() {
		old, there := before[node.ID]
		delete(before, node.ID)
		switch {
		case !there:
			m.emit(messages.ClusterEvent{Kind: messages.ClusterNodeJoined, Node: node.ID, State: node.State, Version: next.Version()})
		case old.State != node.State:
			m.emit(messages.ClusterEvent{Kind: messages.ClusterNodeState, Node: node.ID, State: node.State, Version: node.Since})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(before)) {
		m.emit(messages.ClusterEvent{Kind: messages.ClusterNodeLeft, Node: id, Version: next.Version()})
	}
}

// catchUp makes the node's own state equal to what it is to be, if the map says so.
func (m *member) catchUp(ctx actor.Context) {
	if m.held.current == nil || m.catching {
		return
	}
	node, ok := m.held.current.Node(m.Record.ID)
	if !ok || node.State != smap.Recovering {
		m.notBehind("the node is not to catch up any more")
		return
	}
	if m.caughtUp == node.Since {
		return
	}
	m.catching = true
	work, under := m.CatchUp, m.held.current
	m.task(ctx, "catch-up", func(ctx context.Context) any { return &caughtUp{node.Since, work(ctx, under)} },
		func(err error) any { return &caughtUp{node.Since, err} })
}

// notBehind tells the log that tries to catch up have come to an end, if it heard of
// any.
func (m *member) notBehind(how string) {
	if failures, lasted := m.behind.ended(m.System.Clock().Elapsed()); failures > 0 {
		m.System.Log().WithField("failures", failures).WithField("after", lasted.Round(time.Second)).Info(how)
	}
}

func (m *member) onCaughtUp(msg *caughtUp) {
	m.catching = false
	if msg.err != nil {
		if m.behind.failed(m.System.Clock().Elapsed()) {
			m.System.Log().WithError(msg.err).WithField("tries", m.behind.failures).Warn("the node has not caught up, and tries again")
		}
		m.later(msg.err)
		return
	}
	m.notBehind("the node has caught up")
	m.caughtUp = msg.since
	m.publish()
}
