package index

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Index is one mountpath's index. It is safe for concurrent use; it belongs to
// the disk, not to any actor, and whoever holds it may block in it.
type Index struct {
	options  Options
	instance *instance
	adapter  *adapter
	lock     *lock
	db       *pebble.DB
	detach   func() // gives the memtables' room back to the node's cache
	stalled  atomic.Bool
	damages  damages

	batches   sync.Pool
	flights   *flights
	barrier   barrier
	queue     chan *Batch   // to the committer
	committed chan *Batch   // from the committer to the answerer
	answered  chan struct{} // closed when the answerer has ended

	// users counts values, scans, commits and calls under way; the index is
	// closed when there are none.
	users   atomic.Int64
	closing atomic.Bool
	unused  chan struct{} // capacity 1: users became 0 while closing

	closeOnce sync.Once
	closeErr  error
}

// Open opens the index of a mountpath, making it if it is not there: a new one
// is opened, closed and opened again before it is handed out, so that a power
// cut during its making cannot be taken for anything else.
//
// Errors: Corrupt when what is there cannot be read as it was written (nothing
// is truncated or made anew then); Busy when another process holds it, or when
// opening takes longer than the deadline; IO when the disk refuses. After Busy
// by deadline and after IO a goroutine may stay parked for good.
func Open(options Options) (*Index, error) {
	const op errs.Op = "index.Open"
	options = options.withDefaults()
	l := new(lock)
	deadline := time.Now().Add(options.Deadline)
	state, err := within(deadline, func() (condition, error) {
		state, err := lockAndSurvey(options, l)
		if time.Now().After(deadline) { // nobody waits any more
			err = errors.Join(err, l.release())
		}
		return state, err
	})
	switch {
	case errors.Is(err, errDeadline):
		return nil, errs.E(op, options.Dir, errs.Busy, err)
	case err != nil:
		return nil, errs.E(op, options.Dir, openKind(err), errors.Join(err, l.release()))
	case state == absent && options.ReadOnly:
		return nil, errs.E(op, options.Dir, errs.NotFound, errors.Join(errNoManifest, l.release()))
	case state == ruined, state == absent && options.MustExist:
		return nil, errs.E(op, options.Dir, errs.Corrupt, errors.Join(errNoManifest, l.release()))
	case state == absent:
		made, err := openInstance(options, l, deadline)
		if err != nil {
			return nil, err
		}
		made.instance.opened.Store(false) // nobody has it, nobody is told of its death
		if err := made.close(deadline, keepLock); err != nil {
			made.instance.die(err)
			made.adapter.abandon(time.Until(deadline))
			return nil, err
		}
	}
	x, err := openInstance(options, l, deadline)
	if err != nil {
		return nil, err
	}
	x.start()
	return x, nil
}

var (
	errNoManifest = errors.New("the index is gone: its directory names no manifest")
	errGaveUp     = errors.New("pebble gave up opening")
	errDeadline   = errors.New("the disk took too long")
)

// condition is what the index's directory looks like.
type condition uint8

const (
	absent  condition = iota // nothing that could hold data: an index may be made
	present                  // a marker names a manifest
	ruined                   // tables or blobs, but no marker: never made anew
)

// lockAndSurvey takes the index's lock, because another process may be writing
// there, and looks at what there is. A directory that is not there has no lock
// yet; Pebble makes both.
func lockAndSurvey(options Options, l *lock) (condition, error) {
	_, err := options.FS.Stat(options.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return absent, nil
	}
	if err != nil {
		return absent, err
	}
	if err := l.take(options.FS, path.Join(options.Dir, lockName)); err != nil {
		return absent, err
	}
	return survey(options.FS, options.Dir)
}

// lockName is what Pebble calls its lock.
const lockName = "LOCK"

