package slab

import (
	"sync"
	"testing"

	"github.com/troupe-storage/troupe/objects/errs"
)

func newPool(t *testing.T, n int) *Pool {
	t.Helper()
	p, err := NewPool(n)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A full pool refuses instead of growing, and what was released serves again.
func TestLeaseRefusesBeyondTheBudget(t *testing.T) {
	p := newPool(t, 4)
	w, err := p.Lease(3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Lease(2); !errs.Is(errs.Busy, err) {
		t.Fatalf("a second window of 2: %v, want busy", err)
	}
	w.Release()
	w, err = p.Lease(4)
	if err != nil {
		t.Fatal(err)
	}
	w.Release()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// Windows of several slabs leave some to those of one.
func TestLargeWindowsLeaveRoomForSmallOnes(t *testing.T) {
	p := newPool(t, 16)
	var held []*Window
	for {
		w, err := p.Lease(4)
		if err != nil {
			break
		}
		held = append(held, w)
	}
	if len(held) != 3 {
		t.Errorf("%d windows of four out of sixteen slabs, want 3", len(held))
	}
	for range 4 {
		w, err := p.Lease(1)
		if err != nil {
			t.Fatalf("a small window beside large ones: %v", err)
		}
		held = append(held, w)
	}
	for _, w := range held {
		w.Release()
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// A worker that comes late is told no, and one that is at work keeps the memory
// from being handed to someone else.
func TestPinOutlivesReleaseButNotTheReverse(t *testing.T) {
	p := newPool(t, 1)
	w, _ := p.Lease(1)
	b, ok := w.Pin(0)
	if !ok || len(b) != Bytes {
		t.Fatalf("pin: %v, %d bytes", ok, len(b))
	}
	w.Release()
	if _, ok := w.Pin(0); ok {
		t.Fatal("pinned a released window")
	}
	if _, err := p.Lease(1); !errs.Is(errs.Busy, err) {
		t.Fatalf("the pinned slab was leased again: %v", err)
	}
	w.Unpin()
	w2, err := p.Lease(1)
	if err != nil {
		t.Fatal(err)
	}
	w2.Release()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// A leak is reported, not hidden.
func TestCloseReportsWhatIsStillLeased(t *testing.T) {
	p := newPool(t, 2)
	if _, err := p.Lease(1); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err == nil {
		t.Fatal("Close was silent about a leased slab")
	}
}

// Two owners never hold one slab: each writes its own mark and reads it back.
func TestConcurrentLeasesNeverShare(t *testing.T) {
	p := newPool(t, 32)
	var wg sync.WaitGroup
	for mark := range byte(8) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 2000 {
				w, err := p.Lease(2)
				if err != nil {
					t.Error(err)
					return
				}
				b, _ := w.Pin(1)
				b[0], b[Bytes-1] = mark, mark
				if b[0] != mark || b[Bytes-1] != mark {
					t.Error("a slab was shared")
				}
				w.Unpin()
				w.Release()
			}
		}()
	}
	wg.Wait()
	if p.InUse() != 0 {
		t.Fatalf("%d slabs in use at the end", p.InUse())
	}
}
