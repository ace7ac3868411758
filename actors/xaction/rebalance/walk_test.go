package rebalance

import (
	"testing"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Every slot is walked once: neither one that was, nor one that has gone over.
func TestChoose(t *testing.T) {
	w := &walk{at: state{Runs: []messages.SlotRun{{From: 0, To: slotsTogether - 1}}}}
	next := &smap.Next{Switched: []smap.Switch{{From: slotsTogether, To: 2*slotsTogether - 1, Version: 3}}}
	seen := 0
	for {
		from, to, left := w.choose(next)
		if !left {
			break
		}
		if from < 2*slotsTogether || int(to)-int(from) != slotsTogether-1 {
			t.Fatalf("slots %d to %d are walked", from, to)
		}
		seen++
		w.at.Runs = append(w.at.Runs, messages.SlotRun{From: from, To: to})
	}
	if want := smap.Slots/slotsTogether - 2; seen != want || len(w.at.Runs) > messages.MaxSlotRuns {
		t.Errorf("%d runs of slots are walked, want %d", seen, want)
	}
}

// What failed is tried again after everything else.
func TestChooseAfterAFailure(t *testing.T) {
	w, next := &walk{}, &smap.Next{}
	failed, _, _ := w.choose(next)
	w.from = failed + slotsTogether
	for range smap.Slots/slotsTogether - 1 {
		from, to, left := w.choose(next)
		if !left || from == failed {
			t.Fatalf("slots from %d are tried before others; left: %t", from, left)
		}
		w.at.Runs = append(w.at.Runs, messages.SlotRun{From: from, To: to})
	}
	if from, to, left := w.choose(next); !left || from != failed || to != failed+slotsTogether-1 {
		t.Errorf("at last slots %d to %d, %t", from, to, left)
	}
}

// A report is void when a node has changed its state since, and only then.
func TestBase(t *testing.T) {
	m, err := smap.New("line", smap.Node{ID: "a", Digest: 1}, smap.Node{ID: "b", Digest: 2})
	if err == nil {
		m, err = m.Change().Begin([]smap.NodeID{"a"}).Done()
	}
	if err != nil {
		t.Fatal(err)
	}
	next, _ := m.Next()
	if got := base(m, &next); got != 2 {
		t.Errorf("the plan begins in version 2, its walks count from %d", got)
	}
	switched, err := m.Change().Switch(7).Done()
	if err != nil {
		t.Fatal(err)
	}
	if got := base(switched, &next); got != 2 {
		t.Errorf("a slot has gone over, and walks count from %d", got)
	}
	down, err := switched.Change().SetState("b", 1, smap.Down).Done()
	if err != nil {
		t.Fatal(err)
	}
	if got := base(down, &next); got != 4 {
		t.Errorf("a node is down since version 4, and walks count from %d", got)
	}
}

// Work is spread by the rate as it is now, and nothing is saved up.
func TestLimit(t *testing.T) {
	var l limit
	now := time.Unix(1000, 0)
	if wait := l.due(messages.JobRate{Objects: 10}, now); wait != 0 {
		t.Errorf("nothing was done, and %s are waited", wait)
	}
	l.did(5, 0)
	if wait := l.due(messages.JobRate{Objects: 10}, now); wait != 500*time.Millisecond {
		t.Errorf("five objects at ten a second, and %s are waited", wait)
	}
	l.did(5, 1<<20)
	if wait := l.due(messages.JobRate{Bytes: 1 << 20}, now); wait != 1500*time.Millisecond {
		t.Errorf("after another second's work %s are waited", wait)
	}
	if wait := l.due(messages.JobRate{}, now); wait != 0 {
		t.Errorf("without a limit %s are waited", wait)
	}
	l.did(1, 0)
	if wait := l.due(messages.JobRate{Objects: 1}, now.Add(time.Hour)); wait != time.Second {
		t.Errorf("after an hour of rest %s are waited", wait)
	}
}
