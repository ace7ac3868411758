package mountpath

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// errorLimit is how many disk errors within errorWindow disable a mountpath: a
// single one may be a bad block, five in ten seconds are a disk.
const (
	errorLimit  = 5
	errorWindow = 10 * time.Second
)

// tickTime is how often a coordinator looks at its disk.
const tickTime = 250 * time.Millisecond

// coordinator admits, orders and accounts for work on one mountpath. It answers
// at once, forwards or spawns; its children block.
// Its fields belong to the actor: only Receive and the on… methods touch them.
type coordinator struct {
	system   *actors.System
	limits   Limits
	mount    Mount
	md5      *checksum.MD5Pool
	verdicts verdicts

	lanes    []*actor.PID
	keeper   *actor.PID
	running  int    // transfers under way; 0 ≤ running ≤ limits.Transfers
	named    uint64 // numbers the transfers
	keeping  bool   // the keeper is at work
	disabled bool
	closed   bool            // the index takes no writes any more; reads go on
	errors   []time.Duration // of disk errors within errorWindow
	settling backoff         // of asking the lanes to settle
	ticker   clock.Timer
}

// verdicts tell the node what became of a mountpath, and why.
type verdicts struct {
	disable     func(reason string) // it is of no more use
	closeWrites func(reason string) // it can only be read
}

func newCoordinator(c Config, mount Mount, verdicts verdicts) *coordinator {
	return &coordinator{system: c.System, limits: c.Limits, md5: c.MD5, mount: mount, verdicts: verdicts}
}

// Receive implements actor.Actor.
func (c *coordinator) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		c.onStarted(ctx)
	case *actor.Restarting, *actor.Stopping:
		c.ticker.Stop()
	case *actor.Terminated:
		c.onTerminated(m)

	case *messages.OpenUpload:
		c.onOpenUpload(ctx, m)
	case *messages.EmptyBucket, *messages.DropBucket:
		ctx.Send(c.keeper, m)

	case *tick:
		c.onTick(ctx)
	case *kept:
		c.keeping = false

	default:
		actors.Unexpected(ctx, c.system.Log())
	}
}

// tick says that some time has passed.
type tick struct{}

func (c *coordinator) onStarted(ctx actor.Context) {
	for i := range c.limits.WriteLanes {
		c.lanes = append(c.lanes, c.spawn(ctx, "w"+strconv.Itoa(i), func() actor.Actor {
			return &writeLane{system: c.system, store: c.mount.Store, number: i, lanes: c.limits.WriteLanes}
		}))
	}
	for i := range c.limits.ReadLanes {
		c.spawn(ctx, "r"+strconv.Itoa(i), func() actor.Actor {
			return &readLane{system: c.system, store: c.mount.Store}
		})
	}
	c.keeper = c.spawn(ctx, "keeper", func() actor.Actor {
		return &keeper{system: c.system, store: c.mount.Store}
	})
	c.schedule(ctx.Self())
}

func (c *coordinator) spawn(ctx actor.Context, name string, make func() actor.Actor) *actor.PID {
	pid, err := c.system.Spawn(ctx, actors.Spec{Name: name, New: make})
	if err != nil {
		panic(err) // the names are ours: a fault of the program
	}
	return pid
}

// schedule sends the next tick; one timer at a time, ended with the actor.
func (c *coordinator) schedule(self *actor.PID) {
	c.ticker = c.system.Clock().AfterFunc(tickTime, func() { c.system.Root().Send(self, &tick{}) })
}

func (c *coordinator) onTick(ctx actor.Context) {
	defer c.schedule(ctx.Self())
	c.readEvents()
	if c.disabled || c.closed {
		return
	}
	select {
	case <-c.mount.Store.Dead():
		c.onIndexDead()
		return
	default:
	}
	c.settle(ctx)
	if !c.keeping {
		c.keeping = true
		self, root := ctx.Self(), c.system.Root()
		ctx.Send(c.keeper, &keep{done: func() { root.Send(self, &kept{}) }})
	}
}

