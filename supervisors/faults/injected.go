package faults

import (
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/clock"
)

// ID names a fault at its desk. IDs are not used again.
type ID uint64

// Injected is a fault at work, and afterwards what it did. Safe for concurrent use.
type Injected struct {
	desk  *Desk
	id    ID
	fault Fault // with the seed that was taken
	began time.Time
	until time.Duration // when it expires, by the desk's awake
	timer clock.Timer   // guarded by the desk's mu

	by     Origin
	forced bool

	reached chan struct{} // closed at the first hit
	lifted  chan struct{} // closed when the fault has ended: what hangs goes on

	mu      sync.Mutex
	random  *rand.Rand
	matched uint64
	effects effects
	ended   bool
	disks   []*disk.Fault            // in the Faulty of each mountpath that matches
	paused  map[string]struct{}      // addresses of actors that it is to resume
	silent  map[*connection]struct{} // connections that have lost bytes because of it
}

// Status is what can be seen of a fault.
type Status struct {
	ID      ID
	Fault   Fault // with the seed that was taken
	Began   time.Time
	Left    time.Duration // until it expires; 0: it has ended
	Matched uint64        // what it was about, hit or not
	Hits    uint64

	By          Origin
	Forced      bool      // it was injected though redundancy does not allow for it
	First, Last time.Time // hits; zero: there was none
	Sample      []Hit     // of what was hit: the first MaxSample different ones

	Ended     time.Time // zero: it has not
	How       End
	ClearedBy Origin
}

// ID returns the fault's name at its desk.
func (i *Injected) ID() ID { return i.id }

// Reached is closed when the fault has hit for the first time.
func (i *Injected) Reached() <-chan struct{} { return i.reached }

// Lifted is closed when the fault has ended.
func (i *Injected) Lifted() <-chan struct{} { return i.lifted }

// Hits returns how often the fault has hit: a test that counts on it checks that
// it did.
func (i *Injected) Hits() uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.effects.hits
}

// Clear ends the fault now. Idempotent.
func (i *Injected) Clear() { i.desk.lift(i, Cleared, Origin{}) }

// Status returns what can be seen of the fault now.
func (i *Injected) Status() Status {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := Status{
		ID: i.id, Fault: i.fault, Began: i.began, Matched: i.matched, Hits: i.effects.hits,
		By: i.by, Forced: i.forced, First: i.effects.first, Last: i.effects.last, Sample: slices.Clone(i.effects.sample),
	}
	if !i.ended {
		s.Left = i.left()
	}
	return s
}

// left is how long the fault lasts still.
func (i *Injected) left() time.Duration { return max(0, i.until-i.desk.awake()) }

// hit counts something that the fault is about, and reports whether it is hit. What it
// is, what says; it is called only then.
func (i *Injected) hit(what func() string) bool {
	first, hit := i.count(what)
	if first {
		i.desk.log.WithFields(logrus.Fields{"fault": uint64(i.id), "what": what()}).Warn("a fault hits for the first time")
		close(i.reached)
	}
	return hit
}

func (i *Injected) count(what func() string) (first, hit bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	when := &i.fault.When
	if i.ended || i.spentLocked() {
		return false, false
	}
	i.matched++
	if i.matched <= when.After || when.Every > 1 && (i.matched-when.After-1)%when.Every != 0 {
		return false, false
	}
	if when.Probability > 0 && i.random.Float64() >= when.Probability {
		return false, false
	}
	i.effects.add(what(), i.desk.base.Now())
	return i.effects.hits == 1, true
}

// spent reports whether the fault will hit nothing any more.
func (i *Injected) spent() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.ended || i.spentLocked()
}

func (i *Injected) spentLocked() bool {
	return i.fault.When.Count > 0 && i.effects.hits >= i.fault.When.Count
}

