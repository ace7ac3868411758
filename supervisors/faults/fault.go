package faults

import (
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/errs"
)

// MaxExpiry is the longest that a fault may last.
const MaxExpiry = 24 * time.Hour

// Fault is one thing broken on purpose. Exactly one of Messages, Disk and Clock
// is set. Several faults may be at work on one thing: each has its effect, in the
// order in which they were injected.
type Fault struct {
	Messages *Messages `json:"messages,omitempty"`
	Disk     *Disk     `json:"disk,omitempty"`
	Clock    *Clock    `json:"clock,omitempty"`

	When   When          `json:"when,omitzero"`
	Expiry time.Duration `json:"expiry"`           // how long it lasts; above 0, at most MaxExpiry
	Reason string        `json:"reason,omitempty"` // why somebody does this; for the log
}

// When says which of the things that a fault matches are hit. The zero value:
// all of them. Not for Clock.
type When struct {
	After       uint64  `json:"after,omitempty"`       // so many pass unharmed first
	Every       uint64  `json:"every,omitempty"`       // then every so-manieth, beginning with the next; 0 and 1: each
	Probability float64 `json:"probability,omitempty"` // of those, by chance: above 0, at most 1; 0: all
	Count       uint64  `json:"count,omitempty"`       // so many hits in all; 0: no end
	Seed        uint64  `json:"seed,omitempty"`        // of chance; 0: the desk takes one, and says which
}

// Messages is a fault of messages on their way into actors.
type Messages struct {
	// Actor is a pattern over addresses, as disk.MatchPath has them:
	// "node/mountpaths/d0/w*", "node/buckets/**". Required.
	Actor string `json:"actor"`
	// Message is a pattern over types: "messages.PutObject", "mountpath.*". Empty:
	// every message but those that the kit itself sends, *actor.Started and Ping,
	// which must be named ("actor.Started", "messages.Ping").
	Message string        `json:"message,omitempty"`
	Do      MessageEffect `json:"do"`

	Error  string        `json:"error,omitempty"`  // of Refuse: the kind of the error in the words of errs.Kind; empty: busy
	Delay  time.Duration `json:"delay,omitempty"`  // of Delay: so long at least
	Jitter time.Duration `json:"jitter,omitempty"` // of Delay: and by chance up to so much more
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
)

// Disk is a fault of operations on mountpaths.
type Disk struct {
	// Mountpath is a pattern, as disk.MatchPath has them, over the mountpath's
	// directory or its last element. Empty: every mountpath.
	Mountpath string `json:"mountpath,omitempty"`
	// Path is a pattern over paths below the mountpath: ".troupe/index/**",
	// "photos/*". Of operations with two paths, either may match. Empty: every path,
	// also of operations that have none (space, syncall).
	Path string `json:"path,omitempty"`
	// Calls are kinds of operations as disk.Call names them: open, create, read,
	// write, sync, … None: those that the effect is about.
	Calls []string   `json:"calls,omitempty"`
	Do    DiskEffect `json:"do"`

	Error  string        `json:"error,omitempty"`  // of Fail and ShortWrite: an errno by name; empty: EIO, of ShortWrite ENOSPC
	Delay  time.Duration `json:"delay,omitempty"`  // of Slow: so long at least
	Jitter time.Duration `json:"jitter,omitempty"` // of Slow: and by chance up to so much more
	Bytes  int           `json:"bytes,omitempty"`  // of ShortWrite and TornWrite: so many are written
	Bits   int           `json:"bits,omitempty"`   // of FlipBits: so many of each read; 0: one
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
	// Crash makes the caller panic in it.
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
	// what waits waits as long as before.
	Skew time.Duration `json:"skew,omitempty"`
	// Jump lets so much time pass at once: the wall clock is ahead by it while the
	// fault lasts, and every wait is shorter by it, as after a pause of the machine.
	// Not below 0. What has elapsed has elapsed, also when the fault is lifted.
	Jump time.Duration `json:"jump,omitempty"`
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
	if f.Clock != nil {
		targets++
		switch {
		case f.Clock.Jump < 0:
			bad("clock: a jump of %s; what has elapsed does not come back", f.Clock.Jump)
		case f.Clock.Skew == 0 && f.Clock.Jump == 0:
			bad("clock: neither skew nor jump is given")
		}
		if f.When != (When{}) {
			bad("when: it does not apply to the clock")
		}
	}
	if targets != 1 {
		bad("%d of messages, disk and clock are given; exactly one", targets)
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

func (m *Messages) validate(bad func(string, ...any)) {
	if m.Actor == "" {
		bad("actor: no pattern is given; node/** is every actor")
	}
	if err := disk.CheckPattern(m.Actor); err != nil {
		bad("actor: %w", err)
	}
	if _, err := path.Match(m.Message, ""); err != nil {
		bad("message: %q: %w", m.Message, err)
	}
	if _, ok := kindOf(m.Error); !ok {
		bad("error: there is no kind %q", m.Error)
	}
	switch m.Do {
	case Panic, Drop, DropReply, Refuse, Hang:
	case Delay:
		checkDelay(m.Delay, m.Jitter, bad)
	default:
		bad("do: %q; one of panic, drop, drop-reply, refuse, delay, hang", m.Do)
	}
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
	if d.Bytes < 0 || d.Bits < 0 {
		bad("bytes, bits: %d, %d; at least 0", d.Bytes, d.Bits)
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
}

func checkDelay(delay, jitter time.Duration, bad func(string, ...any)) {
	if delay < 0 || jitter < 0 || delay+jitter <= 0 {
		bad("delay, jitter: %s, %s; not below 0, together above", delay, jitter)
	}
}
