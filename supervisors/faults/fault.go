package faults

import (
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/errs"
)

const (
	// MaxExpiry is the longest that a fault may last, and that what it hits may wait.
	MaxExpiry = 24 * time.Hour
	// MaxShift is how far a fault may set the clock.
	MaxShift = 366 * 24 * time.Hour
	// MaxBits is how many bits of a read may be flipped: what else uses the fault waits
	// for it, a millisecond for so many.
	MaxBits = 1 << 16
)

// Fault is one thing broken on purpose. Exactly one of Messages, Disk, Link, Job and
// Clock is set. Several faults may be at work on one thing: each has its effect, in
// the order in which they were injected.
type Fault struct {
	Messages *Messages
	Disk     *Disk
	Link     *Link
	Job      *Job
	Clock    *Clock

	When   When
	Expiry time.Duration // how long it lasts; above 0, at most MaxExpiry
	Reason string        // why somebody does this; for the log
}

// When says which of the things that a fault matches are hit. The zero value:
// all of them. Not for Clock, nor for what lasts by itself: Pause, Full, ReadOnly.
type When struct {
	After       uint64  // so many pass unharmed first
	Every       uint64  // then every so-manieth, beginning with the next; 0 and 1: each
	Probability float64 // of those, by chance: above 0, at most 1; 0: all
	Count       uint64  // so many hits in all; 0: no end
	Seed        uint64  // of chance; 0: the desk takes one below 2^53, and says which, where there is chance
}

// Messages is a fault of messages on their way into actors.
type Messages struct {
	// Actor is a pattern over addresses, as disk.MatchPath has them:
	// "node/mountpaths/d0/w*", "node/buckets/**". Required.
	Actor string
	// Message is a pattern over types: "messages.PutObject", "mountpath.*". Empty:
	// every message but those that the kit itself sends, *actor.Started and Ping,
	// which must be named ("actor.Started", "messages.Ping"); of Drop and Refuse every
	// request. What an actor tells itself (a tick) nobody tells again: lost by name, it
	// stays lost when the fault has ended, until the actor is restarted.
	Message string
	// About is a pattern over what messages are about (messages.Subjected), as
	// disk.MatchPath has them: "photos/cat.jpg", "photos/**". Empty: whatever it is.
	About string
	Do    MessageEffect

	Error  string        // of Refuse: the kind of the error in the words of errs.Kind; empty: busy
	Delay  time.Duration // of Delay: so long at least
	Jitter time.Duration // of Delay: and by chance up to so much more
}

// MessageEffect is what becomes of a message that is hit.
type MessageEffect string

const (
	// Panic makes the actor panic on it; its supervisor decides.
	Panic MessageEffect = "panic"
	// Drop loses it before the actor sees it; who asks gives up at its deadline.
	Drop MessageEffect = "drop"
	// DropReply lets the actor handle it, and loses the answer. It hits no message
	// whose answer cannot be taken: see actors.CanLoseReply.
	DropReply MessageEffect = "drop-reply"
	// Refuse answers it with an error; the actor does not see it.
	Refuse MessageEffect = "refuse"
	// Delay lets the actor, and all that waits for it, wait.
	Delay MessageEffect = "delay"
	// Hang lets the actor wait until the fault is lifted.
	Hang MessageEffect = "hang"
	// Pause suspends the actor, as control does, until the fault is lifted: requests
	// are refused as busy, other messages wait. It is about the actors that are there
	// and those that come, also after a restart, a kill or a resume of theirs; Message
	// does not apply. One that was suspended before stays so.
	Pause MessageEffect = "pause"
)

// Disk is a fault of operations on mountpaths.
type Disk struct {
	// Mountpath is a pattern, as disk.MatchPath has them, over the mountpath's
	// directory or its last element. Empty: every mountpath.
	Mountpath string
	// Path is a pattern over paths below the mountpath: ".troupe/index/**",
	// "photos/*". Of operations with two paths, either may match. Empty: every path,
	// also of operations that have none (space, syncall).
	Path string
	// Calls are kinds of operations as disk.Call names them: open, create, read,
	// write, sync, … None: those that the effect is about.
	Calls []string
	Do    DiskEffect

	Error  string        // of Fail, FailAfterwards, Crash and ShortWrite: an errno by name; empty: EIO, of ShortWrite ENOSPC
	Delay  time.Duration // of Slow: so long at least
	Jitter time.Duration // of Slow: and by chance up to so much more
	Bytes  int           // of ShortWrite and TornWrite: so many are written
	Bits   int           // of FlipBits: so many of each read, at most MaxBits; 0: one
}

