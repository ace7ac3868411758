package faults

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A skew moves dates and no waits, a jump shortens waits too; both are gone from
// the wall clock with the fault, and the desk's own time is not touched.
func TestClockFaults(t *testing.T) {
	bubble(t, func(t *testing.T, d *Desk) {
		c := d.Clock()
		began, elapsed := c.Now(), c.Elapsed()
		fired, timer := c.NewTimer(time.Hour)
		stopped := c.AfterFunc(time.Hour, func() { t.Error("a timer that was stopped fires") })
		if !stopped.Stop() || stopped.Stop() {
			t.Error("a timer is stopped once")
		}
		skew := inject(t, d, Fault{Clock: &Clock{Skew: -2 * time.Hour}, Expiry: time.Minute})
		if got := c.Now().Sub(began); got != -2*time.Hour || c.Elapsed() != elapsed || len(fired) != 0 {
			t.Errorf("with a skew: %s, %s elapsed, %d timers fired", got, c.Elapsed()-elapsed, len(fired))
		}
		jump := inject(t, d, Fault{Clock: &Clock{Jump: 59 * time.Minute}})
		synctest.Wait()
		if got := c.Now().Sub(began); got != -61*time.Minute || c.Elapsed()-elapsed != 59*time.Minute || len(fired) != 0 {
			t.Errorf("with a jump as well: %s, %s elapsed, %d timers fired", got, c.Elapsed()-elapsed, len(fired))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(fired) != 1 || timer.Stop() {
			t.Error("the timer did not fire after the hour that the jump shortened")
		}
		if list := d.List(); len(list) != 1 || list[0].ID != jump.ID() {
			t.Errorf("the skew has not expired by the desk's own time: %+v", list)
		}
		<-skew.Lifted()
		jump.Clear()
		if got := c.Now().Sub(began); got != time.Minute || c.Elapsed()-elapsed != time.Hour {
			t.Errorf("after the faults: %s, %s elapsed", got, c.Elapsed()-elapsed)
		}
		if skew.Hits() != 1 || jump.Hits() != 1 {
			t.Error("a fault of the clock hits once")
		}
		// A jump beyond a timer fires it at once.
		late, _ := c.NewTimer(time.Hour)
		inject(t, d, Fault{Clock: &Clock{Jump: 2 * time.Hour}})
		synctest.Wait()
		if len(late) != 1 {
			t.Error("a wait of an hour outlives a jump of two")
		}
	})
}

// Faults together, also those that have ended, set the clock no further than its numbers
// reach: time never goes back.
func TestTheClockIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, d *Desk) {
		began := d.Clock().Elapsed()
		for range 2 * maxShifts / MaxShift {
			i, err := d.Inject(Fault{Clock: &Clock{Jump: MaxShift, Skew: -MaxShift}, Expiry: time.Hour})
			if err == nil {
				i.Clear()
			} else if !errors.Is(err, ErrFault) {
				t.Fatal(err)
			}
		}
		if got := d.Clock().Elapsed() - began; got != maxShifts {
			t.Errorf("%s have elapsed, want %s", got, time.Duration(maxShifts))
		}
		for range maxShifts / MaxShift {
			inject(t, d, Fault{Clock: &Clock{Skew: MaxShift}})
		}
		if _, err := d.Inject(Fault{Clock: &Clock{Skew: 1}, Expiry: time.Hour}); !errors.Is(err, ErrFault) {
			t.Errorf("beyond the bound: %v", err)
		}
	})
}
