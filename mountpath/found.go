package mountpath

import (
	"errors"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// found says how noting that mountpaths are lost no more went. Sent by a worker.
type found struct {
	lost  []messages.LostMountpath // that still are
	err   error
	reply messages.Reply[struct{}]
}

// onFoundMountpaths has the documents forget mountpaths that the node has caught up with.
func (s *mountpaths) onFoundMountpaths(ctx actor.Context, m *messages.FoundMountpaths) {
	if s.changing {
		m.Fail(errs.E("mountpath.Found", errs.Busy, errors.New("the set of mountpaths is being changed")))
		return
	}
	s.changing = true
	ids, reply := m.IDs, m.Reply
	s.work(ctx, func() any {
		lost, err := s.Set.Found(ids)
		return &found{lost, err, reply}
	}, func(err error) any { return &found{err: err, reply: reply} })
}

func (s *mountpaths) onFound(ctx actor.Context, m *found) {
	s.changing = false
	s.scheduleJob(ctx) // of a transition, which waited
	if m.err == nil {
		s.lost = m.lost
		s.publish()
	}
	m.reply.Send(struct{}{}, m.err)
}