// survey looks at the index's directory. Pebble makes a new database wherever
// no marker names a manifest; only an index that was never written may be
// made again.
func survey(fsys disk.FS, dir string) (condition, error) {
	state := absent
	marker := ""
	err := fsys.ReadDir(dir, func(entry disk.Entry) bool {
		switch {
		case strings.HasPrefix(entry.Name, manifestMarker):
			// A marker that was moved may have left its old name, with a smaller number.
			if len(entry.Name) > len(marker) || len(entry.Name) == len(marker) && entry.Name > marker {
				marker = entry.Name
			}
		case classOf(entry.Name) != critical:
			state = ruined
		}
		return true
	})
	if err != nil || marker == "" {
		return state, err
	}
	// marker.manifest.<number, of six digits or more>.<manifest>, which names a
	// file with as many digits in every marker of a directory.
	_, manifest, ok := strings.Cut(marker[len(manifestMarker):], ".")
	if !ok {
		return ruined, nil
	}
	return present, checkManifest(fsys, dir, manifest)
}

const manifestMarker = "marker.manifest."

// within runs call on a goroutine of its own and waits for it until the
// deadline; a call that never returns costs the goroutine.
func within[T any](deadline time.Time, call func() (T, error)) (T, error) {
	type outcome struct {
		result T
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		result, err := call()
		done <- outcome{result, err}
	}()
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case o := <-done:
		return o.result, o.err
	case <-timer.C:
		var none T
		return none, errDeadline
	}
}

func openKind(err error) errs.Kind {
	switch {
	case errors.Is(err, errDeadline), errors.Is(err, syscall.EWOULDBLOCK):
		return errs.Busy
	case errs.Is(errs.Corrupt, err), pebble.IsCorruptionError(err), errors.Is(err, pebble.ErrDBNotPristine):
		return errs.Corrupt
	}
	return errs.IO
}

// openInstance opens Pebble once.
func openInstance(options Options, l *lock, deadline time.Time) (*Index, error) {
	const op errs.Op = "index.Open"
	x := &Index{
		options:   options,
		lock:      l,
		flights:   newFlights(),
		queue:     make(chan *Batch, queueLength),
		committed: make(chan *Batch, queueLength),
		answered:  make(chan struct{}),
		unused:    make(chan struct{}, 1),
	}
	x.batches.New = func() any { return new(Batch) }
	x.instance = newInstance(options.Retreat, func(cause error) {
		options.Log.WithError(cause).Error("the index died")
		options.OnEvent(Event{Kind: Died, Err: cause})
	})
	x.instance.trouble = func(err error) { options.OnEvent(Event{Kind: BackgroundFailed, Err: err}) }
	x.adapter = newAdapter(options.FS, x.instance, l)
	p := pebbleOptions(options, x.adapter, x.listener())

	type outcome struct {
		db  *pebble.DB
		err error
	}
	done := make(chan outcome, 1)
	detach := options.Node.attach(options.MemTableBytes)
	go func() {
		var o outcome
		defer func() {
			if cause := recover(); cause != nil {
				o = outcome{err: fmt.Errorf("pebble panicked: %v", cause)}
			} else if o.db == nil && o.err == nil {
				o.err = errGaveUp // by Goexit, in the logger's Fatalf
			}
			done <- o
		}()
		o.db, o.err = pebble.Open(options.Dir, p)
	}()

	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	var o outcome
	select {
	case o = <-done:
	case <-x.instance.dead:
		o.err = x.instance.err()
	case <-timer.C:
		o.err = errDeadline
	}
	x.instance.opened.Store(true)
	if o.err == nil && x.instance.isDead() {
		o.err = x.instance.err()
	}
	if o.err != nil {
		// Whatever still runs must not touch the directory again.
		x.instance.opened.Store(false)
		x.instance.die(o.err)
		detach()
		x.adapter.abandon(time.Until(deadline))
		return nil, errs.E(op, options.Dir, openKind(o.err), o.err)
	}
	x.db, x.detach = o.db, detach
	return x, nil
}

// start starts the two goroutines of the commit road.
func (x *Index) start() {
	go x.commitLoop()
	go x.answerLoop()
}

// enter counts a user in. Offline: the index is closed or being closed.
func (x *Index) enter(op errs.Op) error {
	x.users.Add(1)
	if x.closing.Load() {
		x.leave()
		return errs.E(op, errs.Offline, errClosed)
	}
	return nil
}

