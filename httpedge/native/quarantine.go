package native

import (
	"github.com/asynkron/protoactor-go/actor"
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// quarantines answers requests about what is quarantined. To look, it asks no actor.
type quarantines struct {
	system *actors.System
	keeper *actor.PID
}

// QuarantineRoutes are the routes under api.QuarantinePath. Keeper is who releases.
func QuarantineRoutes(system *actors.System, keeper *actor.PID) []Route {
	q := &quarantines{system, keeper}
	return []Route{{Path: api.QuarantinePath, Guard: Control, Handle: q.handle}}
}

func (q *quarantines) handle(r *Request) error {
	segments, err := r.Segments()
	switch {
	case err != nil:
		return err
	case len(segments) == 0:
		return Verbs{get: q.list}.Handle(r)
	case len(segments) > 1:
		return Refuse(fasthttp.StatusBadRequest, "", "invalid URL path %q: a quarantine is %s/ID", r.Path(), api.QuarantinePath)
	}
	id := segments[0]
	return Verbs{
		get:    func(r *Request) error { return q.show(r, id) },
		remove: func(r *Request) error { return q.release(r, id) },
	}.Handle(r)
}

func (q *quarantines) list(r *Request) error {
	all := q.system.Quarantine().List()
	answer := api.Quarantines{Quarantines: make([]api.Quarantine, len(all))}
	for i := range all {
		answer.Quarantines[i] = quarantineOf(&all[i])
		answer.Quarantines[i].Stack = ""
	}
	return r.JSON(answer)
}

func (q *quarantines) show(r *Request, id string) error {
	state, err := q.system.Quarantine().Find(id)
	if err != nil {
		return err
	}
	return r.JSON(quarantineOf(&state))
}

// release answers once no disk has it any more, with what was released.
func (q *quarantines) release(r *Request, id string) error {
	const op errs.Op = "native.ReleaseQuarantine"
	before, err := q.system.Quarantine().Find(id)
	if err != nil {
		return err
	}
	m := &messages.ReleaseQuarantine{ID: id, Reply: messages.NewReply[messages.Quarantine]()}
	q.system.Root().Send(q.keeper, m)
	if _, err := m.Reply.WaitOn(q.system.Clock(), op, gateway.Deadline); err != nil {
		return err
	}
	before.Kept = false
	return r.JSON(quarantineOf(&before))
}

func quarantineOf(s *messages.QuarantineState) api.Quarantine {
	h := s.Handling
	q := api.Quarantine{
		ID: s.ID, Thing: string(h.Thing), Subject: h.Subject(), Access: string(h.Does), Since: s.Since, Panics: s.Panics,
		Actor: s.Address, Message: s.Message, Cause: s.Cause, Stack: s.Stack, Version: s.Version, Refused: s.Refused, Kept: s.Kept,
	}
	if !h.Bucket.IsZero() {
		q.BucketID = h.Bucket.String()
	}
	if !s.LastRefused.IsZero() {
		q.LastRefused = &s.LastRefused
	}
	return q
}
