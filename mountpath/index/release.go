package index

import (
	"io"
	"sync"
	"time"
)

// openFiles are the files and directories that an instance has open, to be closed
// by somebody else than Pebble when it is dead. Safe for concurrent use; the zero
// value is ready.
type openFiles struct {
	mu   sync.Mutex
	open map[io.Closer]struct{}
}

// add takes note of what was opened.
func (o *openFiles) add(file io.Closer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open == nil {
		o.open = make(map[io.Closer]struct{})
	}
	o.open[file] = struct{}{}
}

// close closes one of them, unless closeAll has.
func (o *openFiles) close(file io.Closer) error {
	o.mu.Lock()
	_, ok := o.open[file]
	delete(o.open, file)
	o.mu.Unlock()
	if !ok {
		return nil
	}
	return file.Close()
}

// closeAll closes what is open. Nobody is told of errors: what was acknowledged
// is synced, and nothing else of a dead instance counts.
func (o *openFiles) closeAll() {
	o.mu.Lock()
	files := o.open
	o.open = nil
	o.mu.Unlock()
	for file := range files {
		_ = file.Close()
	}
}

// close closes a file or directory that was not written. A dead instance that is
// let go has closed it already, or does so in a moment.
func (a *adapter) close(file io.Closer) error {
	counter, err := a.instance.beginRead()
	if err != nil {
		return nil
	}
	defer a.instance.endRead(counter)
	return a.opened.close(file)
}

// release lets the directory of a dead instance go: no read of it begins any more;
// its lock is released when no call of its life is under way, and its files are
// closed when no read is. Pebble's goroutines stay parked, and what they hold is
// memory: they cannot tell. It does not block; unlocked and released tell.
// REQUIRES: the instance is dead.
func (a *adapter) release() {
	a.letGo.Do(func() {
		a.instance.closed.Store(true)
		go a.finishRelease()
	})
}

func (a *adapter) finishRelease() {
	a.instance.await(&a.instance.before)
	// Nobody is told of an error: whoever opens next finds the lock held.
	_ = a.lock.release()
	close(a.unlocked)
	a.instance.await(&a.instance.after)
	a.opened.closeAll()
	close(a.released)
}

// abandon releases an instance that failed to open. If no call of it is under way,
// its lock is free afterwards, unless the disk takes longer than the patience to say so.
func (a *adapter) abandon(patience time.Duration) {
	idle := a.instance.before.Load() == 0
	a.release()
	if idle {
		waitFor(a.unlocked, max(patience, time.Second))
	}
}

// waitFor reports whether the channel is closed within the patience.
func waitFor(done <-chan struct{}, patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
