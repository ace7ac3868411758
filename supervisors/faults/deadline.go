package faults

import (
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/troupe-storage/troupe/objects/clock"
)

// deadline is until when a connection's reads, or its writes, may wait for a fault. The
// zero value is for ever. One goroutine waits at a time, as TLS has it.
type deadline struct {
	at    atomic.Int64                  // by the wall clock, ns since 1970; 0: none
	moved atomic.Pointer[chan struct{}] // who waits is told; nil: nobody does
}

func (d *deadline) set(t time.Time) {
	at := int64(0)
	if !t.IsZero() {
		at = t.UnixNano()
	}
	d.at.Store(at)
	if moved := d.moved.Load(); moved != nil {
		select {
		case *moved <- struct{}{}:
		default: // it has not looked since the last time
		}
	}
}

// await waits until so much has elapsed, or one of two things ends; false: the deadline
// came before.
func (d *deadline) await(base clock.Clock, due time.Duration, lifted, closed <-chan struct{}) bool {
	over, timer := base.NewTimer(due - base.Elapsed())
	defer timer.Stop()
	moved := make(chan struct{}, 1)
	d.moved.Store(&moved)
	defer d.moved.Store(nil)
	for {
		var late <-chan time.Time
		stop := func() bool { return false }
		if at := d.at.Load(); at != 0 {
			var until clock.Timer
			late, until = base.NewTimer(time.Unix(0, at).Sub(base.Now()))
			stop = until.Stop
		}
		select {
		case <-moved:
			stop()
			continue
		case <-late:
			return false
		case <-over:
		case <-lifted:
		case <-closed:
		}
		stop()
		return true
	}
}

// late is what who waits longer than his deadline reads, as of any connection.
func late(op string) error { return &net.OpError{Op: op, Net: "tcp", Err: os.ErrDeadlineExceeded} }

// kept is what has come, and is delayed beyond the deadline of who read it: it is there
// for the next read, no sooner than it would have been.
type kept struct {
	bytes  []byte
	due    time.Duration // by the desk's clock
	lifted <-chan struct{}
}

// SetDeadline implements net.Conn.
func (c *connection) SetDeadline(t time.Time) error {
	c.reads.set(t)
	c.writes.set(t)
	return c.Conn.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *connection) SetReadDeadline(t time.Time) error {
	c.reads.set(t)
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *connection) SetWriteDeadline(t time.Time) error {
	c.writes.set(t)
	return c.Conn.SetWriteDeadline(t)
}
