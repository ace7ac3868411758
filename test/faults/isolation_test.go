package faults_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/supervisors/faults"
)

// laps makes n writes and as many reads of keys on one mountpath, and returns how
// long each took.
func (w *world) laps(key string, n int) []time.Duration {
	w.Helper()
	var all []time.Duration
	for i := range n {
		for _, do := range []func() error{
			func() error { return w.put(key, large(i)) },
			func() error { return w.get(key, large(i)) },
		} {
			began := time.Now()
			if err := do(); err != nil {
				w.Fatalf("%s, lap %d: %v", key, i, err)
			}
			all = append(all, time.Since(began))
		}
	}
	return all
}

func p99(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)*99/100]
}

// One mountpath hangs; the other serves as if nothing were: every request of it is
// answered while those of the hung one still wait. That is told by order and not
// by clocks; the times are shown. When the fault is lifted, what hung is done.
func TestOneHungDiskHarmsNoOther(t *testing.T) {
	w := start(t, faults.New(faults.Options{}))
	sick, well := w.keyOn("d0", "sick"), w.keyOn("d1", "well")
	before := w.laps(well, 50)

	i := w.inject(faults.Fault{Disk: &faults.Disk{Mountpath: "d0", Path: ".troupe/work/*", Do: faults.Stall}, Reason: t.Name()})
	const hung = 4
	answers := make(chan error, hung)
	for range hung {
		go func() { answers <- w.put(sick, large(7)) }()
	}
	<-i.Reached()
	during := w.laps(well, 50)
	if n := len(answers); n != 0 {
		t.Errorf("%d of the hung requests were answered: %v", n, <-answers)
	}
	i.Clear()
	for range hung {
		if err := <-answers; err != nil {
			t.Errorf("a request that hung: %v", err)
		}
	}
	if err := w.get(sick, large(7)); err != nil {
		t.Error(err)
	}
	t.Logf("p99 of the other mountpath: %s before, %s while one hung", p99(before), p99(during))
}

// The same with a disk that answers nothing at all, not even the index: the other
// serves, and the sick one is back when the fault is lifted.
func TestOneDeadSilentDisk(t *testing.T) {
	w := start(t, faults.New(faults.Options{}))
	sick, well := w.keyOn("d0", "sick"), w.keyOn("d1", "well")
	i := w.inject(faults.Fault{Disk: &faults.Disk{Mountpath: "d0", Do: faults.Stall}})
	answer := make(chan error, 1)
	go func() { answer <- w.put(sick, large(7)) }()
	<-i.Reached()
	w.laps(well, 10)
	if len(answer) != 0 {
		t.Errorf("a request of the silent disk was answered: %v", <-answer)
	}
	i.Clear()
	if err := <-answer; err != nil {
		t.Errorf("a request that hung: %v", err)
	}
	w.eventually("the disk that was silent", func() error { return w.get(sick, large(7)) })
}

// A lane that hangs keeps its keys waiting and no others: other lanes of the same
// mountpath, and reads of the waiting key, go on.
func TestOneHungLaneHarmsNoOther(t *testing.T) {
	w := start(t, faults.New(faults.Options{}))
	key := w.keyOn("d0", "k")
	i := w.inject(messagesTo("node/mountpaths/*/w*", "mountpath.commitFile", faults.Hang))
	answer := make(chan error, 1)
	go func() { answer <- w.put(key, large(1)) }()
	<-i.Reached()
	if err := w.get(key, large(0)); err != nil {
		t.Errorf("a read of the key whose write waits: %v", err)
	}
	// Of 32 lanes one hangs; the few writes that it is to do as well, wait.
	const others, most = 40, 30
	written := make(chan error, others)
	for n := range others {
		go func() { written <- w.put(fmt.Sprintf("other%d", n), []byte("small")) }()
	}
	over := time.After(patience)
	for n := range most {
		select {
		case err := <-written:
			if err != nil {
				t.Error(err)
			}
		case <-over:
			t.Fatalf("%d of %d writes were served beside a hung lane", n, others)
		}
	}
	if len(answer) != 0 {
		t.Error("the write that hangs was answered")
	}
	i.Clear()
	if err := <-answer; err != nil {
		t.Errorf("the write that hung: %v", err)
	}
	for range others - most {
		if err := <-written; err != nil {
			t.Errorf("a write behind it: %v", err)
		}
	}
	if err := w.get(key, large(1)); err != nil {
		t.Error(err)
	}
}

// A node stops although something hangs in a fault: it closes its desk first.
func TestAHungNodeStops(t *testing.T) {
	w := start(t, faults.New(faults.Options{}))
	i := w.inject(faults.Fault{Disk: &faults.Disk{Path: ".troupe/work/*", Do: faults.Stall}, Expiry: time.Hour})
	answer := make(chan error, 1)
	go func() { answer <- w.put("k", large(1)) }()
	<-i.Reached()
	if err := w.node.Stop(); err != nil {
		t.Error(err)
	}
	<-i.Lifted()
	<-answer // answered, or cut
}
