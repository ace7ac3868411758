package faults

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

// A fault tells who injected it, what it hit, when, and how it ended: to who asks, also
// afterwards, and in the log, joined by its number.
func TestAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		log := logrus.New()
		log.SetOutput(&text)
		d := New(Options{Log: logrus.NewEntry(log)})
		_, file := mounted(t, d, "/disks/1")
		began := time.Now()
		i, err := d.InjectBy(failing(When{}, time.Hour), Origin{"root", "R1"}, true)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		syncs(file, 1)
		time.Sleep(time.Second)
		syncs(file, 2)
		other := inject(t, d, failing(When{}, time.Minute))
		if _, err := d.ClearBy(i.ID(), Origin{"other", "R2"}); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		third := inject(t, d, failing(When{}, time.Hour))
		d.Close()

		history := d.History()
		if len(history) != 3 || history[0].ID != i.ID() || history[1].ID != other.ID() || history[2].ID != third.ID() {
			t.Fatalf("%+v", history)
		}
		got := history[0]
		if got.By != (Origin{"root", "R1"}) || got.ClearedBy != (Origin{"other", "R2"}) || got.How != Cleared || !got.Forced || got.Hits != 3 ||
			!got.Began.Equal(began) || !got.First.Equal(began.Add(time.Second)) || !got.Last.Equal(began.Add(2*time.Second)) || !got.Ended.Equal(got.Last) {
			t.Errorf("%+v", got)
		}
		if len(got.Sample) != 1 || got.Sample[0].What != "sync /disks/1/f" || got.Sample[0].Count != 3 {
			t.Errorf("%+v", got.Sample)
		}
		if history[1].How != Expired || history[2].How != Stopped || history[1].Forced || history[1].ClearedBy != (Origin{}) {
			t.Errorf("%+v", history[1:])
		}
		if found, err := d.Find(i.ID()); err != nil || found.How != Cleared {
			t.Errorf("%v, %+v", err, found)
		}
		for _, want := range [][]string{
			{"a fault is injected", "fault=1", "principal=root", "request=R1", "forced=true"},
			{"a fault hits for the first time", "fault=1", "sync /disks/1/f"},
			{"a fault has ended: cleared", "fault=1", "hits=3", "cleared_by=other", "cleared_request=R2"},
			{"a fault has ended: expired", "fault=2"},
			{"a fault has ended: stopped", "fault=3"},
		} {
			found := false
			for line := range strings.Lines(text.String()) {
				all := true
				for _, word := range want {
					all = all && strings.Contains(line, word)
				}
				found = found || all
			}
			if !found {
				t.Errorf("no line has all of %q:\n%s", want, text.String())
			}
		}
	})
}

// A fault that ends while all are told is told once.
func TestAllAreToldOnce(t *testing.T) {
	d := New(Options{})
	defer d.Close()
	over := make(chan struct{})
	go func() {
		defer close(over)
		for range MaxEnded / 2 {
			inject(t, d, failing(When{}, time.Hour)).Clear()
		}
	}()
	for done := false; !done; {
		select {
		case <-over:
			done = true
		default:
		}
		for n, s := range d.All() {
			if s.ID != ID(n+1) {
				t.Fatalf("%d is told where %d is to be", s.ID, n+1)
			}
		}
	}
	if got := len(d.All()); got != MaxEnded/2 {
		t.Errorf("%d are told", got)
	}
}

// What a desk remembers is bounded: of things that were hit, and of faults that ended.
func TestAuditIsBounded(t *testing.T) {
	d := New(Options{})
	defer d.Close()
	fs, err := d.Disk("/d0", disk.NewMem(1))
	if err != nil {
		t.Fatal(err)
	}
	i := inject(t, d, Fault{Disk: &Disk{Calls: []string{"stat"}, Do: Fail}})
	for n := range 10 * MaxSample {
		if _, err := fs.Stat(fmt.Sprint(n)); err == nil {
			t.Fatal("nothing was hit")
		}
	}
	if s := i.Status(); s.Hits != 10*MaxSample || len(s.Sample) != MaxSample || s.Sample[0].What != "stat /d0/0" {
		t.Errorf("%d hits, %+v", s.Hits, s.Sample)
	}
	i.Clear()
	for range MaxEnded {
		inject(t, d, failing(When{}, time.Hour)).Clear()
	}
	if history := d.History(); len(history) != MaxEnded || history[0].ID != i.ID()+1 {
		t.Errorf("%d are remembered, the first is %d", len(history), history[0].ID)
	}
}
