package faults

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
	awake func() time.Duration
	clock *shifted
	log   *logrus.Entry

	// What is asked about everything that can be hit; nil inside: there is nothing to ask.
	links atomic.Pointer[links]
	steps atomic.Pointer[[]*Injected]

	network atomic.Pointer[Network]          // nil inside: the node is alone
	jobs    atomic.Pointer[func() []JobName] // nil inside: the node has none yet

	mu          sync.Mutex
	closed      bool
	last        ID
	faults      []*Injected // in the order in which they were injected
	ended       []Status    // in the order in which they ended; at most MaxEnded
	intended    map[*burden]struct{}
	mounts      []mount
	connections map[*connection]struct{} // with other nodes
	accepted    map[string]*connection   // of those, the ones that others made, by their address
	system      *actors.System           // nil: the node has none yet
}

// mount is one mountpath that the desk can break.
type mount struct {
	dir    string
	faulty *disk.Faulty
}

// Options says what a desk is made of.
type Options struct {
	Clock clock.Clock // what the desk's timers run by; nil: the operating system's
	// Awake is what expiry is measured with: the time since some moment on a clock that
	// goes on while the machine is suspended. nil: Clock's, which does not.
	Awake func() time.Duration
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
	if o.Awake == nil {
		o.Awake = o.Clock.Elapsed
	}
	return &Desk{
		base: o.Clock, awake: o.Awake, clock: newShifted(o.Clock), log: o.Log,
		intended: make(map[*burden]struct{}), connections: make(map[*connection]struct{}), accepted: make(map[string]*connection),
	}
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
			if err := i.attach(m.dir, m.faulty); err != nil {
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

// Connect tells the desk of the nodes that its own is connected with. The supervisor
// calls it once, unless the node is alone.
func (d *Desk) Connect(n Network) { d.network.Store(&n) }

// Jobs tells the desk who knows the jobs that have not ended. List may block. The
// supervisor calls it once.
func (d *Desk) Jobs(list func() []JobName) { d.jobs.Store(&list) }

// publish has the faults of messages, links and jobs asked, or nobody while there are
// none.
// REQUIRES: mu is held.
func (d *Desk) publish() {
	all := &interceptor{system: d.system}
	var connected links
	var steps []*Injected
	for _, i := range d.faults {
		switch {
		case i.fault.Messages != nil:
			all.faults = append(all.faults, i)
		case i.fault.Link != nil:
			connected = append(connected, i)
		case i.fault.Job != nil:
			steps = append(steps, i)
		}
	}
	show(&d.links, &connected, len(connected) > 0) // in one store: what is at work is not to be away in between
	show(&d.steps, &steps, len(steps) > 0)
	switch {
	case d.system == nil:
	case all.faults == nil:
		d.system.Intercept(nil)
	default:
		d.system.Intercept(all)
	}
}

// show has what is at a pointer asked; none: nobody is.
func show[T any](where *atomic.Pointer[T], what *T, any bool) {
	if !any {
		what = nil
	}
	where.Store(what)
}

// Matches is what a fault is about now. What comes later (a transfer, a bucket) is
// not in it.
type Matches struct {
	Actors     []string // addresses
	Mountpaths []string // directories
	Peers      []string // ids of other nodes
	Jobs       []string // ids of those that have not ended
	Clock      bool
}

// DryRun says what a fault would be about now, and breaks nothing. It fails as
// Inject does with a fault that is not valid.
func (d *Desk) DryRun(f Fault) (Matches, error) {
	if err := f.Validate(); err != nil {
		return Matches{}, err
	}
	found := Matches{Clock: f.Clock != nil}
	if n := d.network.Load(); n != nil && f.Link != nil {
		for _, id := range n.Peers() {
			if f.Link.about(id) {
				found.Peers = append(found.Peers, id)
			}
		}
	}
	if list := d.jobs.Load(); list != nil && f.Job != nil {
		for _, name := range (*list)() {
			if f.Job.about(name) {
				found.Jobs = append(found.Jobs, name.ID)
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
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

// Inject lets a fault begin. It ends by itself when it expires. Redundancy is not
// judged. Errors: Invalid (ErrFault) for one that cannot be, Busy beyond MaxFaults,
// Offline at a desk that is closed.
func (d *Desk) Inject(f Fault) (*Injected, error) { return d.InjectBy(f, Origin{}, false) }

// InjectBy is Inject for somebody. Forced says that redundancy does not allow for it.
func (d *Desk) InjectBy(f Fault, by Origin, forced bool) (*Injected, error) {
	i, err := d.inject(f, by, forced)
	if err != nil {
		return nil, err
	}
	if f.Link != nil && f.Link.Do == LinkCut {
		d.sever(i)
	}
	return i, nil
}

func (d *Desk) inject(f Fault, by Origin, forced bool) (*Injected, error) {
	const op errs.Op = "faults.Inject"
	if err := f.Validate(); err != nil {
		return nil, err
	}
	f = f.clone()
	for f.When.Seed == 0 && f.chance() {
		f.When.Seed = rand.Uint64N(1 << 53) // JSON's readers keep no more of a number
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errs.E(op, errs.Offline, errors.New("the desk is closed: its node has stopped"))
	}
	if len(d.faults) >= MaxFaults {
		return nil, errs.E(op, errs.Busy, fmt.Errorf("%d faults are at work; clear some", len(d.faults)))
	}
	if f.Clock != nil && !d.clock.bears(f.Clock) {
		return nil, errs.E(op, errs.Invalid, fmt.Errorf("%w: the clock would be off by more than %s in all", ErrFault, maxShifts))
	}
	d.last++
	i := &Injected{
		desk: d, id: d.last, fault: f, began: d.base.Now(), until: d.awake() + f.Expiry, by: by, forced: forced, random: rand.New(rand.NewPCG(f.When.Seed, 0)),
		reached: make(chan struct{}), lifted: make(chan struct{}),
	}
	if f.Disk != nil {
		for _, m := range d.mounts {
			if !f.Disk.about(m.dir) {
				continue
			}
			if err := i.attach(m.dir, m.faulty); err != nil {
				for _, fault := range i.disks {
					fault.Remove()
				}
				return nil, errs.E(op, m.dir, errs.Internal, err)
			}
		}
	}
	d.await(i)
	d.log.WithFields(i.fields()).Warn("a fault is injected")
	d.faults = append(slices.Clip(d.faults), i)
	d.publish()
	if f.Messages != nil && f.Messages.Do == Pause && d.system != nil {
		i.suspendAll(d.system)
	}
	if f.Clock != nil {
		i.hit(func() string { return "the clock" })
		d.clock.set(f.Clock.Skew + f.Clock.Jump)
		d.clock.jump(f.Clock.Jump)
	}
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
	if f.Link != nil {
		l := *f.Link
		l.Peers = slices.Clone(l.Peers)
		f.Link = &l
	}
	if f.Job != nil {
		j := *f.Job
		f.Job = &j
	}
	if f.Clock != nil {
		c := *f.Clock
		f.Clock = &c
	}
	return f
}

// awakeAfter is how late a fault may end that has expired while the machine was
// suspended: timers have stood still.
const awakeAfter = 5 * time.Second

// await has somebody look whether a fault has expired: when it will have, or soon.
// REQUIRES: mu is held.
func (d *Desk) await(i *Injected) {
	i.timer = d.base.AfterFunc(min(i.left(), awakeAfter), func() { d.expire(i) })
}

// expire ends a fault that has expired.
func (d *Desk) expire(i *Injected) {
	d.mu.Lock()
	waits := i.left() > 0
	if waits && slices.Contains(d.faults, i) {
		d.await(i)
	}
	d.mu.Unlock()
	if !waits {
		d.lift(i, Expired, Origin{})
	}
}

// lift ends a fault, if it has not ended yet.
func (d *Desk) lift(i *Injected, how End, by Origin) {
	for _, c := range d.end(i, how, by) {
		_ = c.Close() // what follows on it could not be read
	}
}

// end is lift; it returns the connections that have to end with the fault.
func (d *Desk) end(i *Injected, how End, by Origin) []*connection {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = slices.DeleteFunc(slices.Clone(d.faults), func(other *Injected) bool { return other == i })
	d.publish() // before what hangs goes on: it is to meet the fault no more
	silent, ended := i.end()
	if !ended {
		return nil
	}
	d.resumeAll(i)
	if f := i.fault.Clock; f != nil {
		d.clock.set(-f.Skew - f.Jump)
	}
	status := i.Status()
	status.Ended, status.How, status.ClearedBy = d.base.Now(), how, by
	d.remember(status)
	entry := d.log.WithFields(i.fields()).WithField("hits", status.Hits)
	if by != (Origin{}) {
		entry = entry.WithFields(logrus.Fields{"cleared_by": by.Principal, "cleared_request": by.Request})
	}
	entry.Warn("a fault has ended: " + string(how))
	return silent
}

func (i *Injected) fields() logrus.Fields {
	fields := i.by.fields()
	fields["fault"], fields["expiry"] = uint64(i.id), i.fault.Expiry.String()
	if seed := i.fault.When.Seed; seed != 0 {
		fields["seed"] = seed
	}
	if i.forced {
		fields["forced"] = true
	}
	if i.fault.Reason != "" {
		fields["reason"] = i.fault.Reason
	}
	switch f := i.fault; {
	case f.Messages != nil:
		fields["actor"], fields["message"], fields["do"] = f.Messages.Actor, f.Messages.Message, string(f.Messages.Do)
	case f.Disk != nil:
		fields["mountpath"], fields["path"], fields["do"] = f.Disk.Mountpath, f.Disk.Path, string(f.Disk.Do)
	case f.Link != nil:
		fields["peers"], fields["direction"], fields["do"] = strings.Join(f.Link.Peers, ","), string(f.Link.Direction), string(f.Link.Do)
	case f.Job != nil:
		fields["job"], fields["do"] = f.Job.Job, string(f.Job.Do)
	case f.Clock != nil:
		fields["skew"], fields["jump"] = f.Clock.Skew.String(), f.Clock.Jump.String()
	}
	return fields
}

// List returns the faults at work, in the order in which they were injected.
func (d *Desk) List() []Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.list()
}

// REQUIRES: mu is held.
func (d *Desk) list() []Status {
	list := make([]Status, len(d.faults))
	for n, i := range d.faults {
		list[n] = i.Status()
	}
	return list
}

// Clear ends a fault and returns what it did. NotFound: no such fault is at work.
func (d *Desk) Clear(id ID) (Status, error) { return d.ClearBy(id, Origin{}) }

// ClearBy is Clear for somebody.
func (d *Desk) ClearBy(id ID, by Origin) (Status, error) {
	d.mu.Lock()
	at := slices.IndexFunc(d.faults, func(i *Injected) bool { return i.id == id })
	if at < 0 {
		d.mu.Unlock()
		return Status{}, errs.E("faults.Clear", fmt.Sprintf("fault %d", id), errs.NotFound)
	}
	i := d.faults[at]
	d.mu.Unlock()
	d.lift(i, Cleared, by)
	return d.Find(id)
}

// Find returns a fault that is at work, or that has ended and is remembered; NotFound:
// there is none.
func (d *Desk) Find(id ID) (Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.faults {
		if i.id == id {
			return i.Status(), nil
		}
	}
	for _, s := range d.ended {
		if s.ID == id {
			return s, nil
		}
	}
	return Status{}, errs.E("faults.Find", fmt.Sprintf("fault %d", id), errs.NotFound, fmt.Errorf("the last %d that have ended are remembered", MaxEnded))
}

// ClearAll ends every fault, and returns how many there were.
func (d *Desk) ClearAll() int { return d.liftAll(Cleared) }

func (d *Desk) liftAll(how End) int {
	d.mu.Lock()
	all := d.faults
	d.mu.Unlock()
	for _, i := range all {
		d.lift(i, how, Origin{})
	}
	return len(all)
}

// Close ends every fault, and lets none begin any more. A node that stops closes
// its desk first, so that nothing hangs. Idempotent.
func (d *Desk) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.liftAll(Stopped)
}
