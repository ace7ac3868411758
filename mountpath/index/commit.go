package index

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/cockroachdb/pebble/v2"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// queueLength bounds the commits that wait for the committer, and those that
// wait for their sync. Admission in front keeps them far below it.
const queueLength = 2048

var (
	errStillInFlight = errors.New("a write of the key is under way")
	errQueueFull     = errors.New("too many commits are waiting")
	errClosed        = errors.New("the index is closed")
	errReadOnly      = fmt.Errorf("the index was opened to be read: %w", syscall.EROFS)
)

// Pending is a commit under way. Wait is called once, by one goroutine.
type Pending struct {
	batch *Batch
	done  chan struct{} // capacity 1: the answer is there, in err
	err   error         // nil: synced
}

// Commit makes the batch's changes and returns when they are on stable storage
// or will never be acknowledged. The batch is consumed. The keys, which the
// batch need not change, are in flight until then: see Settled.
//
// Errors: Offline when the index is dead or closed, and nothing was changed;
// Busy around objects.ErrOutcomeUnknown when it died on the way.
func (x *Index) Commit(b *Batch, keys ...[]byte) error {
	p := x.begin(b, keys)
	if p.err != nil || b.Len() == 0 {
		return p.refuse()
	}
	select {
	case x.queue <- b:
	case <-x.instance.dead:
		// The queue is full and nobody empties it: nothing was applied. The
		// keys stay in flight all the same, like those of every other commit.
		return x.outcomeUnknown("index.Commit")
	}
	return p.Wait()
}

// CommitAsync is Commit without waiting: the answer comes from Wait, which must
// be called. Where Commit would wait for room in the queue, the answer is Busy
// and nothing was changed.
func (x *Index) CommitAsync(b *Batch, keys ...[]byte) *Pending {
	p := x.begin(b, keys)
	if p.err != nil || b.Len() == 0 {
		p.done <- struct{}{}
		return p
	}
	select {
	case x.queue <- b:
	default:
		for _, hash := range b.hashes {
			x.flights.leave(hash)
		}
		x.leave()
		p.err = errs.E("index.CommitAsync", errs.Busy, errQueueFull)
		p.done <- struct{}{}
	}
	return p
}

// begin puts the keys in flight. The answer is there already if the index
// takes no commits, or if there is nothing to commit.
func (x *Index) begin(b *Batch, keys [][]byte) *Pending {
	p := &b.pending
	p.batch, p.err = b, nil
	if p.done == nil {
		p.done = make(chan struct{}, 1)
	}
	if b.index != x {
		panic("index: a batch of another index")
	}
	if b.Len() == 0 {
		return p
	}
	if x.options.ReadOnly {
		p.err = errs.E("index.Commit", errs.Offline, errReadOnly)
		return p
	}
	if err := x.instance.err(); err != nil {
		p.err = errs.E("index.Commit", errs.Offline, err)
		return p
	}
	if p.err = x.enter("index.Commit"); p.err != nil {
		return p
	}
	for _, key := range keys {
		hash := x.flights.hash(key)
		b.hashes = append(b.hashes, hash)
		x.flights.enter(hash)
	}
	return p
}

// refuse answers a commit that was never queued.
func (p *Pending) refuse() error {
	err := p.err
	p.batch.recycle()
	return err
}

// Wait returns how the commit went; see Index.Commit.
func (p *Pending) Wait() error {
	x := p.batch.index
	select {
	case <-p.done:
	case <-x.instance.dead:
		select {
		case <-p.done:
		default:
			// The committer or the answerer may still hold the batch: it is left to them.
			return x.outcomeUnknown("index.Commit")
		}
	}
	return p.refuse()
}

func (x *Index) outcomeUnknown(op errs.Op) error {
	return errs.E(op, errs.Busy, fmt.Errorf("%w: %w", objects.ErrOutcomeUnknown, x.instance.err()))
}

// commitLoop is the committer: the one goroutine that applies batches, in the
// order of the queue. It ends when the queue is closed or the instance dies.
func (x *Index) commitLoop() {
	defer close(x.committed)
	defer x.dieOnPanic()
	for {
		var b *Batch
		var ok bool
		select {
		case b, ok = <-x.queue:
			if !ok {
				return
			}
		case <-x.instance.dead:
			return
		}
		x.barrier.apply()
		if err := x.db.ApplyNoSyncWait(b.changes, pebble.Sync); err != nil {
			// Pebble's commit pipeline is stuck after any error.
			x.instance.die(err)
			return
		}
		select {
		case x.committed <- b:
		case <-x.instance.dead:
			return
		}
	}
}

// answerLoop is the answerer: the one goroutine that waits for syncs, in the
// same order, and answers. A failed sync parks Pebble's own goroutine and
// leaves this one waiting, for ever.
func (x *Index) answerLoop() {
	defer close(x.answered)
	defer x.dieOnPanic()
	for b := range x.committed {
		if err := b.changes.SyncWait(); err != nil {
			x.instance.die(err)
			return
		}
		// Synced is synced, even if the instance has died since; but then the
		// lane may have left already, and the batch with it.
		x.barrier.sync()
		for _, hash := range b.hashes {
			x.flights.leave(hash)
		}
		b.release()
		b.pending.done <- struct{}{}
		x.leave()
	}
}

// dieOnPanic turns a panic in Pebble into the death of the instance. It also
// sees a Goexit, which is how the logger's Fatalf leaves.
func (x *Index) dieOnPanic() {
	if cause := recover(); cause != nil {
		x.instance.die(fmt.Errorf("pebble panicked: %v", cause))
	}
}
