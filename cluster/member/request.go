package member

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// RequestKind is what an operator wants of the cluster.
type RequestKind string

// Kinds of requests. Node is whom each is about.
const (
	// RequestJoin gives a node its part of the keys, by a plan; no node: all that are up.
	// Of a node that drains it takes that back. Plans are begun by themselves again.
	RequestJoin RequestKind = "join"
	// RequestDrain takes all keys from a node, by a plan. It serves until then.
	RequestDrain RequestKind = "drain"
	// RequestLeave is RequestDrain, and RequestRemove once the node owns nothing.
	RequestLeave RequestKind = "leave"
	// RequestRemove takes a node that owns nothing out of the map.
	RequestRemove RequestKind = "remove"
	// RequestMaintenance takes a node out of service: it keeps its keys. Refused without
	// Force if keys would have too few copies meanwhile.
	RequestMaintenance RequestKind = "maintenance"
	// RequestReturn ends RequestMaintenance.
	RequestReturn RequestKind = "return"
	// RequestCancel drops the plan under way, as long as no slot has gone over, and no
	// other is begun by itself until one is asked for. Nodes that drain do so no more.
	RequestCancel RequestKind = "cancel"
	// RequestPause and RequestResume stop the copying for a plan, and go on with it.
	RequestPause  RequestKind = "pause"
	RequestResume RequestKind = "resume"
	// RequestLimit bounds what each node copies in a second, by Rate; a zero field does not.
	RequestLimit RequestKind = "limit"
	// RequestLead gives the lead to a node that is up. It leads when that is answered.
	RequestLead RequestKind = "set-leader"
)

// Request is what an operator wants. The leader decides on it.
type Request struct {
	Kind   RequestKind      `json:"kind"`
	Node   smap.NodeID      `json:"node,omitempty"`
	Reason string           `json:"reason,omitempty"` // of maintenance, for people
	Rate   messages.JobRate `json:"rate"`
	Force  bool             `json:"force,omitempty"` // although keys would have too few copies
	// AcceptLoss has RequestRemove give up a node that is down, though what only it has is
	// lost: its keys go over to the others by a plan, and then it leaves the map.
	AcceptLoss bool `json:"accept_loss,omitempty"`
	// Dry asks what would be decided, and changes nothing.
	Dry bool `json:"dry,omitempty"`
}

// Outcome is what the leader decided.
type Outcome struct {
	Leader smap.NodeID `json:"leader"`
	// Version is that of the map with the decision in it, or of the present one where the map
	// did not change. The leader's node acts on it a moment later, others after that.
	Version uint64 `json:"version"`
	// Placement is where keys are to live: the placement of a plan that was begun, or would
	// be; empty: none is.
	Placement []smap.NodeID `json:"placement,omitempty"`
	Text      string        `json:"text"` // for people
}

// maxAsked is how many requests wait for the leader's decision.
const maxAsked = 16

// askTime bounds the wait for a decision.
const askTime = 30 * time.Second

var (
	errNotLeading = errors.New("the node does not lead")
	errNoLeader   = errors.New("nobody leads the cluster now; ask again in a few seconds")
)

// Request asks the leader, through whichever node it is called on, and returns what it
// decided. It blocks until the context ends, or half a minute. Errors: Invalid, NotFound
// (no such node), Conflict (it was refused, and the error says why), Busy (nobody leads
// now, or the outcome is unknown, which the error says), Offline (the leader or what all
// nodes agree on cannot be reached).
func (s *Membership) Request(ctx context.Context, r Request) (Outcome, error) {
	const op errs.Op = "member.Request"
	if err := r.check(); err != nil {
		return Outcome{}, err
	}
	for again := false; ; again = true {
		out := s.held.out.Load()
		var outcome Outcome
		var err error
		switch leader := out.leader; leader {
		case "":
			return Outcome{}, errs.E(op, string(r.Kind), errs.Busy, errNoLeader)
		case s.config.Record.ID:
			outcome, err = s.Decide(r)
		default:
			outcome, err = s.ask(ctx, out.records[leader], r)
		}
		if !errors.Is(err, errNotLeading) || again {
			if err == nil && r.Kind == RequestLead && !r.Dry {
				err = s.awaitLeader(ctx, r.Node)
				outcome.Leader = r.Node
			}
			return outcome, errs.Wrap(op, err)
		}
		clock := s.config.System.Clock()
		late, timer := clock.NewTimer(ProbeEvery) // the next leader is known by then, or asked for in vain
		select {
		case <-late:
		case <-ctx.Done():
			timer.Stop()
			return Outcome{}, errs.E(op, string(r.Kind), errs.Canceled, context.Cause(ctx))
		}
	}
}

