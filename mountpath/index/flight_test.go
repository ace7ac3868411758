package index

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// tableOnly is an index that has a table of keys in flight and nothing else.
func tableOnly() *Index {
	return &Index{flights: newFlights(), instance: newInstance(0, func(error) {})}
}

// A reader waits for the commits that it may have seen, and for no others: a
// key that is written all the time does not keep it for ever.
func TestSettledWaitsForWhatWasOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := tableOnly()
		key := []byte("key")
		hash := x.flights.hash(key)
		if waited, err := x.Settled(key, time.Hour); waited || err != nil {
			t.Fatal(waited, err)
		}
		x.flights.enter(hash)
		x.flights.enter(hash)
		settled := false
		go func() {
			waited, err := x.Settled(key, time.Hour)
			if !waited || err != nil {
				t.Error(waited, err)
			}
			settled = true
		}()
		synctest.Wait()
		x.flights.enter(hash) // after the reader came: none of its business
		x.flights.leave(hash)
		synctest.Wait()
		if settled {
			t.Fatal("one of two commits ended, and the reader went")
		}
		x.flights.leave(hash)
		synctest.Wait()
		if !settled {
			t.Fatal("both commits ended, and the reader waits for the third")
		}
		x.flights.leave(hash)
		if n := x.flights.keys.Load(); n != 0 {
			t.Fatalf("%d keys remain", n)
		}
	})
}

// A key that left and came back is another flight: who waited for the first
// does not wait for the second.
func TestSettledTellsFlightsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := tableOnly()
		key := []byte("key")
		hash := x.flights.hash(key)
		x.flights.enter(hash)
		settled := false
		go func() {
			if waited, err := x.Settled(key, time.Hour); !waited || err != nil {
				t.Error(waited, err)
			}
			settled = true
		}()
		synctest.Wait()
		x.flights.leave(hash)
		x.flights.enter(hash)
		synctest.Wait()
		if !settled {
			t.Fatal("the reader waits for a commit that came after it")
		}
	})
}

// A wait has an end: the time given, or the death of the instance, after which
// the keys in flight stay unsettled and others are not touched by it.
func TestSettledEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := tableOnly()
		key := []byte("key")
		x.flights.enter(x.flights.hash(key))
		began := time.Now()
		if _, err := x.Settled(key, time.Minute); !errs.Is(errs.Busy, err) || isUnknown(err) || time.Since(began) != time.Minute {
			t.Fatal(err, time.Since(began))
		}
		x.instance.die(errDeadline)
		for range 3 {
			if _, err := x.Settled(key, time.Hour); !errs.Is(errs.Busy, err) || !isUnknown(err) {
				t.Fatal(err)
			}
		}
		if waited, err := x.Settled([]byte("another"), time.Hour); waited || err != nil {
			t.Fatal(waited, err)
		}
	})
}

// The barrier lets a scan go when as many commits are synced as were applied
// when it came, whatever comes later; and it ends by death and by deadline.
func TestBarrier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b barrier
		dead := make(chan struct{})
		if !b.wait(dead, 0) {
			t.Fatal("waited for nothing")
		}
		b.apply()
		if b.wait(dead, time.Minute) {
			t.Fatal("did not wait")
		}
		gone := 0
		for range 8 {
			go func() {
				if !b.wait(dead, time.Hour) {
					t.Error("never let go")
				}
				b.mu.Lock()
				gone++
				b.mu.Unlock()
			}()
		}
		synctest.Wait()
		b.apply()
		synctest.Wait()
		if gone != 0 {
			t.Fatal("let go before the sync")
		}
		b.sync()
		synctest.Wait()
		if gone != 8 {
			t.Fatalf("%d of 8 were let go", gone)
		}
		close(dead)
		if b.wait(dead, time.Hour) {
			t.Fatal("a commit that was never synced was let through")
		}
		if len(b.waiters) != 0 || b.waiting.Load() != 0 {
			t.Fatal("waiters remain")
		}
	})
}