// wait waits for a delay with its jitter, for the end of the fault, or until what
// waits is done with (nil: never). It is the desk's own time that passes.
func (i *Injected) wait(done <-chan struct{}, delay, jitter time.Duration) {
	over, timer := i.desk.base.NewTimer(i.draw(delay, jitter))
	defer timer.Stop()
	select {
	case <-over:
	case <-i.lifted:
	case <-done:
	}
}

// draw is a delay with its jitter.
func (i *Injected) draw(delay, jitter time.Duration) time.Duration {
	if jitter == 0 {
		return delay
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return delay + time.Duration(i.random.Int64N(int64(jitter)+1))
}

// flip changes so many bits of p, by chance.
func (i *Injected) flip(p []byte, bits int) {
	if len(p) == 0 {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for range max(1, bits) {
		bit := i.random.IntN(8 * len(p))
		p[bit/8] ^= 1 << (bit % 8)
	}
}

// rules are what the fault does to a mountpath's operations.
func (i *Injected) rules(dir string) []disk.Rule {
	d := i.fault.Disk
	about, _ := d.Do.calls() // Validate has seen the effect, the calls and the error
	if calls, _ := d.calls(); len(calls) > 0 {
		about = calls
	}
	number, _ := errnoOf(d.Error)
	rule := disk.Rule{Calls: about, Path: d.Path, Match: func(o disk.Operation) bool {
		if o.Number == 0 { // may the kernel send the file?
			return !i.spent()
		}
		return i.hit(func() string { return o.Call.String() + " " + path.Join(dir, o.Path) })
	}}
	errno := func(otherwise error) error {
		if number != 0 {
			return number
		}
		return otherwise
	}
	switch d.Do {
	case Fail:
		rule.Err = errno(defaultErrno)
	case FailAfterwards:
		rule.Err, rule.Afterwards = errno(defaultErrno), true
	case Slow:
		rule.Wait = func(disk.Operation) { i.wait(nil, d.Delay, d.Jitter) }
	case Stall:
		rule.Wait = func(disk.Operation) { <-i.lifted }
	case Crash:
		rule.Err = errno(defaultErrno) // where a panic would end the process
		rule.Wait = func(disk.Operation) {
			if bearsPanic() {
				panic(i.cause())
			}
		}
	case ShortWrite:
		rule.Err, rule.Bytes = errno(fullErrno), d.Bytes
	case TornWrite:
		rule.Tear, rule.Bytes = true, d.Bytes
	case LoseSync:
		rule.Lose = true
	case FlipBits:
		rule.Corrupt = func(p []byte, _ int64) { i.flip(p, d.Bits) }
	case Full:
		rule.Err = fullErrno
		return []disk.Rule{rule, i.report(func(s *disk.Space) { s.FreeBytes, s.FreeFiles = 0, 0 })}
	case ReadOnly:
		rule.Err = readOnlyErrno
		return []disk.Rule{rule, i.report(func(s *disk.Space) { s.ReadOnly = true })}
	}
	return []disk.Rule{rule}
}

// report changes what the filesystem says of itself; that is no hit.
func (i *Injected) report(how func(*disk.Space)) disk.Rule {
	return disk.Rule{Calls: []disk.Call{disk.CallSpace}, Space: how}
}

// attach puts the fault into the operations of the mountpath in a directory.
func (i *Injected) attach(dir string, faulty *disk.Faulty) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return nil
	}
	for _, rule := range i.rules(dir) {
		fault, err := faulty.Add(rule)
		if err != nil {
			return err
		}
		i.disks = append(i.disks, fault)
	}
	return nil
}

// end takes the fault out of everything and lets go what hangs in it; false: it had
// ended before. It returns the connections that have lost bytes because of it.
func (i *Injected) end() (silent []*connection, ended bool) {
	i.mu.Lock()
	if i.ended {
		i.mu.Unlock()
		return nil, false
	}
	i.ended = true
	disks := slices.Clone(i.disks)
	silent = slices.Collect(maps.Keys(i.silent))
	i.mu.Unlock()
	i.timer.Stop()
	for _, fault := range disks {
		fault.Remove()
	}
	close(i.lifted)
	return silent, true
}
