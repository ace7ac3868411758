package mountpath

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects/errs"
)

// parked is a sealed payload that no lane will ever commit. Until it is abandoned it
// can be read, by the gateway that brings it to the mountpath where its key belongs by
// now. Safe for concurrent use.
type parked struct {
	until atomic.Int64 // by Clock.Elapsed; 0: nobody needs it

	mu   sync.RWMutex // held to read while it is read
	file *store.Incoming
	gone bool
}

// parkTime is how long a payload is kept for who brings it elsewhere: as long as a
// gateway waits for the end of a large upload. Who is through with it says so.
const parkTime = 5 * time.Minute

// ReadAt implements io.ReaderAt.
func (p *parked) ReadAt(room []byte, offset int64) (int, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.gone {
		return 0, errs.E("mountpath.parked", p.file.Key, errs.Busy, errors.New("it was not kept any longer"))
	}
	return p.file.ReadAt(room, offset)
}

var _ io.ReaderAt = (*parked)(nil)

// release says that nobody needs it any more.
func (p *parked) release() { p.until.Store(0) }

// abandon ends it, when who reads it is between two reads. Blocks on the disk.
func (p *parked) abandon() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	return p.file.Abandon()
}

// leave takes over a sealed payload that nobody needs.
func (c *custody) leave(file *store.Incoming) { c.park(file, 0) }

// park takes over a sealed payload that somebody may read until then.
func (c *custody) park(file *store.Incoming, until time.Duration) *parked {
	p := &parked{file: file}
	p.until.Store(int64(until))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files = append(c.files, p)
	return p
}

// parked counts what is kept.
func (c *custody) parked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.files)
}

// collect hands out what nobody needs by now.
func (c *custody) collect(now time.Duration) []*parked {
	c.mu.Lock()
	defer c.mu.Unlock()
	var over, kept []*parked
	for _, p := range c.files {
		if time.Duration(p.until.Load()) <= now {
			over = append(over, p)
		} else {
			kept = append(kept, p)
		}
	}
	c.files = kept
	return over
}