// ask puts a request to another node, which may have fallen silent.
func (s *Membership) ask(ctx context.Context, leader Record, r Request) (Outcome, error) {
	const op errs.Op = "member.Request"
	within, done := cluster.Within(ctx, s.config.System.Clock(), askTime)
	defer done()
	outcome, err := s.config.Peers.Ask(within, leader, r)
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		err = errs.E(op, string(leader.ID), errs.Offline, fmt.Errorf("the node that leads has not answered in %s: %w", askTime, err))
	}
	return outcome, err
}

// check says what is wrong with a request (Invalid).
func (r Request) check() error {
	const op errs.Op = "member.Request"
	if len(r.Node) > 32 || len(r.Reason) > 256 || r.Rate.Objects < 0 || r.Rate.Bytes < 0 {
		return errs.E(op, string(r.Kind), errs.Invalid, errors.New("the node's id has at most 32 bytes, the reason 256, and a rate is not negative"))
	}
	if r.AcceptLoss && r.Kind != RequestRemove {
		return errs.E(op, string(r.Kind), errs.Invalid, errNeedsNode)
	}
	switch r.Kind {
	case RequestJoin, RequestCancel, RequestPause, RequestResume, RequestLimit:
		return nil
	case RequestDrain, RequestLeave, RequestRemove, RequestMaintenance, RequestReturn, RequestLead:
		if r.Node == "" {
			return errs.E(op, string(r.Kind), errs.Invalid, errors.New("which node is not said"))
		}
		return nil
	}
	return errs.E(op, string(r.Kind), errs.Invalid, errors.New("no such request"))
}

// Decide is Request at the node that leads: what another one hands to it.
func (s *Membership) Decide(r Request) (Outcome, error) {
	const op errs.Op = "member.Decide"
	if err := r.check(); err != nil {
		return Outcome{}, err
	}
	self := s.held.self.Load()
	if self == nil {
		return Outcome{}, errs.E(op, string(r.Kind), errs.Busy, errNotLeading)
	}
	m := &asked{request: r, Reply: messages.NewReply[Outcome]()}
	s.config.System.Root().Send(self, m)
	return m.Reply.WaitOn(s.config.System.Clock(), op, askTime)
}

const (
	// RequestPath is where the intra listener takes requests for the leader: POST, with a
	// Request as JSON, answered by an outcome as JSON.
	RequestPath     = "/v1/cluster/request"
	maxRequestBytes = 4 << 10
)

// requestAnswer is an Outcome, or why there is none, on its way between nodes.
type requestAnswer struct {
	Outcome    Outcome `json:"outcome"`
	Failed     bool    `json:"failed,omitempty"`
	Kind       uint8   `json:"kind,omitempty"` // of the error: errs.Kind
	Message    string  `json:"message,omitempty"`
	NotLeading bool    `json:"not_leading,omitempty"`
}

// toldError is an error of the leader's.
type toldError struct {
	message    string
	notLeading bool
}

// Error implements error.
func (e *toldError) Error() string { return e.message }

// Is implements what errors.Is asks.
func (e *toldError) Is(target error) bool { return e.notLeading && target == errNotLeading }

// AnswerRequest answers the body of a request that a node has sent on, which its
// certificate names. Errors: Invalid.
func (s *Membership) AnswerRequest(from string, body []byte) ([]byte, error) {
	const op errs.Op = "member.AnswerRequest"
	if len(body) > maxRequestBytes {
		return nil, errs.E(op, from, errs.Invalid, fmt.Errorf("a request has at most %d bytes", maxRequestBytes))
	}
	var r Request
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, errs.E(op, from, errs.Invalid, err)
	}
	outcome, err := s.Decide(r)
	answer := requestAnswer{Outcome: outcome}
	if err != nil {
		answer.Failed, answer.Kind, answer.Message, answer.NotLeading = true, uint8(errs.KindOf(err)), err.Error(), errors.Is(err, errNotLeading)
	}
	return json.Marshal(answer)
}