// leave counts a user out.
func (x *Index) leave() {
	if x.users.Add(-1) == 0 && x.closing.Load() {
		select {
		case x.unused <- struct{}{}:
		default:
		}
	}
}

// Dead returns a channel that is closed when the instance dies. Commits fail
// from then on; reads go on as far as the disk lets them.
func (x *Index) Dead() <-chan struct{} { return x.instance.dead }

// Err returns why the instance died, nil while it lives.
func (x *Index) Err() error { return x.instance.err() }

// Stalled reports whether Pebble has stopped taking writes until a flush or
// compaction ends: the write gate is to be closed (Busy). Commits that come all
// the same wait. Reads go on.
func (x *Index) Stalled() bool { return x.stalled.Load() }

// maintain runs a call into Pebble that may never return if the instance dies.
func (x *Index) maintain(op errs.Op, call func() error) error {
	if err := x.enter(op); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer x.leave()
		defer x.dieOnPanic()
		done <- call()
	}()
	select {
	case err := <-done:
		if err != nil {
			return readError(op, err)
		}
		return nil
	case <-x.instance.dead:
		return errs.E(op, errs.Offline, x.instance.err())
	}
}

// Close closes a living index: it waits for its users, refusing new ones, and
// for Pebble, in all not longer than the deadline, after which the instance is
// dead. Of a dead instance it closes the files and releases the lock, waiting for
// calls that are under way, at most a quarter of the deadline; see Released. Its
// goroutines stay parked, and its memory is not returned. Close returns the cause
// of death then.
func (x *Index) Close() error {
	x.closeOnce.Do(func() {
		x.closeErr = x.close(time.Now().Add(x.options.Deadline), releaseLock)
		if x.instance.isDead() {
			x.release(x.adapter.released, x.options.Deadline/4) // Released tells
		}
	})
	return x.closeErr
}

// Released reports whether a dead index has let its directory go: nothing below
// it is open or locked any more. False while a call of the disk is under way.
func (x *Index) Released() bool {
	select {
	case <-x.adapter.released:
		return true
	default:
		return false
	}
}

// release lets the directory of a dead index go, and reports whether it has come
// so far within the patience.
func (x *Index) release(soFar <-chan struct{}, patience time.Duration) bool {
	x.closing.Store(true)
	x.adapter.release()
	return waitFor(soFar, patience)
}

// flush writes the memtable to a table, so that the next open has no log to
// replay: of several indexes at once that takes seconds. A flush that fails, or
// takes longer than patience, costs the next open that time and nothing else: the
// log has it all.
func (x *Index) flush(patience time.Duration) {
	flushed, err := x.db.AsyncFlush()
	if err != nil {
		return
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-flushed:
	case <-x.instance.dead:
	case <-timer.C:
	}
}

type lockFate uint8

const (
	releaseLock lockFate = iota
	keepLock             // the index is opened again at once
)

func (x *Index) close(deadline time.Time, fate lockFate) error {
	const op errs.Op = "index.Close"
	x.closing.Store(true)
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for x.users.Load() != 0 {
		select {
		case <-x.unused:
		case <-x.instance.dead:
			return errs.E(op, errs.Offline, x.instance.err())
		case <-timer.C:
			err := errs.E(op, errs.Busy, fmt.Errorf("%w: %d users remain", errDeadline, x.users.Load()))
			x.instance.die(err)
			return err
		}
	}
	if err := x.instance.err(); err != nil {
		return errs.E(op, errs.Offline, err)
	}
	done := make(chan error, 1)
	go func() {
		defer x.dieOnPanic()
		close(x.queue)
		x.flush(time.Until(deadline) / 4)
		done <- x.db.Close()
	}()
	select {
	case err := <-done:
		x.detach()
		if fate == releaseLock {
			err = errors.Join(err, x.lock.release())
		}
		if err != nil {
			return errs.E(op, errs.IO, err)
		}
		return nil
	case <-x.instance.dead:
		return errs.E(op, errs.Offline, x.instance.err())
	case <-timer.C:
		err := errs.E(op, errs.Busy, errDeadline)
		x.instance.die(err)
		return err
	}
}