// DiskEffect is what becomes of an operation that is hit.
type DiskEffect string

const (
	// Fail makes it fail; it does not happen.
	Fail DiskEffect = "fail"
	// FailAfterwards lets it happen, and then fail: the caller cannot know.
	FailAfterwards DiskEffect = "fail-afterwards"
	// Slow delays it.
	Slow DiskEffect = "slow"
	// Stall lets it wait until the fault is lifted, and then happen: a hung disk.
	Stall DiskEffect = "stall"
	// Crash makes the actor that calls panic in it. Who is no actor meets Fail instead, an
	// index above all: nobody would recover, and the process would end.
	Crash DiskEffect = "panic"
	// ShortWrite makes a write fail with only its beginning written.
	ShortWrite DiskEffect = "short-write"
	// TornWrite makes a write report success with only its beginning written.
	TornWrite DiskEffect = "torn-write"
	// LoseSync makes a sync report success and do nothing.
	LoseSync DiskEffect = "lose-sync"
	// FlipBits changes what a read returns. The kernel sends no such file by itself
	// meanwhile: bytes pass through memory, where they are changed.
	FlipBits DiskEffect = "flip-bits"
	// Full makes every operation that needs room fail with ENOSPC, and the
	// filesystem report none. Calls and When do not apply.
	Full DiskEffect = "full"
	// ReadOnly makes every operation that changes something fail with EROFS, and
	// the filesystem report that it is read-only. Calls and When do not apply.
	ReadOnly DiskEffect = "read-only"
)

// Clock is a fault of the node's time.
type Clock struct {
	// Skew is added to the wall clock while the fault lasts: dates are wrong, and
	// what waits waits as long as before. At most MaxShift, in either direction.
	Skew time.Duration
	// Jump lets so much time pass at once: the wall clock is ahead by it while the
	// fault lasts, and every wait is shorter by it, as after a pause of the machine.
	// 0 to MaxShift. What has elapsed has elapsed, also when the fault is lifted.
	Jump time.Duration
}

// ErrFault says that a fault cannot be injected as it is described.
var ErrFault = errors.New("the fault cannot be injected")

// Validate reports everything that is wrong with a fault, as ErrFault. It asks
// nothing that is there: a pattern that matches nothing is valid.
func (f *Fault) Validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	targets := 0
	if f.Messages != nil {
		targets++
		f.Messages.validate(bad)
	}
	if f.Disk != nil {
		targets++
		f.Disk.validate(bad)
		if (f.Disk.Do == Full || f.Disk.Do == ReadOnly) && f.When != (When{}) {
			bad("when: %s is a state of the whole filesystem", f.Disk.Do)
		}
	}
	if f.Link != nil {
		targets++
		f.Link.validate(bad)
	}
	if f.Job != nil {
		targets++
		f.Job.validate(bad)
	}
	if f.Messages != nil && f.Messages.Do == Pause && f.When != (When{}) {
		bad("when: an actor is paused or is not")
	}
	if f.Clock != nil {
		targets++
		switch {
		case f.Clock.Jump < 0:
			bad("clock: a jump of %s; what has elapsed does not come back", f.Clock.Jump)
		case f.Clock.Jump > MaxShift || f.Clock.Skew.Abs() > MaxShift:
			bad("clock: a skew of %s, a jump of %s; at most %s", f.Clock.Skew, f.Clock.Jump, MaxShift)
		case f.Clock.Skew == 0 && f.Clock.Jump == 0:
			bad("clock: neither skew nor jump is given")
		}
		if f.When != (When{}) {
			bad("when: it does not apply to the clock")
		}
	}
	if targets != 1 {
		bad("%d of actor, disk, link, job and clock are given; exactly one", targets)
	}
	if f.Expiry <= 0 || f.Expiry > MaxExpiry {
		bad("expiry: %s; above 0, at most %s", f.Expiry, MaxExpiry)
	}
	if p := f.When.Probability; !(p >= 0 && p <= 1) {
		bad("when: a probability of %g; 0 to 1", p)
	}
	if len(faults) == 0 {
		return nil
	}
	return errs.E("faults.Validate", errs.Invalid, fmt.Errorf("%w: %w", ErrFault, errors.Join(faults...)))
}

