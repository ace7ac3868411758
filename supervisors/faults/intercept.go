package faults

import (
	"errors"
	"fmt"
	"path"
	"reflect"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/errs"
)

// ErrInjected is the cause of every error that the desk answers a message with.
var ErrInjected = errors.New("a fault was injected")

// cause is what an injected panic panics with.
func (i *Injected) cause() string { return fmt.Sprintf("fault %d: on purpose", i.id) }

// interceptor is the faults of messages at work. It is replaced, never changed.
type interceptor struct {
	system *actors.System
	faults []*Injected
}

// Intercept implements actors.Interceptor.
func (all interceptor) Intercept(address string, message any) actors.Interception {
	name := typeOf(message)
	var result actors.Interception
	for _, i := range all.faults {
		m := i.fault.Messages
		if m.Do == Pause {
			if refusal := all.pause(i, address, message); refusal != nil {
				return *refusal
			}
			continue
		}
		if !m.matches(address, name, message) || !i.hit(func() string { return whatOf(address, name, message) }) {
			continue
		}
		switch m.Do {
		case Panic:
			panic(i.cause())
		case Drop:
			return actors.Interception{Drop: true}
		case Refuse:
			kind, _ := kindOf(m.Error) // Validate has seen it
			return actors.Interception{Drop: true, Err: errs.E("faults.Intercept", address, kind, i.injected())}
		case DropReply:
			result.Unheard = true
		case Delay:
			i.wait(nil, m.Delay, m.Jitter)
		case Hang:
			<-i.lifted
		}
	}
	return result
}

// pause suspends an actor that a message has come to though the fault pauses it: it has
// just begun, or somebody has resumed it. Nil: the message passes.
func (all interceptor) pause(i *Injected, address string, message any) *actors.Interception {
	if !disk.MatchPath(i.fault.Messages.Actor, address) {
		return nil
	}
	i.suspend(all.system, address)
	switch message.(type) {
	case *actor.Started: // nobody waits for an actor to begin for ever
	case messages.Failer:
		return &actors.Interception{Drop: true, Err: errs.E("faults.Intercept", address, errs.Busy, i.injected())}
	default:
		<-i.lifted // as what waits behind it
	}
	return nil
}

// injected is the cause of an error that the fault brings about.
func (i *Injected) injected() error { return fmt.Errorf("%w: fault %d", ErrInjected, i.id) }

// whatOf says which message is hit.
func whatOf(address, name string, message any) string {
	what := address + " " + name
	if about, ok := message.(messages.Subjected); ok {
		what += " " + about.Subject()
	}
	return what
}

// matches reports whether the fault is about a message to an address.
func (m *Messages) matches(address, name string, message any) bool {
	if !disk.MatchPath(m.Actor, address) || m.Do == DropReply && !actors.CanLoseReply(message) {
		return false
	}
	if about, says := message.(messages.Subjected); m.About != "" && (!says || !disk.MatchPath(m.About, about.Subject())) {
		return false
	}
	if m.Message == "" {
		switch message.(type) {
		case *actor.Started, *messages.Ping:
			return false
		}
		_, asks := message.(messages.Failer)
		return asks || m.Do != Drop && m.Do != Refuse // nobody sends a tick twice
	}
	ok, err := path.Match(m.Message, name)
	return ok && err == nil
}

// typeOf is the name of a message's type as its package has it: "messages.PutObject".
func typeOf(message any) string {
	t := reflect.TypeOf(message)
	if t == nil {
		return ""
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.String()
}
