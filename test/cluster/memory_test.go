package cluster

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// What only the memory of a process can be made to do. Time is virtual here.

// lab is a memory whose time is virtual, and one node's provider.
func lab(t *testing.T, test func(ctx context.Context, m *embedded.Memory, p *embedded.MemoryProvider, keys cluster.Keys)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := embedded.NewMemory(clock.NewSystem())
		defer m.Close()
		p := m.Provider()
		defer func() { check(t, p.Close()) }()
		test(t.Context(), m, p, keysOf(t))
	})
}

// A change that was asked for, given up and asked for again happens once, even if
// the first request arrives at last.
func TestLateRequest(t *testing.T) {
	lab(t, func(ctx context.Context, m *embedded.Memory, p *embedded.MemoryProvider, keys cluster.Keys) {
		store := cluster.NewStore(p, quick())
		p.Faults().HoldRequests(1)
		must(t, increment(ctx, t, store, keys.Config()))
		answers := p.Faults().Arrive()
		if len(answers) != 1 || !errs.Is(errs.Conflict, answers[0]) {
			t.Errorf("what arrived late was answered %v", answers)
		}
		must(t, increment(ctx, t, store, keys.Config()))
		if doc, err := store.Get(ctx, keys.Config()); err != nil || number(t, doc) != 2 {
			t.Errorf("%+v, %v", doc, err)
		}
		// Requests that get lost altogether are repeated.
		p.Faults().LoseRequests(3)
		must(t, increment(ctx, t, store, keys.Config()))
		if doc, err := store.Get(ctx, keys.Config()); err != nil || number(t, doc) != 3 {
			t.Errorf("%+v, %v", doc, err)
		}
	})
}

// If somebody else has changed the document before the look, nobody can know whether
// the change came before: that is said, and nothing is repeated.
func TestOutcomeThatStaysUnknown(t *testing.T) {
	lab(t, func(ctx context.Context, m *embedded.Memory, p *embedded.MemoryProvider, keys cluster.Keys) {
		other := cluster.NewStore(m.Provider(), quick())
		p.Faults().LoseAnswers(1)
		meddle := meddler{p, func() { must(t, increment(ctx, t, other, keys.Config())) }}
		err := increment(ctx, t, cluster.NewStore(&meddle, quick()), keys.Config())
		if !errors.Is(err, objects.ErrOutcomeUnknown) || !errs.Is(errs.Conflict, err) {
			t.Errorf("%v", err)
		}
		if doc, err := other.Get(ctx, keys.Config()); err != nil || number(t, doc) != 2 {
			t.Errorf("%+v, %v", doc, err)
		}
	})
}

// meddler lets somebody else come between a change and what follows it.
type meddler struct {
	cluster.Documents
	between func()
}

func (m *meddler) Commit(ctx context.Context, stamp uint64, writes []cluster.Write) error {
	err := m.Documents.Commit(ctx, stamp, writes)
	m.between()
	return err
}

