package index

import (
	"sync/atomic"
	"time"
)

// instance is the life of one opened Pebble database: alive, or dead for ever
// with a cause. It also counts the system calls under way, so that a successor
// over the same directory starts only when no call of this one can still reach
// the disk. Safe for concurrent use.
type instance struct {
	dead    chan struct{} // closed by the first die
	cause   atomic.Pointer[error]
	opened  atomic.Bool   // Open handed the instance out: from then on its death is news
	notify  func(error)   // told of the death of an opened instance, once; never blocks
	trouble func(error)   // told of an error that is waited out; never blocks
	retreat time.Duration // how long an error of a flush or compaction is held back: Pebble retries at once

	before atomic.Int64  // calls under way that began while the instance lived
	after  atomic.Int64  // reads under way that began after its death: they disturb nobody
	closed atomic.Bool   // after the death: no read begins any more
	idle   chan struct{} // capacity 1: before or after became 0 after the death
}

func newInstance(retreat time.Duration, notify func(error)) *instance {
	return &instance{
		dead:    make(chan struct{}),
		notify:  notify,
		retreat: retreat,
		idle:    make(chan struct{}, 1),
	}
}

// die declares the instance dead. Only the first cause counts.
func (i *instance) die(cause error) {
	if !i.cause.CompareAndSwap(nil, &cause) {
		return
	}
	close(i.dead)
	i.wakeSuccessor()
	if i.opened.Load() {
		i.notify(cause)
	}
}

// err returns the cause of death, nil while the instance lives.
func (i *instance) err() error {
	if cause := i.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

func (i *instance) isDead() bool { return i.cause.Load() != nil }

// park keeps the calling goroutine for ever. It belongs to Pebble, holds
// whatever locks it holds, and must neither return nor unwind: both end in a
// fatal unlock, a panic or a commit that looks done.
func (i *instance) park() {
	select {}
}

// beginWrite starts a call that changes the disk. On a dead instance it does
// not return: the directory may have a new owner.
func (i *instance) beginWrite() {
	i.before.Add(1)
	if i.isDead() {
		i.endWrite()
		i.park()
	}
}

// endWrite ends what beginWrite started.
func (i *instance) endWrite() {
	if i.before.Add(-1) == 0 && i.isDead() {
		i.wakeSuccessor()
	}
}

// beginRead starts a call that reads; what it returns goes to endRead. Once a dead
// instance is let go, it fails with errClosed; on one that nobody was handed it does
// not return, because Pebble does not survive every error late in opening.
func (i *instance) beginRead() (*atomic.Int64, error) {
	i.before.Add(1)
	if !i.isDead() {
		return &i.before, nil
	}
	i.after.Add(1)
	i.endRead(&i.before)
	if i.closed.Load() {
		i.endRead(&i.after)
		if !i.opened.Load() {
			i.park()
		}
		return nil, errClosed
	}
	return &i.after, nil
}

func (i *instance) endRead(counter *atomic.Int64) {
	if counter.Add(-1) == 0 && i.isDead() {
		i.wakeSuccessor()
	}
}

func (i *instance) wakeSuccessor() {
	select {
	case i.idle <- struct{}{}:
	default:
	}
}

// await waits until no call of the counter is under way. One caller at a time.
// REQUIRES: the instance is dead.
func (i *instance) await(counter *atomic.Int64) {
	for counter.Load() != 0 {
		<-i.idle
	}
}

// hold waits as long as an error of a flush or compaction is held back. It does
// not park on a dead instance: its caller may be opening a table that others wait
// for. There the work ends with its error; no compaction begins any more (see
// scheduler), and a flush parks in what it writes first.
func (i *instance) hold() {
	if i.retreat <= 0 {
		return
	}
	timer := time.NewTimer(i.retreat)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-i.dead:
	}
}

// holdOrPark is hold for work that would be tried again for ever, also after the
// death. REQUIRES: the caller holds nothing that a reader waits for.
func (i *instance) holdOrPark() {
	i.hold()
	if i.isDead() {
		i.park()
	}
}
