// Package bulk is what lies between TLS and the sockets of nodes: it makes one large
// write of many small ones.
//
//	edge ──Write(slab)──▶ Conn ──▶ crypto/tls ──8 records──▶ batch ──1 write──▶ socket
//
// TLS has records of 16 KiB, and crypto/tls calls the system for each. Those calls, and
// the switches of goroutines that they cause on the other side, cost as much as the
// encryption (docs/benchmarks.md). Reading in bulk was tried and showed no gain.
//
// Memory: a connection that does nothing has no buffer. One is taken for a write of
// more than a record, until it is written. There are at most so many; without one, all
// works as without this package.
//
// Start with Conn.
package bulk

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
)

const (
	// recordBytes is the payload of the largest record of TLS: a write of as much is
	// one system call anyway.
	recordBytes = 16 << 10
	// batchBytes is what goes to the system at once: the records of a slab with what TLS
	// adds to them, 22 bytes each.
	batchBytes = 8 * (recordBytes + 64)
)

// maxBuffers bounds the buffers of a listener, or of a caller, in use at a time: 8 MiB.
// Who gets none calls the system for each record. Slow readers keep one each.
const maxBuffers = 64

// Buffers are those of the connections of one listener, or of one caller, that are in
// the midst of something. Safe for concurrent use.
type Buffers struct {
	pool  sync.Pool
	taken atomic.Int32 // 0 ≤ taken ≤ maxBuffers, but for the moment of a refusal
}

// NewBuffers makes none yet.
func NewBuffers() *Buffers {
	return &Buffers{pool: sync.Pool{New: func() any { return new([batchBytes]byte) }}}
}

// take returns a buffer; nil: there are too many.
func (b *Buffers) take() *[batchBytes]byte {
	if b.taken.Add(1) > maxBuffers {
		b.taken.Add(-1)
		return nil
	}
	return b.pool.Get().(*[batchBytes]byte)
}

func (b *Buffers) give(room *[batchBytes]byte) {
	b.pool.Put(room)
	b.taken.Add(-1)
}

// Conn is a connection that speaks TLS. As with any, one goroutine may read while
// another writes.
type Conn struct {
	*tls.Conn
	below *batch
}

// Server is tls.Server in bulk.
func Server(raw net.Conn, config *tls.Config, buffers *Buffers) *Conn {
	b := &batch{Conn: raw, buffers: buffers}
	return &Conn{tls.Server(b, config), b}
}

// Client is tls.Client in bulk.
func Client(raw net.Conn, config *tls.Config, buffers *Buffers) *Conn {
	b := &batch{Conn: raw, buffers: buffers}
	return &Conn{tls.Client(b, config), b}
}

// Write implements net.Conn. All of p has been handed to the system when it returns.
func (c *Conn) Write(p []byte) (int, error) {
	if len(p) <= recordBytes {
		return c.Conn.Write(p)
	}
	if err := c.Handshake(); err != nil { // it waits for answers: nothing of it may be held back
		return 0, err
	}
	c.below.hold()
	n, err := c.Conn.Write(p)
	if flushErr := c.below.flush(); err == nil && flushErr != nil {
		return 0, flushErr
	}
	return n, err
}

// Abort closes the connection without a word to the other side.
func (c *Conn) Abort() error { return c.below.Close() }

// batch is the connection below TLS.
type batch struct {
	net.Conn
	buffers *Buffers

	mu     sync.Mutex // of writes; TLS writes from whichever goroutine has something to say
	held   *[batchBytes]byte
	filled int   // of held
	fault  error // of a write: what was written is not known, so that nothing may follow
}

// hold has what is written wait for flush, or until it fills a buffer.
func (b *batch) hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held == nil {
		b.held, b.filled = b.buffers.take(), 0
	}
}

// flush writes what was held back.
func (b *batch) flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held == nil {
		return b.fault
	}
	b.writeHeld()
	b.buffers.give(b.held)
	b.held = nil
	return b.fault
}

// writeHeld empties the buffer.
func (b *batch) writeHeld() {
	if b.fault == nil && b.filled > 0 {
		_, b.fault = b.Conn.Write(b.held[:b.filled])
	}
	b.filled = 0
}

// Write implements net.Conn.
func (b *batch) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault != nil {
		return 0, b.fault
	}
	if b.held == nil {
		var n int
		n, b.fault = b.Conn.Write(p)
		return n, b.fault
	}
	if b.filled+len(p) > len(b.held) {
		b.writeHeld()
	}
	if b.fault == nil && len(p) > len(b.held) {
		_, b.fault = b.Conn.Write(p) // no record is as large
	} else {
		b.filled += copy(b.held[b.filled:], p)
	}
	if b.fault != nil {
		return 0, b.fault
	}
	return len(p), nil
}
