package mountpath

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// scrubber verifies what is stored on one mountpath, a step at a time, when nobody else
// needs the disk. What it has verified is the store's, so that another one goes on.
type scrubber struct {
	system  *actors.System
	store   *store.Store
	watch   *watch // of the call under way
	within  time.Duration
	buckets func() []objects.Bucket
	// may reports whether the disk is well enough, busy whether somebody else uses it.
	may  *atomic.Bool
	busy func() bool
	// aside has a damaged payload put aside.
	aside func(objects.Key, objects.Generation)

	chain *scrubChain // of this incarnation; nil: it has not begun
}

// scrubChain has the steps of one incarnation follow one another. Safe for concurrent use.
type scrubChain struct {
	over  atomic.Bool
	timer atomic.Pointer[clock.Timer]
}

// scrubStep asks the scrubber for the next step. Sent by its own timer. It is a request,
// so that it says what it handles, and a panic on that counts for it.
type scrubStep struct {
	chain  *scrubChain
	key    objects.Key
	failed func(error)
}

// Handles implements messages.Handled.
func (m *scrubStep) Handles() messages.Handling {
	switch {
	case m.key.Bucket.ID.IsZero():
		return messages.Handling{}
	case m.key.Name == "":
		return messages.HandlesBucket(m.key.Bucket, messages.ScrubAccess)
	}
	return messages.HandlesKey(m.key, messages.ScrubAccess)
}

// Subject implements messages.Subjected.
func (m *scrubStep) Subject() string {
	if m.key.Name == "" {
		return m.key.Bucket.Name
	}
	return m.key.String()
}

// Fail implements messages.Failer.
func (m *scrubStep) Fail(err error) { m.failed(err) }

const (
	// scrubFirst is when a scrubber begins, and scrubPause when it looks again whether it
	// may go on.
	scrubFirst = 5 * time.Second
	scrubPause = time.Second
	// scrubFound lies between a finding and the next step: findings that are errors of the
	// disk are to be those of some places, before they are those of a disk that fails.
	scrubFound = 5 * time.Second
)

// Receive implements actor.Actor.
func (s *scrubber) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		s.chain = new(scrubChain)
		s.store.Scrub().Anew()
		s.next(ctx.Self(), s.chain, scrubFirst)
	case *actor.Restarting, *actor.Stopping:
		s.end()
	case *scrubStep:
		if m.chain == s.chain {
			s.next(ctx.Self(), s.chain, s.onStep())
		}
	default:
		actors.Unexpected(ctx, s.system.Log())
	}
}

func (s *scrubber) end() {
	if s.chain == nil {
		return
	}
	s.chain.over.Store(true)
	if timer := s.chain.timer.Load(); timer != nil {
		(*timer).Stop()
	}
}

// next has the next step come after a pause. A step that is refused comes again; one that
// is about something in quarantine is passed over first.
func (s *scrubber) next(self *actor.PID, chain *scrubChain, pause time.Duration) {
	if chain.over.Load() {
		return
	}
	root, scrub := s.system.Root(), s.store.Scrub()
	timer := s.system.Clock().AfterFunc(pause, func() {
		if chain.over.Load() {
			return
		}
		root.Send(self, &scrubStep{chain: chain, key: scrub.Subject(), failed: func(err error) {
			var held *messages.Quarantined
			if errors.As(err, &held) {
				scrub.Skip(err)
			}
			s.next(self, chain, scrubPause)
		}})
	})
	chain.timer.Store(&timer)
}

// onStep does a step and returns how long the pause after it is.
func (s *scrubber) onStep() time.Duration {
	if !s.may.Load() || s.within <= 0 {
		s.store.Scrub().Off(true)
		return scrubPause
	}
	s.store.Scrub().Off(false)
	busy := s.busy()
	if key, payload, ok := s.store.ToPutAside(); ok {
		s.aside(key, payload)
	}
	began := s.system.Clock().Elapsed()
	order := store.ScrubOrder{Within: s.within, Buckets: s.buckets(), Before: func() { s.watch.begin(s.system.Clock()) }}
	defer s.watch.end()
	var step store.ScrubStep
	var err error
	disk.Idle(func() { step, err = s.store.Scrub().Step(order) })
	if err != nil {
		if !errs.Is(errs.Busy, err) {
			s.system.Log().WithError(err).Warn("payloads cannot be verified now; it is tried again")
		}
		return scrubPause
	}
	switch {
	case step.Rest > 0:
		return min(step.Rest, time.Minute)
	case step.Found:
		return scrubFound
	}
	return scrubPaceOf(step, s.system.Clock().Elapsed()-began, busy || s.busy())
}

// scrubPaceOf returns the pause after a step that took so long: as the bytes that are left
// and the time that is left ask for, a quarter faster; at most scrubCeiling, at least
// scrubFloor. Who uses the disk beside has it for most of the time, and a disk that is idle
// is used for half of it at most.
func scrubPaceOf(step store.ScrubStep, took time.Duration, busy bool) time.Duration {
	rate := float64(scrubCeiling)
	if step.Until > 0 {
		rate = min(max(float64(step.Left)/step.Until.Seconds()*5/4, scrubFloor), scrubCeiling)
	}
	pause := time.Duration(float64(step.Read)/rate*float64(time.Second)) - took
	share := took
	if busy {
		share = scrubGivesWay * took
	}
	return max(pause, share, time.Millisecond)
}

const (
	// scrubFloor and scrubCeiling bound how fast a disk is verified, in bytes a second: a
	// disk of 1 GiB takes 17 minutes, one of 20 TiB that is late 4 days.
	scrubFloor   = 1 << 20
	scrubCeiling = 64 << 20
	// scrubGivesWay is how many times as long as its step a scrubber pauses where others
	// use the disk.
	scrubGivesWay = 9
)
