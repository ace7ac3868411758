package native

import (
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// maxActorBody bounds the body of a request about actors, in bytes.
const maxActorBody = 4 << 10

// control answers requests about actors. It asks no actor: what is suspended,
// stuck or dead is seen and brought back through it.
type control struct {
	system *actors.System
	self   string // address of the listener that the requests come through
}

// ActorRoutes are the routes under api.ActorsPath. self is the address of the
// listener's own actor.
func ActorRoutes(system *actors.System, self string) []Route {
	c := &control{system, self}
	return []Route{{Path: api.ActorsPath, Guard: Control, Handle: c.handle}}
}

func (c *control) handle(r *Request) error {
	segments, err := r.Segments()
	if err != nil {
		return err
	}
	if len(segments) == 0 {
		return Verbs{get: c.list}.Handle(r)
	}
	address := strings.Join(segments, "/")
	return Verbs{
		get:  func(r *Request) error { return c.show(r, address) },
		post: func(r *Request) error { return c.act(r, address) },
	}.Handle(r)
}

func (c *control) list(r *Request) error {
	pattern, prefix := r.Query("pattern"), strings.TrimSuffix(r.Query("prefix"), "/")
	if pattern != "" && prefix != "" {
		return Refuse(fasthttp.StatusBadRequest, "", "pattern and prefix cannot be given together")
	}
	list, err := c.system.List(pattern)
	if err != nil {
		return err
	}
	answer := api.Actors{Actors: make([]api.Actor, 0, len(list))}
	for _, state := range list {
		if prefix == "" || state.Address == prefix || strings.HasPrefix(state.Address, prefix+"/") {
			answer.Actors = append(answer.Actors, actorOf(state))
		}
	}
	return r.JSON(answer)
}

func (c *control) show(r *Request, address string) error {
	state, err := c.system.Find(address)
	if err != nil {
		return err
	}
	return r.JSON(actorOf(state))
}

func (c *control) act(r *Request, address string) error {
	var body api.ActorAction
	if err := r.Decode(maxActorBody, &body); err != nil {
		return err
	}
	state, err := c.system.Find(address)
	if err != nil {
		return err
	}
	action := messages.ActorAction(body.Action)
	if action.Ends() && (address == c.self || strings.HasPrefix(c.self, address+"/")) {
		// It would cut the connection that its answer goes over.
		carryOut, err := c.system.Claim(address, action)
		if err != nil {
			return err
		}
		r.ctx.SetConnectionClose()
		r.ctx.SetUserValue(afterwards{}, afterwards{func() { _, _ = carryOut() }}) // it logs how it went
		return c.pending(r, state, "it is done once this answer has been sent: the listener is part of it")
	}
	state, err = c.system.Control(address, action)
	switch {
	case errs.Is(errs.Busy, err):
		state, findErr := c.system.Find(address)
		if findErr != nil {
			return err
		}
		return c.pending(r, state, err.Error())
	case err != nil:
		return err
	}
	return r.JSON(api.ActorChanged{Actor: actorOf(state)})
}

func (c *control) pending(r *Request, state actors.State, why string) error {
	r.ctx.SetStatusCode(fasthttp.StatusAccepted)
	return r.JSON(api.ActorChanged{Actor: actorOf(state), Pending: why})
}

// afterwards is something to do once a response has been written: fasthttp closes
// the values of a request then.
type afterwards struct{ do func() }

// Close implements io.Closer.
func (a afterwards) Close() error {
	go a.do() // the connection's goroutine ends with the listener; this one within actors.ControlTime
	return nil
}

func actorOf(s actors.State) api.Actor {
	a := api.Actor{
		Address: s.Address, Kind: s.Kind, Parent: s.Parent, Children: s.Children, Status: string(s.Status),
		Queued: s.Queued, OldestMillis: s.Oldest.Milliseconds(),
		Current: s.Current, Subject: s.Subject, CurrentMillis: s.CurrentFor.Milliseconds(),
		PerSecond: s.Rate, Handled: s.Handled, Restarts: s.Restarts, LastCause: s.LastCause, Abandoned: s.Abandoned,
	}
	for _, p := range s.Panics {
		a.Panics = append(a.Panics, api.ActorPanic(p))
	}
	if !s.LastFailed.IsZero() {
		a.LastFailed = &s.LastFailed
	}
	return a
}
