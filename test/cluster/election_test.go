package cluster

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects/errs"
)

// candidate makes one with the shortest session.
func candidate(t *testing.T, e cluster.Election, keys cluster.Keys, name string) *cluster.Candidate {
	t.Helper()
	c, err := cluster.NewCandidate(e, keys.Leader(), []byte(name), cluster.Session{
		Name: "troupe/" + name, TTL: cluster.MinSessionTTL, LockDelay: time.Second,
	}, quick())
	must(t, err)
	return c
}

// win waits for the lead; it is resigned with the test.
func win(t *testing.T, c *cluster.Candidate) *cluster.Lead {
	t.Helper()
	lead, err := c.Win(within(t))
	must(t, err)
	t.Cleanup(func() { _ = lead.Resign(within(t)) })
	return lead
}

// Of many who want to lead, one does at a time; who resigns is followed at once, and
// the fence grows.
func TestLeadHandsOver(t *testing.T) {
	const candidates = 4
	over(t, shared, func(t *testing.T, w world) {
		ctx, keys := within(t), keysOf(t)
		var leading atomic.Int32
		var mu sync.Mutex
		var fences []uint64
		var group sync.WaitGroup
		for i := range candidates {
			c := candidate(t, w.join(t), keys, string(rune('a'+i)))
			group.Go(func() {
				lead, err := c.Win(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				if leading.Add(1) != 1 {
					t.Error("two lead at once")
				}
				if !lead.Held() || lead.Context().Err() != nil {
					t.Errorf("it is lost at once: %v", context.Cause(lead.Context()))
				}
				mu.Lock()
				fences = append(fences, lead.Fence())
				mu.Unlock()
				leading.Add(-1)
				check(t, lead.Resign(ctx))
				if lead.Held() || errors.Is(context.Cause(lead.Context()), cluster.ErrLeadLost) {
					t.Error("a lead that was resigned is held, or lost")
				}
			})
		}
		group.Wait()
		for i := 1; i < len(fences); i++ {
			if fences[i] <= fences[i-1] {
				t.Errorf("the fences are %d", fences)
			}
		}
		if len(fences) != candidates {
			t.Errorf("%d have led", len(fences))
		}
	})
}

// Others see who leads.
func TestWatchHolder(t *testing.T) {
	over(t, shared, func(t *testing.T, w world) {
		ctx, keys := within(t), keysOf(t)
		watch := cluster.WatchHolder(w.join(t), keys.Leader(), quick())
		next(t, watch, func(h cluster.Holder) bool { return !h.Held() })
		lead := win(t, candidate(t, w.join(t), keys, "a"))
		h := next(t, watch, cluster.Holder.Held)
		if string(h.Value) != "a" || h.Fence != lead.Fence() {
			t.Errorf("%+v, the lead's fence is %d", h, lead.Fence())
		}
		must(t, lead.Resign(ctx))
		next(t, watch, func(h cluster.Holder) bool { return !h.Held() })
	})
}

// A session that ends takes the lead with it: its holder is told, and another one
// follows, not before the lock delay.
func TestEndedSessionLosesTheLead(t *testing.T) {
	over(t, own, func(t *testing.T, w world) {
		keys := keysOf(t)
		first := win(t, candidate(t, w.join(t), keys, "a"))
		second := candidate(t, w.join(t), keys, "b")
		w.expireSessions(t)
		select {
		case <-first.Context().Done():
		case <-within(t).Done():
			t.Fatal("the holder is not told")
		}
		if !errors.Is(context.Cause(first.Context()), cluster.ErrLeadLost) || first.Held() {
			t.Errorf("the lead ended for %v, and is held: %v", context.Cause(first.Context()), first.Held())
		}
		if lead := win(t, second); lead.Fence() <= first.Fence() {
			t.Errorf("the fence %d follows %d", lead.Fence(), first.Fence())
		}
		check(t, first.Resign(within(t))) // of what is lost, no failure
	})
}

// A leader that is cut off gives up by itself before anyone else can lead.
func TestLeaderThatIsCutOff(t *testing.T) {
	over(t, shared, func(t *testing.T, w world) {
		ctx, keys := within(t), keysOf(t)
		n := w.join(t)
		first := win(t, candidate(t, n, keys, "a"))
		n.cut(true)
		lead, err := candidate(t, w.join(t), keys, "b").Win(ctx)
		must(t, err)
		if first.Held() || !errors.Is(context.Cause(first.Context()), cluster.ErrLeadLost) {
			t.Errorf("another one leads, and the first one holds: %v, %v", first.Held(), context.Cause(first.Context()))
		}
		if err := first.Resign(ctx); err == nil {
			t.Error("it could be told, although it is cut off") // control of the cut
		}
		n.cut(false)
		must(t, lead.Resign(ctx))
	})
}

// Candidates outlast a service that is away, or that lost its data; then one leads.
func TestElectionComesBack(t *testing.T) {
	over(t, own, func(t *testing.T, w world) {
		keys := keysOf(t)
		first := candidate(t, w.join(t), keys, "a")
		w.stop(t)
		won := make(chan *cluster.Lead, 1)
		go func() {
			lead, err := first.Win(within(t))
			check(t, err)
			won <- lead
		}()
		w.start(t)
		lead := <-won
		if lead == nil {
			t.FailNow()
		}
		w.wipe(t)
		select {
		case <-lead.Context().Done():
		case <-within(t).Done():
			t.Fatal("the lead outlives its lock")
		}
		check(t, lead.Resign(within(t)))
		again := win(t, candidate(t, w.join(t), keys, "b"))
		if !again.Held() {
			t.Error("nobody leads")
		}
	})
}

// A session that no provider would take is refused.
func TestSessionIsChecked(t *testing.T) {
	over(t, shared, func(t *testing.T, w world) {
		n := w.join(t)
		for _, s := range []cluster.Session{{TTL: time.Second}, {TTL: 48 * time.Hour}, {TTL: time.Minute, LockDelay: time.Hour}} {
			if _, err := cluster.NewCandidate(n, "troupe/x/leader", nil, s, quick()); !errs.Is(errs.Invalid, err) {
				t.Errorf("%+v is taken: %v", s, err)
			}
			if _, err := n.OpenSession(within(t), s); !errs.Is(errs.Invalid, err) {
				t.Errorf("%+v is taken by the provider: %v", s, err)
			}
		}
		ctx, keys := within(t), keysOf(t)
		wantKind(t, errs.NotFound, n.RenewSession(ctx, "0f8fad5b-d9cb-469f-a165-70867728950e"))
		must(t, n.CloseSession(ctx, "0f8fad5b-d9cb-469f-a165-70867728950e"))
		wantKind(t, errs.NotFound, n.Acquire(ctx, cluster.Lock{Key: keys.Leader(), Session: "0f8fad5b-d9cb-469f-a165-70867728950e"}))
	})
}
