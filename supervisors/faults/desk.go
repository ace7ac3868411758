package faults

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"slices"
	"sync"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// MaxFaults is how many faults are at work at a time at most: each is asked about
// every message or disk operation.
const MaxFaults = 1000

// Desk breaks things in one node. It is made before its node, handed over in
// supervisors.Config.Faults, and closed by the node when that stops; faults may be
// injected before the node starts. Safe for concurrent use.
type Desk struct {
	base  clock.Clock // of the desk's own timers, and below the node's clock
	clock *shifted
	log   *logrus.Entry

	mu     sync.Mutex
	closed bool
	last   ID
	faults []*Injected // in the order in which they were injected
	mounts []mount
	system *actors.System // nil: the node has none yet
}

// mount is one mountpath that the desk can break.
type mount struct {
	dir    string
	faulty *disk.Faulty
}

// Options says what a desk is made of.
type Options struct {
	Clock clock.Clock   // what the desk measures expiry with; nil: the operating system's
	Log   *logrus.Entry // told of each fault that begins and ends; nil: nobody is
}

// New makes a desk with no faults.
func New(o Options) *Desk {
	if o.Clock == nil {
		o.Clock = clock.NewSystem()
	}
	if o.Log == nil {
		quiet := logrus.New()
		quiet.SetOutput(io.Discard)
		o.Log = logrus.NewEntry(quiet)
	}
	return &Desk{base: o.Clock, clock: newShifted(o.Clock), log: o.Log}
}

// Clock returns the clock that faults can set: the node's.
func (d *Desk) Clock() clock.Clock { return d.clock }

// Disk puts the desk around a mountpath's filesystem. The supervisor calls it for
// each mountpath that it opens. It fails only when a fault that is at work cannot
// be put there, which Validate has excluded.
func (d *Desk) Disk(dir string, fs disk.FS) (disk.FS, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := mount{dir: dir, faulty: disk.NewFaulty(fs)}
	// An earlier filesystem of the directory is closed: it was opened again.
	d.mounts = append(slices.DeleteFunc(d.mounts, func(old mount) bool { return old.dir == dir }), m)
	for _, i := range d.faults {
		if i.fault.Disk != nil && i.fault.Disk.about(dir) {
			if err := i.attach(m.faulty); err != nil {
				return nil, errs.E("faults.Disk", dir, errs.Internal, err)
			}
		}
	}
	return m.faulty, nil
}

// Attach puts the desk before a system's actors. The supervisor calls it once.
func (d *Desk) Attach(system *actors.System) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.system = system
	d.publish()
}

// publish has the faults of messages asked, or nobody while there are none.
// REQUIRES: mu is held.
func (d *Desk) publish() {
	if d.system == nil {
		return
	}
	var all interceptor
	for _, i := range d.faults {
		if i.fault.Messages != nil {
			all = append(all, i)
		}
	}
	if all == nil {
		d.system.Intercept(nil)
		return
	}
	d.system.Intercept(all)
}

// Matches is what a fault is about now. What comes later (a transfer, a bucket) is
// not in it.
type Matches struct {
	Actors     []string `json:"actors,omitempty"`     // addresses
	Mountpaths []string `json:"mountpaths,omitempty"` // directories
	Clock      bool     `json:"clock,omitempty"`
}