// Ask implements Peers.
func (p *HTTPPeers) Ask(ctx context.Context, to Record, r Request) (Outcome, error) {
	const op errs.Op = "member.Ask"
	text, err := json.Marshal(r)
	if err != nil {
		return Outcome{}, errs.E(op, string(to.ID), err)
	}
	body, err := p.post(ctx, op, to, RequestPath, bytes.NewReader(text))
	if err != nil {
		return Outcome{}, err
	}
	var answer requestAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return Outcome{}, errs.E(op, string(to.ID), errs.Corrupt, err)
	}
	if answer.Failed {
		return Outcome{}, errs.E(op, string(to.ID), errs.Kind(answer.Kind), &toldError{answer.Message, answer.NotLeading})
	}
	return answer.Outcome, nil
}

// asked is a request that waits for the leader's decision. Sent by Membership.
type asked struct {
	request Request
	until   time.Duration // when it is given up
	Reply   messages.Reply[Outcome]
}

// Fail implements messages.Failer.
func (m *asked) Fail(err error) { m.Reply.Fail(err) }

func (m *member) onAsked(ctx actor.Context, msg *asked) {
	const op errs.Op = "member.Request"
	switch {
	case m.lead == nil || !m.lead.Held():
		msg.Fail(errs.E(op, string(msg.request.Kind), errs.Busy, errNotLeading))
		return
	case len(m.asks) == maxAsked:
		msg.Fail(errs.E(op, string(msg.request.Kind), errs.Busy, errors.New("too many requests wait for the leader's decision")))
		return
	}
	msg.until = m.now() + askTime
	m.asks = append(m.asks, msg)
	m.act(ctx)
}

// expire answers requests that nothing could be decided on.
func (m *member) expire() {
	const op errs.Op = "member.Request"
	leads := m.lead != nil && m.lead.Held()
	m.asks = slices.DeleteFunc(m.asks, func(a *asked) bool {
		switch {
		case m.writing && a == m.asking:
			return false
		case !leads:
			a.Fail(errs.E(op, string(a.request.Kind), errs.Busy, errNotLeading))
		case m.now() >= a.until:
			a.Fail(errs.E(op, string(a.request.Kind), errs.Busy, errors.New("the leader could not decide in time: see its log")))
		default:
			return false
		}
		return true
	})
}

// answerAsked decides on the first request that waits, and reports whether there was
// one.
func (m *member) answerAsked(ctx actor.Context, e evidence) bool {
	if len(m.asks) == 0 || !e.leads || !m.wished {
		return false
	}
	if _, urgent := e.urgent(); urgent {
		return false
	}
	a := m.asks[0]
	d, err := e.judge(a.request)
	if err == nil && d.heir != "" && !a.request.Dry {
		m.asks = m.asks[1:]
		m.named(a, d.heir)
		return true
	}
	if err != nil || d.nothing() || a.request.Dry {
		m.asks = m.asks[1:]
		a.Reply.Send(Outcome{Leader: m.Record.ID, Version: e.current.Version(), Placement: d.placement, Text: strings.Join(d.reasons, "; ")}, err)
		return true
	}
	m.asking = a
	m.follow(ctx, d)
	return true
}

// answer tells who asked what became of it, if a request was what was written for.
func (m *member) answer(msg *mapWritten) {
	a := m.asking
	m.asking = nil
	if a == nil || msg.stale || msg.filled || msg.early {
		return // it is judged again
	}
	m.asks = slices.DeleteFunc(m.asks, func(other *asked) bool { return other == a })
	version := versionOf(m.held.current)
	if msg.next != nil {
		version = msg.next.Version()
	}
	a.Reply.Send(Outcome{Leader: m.Record.ID, Version: version, Placement: msg.placement, Text: strings.Join(msg.reasons, "; ")}, msg.err)
}
