// Package slab is the memory that payloads pass through: a fixed number of
// slabs, mapped once, outside the garbage-collected heap.
//
// Whoever needs bytes leases a Window and releases it, in a defer or in the body
// stream's Close. A message may carry a window but never owns it: a worker pins
// one slab for one disk operation and unpins it. Releasing a window that is
// pinned takes effect with the last unpin, and no new pin succeeds; so a lost
// message, a panic or a deadline costs nothing, and a late worker is told no.
//
//	w, err := pool.Lease(4)   // refuses beyond the budget: errs.Busy
//	defer w.Release()
//	b, ok := w.Pin(0); …; w.Unpin(0)
//
// With the build tag slabdebug, released slabs are overwritten and leases that
// were never released are reported with the stack that made them.
//
// Start with Pool, then Window.
package slab

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Bytes is the size of a slab: 128 KiB is one read-ahead window of the kernel,
// four of them keep a stream going, and a thousand streams of four fit 512 MiB.
const Bytes = 128 << 10

// Pool is a fixed number of slabs. Safe for concurrent use. Free slabs are
// handed out last in, first out, so that those in use stay few and warm in
// cache, and memory never touched is never resident.
type Pool struct {
	memory []byte

	mu     sync.Mutex
	free   []int32 // indices of free slabs; the last is the next to go
	total  int
	leases atomic.Int64 // windows not yet given back whole, for tests and metrics
}

// NewPool maps n slabs. The memory is reserved, not touched.
func NewPool(n int) (*Pool, error) {
	if n < 1 {
		return nil, errs.E("slab.NewPool", errs.Invalid, fmt.Errorf("%d slabs", n))
	}
	memory, err := unix.Mmap(-1, 0, n*Bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, errs.E("slab.NewPool", errs.IO, err)
	}
	// Huge pages save faults, and the kernel's walk for every direct write. A kernel
	// without them says EINVAL, and small ones do.
	if err := unix.Madvise(memory, unix.MADV_HUGEPAGE); err != nil && err != unix.EINVAL {
		return nil, errs.E("slab.NewPool", errs.IO, errors.Join(err, unix.Munmap(memory)))
	}
	p := &Pool{memory: memory, total: n, free: make([]int32, n)}
	for i := range p.free {
		p.free[i] = int32(n - 1 - i)
	}
	return p, nil
}

// Close unmaps the memory. Every window must have been given back; else Close
// refuses and says how many are missing.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) != p.total {
		return errs.E("slab.Close", errs.Internal, fmt.Errorf("%d of %d slabs are still leased%s", p.total-len(p.free), p.total, p.holders()))
	}
	p.free = nil
	return unix.Munmap(p.memory)
}

// InUse returns how many slabs are leased.
func (p *Pool) InUse() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total - len(p.free)
}

// Total returns how many slabs there are.
func (p *Pool) Total() int { return p.total }

// reserveShare is the part of a pool that windows of several slabs leave to those
// of one: an eighth, so that large uploads, which hold theirs for minutes, do not
// take small requests, which hold theirs for microseconds, their last.
const reserveShare = 8

// Lease leases a window of n slabs, 1 to MaxWindow, all or none. It never
// waits: when the pool is exhausted, or for a window of several slabs all but its
// reserve is, the error is errs.Busy.
func (p *Pool) Lease(n int) (*Window, error) {
	if n < 1 || n > MaxWindow {
		return nil, errs.E("slab.Lease", errs.Internal, fmt.Errorf("a window of %d slabs, 1 to %d", n, MaxWindow))
	}
	w := &Window{pool: p, n: int32(n)}
	need := n
	if n > 1 {
		need += p.total / reserveShare
	}
	p.mu.Lock()
	if len(p.free) < need {
		p.mu.Unlock()
		return nil, errs.E("slab.Lease", errs.Busy, fmt.Errorf("too few of %d slabs are free for a window of %d", p.total, n))
	}
	for i := range n {
		w.slabs[i] = p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
	}
	p.leased(w)
	p.mu.Unlock()
	w.refs.Store(1)
	p.leases.Add(1)
	return w, nil
}

func (p *Pool) slab(index int32) []byte {
	at := int(index) * Bytes
	return p.memory[at : at+Bytes : at+Bytes]
}

// MaxWindow is the most slabs that one window can have.
const MaxWindow = 8

// released is added to refs when the owner lets go, so that one atomic word
// tells both how many hold the window and whether new pins are refused.
const released = 1 << 30

// Window is the slabs of one transfer. The leaseholder owns it; Slab is for the
// leaseholder alone, Pin and Unpin are for anyone who was sent the window.
// Pin, Unpin and Release are safe for concurrent use.
type Window struct {
	pool  *Pool
	slabs [MaxWindow]int32
	n     int32
	refs  atomic.Int32 // 1 for the owner, 1 per pin, plus released after Release
}

// Len returns how many slabs the window has.
func (w *Window) Len() int { return int(w.n) }

// Slab returns the memory of slab i. Only the leaseholder, before Release, may
// use it, and only while no worker writes to it.
func (w *Window) Slab(i int) []byte {
	if i < 0 || i >= int(w.n) {
		panic(fmt.Sprintf("slab: %d of a window of %d", i, w.n))
	}
	return w.pool.slab(w.slabs[i])
}

// Pin gives a worker the memory of slab i until Unpin. It reports false when the
// owner has released the window: the worker must not go on.
func (w *Window) Pin(i int) ([]byte, bool) {
	for {
		refs := w.refs.Load()
		if refs >= released || refs <= 0 {
			return nil, false
		}
		if w.refs.CompareAndSwap(refs, refs+1) {
			return w.Slab(i), true
		}
	}
}

// Unpin ends a Pin.
func (w *Window) Unpin() { w.drop(-1) }

// Release ends the lease. The slabs go back to the pool with the last unpin. A
// second Release panics.
func (w *Window) Release() {
	if w.refs.Load() >= released {
		panic("slab: window released twice")
	}
	w.drop(released - 1)
}

func (w *Window) drop(delta int32) {
	switch refs := w.refs.Add(delta); {
	case refs == released:
		w.pool.give(w)
	case refs < 0:
		panic("slab: unpinned more often than pinned")
	}
}

func (p *Pool) give(w *Window) {
	p.poison(w)
	p.mu.Lock()
	for i := range w.n {
		p.free = append(p.free, w.slabs[i])
	}
	p.returned(w)
	p.mu.Unlock()
	p.leases.Add(-1)
}