// DryRun says what a fault would be about now, and breaks nothing. It fails as
// Inject does with a fault that is not valid.
func (d *Desk) DryRun(f Fault) (Matches, error) {
	if err := f.Validate(); err != nil {
		return Matches{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	found := Matches{Clock: f.Clock != nil}
	if f.Messages != nil && d.system != nil {
		for _, a := range d.system.Actors() {
			if disk.MatchPath(f.Messages.Actor, a.Address) {
				found.Actors = append(found.Actors, a.Address)
			}
		}
	}
	for _, m := range d.mounts {
		if f.Disk != nil && f.Disk.about(m.dir) {
			found.Mountpaths = append(found.Mountpaths, m.dir)
		}
	}
	return found, nil
}

// about reports whether the fault is about a mountpath.
func (x *Disk) about(dir string) bool {
	return x.Mountpath == "" || disk.MatchPath(x.Mountpath, dir) || disk.MatchPath(x.Mountpath, path.Base(dir))
}

// Inject lets a fault begin. It ends by itself when it expires. Errors: Invalid
// (ErrFault) for one that cannot be, Busy beyond MaxFaults, Offline at a desk that
// is closed.
func (d *Desk) Inject(f Fault) (*Injected, error) {
	const op errs.Op = "faults.Inject"
	if err := f.Validate(); err != nil {
		return nil, err
	}
	f = f.clone()
	for f.When.Seed == 0 {
		f.When.Seed = rand.Uint64()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errs.E(op, errs.Offline, errors.New("the desk is closed: its node has stopped"))
	}
	if len(d.faults) >= MaxFaults {
		return nil, errs.E(op, errs.Busy, fmt.Errorf("%d faults are at work; clear some", len(d.faults)))
	}
	d.last++
	i := &Injected{
		desk: d, id: d.last, fault: f, began: d.base.Now(), random: rand.New(rand.NewPCG(f.When.Seed, 0)),
		reached: make(chan struct{}), lifted: make(chan struct{}),
	}
	if f.Disk != nil {
		for _, m := range d.mounts {
			if !f.Disk.about(m.dir) {
				continue
			}
			if err := i.attach(m.faulty); err != nil {
				for _, fault := range i.disks {
					fault.Remove()
				}
				return nil, errs.E(op, m.dir, errs.Internal, err)
			}
		}
	}
	i.timer = d.base.AfterFunc(f.Expiry, func() { d.lift(i, "expired") })
	d.faults = append(slices.Clip(d.faults), i)
	d.publish()
	if f.Clock != nil {
		i.hit()
		d.clock.set(f.Clock.Skew + f.Clock.Jump)
		d.clock.jump(f.Clock.Jump)
	}
	d.log.WithFields(i.fields()).Warn("a fault is injected")
	return i, nil
}

// clone keeps the caller's pointers out of the desk.
func (f Fault) clone() Fault {
	if f.Messages != nil {
		m := *f.Messages
		f.Messages = &m
	}
	if f.Disk != nil {
		x := *f.Disk
		x.Calls = slices.Clone(x.Calls)
		f.Disk = &x
	}
	if f.Clock != nil {
		c := *f.Clock
		f.Clock = &c
	}
	return f
}

// lift ends a fault, if it has not ended yet.
func (d *Desk) lift(i *Injected, how string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = slices.DeleteFunc(slices.Clone(d.faults), func(other *Injected) bool { return other == i })
	d.publish() // before what hangs goes on: it is to meet the fault no more
	if !i.end() {
		return
	}
	if f := i.fault.Clock; f != nil {
		d.clock.set(-f.Skew - f.Jump)
	}
	d.log.WithFields(i.fields()).WithField("hits", i.Hits()).Warn("a fault has " + how)
}

func (i *Injected) fields() logrus.Fields {
	fields := logrus.Fields{"fault": uint64(i.id), "expiry": i.fault.Expiry.String(), "seed": i.fault.When.Seed}
	if i.fault.Reason != "" {
		fields["reason"] = i.fault.Reason
	}
	switch f := i.fault; {
	case f.Messages != nil:
		fields["actor"], fields["message"], fields["do"] = f.Messages.Actor, f.Messages.Message, string(f.Messages.Do)
	case f.Disk != nil:
		fields["mountpath"], fields["path"], fields["do"] = f.Disk.Mountpath, f.Disk.Path, string(f.Disk.Do)
	case f.Clock != nil:
		fields["skew"], fields["jump"] = f.Clock.Skew.String(), f.Clock.Jump.String()
	}
	return fields
}

// List returns the faults at work, in the order in which they were injected.
func (d *Desk) List() []Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]Status, len(d.faults))
	for n, i := range d.faults {
		list[n] = i.Status()
	}
	return list
}

// Clear ends a fault and returns what it did. NotFound: no such fault is at work.
func (d *Desk) Clear(id ID) (Status, error) {
	d.mu.Lock()
	at := slices.IndexFunc(d.faults, func(i *Injected) bool { return i.id == id })
	if at < 0 {
		d.mu.Unlock()
		return Status{}, errs.E("faults.Clear", fmt.Sprintf("fault %d", id), errs.NotFound)
	}
	i := d.faults[at]
	d.mu.Unlock()
	i.Clear()
	return i.Status(), nil
}

// ClearAll ends every fault, and returns how many there were.
func (d *Desk) ClearAll() int {
	d.mu.Lock()
	all := d.faults
	d.mu.Unlock()
	for _, i := range all {
		i.Clear()
	}
	return len(all)
}

// Close ends every fault, and lets none begin any more. A node that stops closes
// its desk first, so that nothing hangs. Idempotent.
func (d *Desk) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.ClearAll()
}