// chance reports whether it is chance that decides something.
func (f *Fault) chance() bool {
	switch {
	case f.When.Probability > 0:
		return true
	case f.Messages != nil:
		return f.Messages.Jitter > 0
	case f.Disk != nil:
		return f.Disk.Jitter > 0 || f.Disk.Do == FlipBits
	case f.Link != nil:
		return f.Link.Jitter > 0
	case f.Job != nil:
		return f.Job.Jitter > 0
	}
	return false
}

func (m *Messages) validate(bad func(string, ...any)) {
	if m.Actor == "" {
		bad("actor: no pattern is given; node/** is every actor")
	}
	if err := disk.CheckPattern(m.Actor); err != nil {
		bad("actor: %w", err)
	}
	if err := disk.CheckPattern(m.About); err != nil {
		bad("about: %w", err)
	}
	if _, err := path.Match(m.Message, ""); err != nil {
		bad("message: %q: %w", m.Message, err)
	}
	if _, ok := kindOf(m.Error); !ok {
		bad("error: there is no kind %q", m.Error)
	}
	switch m.Do {
	case Panic, Drop, DropReply, Refuse, Hang:
	case Pause:
		if m.Message != "" {
			bad("message: an actor is paused, whatever is sent to it")
		}
	case Delay:
		checkDelay(m.Delay, m.Jitter, bad)
	default:
		bad("do: %q; one of panic, drop, drop-reply, refuse, delay, hang, pause", m.Do)
		return
	}
	idle(m.Do, bad, idleField{"error", m.Error != "" && m.Do != Refuse}, idleField{"delay, jitter", m.Delay|m.Jitter != 0 && m.Do != Delay})
}

func (d *Disk) validate(bad func(string, ...any)) {
	for name, pattern := range map[string]string{"mountpath": d.Mountpath, "path": d.Path} {
		if err := disk.CheckPattern(pattern); err != nil {
			bad("%s: %w", name, err)
		}
	}
	calls, err := d.calls()
	if err != nil {
		bad("calls: %w", err)
	}
	if _, ok := errnoOf(d.Error); !ok {
		bad("error: there is no errno %q", d.Error)
	}
	if d.Bytes < 0 || d.Bits < 0 || d.Bits > MaxBits {
		bad("bytes, bits: %d, %d; at least 0, and at most %d bits", d.Bytes, d.Bits, MaxBits)
	}
	about, known := d.Do.calls()
	if !known {
		bad("do: %q; one of fail, fail-afterwards, slow, stall, panic, short-write, torn-write, lose-sync, flip-bits, full, read-only", d.Do)
	}
	if known && len(about) > 0 && !contains(about, calls) {
		bad("calls: %v; %s is about %v", d.Calls, d.Do, about)
	}
	if len(d.Calls) > 0 && (d.Do == Full || d.Do == ReadOnly) {
		bad("calls: %s is a state of the whole filesystem", d.Do)
	}
	if d.Do == Slow {
		checkDelay(d.Delay, d.Jitter, bad)
	}
	if known {
		short := d.Do == ShortWrite || d.Do == TornWrite
		fails := d.Do == Fail || d.Do == FailAfterwards || d.Do == ShortWrite || d.Do == Crash
		idle(d.Do, bad, idleField{"error", d.Error != "" && !fails}, idleField{"delay, jitter", d.Delay|d.Jitter != 0 && d.Do != Slow},
			idleField{"bytes", d.Bytes != 0 && !short}, idleField{"bits", d.Bits != 0 && d.Do != FlipBits})
	}
}

func checkDelay(delay, jitter time.Duration, bad func(string, ...any)) {
	if min(delay, jitter) < 0 || max(delay, jitter) > MaxExpiry || delay+jitter == 0 {
		bad("delay, jitter: %s, %s; each 0 to %s, together above", delay, jitter, MaxExpiry)
	}
}

// idleField is a field of a fault, and whether it is given though the effect has no use
// for it.
type idleField struct {
	name string
	idle bool
}

// idle refuses fields that would do nothing: somebody counts on them.
func idle[Effect ~string](do Effect, bad func(string, ...any), fields ...idleField) {
	for _, f := range fields {
		if f.idle {
			bad("%s: it does not apply to %s", f.name, do)
		}
	}
}