// A change whose outcome cannot be found out is said to be unknown after half a
// minute, and not before.
func TestOutcomeIsSoughtForLong(t *testing.T) {
	lab(t, func(ctx context.Context, m *embedded.Memory, p *embedded.MemoryProvider, keys cluster.Keys) {
		began := time.Now()
		p.Faults().LoseAnswers(1)
		deaf := meddler{p, func() { p.Faults().Cut(true) }}
		err := increment(ctx, t, cluster.NewStore(&deaf, quick()), keys.Config())
		if !errors.Is(err, objects.ErrOutcomeUnknown) || !errs.Is(errs.Offline, err) {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took < 20*time.Second || took > 40*time.Second {
			t.Errorf("after %s", took)
		}
		// Control: a change that was never sent is known not to have happened.
		err = increment(ctx, t, cluster.NewStore(p, quick()), keys.Config())
		if !errs.Is(errs.Offline, err) || errors.Is(err, objects.ErrOutcomeUnknown) {
			t.Errorf("%v", err)
		}
	})
}

// A watch goes on when indexes begin again: it does not repeat what it has shown as
// something new forever, and sees what comes.
func TestWatchOverReset(t *testing.T) {
	lab(t, func(ctx context.Context, m *embedded.Memory, p *embedded.MemoryProvider, keys cluster.Keys) {
		store := cluster.NewStore(p, quick())
		for range 20 {
			must(t, increment(ctx, t, store, keys.SmapVersion()))
		}
		watch := cluster.WatchDocument(m.Provider(), keys.SmapVersion(), quick())
		if doc, err := watch.Next(ctx); err != nil || number(t, doc) != 20 {
			t.Fatalf("%+v, %v", doc, err)
		}
		m.ResetIndexes()
		if doc, err := watch.Next(ctx); err != nil || number(t, doc) != 20 || doc.Index > 10 { // a new index: a change by it would fail
			t.Errorf("%+v, %v", doc, err)
		}
		must(t, increment(ctx, t, store, keys.SmapVersion()))
		if doc, err := watch.Next(ctx); err != nil || number(t, doc) != 21 {
			t.Errorf("%+v, %v", doc, err)
		}
	})
}

// After a failure a watch asks for the present state, and does not wait for an index of
// a life before: questions stay open for ten minutes here, and the news take seconds.
func TestWatchAsksAnewAfterFailure(t *testing.T) {
	lab(t, func(ctx context.Context, m *embedded.Memory, p *embedded.MemoryProvider, keys cluster.Keys) {
		others := cluster.NewStore(m.Provider(), quick())
		for range 20 {
			must(t, increment(ctx, t, others, keys.SmapVersion()))
		}
		pace := quick()
		pace.Wait = 10 * time.Minute
		watch := cluster.WatchDocument(p, keys.SmapVersion(), pace)
		if doc, err := watch.Next(ctx); err != nil || number(t, doc) != 20 {
			t.Fatalf("%+v, %v", doc, err)
		}
		p.Faults().Cut(true)
		_, err := watch.Next(ctx)
		wantKind(t, errs.Offline, err)
		m.Wipe()
		must(t, increment(ctx, t, others, keys.SmapVersion()))
		p.Faults().Cut(false)
		began := time.Now()
		if doc, err := watch.Next(ctx); err != nil || number(t, doc) != 1 {
			t.Errorf("%+v, %v", doc, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// A watch waits longer after each failure, and asks at most so often.
func TestWatchBacksOff(t *testing.T) {
	lab(t, func(ctx context.Context, m *embedded.Memory, p *embedded.MemoryProvider, keys cluster.Keys) {
		p.Faults().Cut(true)
		watch := cluster.WatchDocument(p, keys.Smap(), cluster.Pace{})
		began := time.Now()
		for range 12 {
			_, err := watch.Next(ctx)
			wantKind(t, errs.Offline, err)
		}
		// 1/4 s, doubling to 5 s, each cut by up to a half: 38 s in all at most.
		if took := time.Since(began); took < 19*time.Second || took > 38*time.Second {
			t.Errorf("12 failures took %s", took)
		}
		p.Faults().Cut(false)
		if doc, err := watch.Next(ctx); err != nil || doc.Exists() {
			t.Errorf("%+v, %v", doc, err)
		}
	})
}

// A service that hangs costs a leader the lead in time, and a change its deadline,
// nobody a call that does not end.
func TestHangingService(t *testing.T) {
	lab(t, func(ctx context.Context, m *embedded.Memory, p *embedded.MemoryProvider, keys cluster.Keys) {
		lead, err := candidate(t, p, keys, "a").Win(ctx)
		must(t, err)
		began := time.Now()
		p.Faults().Hang(true)
		<-lead.Context().Done()
		if took := time.Since(began); took > cluster.MinSessionTTL || lead.Held() {
			t.Errorf("lost after %s, held: %v", took, lead.Held())
		}
		limited, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		wantKind(t, errs.Canceled, increment(limited, t, cluster.NewStore(p, quick()), keys.Config()))
		limited, cancel = context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := lead.Resign(limited); err == nil {
			t.Error("it could be told") // control
		}
		p.Faults().Hang(false)
		other, err := candidate(t, m.Provider(), keys, "b").Win(ctx)
		must(t, err)
		must(t, other.Resign(ctx))
	})
}

// A slow service delays and loses nothing: the lead stays, and the node stays.
func TestSlowService(t *testing.T) {
	lab(t, func(ctx context.Context, m *embedded.Memory, p *embedded.MemoryProvider, keys cluster.Keys) {
		id := newID(t)
		p.Faults().Delay(2 * time.Second)
		lead, err := candidate(t, p, keys, "a").Win(ctx)
		must(t, err)
		_, stop := appear(t, p, registration(id, "n"))
		defer stop()
		time.Sleep(time.Hour) // virtual
		if !lead.Held() {
			t.Errorf("the lead is lost: %v", context.Cause(lead.Context()))
		}
		members, _, err := m.Provider().Members(ctx, cluster.Query{})
		if err != nil || len(members) != 1 || members[0].Status != cluster.Passing {
			t.Errorf("%+v, %v", members, err)
		}
		must(t, lead.Resign(ctx))
	})
}

// What is denied is said at once, and ends a candidacy.
func TestDenied(t *testing.T) {
	lab(t, func(ctx context.Context, m *embedded.Memory, p *embedded.MemoryProvider, keys cluster.Keys) {
		p.Faults().Deny(true)
		_, err := candidate(t, p, keys, "a").Win(ctx)
		wantKind(t, errs.Denied, err)
		wantKind(t, errs.Denied, increment(ctx, t, cluster.NewStore(p, quick()), keys.Config()))
		_, err = cluster.WatchMembers(p, "x", quick()).Next(ctx)
		wantKind(t, errs.Denied, err)
	})
}

// A lock that was not released is kept from everybody for the lock delay.
func TestLockDelay(t *testing.T) {
	lab(t, func(ctx context.Context, m *embedded.Memory, p *embedded.MemoryProvider, keys cluster.Keys) {
		const delay = 15 * time.Second
		c, err := cluster.NewCandidate(p, keys.Leader(), nil, cluster.Session{TTL: 10 * time.Second, LockDelay: delay}, quick())
		must(t, err)
		lead, err := c.Win(ctx)
		must(t, err)
		began := time.Now()
		if m.ExpireSessions() != 1 {
			t.Error("there is not one session")
		}
		next, err := c.Win(ctx)
		must(t, err)
		if took := time.Since(began); took < delay || took > 2*delay {
			t.Errorf("the next one leads after %s", took)
		}
		check(t, lead.Resign(ctx))
		check(t, next.Resign(ctx))
	})
}
