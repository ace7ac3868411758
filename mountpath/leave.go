package mountpath

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// awayTime is how long a removal by force waits for a mountpath that has just been
// taken out of use: its store is closed when its calls have come back.
const awayTime = 10 * time.Second

// removeAgain says that it is time to look again whether a mountpath can be removed by
// force. Sent by a timer.
type removeAgain struct {
	message *messages.RemoveMountpath
	since   time.Duration // of the clock's Elapsed: when it was asked for
}

// Fail implements messages.Failer.
func (m *removeAgain) Fail(err error) { m.message.Fail(err) }

// onRemoveMountpath removes a mountpath, as was asked for at a time of the clock's
// Elapsed.
func (s *mountpaths) onRemoveMountpath(ctx actor.Context, m *messages.RemoveMountpath, since time.Duration) {
	const op errs.Op = "mountpath.Remove"
	p, err := s.find(op, m.Path)
	if err != nil {
		m.Fail(err)
		return
	}
	status := p.status()
	switch byForce := m.Force && !status.Readable; {
	case byForce: // also in the middle of a change, which would wait for it for ever
		if s.changing {
			m.Fail(s.steady(op, m.Path))
			return
		}
	case s.transition.Joining(p.mount.ID) && !s.changing:
		s.turn(ctx, op, p, m.Reply)
		return
	case s.transition.Leaving(p.mount.ID) && !s.changing && s.ready == nil:
		s.again(ctx, p, m.Reply)
		return
	default:
		if err := s.steady(op, m.Path); err != nil {
			m.Fail(err)
			return
		}
	}
	if len(s.places) == 1 {
		m.Fail(errs.E(op, m.Path, errs.Conflict, errors.New("it is the node's last mountpath")))
		return
	}
	switch {
	case !status.Readable && !m.Force:
		m.Fail(errs.E(op, m.Path, errs.Offline, fmt.Errorf("it cannot be read (%s: %s), so what is on it cannot be moved; enable it, or remove it by force, which gives up what only it has", status.State, status.Reason)))
		return
	case !status.Readable && p.phase != away && s.System.Clock().Elapsed()-since < awayTime:
		s.System.Clock().AfterFunc(passPause, s.sender(ctx, &removeAgain{m, since}))
		return
	case !status.Readable && p.phase != away:
		m.Fail(errs.E(op, m.Path, errs.Busy, errors.New("calls of its disk are still under way; disable it, and ask again when they have ended")))
		return
	}
	s.changing, s.asked, s.subject = true, m.Reply, p
	if !status.Readable {
		s.giveUp(ctx, p)
		return
	}
	var others []*store.Store
	for _, other := range s.places {
		if other != p && other.mount.Store != nil {
			others = append(others, other.mount.Store)
		}
	}
	leaving, id := p.mount.Store, p.mount.ID
	s.work(ctx, func() any {
		if err := hasRoom(s.Set.Buckets(), leaving, others); err != nil {
			return &changed{err: errs.E(op, p.mount.Path, err)}
		}
		transition, err := s.Set.Leave(id)
		return &changed{transition: transition, err: err}
	}, func(err error) any { return &changed{err: err} })
}

// giveUp forgets a mountpath that cannot be read, with what is on it. A change that
// is under way goes on without it, by another job.
func (s *mountpaths) giveUp(ctx actor.Context, p *place) {
	var others []*store.Store
	for _, other := range s.places {
		if other.mount.Store != nil {
			others = append(others, other.mount.Store)
		}
	}
	id, job := p.mount.ID, ""
	if s.transition != nil {
		job = s.transition.Job
	}
	s.work(ctx, func() any {
		var known messages.Tally
		for _, other := range others {
			held, err := tally(s.Set.Buckets(), other, func(objects.Key) bool { return true })
			if err != nil {
				return &finished{err: err}
			}
			known.Objects += held.Objects
		}
		if err := s.endJob(job); err != nil {
			return &finished{err: err}
		}
		transition, unknown, err := s.Set.GiveUp(id)
		if err != nil {
			return &finished{err: err}
		}
		if err := s.Set.Drop(id); err != nil { // it is nobody's any more
			s.System.Log().WithError(err).WithField("mountpath", p.mount.Path).Warn("the directory of a mountpath that was removed by force was not closed cleanly")
		}
		return &finished{lost: known.Objects / int64(max(1, len(others))), forced: p, transition: transition, unknown: unknown}
	}, func(err error) any { return &finished{err: err} })
}

// onGivenUp goes on without a mountpath.
func (s *mountpaths) onGivenUp(ctx actor.Context, m *finished) {
	m.forced.hidden, m.forced.awaits = true, false
	s.places = slices.DeleteFunc(s.places, func(p *place) bool { return p == m.forced })
	s.lost = m.unknown
	s.System.Log().WithFields(logrus.Fields{"mountpath": m.forced.mount.Path, "objects": m.lost}).Error("a mountpath was removed by force; what only it had is lost")
	if m.transition != nil {
		s.begin(ctx, m.transition)
	} else {
		s.transition = nil
		s.epoch++
		s.publish()
	}
	if s.asked != nil { // after what is published, by which who asked goes on
		status := m.forced.status()
		status.Reason = fmt.Sprintf("removed by force: what only it had is lost, about %d objects by the share of the others", m.lost)
		if len(s.lost) > 0 {
			status.Reason = fmt.Sprintf("removed by force: about %d objects by the share of the others; what other nodes have of them is fetched, and what only it had is lost", m.lost)
		}
		s.asked.Send(status, nil)
		s.asked, s.subject = nil, nil
	}
	if m.transition == nil && s.ready != nil {
		close(s.ready)
		s.ready = nil
	}
}

// hasRoom fails if what a mountpath has does not fit the others, an even share of it
// each. What lies on the same filesystem needs room only while it moves.
func hasRoom(buckets []objects.Bucket, leaving *store.Store, others []*store.Store) error {
	held, err := tally(buckets, leaving, func(objects.Key) bool { return true })
	if err != nil || len(others) == 0 {
		return err
	}
	for _, s := range append([]*store.Store{leaving}, others...) {
		if err := s.MeasureSpace(); err != nil { // one that has just been opened may not have been
			return err
		}
	}
	own := leaving.Space().Device
	need, room := make(map[uint64]uint64), make(map[uint64]uint64)
	for _, s := range others {
		space := s.Space()
		if space.Device == own {
			continue
		}
		need[space.Device] += uint64(held.Bytes) / uint64(len(others))
		room[space.Device] = space.FreeBytes - min(space.FreeBytes, s.Reserved())
	}
	for device, n := range need {
		if n > room[device] {
			return errs.E("mountpath.hasRoom", errs.NoSpace, fmt.Errorf("it holds %d objects with %d bytes; about %d of them would go to a filesystem that has room for %d", held.Objects, held.Bytes, n, room[device]))
		}
	}
	return nil
}