// settle asks the lanes to settle what failed writes left, if there is anything:
// soon at first, and less and less often while it does not help.
func (c *coordinator) settle(ctx actor.Context) {
	if _, intents := c.mount.Store.Unsettled(); intents == 0 {
		c.settling = backoff{}
		return
	}
	if !c.settling.due(c.system.Clock().Elapsed()) {
		return
	}
	for _, lane := range c.lanes {
		ctx.Send(lane, &settleKeys{})
	}
}

// backoff spaces out what is tried again: from tickTime, doubling, to longestPause.
// The zero value is due at once.
type backoff struct {
	pause time.Duration
	next  time.Duration // of the clock's Elapsed
}

// longestPause bounds a backoff.
const longestPause = 8 * time.Second

// due reports whether it is time to try, and puts the next time off.
func (b *backoff) due(now time.Duration) bool {
	if now < b.next {
		return false
	}
	b.pause = min(max(2*b.pause, tickTime), longestPause)
	b.next = now + b.pause
	return true
}

// readEvents empties the store's events and judges the disk by its errors.
func (c *coordinator) readEvents() {
	now := c.system.Clock().Elapsed()
	for {
		select {
		case e := <-c.mount.Events:
			c.system.Log().WithFields(logrus.Fields{"mountpath": c.mount.Path, "event": string(e.Kind), "key": e.Key.Name}).WithError(e.Err).Warn("disk event")
			if e.Kind == store.DiskError {
				c.errors = append(c.errors, now)
			}
		default:
			for len(c.errors) > 0 && now-c.errors[0] > errorWindow {
				c.errors = c.errors[1:]
			}
			if len(c.errors) >= errorLimit && !c.disabled {
				c.giveUp(fmt.Sprintf("%d disk errors within %s", len(c.errors), errorWindow))
			}
			return
		}
	}
}

func (c *coordinator) giveUp(reason string) {
	c.disabled = true
	c.verdicts.disable(reason)
}

// onIndexDead judges what killed the index. A disk that is full or has turned
// read-only is read as before, by the dead index too; any other is not trusted.
func (c *coordinator) onIndexDead() {
	cause := c.mount.Store.Index().Err()
	reason := fmt.Sprintf("its index stopped: %v", cause)
	for _, readable := range []error{syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(cause, readable) {
			c.closed = true
			c.verdicts.closeWrites(reason)
			return
		}
	}
	c.giveUp(reason)
}

func (c *coordinator) onOpenUpload(ctx actor.Context, m *messages.OpenUpload) {
	const op errs.Op = "mountpath.OpenUpload"
	if c.disabled || c.closed {
		m.Fail(errs.E(op, m.Key, errs.Offline, errors.New("the mountpath takes no writes")))
		return
	}
	if c.running == c.limits.Transfers {
		m.Fail(errs.E(op, m.Key, errs.Busy, fmt.Errorf("%d transfers are under way", c.running)))
		return
	}
	c.named++
	lane := c.lanes[laneOf(m.Key.Digest(), len(c.lanes))]
	pid, err := c.system.Spawn(ctx, actors.Spec{
		Name:   transferPrefix + strconv.FormatUint(c.named, 36),
		New:    func() actor.Actor { return newTransfer(c, m, lane) },
		Policy: actors.Policy{NoRestart: true},
	})
	if err != nil {
		m.Fail(errs.E(op, m.Key, errs.Busy, err))
		return
	}
	c.running++
	m.Reply.Send(messages.UploadOpened{Transfer: pid}, nil)
}

// transferPrefix begins the names of transfers among a coordinator's children.
const transferPrefix = "t"

func (c *coordinator) onTerminated(m *actor.Terminated) {
	if isTransfer(m.Who.Id) {
		c.running--
	}
}
