package gateway

import (
	"context"

	"github.com/troupe-storage/troupe/objects"
)

// Caller is the context of what a client asks for, which says who it is: for the history
// of what it changes. A method of Gateway keeps no context beyond its call, so that a
// Caller may be used again.
type Caller struct {
	context.Context
	Origin objects.Origin // its texts are copies
}

// callerKey finds a Caller among the values of a context.
type callerKey struct{}

// Value implements context.Context.
func (c *Caller) Value(key any) any {
	if _, ok := key.(callerKey); ok {
		return c
	}
	return c.Context.Value(key)
}

// originOf returns for whom a request is; zero where the context does not say.
func originOf(ctx context.Context) objects.Origin {
	if c, ok := ctx.Value(callerKey{}).(*Caller); ok {
		return c.Origin
	}
	return objects.Origin{}
}

// askedOf is for whom another node is asked to do something: for a client of this one,
// which is self, unless another asked.
func askedOf(o objects.Origin, self string) objects.Origin {
	if o.Asked == "" && o.ByClient() {
		o.Asked = self
	}
	return o
}

// spreadOf is what the nodes that are to have a write of this one, self, are told of it.
func spreadOf(o objects.Origin, self string) objects.Origin {
	o = askedOf(o, self)
	if o.ByClient() {
		o.Cause = objects.CauseWrite
	}
	o.Other = self
	return o
}
