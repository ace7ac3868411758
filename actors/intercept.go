package actors

import (
	"reflect"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/objects/clock"
)

// Interceptor decides what becomes of messages before actors handle them. It is
// the hook of the fault desk, and the only one: what breaks actors on purpose
// comes through it.
//
// It sees every message of users (Ping too), and *actor.Started; never what ends
// an actor, since nothing may keep a node from stopping.
type Interceptor interface {
	// Intercept is called in the actor's turn, before it handles the message. The
	// actor waits while it waits, and panics where it panics. The message is the
	// actor's and must not be changed. Called concurrently.
	Intercept(address string, message any) Interception
}

// Interception is what becomes of one message. The zero value lets it pass.
type Interception struct {
	// Drop keeps the message from the actor. Who asked hears nothing of it, and
	// gives up at its own deadline, unless Err says something.
	Drop bool
	// Err, with Drop, is what a request (messages.Failer) is answered with.
	Err error
	// Unheard lets the actor handle the message, and loses its answer. It takes a
	// message with a field Reply; others pass as they are: see CanLoseReply.
	Unheard bool
}

// Intercept has the interceptor asked about every message from now on; nil:
// nobody is asked, which costs one atomic load for each message.
func (s *System) Intercept(i Interceptor) {
	if i == nil {
		s.interceptor.Store(nil)
		return
	}
	s.interceptor.Store(&i)
}

// Clock returns the time that the system's actors live by.
func (s *System) Clock() clock.Clock { return s.clock }

// CanLoseReply reports whether Interception.Unheard works for messages like this.
func CanLoseReply(message any) bool {
	pointer := reflect.TypeOf(message)
	if pointer == nil || pointer.Kind() != reflect.Pointer || pointer.Elem().Kind() != reflect.Struct {
		return false
	}
	reply, ok := pointer.Elem().FieldByName("Reply")
	return ok && reply.IsExported() && reply.Type.Kind() == reflect.Chan
}

// unheard is a copy of a message whose answer goes where nobody listens.
func unheard(message any) any {
	original := reflect.ValueOf(message).Elem()
	copied := reflect.New(original.Type())
	copied.Elem().Set(original)
	reply := copied.Elem().FieldByName("Reply")
	reply.Set(reflect.MakeChan(reply.Type(), 1))
	return copied.Interface()
}

// replaced is an actor's context that shows another message.
type replaced struct {
	actor.Context
	message any
}

// Message implements actor.Context.
func (r replaced) Message() any { return r.message }

// Forward implements actor.Context.
func (r replaced) Forward(to *actor.PID) { r.Send(to, r.message) }
