package member

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Giving the lead to a node of an operator's choice. The lock that the lead goes with
// has no preference: whoever asks first has it. So the leader names its heir in its
// probes; the others stand aside and say so in their answers; then the leader resigns,
// and only the heir wants the lock. If the heir does not take it, the others want it
// again once standAside has passed: a cluster is without a leader for as long at most.

// heirTime is how long a leader waits for the others to have heard of the heir: a few
// probes. A node that has not, because it is away or of an older version, may get the lead
// in the heir's place; the heir must have heard.
const heirTime = 6 * ProbeEvery

// heirNamed says that a node gives way to another one. Sent by Membership.Answer.
type heirNamed struct{ from, heir smap.NodeID }

// judgeLead says whether a node can be given the lead.
func (e evidence) judgeLead(r Request, node smap.Node) (decision, error) {
	const op errs.Op = "member.Request"
	switch c := e.contacts[r.Node]; {
	case r.Node == e.self:
		return decision{reasons: []string{"it leads already"}}, nil
	case node.State != smap.Up:
		return decision{}, errs.E(op, string(r.Node), errs.Conflict, fmt.Errorf("it is %s: only a node that is up can be given the lead", node.State))
	case !c.fresh(e.now) || c.failing != never:
		return decision{}, errs.E(op, string(r.Node), errs.Conflict, fmt.Errorf("%s, which leads, does not reach it: %s", e.self, c.why))
	}
	return decision{heir: r.Node, reasons: []string{fmt.Sprintf("%s gives the lead to %s", e.self, r.Node)}}, nil
}

// onHeirNamed stands aside for another node, or stops to stand aside.
func (m *member) onHeirNamed(ctx actor.Context, msg *heirNamed) {
	if msg.from != m.leader || msg.from == m.Record.ID {
		return // it is no leader's word
	}
	m.expects, m.expectsUntil = msg.heir, m.now()+standAside
	m.aside = m.expectsUntil
	if msg.heir == m.Record.ID {
		m.aside = 0
	}
	m.want(ctx)
	m.publish()
}

// expected is the node that is to lead next, as far as this one was told; empty: none.
func (m *member) expected() smap.NodeID {
	if m.now() < m.expectsUntil {
		return m.expects
	}
	return ""
}

// giveWay gives the lead to the heir once the others stand aside, and answers who asked
// for it.
func (m *member) giveWay(ctx actor.Context) {
	const op errs.Op = "member.Request"
	if m.heir == "" || m.writing {
		return
	}
	heir, asked := m.heir, m.giving
	end := func() { m.heir, m.giving = "", nil }
	e := m.evidence()
	if !e.leads {
		end()
		asked.Fail(errs.E(op, string(heir), errs.Busy, errNotLeading))
		return
	}
	heard, all := false, true
	for _, node := range e.current.Nodes() {
		if c := e.contacts[node.ID]; node.ID != e.self && c.fresh(e.now) && c.failing == never {
			told := c.status.Heir == heir
			heard = heard || told && node.ID == heir
			all = all && told
		}
	}
	late := e.now-m.heirSince >= heirTime
	switch {
	case heard && (all || late):
		end()
		why := fmt.Sprintf("it is given to %s by request", heir)
		m.emit(messages.ClusterEvent{Kind: messages.ClusterLeadLost, Node: m.Record.ID, Reason: why})
		m.aside, m.lead = m.now()+standAside, nil
		m.want(ctx)
		asked.Reply.Send(Outcome{Leader: m.Record.ID, Version: e.current.Version(), Text: fmt.Sprintf("%s gives the lead to %s", m.Record.ID, heir)}, nil)
	case late:
		end()
		asked.Fail(errs.E(op, string(heir), errs.Busy, fmt.Errorf("it has not heard in %s that it is to lead: see its log, and its version", heirTime)))
	}
}

// awaitLeader waits until a node leads that was given the lead, as far as this one knows.
func (s *Membership) awaitLeader(ctx context.Context, node smap.NodeID) error {
	const op errs.Op = "member.Request"
	clock := s.config.System.Clock()
	for began := clock.Elapsed(); ; {
		leader := s.held.out.Load().leader
		if leader == node {
			return nil
		}
		if clock.Elapsed()-began >= standAside {
			return errs.E(op, string(node), errs.Busy, fmt.Errorf("it was given the lead and has not taken it; the last that led is %q", leader))
		}
		late, timer := clock.NewTimer(tickEvery)
		select {
		case <-late:
		case <-ctx.Done():
			timer.Stop()
			return errs.E(op, string(node), errs.Canceled, errors.Join(context.Cause(ctx), errors.New("it is being given the lead")))
		}
	}
}

// named begins to give the lead to a node.
func (m *member) named(a *asked, heir smap.NodeID) {
	m.heir, m.heirSince, m.giving = heir, m.now(), a
	m.publish() // probes say so from now on
}

// expectation is for how long a node that was named is expected to lead.
type expectation struct {
	expects      smap.NodeID   // whom the leader gives way to; see expected
	expectsUntil time.Duration // on the clock
}

// inheritance is what a leader remembers that gives way.
type inheritance struct {
	heir      smap.NodeID // empty: it gives way to nobody
	heirSince time.Duration
	giving    *asked // who asked for it
}
