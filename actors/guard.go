package actors

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// guard stands around every actor: it answers what a panic interrupts, keeps
// the stack that protoactor drops, and refuses what arrives while the actor waits
// for its children to end. One per incarnation.
type guard struct {
	system *System
	entry  *entry
	inner  actor.Actor
	own    *ownContext // what the actor sees of protoactor; nil before its first message

	stopped bool // told to end
}

// Receive implements actor.Actor.
func (g *guard) Receive(ctx actor.Context) {
	if g.own == nil {
		g.own = &ownContext{Context: ctx, mailbox: g.entry.mailbox}
	}
	ctx = g.own
	message := ctx.Message()
	if _, born := message.(*actor.Started); born || ends(message) {
		g.entry.mailbox.enter(message)
		defer g.entry.mailbox.leave()
	}
	switch m := message.(type) {
	case *actor.Started:
		defer g.started()
	case *actor.Stopping:
		g.stopped, g.own.leaving = true, true
	case *actor.Stopped:
		defer g.gone()
	case *actor.Restarting:
		g.own.leaving = true
		defer g.entry.mailbox.restarting()
		g.system.reapLater(ctx.Self().Id)
	case *actor.Terminated:
		if g.system.succeed(ctx, m.Who.Id, !g.own.leaving) {
			return // the child has a successor: for its parent it has never been away
		}
	}
	if _, last := message.(*actor.Terminated); leaves(message) || last && g.own.leaving {
		g.part(ctx, message)
		return
	}
	request, isRequest := message.(messages.Failer)
	if isRequest && g.stopped {
		request.Fail(errs.E("actors.Receive", ctx.Self().Id, errs.Busy, errStopping))
		return
	}
	if isRequest {
		if refusal := g.system.quarantine.refuses(message); refusal != nil {
			request.Fail(errs.E("actors.Receive", ctx.Self().Id, errs.Offline, refusal))
			return
		}
	}
	defer g.recovered(ctx.Self().Id, message, request)
	if hook := g.system.interceptor.Load(); hook != nil && !ends(message) {
		var passes bool
		if ctx, passes = intercept(*hook, ctx, message, request); !passes {
			return
		}
		message = ctx.Message()
	}
	if ping, ok := message.(*messages.Ping); ok {
		ping.Reply.Send(struct{}{}, nil)
		return
	}
	g.inner.Receive(ctx)
}

// leaves reports whether a message says that the actor, or its incarnation, is over.
func leaves(message any) bool {
	switch message.(type) {
	case *actor.Stopping, *actor.Stopped, *actor.Restarting:
		return true
	}
	return false
}

// part lets the actor handle a message of its end, those of its children included. It ends whatever becomes
// of that: a panic is logged, and so is a goroutine that ends, so that it has one of
// its own.
func (g *guard) part(ctx actor.Context, message any) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		returned := false
		defer func() {
			reason := recover()
			if returned {
				return
			}
			if reason == nil {
				reason = errExited
			}
			stack := debug.Stack()
			g.failed(message, reason, stack)
			g.log(ctx.Self().Id, message, reason, stack).Error("actor panicked while it ended")
		}()
		g.inner.Receive(ctx)
		returned = true
	}()
	<-done
}

// gone says that the actor has ended. One that was abandoned has been replaced.
func (g *guard) gone() {
	if g.entry.mailbox.isAbandoned() {
		return
	}
	g.entry.mailbox.end()
	g.system.forget(g.entry.address, g.entry)
}

// started says that an incarnation has begun, unless it failed on that.
func (g *guard) started() {
	if reason := recover(); reason != nil {
		panic(reason) // recovered has answered and logged it
	}
	g.entry.mailbox.started()
}

// ends reports whether a message is part of an actor's end, or of its restart.
func ends(message any) bool {
	switch message.(type) {
	case *actor.Terminated, actor.AutoReceiveMessage:
		return true
	}
	return leaves(message)
}

// intercept asks the interceptor, and returns the context that the actor is to
// see, and whether it sees the message at all.
func intercept(hook Interceptor, ctx actor.Context, message any, request messages.Failer) (actor.Context, bool) {
	what := hook.Intercept(ctx.Self().Id, message)
	switch {
	case what.Drop:
		if what.Err != nil && request != nil {
			request.Fail(what.Err)
		}
		return ctx, false
	case what.Unheard && CanLoseReply(message):
		return replaced{Context: ctx, message: unheard(message)}, true
	}
	return ctx, true
}

var errStopping = errors.New("the actor is stopping")

// failed notes a panic of the actor, and returns what it told of it.
func (g *guard) failed(message, reason any, stack []byte) messages.ActorPanic {
	g.entry.mailbox.failed(reason)
	evidence := g.system.evidence(g.entry, message, reason, stack)
	g.system.panics.note(evidence)
	return evidence
}

// recovered answers the message that a panic interrupts and lets the panic go
// on to the supervisor.
func (g *guard) recovered(id string, message any, request messages.Failer) {
	reason := recover()
	if reason == nil {
		return
	}
	if g.entry.mailbox.isAbandoned() {
		panic(reason) // what has become of it is known, and nobody hears of it any more
	}
	stack := debug.Stack()
	evidence := g.failed(message, reason, stack)
	g.log(id, message, reason, stack).Error("actor panicked")
	g.system.quarantine.strike(handled(g.entry, message), evidence)
	if request != nil {
		request.Fail(errs.E("actors.Receive", id, errs.Busy, fmt.Errorf("the actor failed on this request (%s); it may or may not have been carried out", evidence.Cause)))
	}
	panic(reason)
}

// log returns a line about a panic.
func (g *guard) log(id string, message, reason any, stack []byte) *logrus.Entry {
	return g.system.log.WithFields(logrus.Fields{
		"actor": id, "message": fmt.Sprintf("%T", message), "cause": fmt.Sprint(reason), "stack": string(stack),
	})
}

// Unexpected is what a Receive does with a message that it has no case for:
// protoactor's own life-cycle messages pass, a request is refused, the rest is
// logged.
func Unexpected(ctx actor.Context, log *logrus.Entry) {
	switch m := ctx.Message().(type) {
	case actor.SystemMessage, actor.AutoReceiveMessage, *actor.Started, *actor.Stopping, *actor.Stopped, *actor.Restarting, *actor.Terminated:
	case messages.Failer:
		m.Fail(errs.E("actors.Unexpected", ctx.Self().Id, errs.Internal, fmt.Errorf("no handler for %T", m)))
	default:
		log.WithFields(logrus.Fields{"actor": ctx.Self().Id, "message": fmt.Sprintf("%T", m)}).Warn("actor got a message that it has no handler for")
	}
}
