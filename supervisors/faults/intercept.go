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
type interceptor []*Injected

// Intercept implements actors.Interceptor.
func (all interceptor) Intercept(address string, message any) actors.Interception {
	name := typeOf(message)
	var result actors.Interception
	for _, i := range all {
		m := i.fault.Messages
		if !m.matches(address, name, message) || !i.hit() {
			continue
		}
		switch m.Do {
		case Panic:
			panic(i.cause())
		case Drop:
			return actors.Interception{Drop: true}
		case Refuse:
			kind, _ := kindOf(m.Error) // Validate has seen it
			return actors.Interception{Drop: true, Err: errs.E("faults.Intercept", address, kind, ErrInjected)}
		case DropReply:
			result.Unheard = true
		case Delay:
			i.wait(m.Delay, m.Jitter)
		case Hang:
			<-i.lifted
		}
	}
	return result
}

// matches reports whether the fault is about a message to an address.
func (m *Messages) matches(address, name string, message any) bool {
	if !disk.MatchPath(m.Actor, address) || m.Do == DropReply && !actors.CanLoseReply(message) {
		return false
	}
	if m.Message == "" {
		switch message.(type) {
		case *actor.Started, *messages.Ping:
			return false
		}
		return true
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
