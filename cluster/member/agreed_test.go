package member_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Before a node says that a bucket does not exist it has adopted what was agreed on when
// it was asked: one that another node has just made is shown. Where that cannot be told,
// it says so.
func TestUnknownBucketIsLookedUp(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		b := w.nodes["b"]
		must(t, b.buckets.Current()) // nothing was ever agreed on
		b.shelf.setFail(errors.New("the disk is full"))
		if err := w.nodes["a"].buckets.PutBucket(bucketDoc("photos", 1, 1)); err == nil {
			t.Fatal("control: b has not adopted it")
		}
		if err := b.buckets.Current(); !errs.Is(errs.Offline, err) || !strings.Contains(err.Error(), "has not adopted") {
			t.Errorf("b cannot keep what is agreed on: %v", err)
		}
		b.shelf.setFail(nil)
		w.wait("b knows all, and says so", func() bool { return b.buckets.Current() == nil })
		if b.shelf.version("photos") != 1 {
			t.Error("b says that it knows all, and lacks a bucket")
		}

		var asked sync.WaitGroup // many at once are one look, and none gets an older one
		for range 20 {
			asked.Go(func() {
				if err := b.buckets.Current(); err != nil {
					t.Errorf("one of many: %v", err)
				}
			})
		}
		asked.Wait()

		b.provider.Faults().Cut(true)
		err := b.buckets.Current()
		var away *messages.AgreementAway
		if !errs.Is(errs.Offline, err) || !errors.As(err, &away) || !strings.Contains(away.Public(), "cannot tell whether it exists") {
			t.Errorf("without the provider: %v", err)
		}
		b.provider.Faults().Cut(false)
		w.wait("it can be told again", func() bool { return b.buckets.Current() == nil })
	})
}

// What a node says of an unknown bucket depends on whether the provider answers now, and not
// on what watches of it met last: they ask seldom when it was away for long. The look has
// what it finds adopted. While the provider is away one who asks waits for it, in a second,
// and the others are answered at once.
func TestLooksDoNotWaitForWatches(t *testing.T) {
	run(t, func(w *world) {
		w.pace.RetryMax = time.Hour
		w.found("a", "b", "c")
		b := w.nodes["b"]
		for name, away := range map[string]func(bool){"cut": b.provider.Faults().Cut, "silent": b.provider.Faults().Hang} {
			w.let(5 * time.Second) // all has been adopted
			must(t, b.buckets.Current())
			away(true)
			w.let(10 * time.Minute) // its watches ask again in minutes from now
			if b.view.Load().Unconfirmed == "" {
				t.Errorf("%s: control: b does not know that the provider is away", name)
			}
			waited, asks := time.Now(), 0
			for time.Since(waited) < time.Minute {
				if err := b.buckets.Current(); !errs.Is(errs.Offline, err) {
					t.Fatalf("%s: without the provider: %v", name, err)
				}
				asks++
				w.let(10 * time.Millisecond)
			}
			if asks < 1500 { // a third of the time at least nobody waits
				t.Errorf("%s: %d asked in a minute", name, asks)
			}
			if err := w.nodes["a"].buckets.PutBucket(bucketDoc("photos-"+name, name[0], 1)); err == nil {
				t.Errorf("%s: control: b has adopted it", name)
			}
			away(false)
			w.let(2 * time.Second)
			if b.shelf.version("photos-"+name) != 0 && name == "cut" {
				t.Errorf("%s: control: a watch was faster", name)
			}
			if err := b.buckets.Current(); err != nil || b.shelf.version("photos-"+name) != 1 {
				t.Errorf("%s: the provider answers: %v; b has version %d", name, err, b.shelf.version("photos-"+name))
			}
		}
	})
}

// However long the provider was away, nodes make buckets again soon after it is back, and
// all of them adopt them by themselves.
func TestProviderIsBack(t *testing.T) {
	for round := range 10 {
		run(t, func(w *world) {
			w.pace = cluster.Pace{} // as programs have it
			w.found("a", "b", "c")
			for _, away := range []time.Duration{20 * time.Second, time.Minute, 10 * time.Minute} {
				for _, id := range w.order {
					w.nodes[id].provider.Faults().Cut(true)
				}
				w.let(away)
				for _, id := range w.order {
					w.nodes[id].provider.Faults().Cut(false)
				}
				back := time.Now()
				for i, id := range w.order {
					doc := bucketDoc(fmt.Sprint("photos-", away, i), byte(away/time.Second)+byte(i), 1)
					if err := w.nodes[id].buckets.PutBucket(doc); err != nil {
						t.Errorf("round %d, after %s: %s makes a bucket: %v", round, away, id, err)
					}
				}
				if took := time.Since(back); took > 9*time.Second { // the longest pause, and what nodes tell each other by probes
					t.Errorf("round %d, after %s: %s", round, away, took)
				}
			}
		})
	}
}

// A node that learns that another one has a later map has it at once, and not when it
// is its turn to ask; also where the provider is away.
func TestMapIsAskedFor(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		w.let(time.Minute)
		for round := range 5 {
			leads := w.leader()
			rest := slices.DeleteFunc(slices.Clone(w.order), func(id smap.NodeID) bool { return id == leads })
			late, out := w.nodes[rest[0]], rest[1]
			late.provider.Faults().Cut(true)
			w.isolate(late.id, true)
			kind := member.RequestMaintenance
			if round%2 == 1 {
				kind = member.RequestReturn
			}
			before := w.smapOf(late.id).Version()
			ctx, done := context.WithTimeout(context.Background(), time.Second) // of the bubble
			_, err := w.nodes[leads].member.Request(ctx, member.Request{Kind: kind, Node: out, Force: true})
			done()
			w.isolate(late.id, false)
			if err != nil {
				t.Fatal(err)
			}
			w.wait("the leader has it", func() bool { return w.smapOf(leads).Version() > before })
			if w.smapOf(late.id).Version() < w.smapOf(leads).Version() { // else it was its turn to ask just now
				late.member.AskForMap(leads)
				w.let(time.Millisecond)
				if has, want := w.smapOf(late.id).Version(), w.smapOf(leads).Version(); has < want {
					t.Errorf("round %d: %s has version %d, %s has %d", round, late.id, has, leads, want)
				}
			}
			late.provider.Faults().Cut(false)
			w.let(time.Minute)
		}
	})
}
