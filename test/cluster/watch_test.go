package cluster

import (
	"strconv"
	"sync"
	"testing"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A watch shows numbers that only grow, and ends up with the last one, however fast
// they are written.
func TestWatchSeesTheLastChange(t *testing.T) {
	const writers, each, watchers = 4, 10, 3
	over(t, shared, func(t *testing.T, w world) {
		ctx, keys := within(t), keysOf(t)
		var group sync.WaitGroup
		for range watchers {
			watch := cluster.WatchDocument(w.join(t), keys.SmapVersion(), quick())
			group.Go(func() {
				last := -1
				for last < writers*each {
					doc, err := watch.Next(ctx)
					if err != nil {
						t.Errorf("after %d: %v", last, err)
						return
					}
					if n := number(t, doc); n > last {
						last = n
					} else {
						t.Errorf("%d follows %d", n, last)
					}
				}
			})
		}
		for range writers {
			store := cluster.NewStore(w.join(t), quick())
			group.Go(func() {
				for range each {
					check(t, increment(ctx, t, store, keys.SmapVersion()))
				}
			})
		}
		group.Wait()
	})
}

// A watch sees a document come, change and go, and nothing of its neighbours; one of
// a prefix sees all below it.
func TestWatchDocument(t *testing.T) {
	over(t, shared, func(t *testing.T, w world) {
		ctx, keys := within(t), keysOf(t)
		store := cluster.NewStore(w.join(t), quick())
		one := cluster.WatchDocument(w.join(t), keys.Node("n1"), quick())
		all := cluster.WatchDocuments(w.join(t), keys.Nodes(), quick())
		if doc, err := one.Next(ctx); err != nil || doc.Exists() {
			t.Fatalf("%+v, %v", doc, err)
		}
		if docs, err := all.Next(ctx); err != nil || len(docs) != 0 {
			t.Fatalf("%+v, %v", docs, err)
		}
		for i := range 3 {
			doc, err := store.Get(ctx, keys.Node("n1"))
			must(t, err)
			must(t, store.Put(ctx, cluster.Document{Key: keys.Node("neighbour" + strconv.Itoa(i))}, []byte("x")))
			must(t, store.Put(ctx, doc, []byte(strconv.Itoa(i))))
			if doc, err := one.Next(ctx); err != nil || string(doc.Value) != strconv.Itoa(i) {
				t.Errorf("%d: %+v, %v", i, doc, err)
			}
			next(t, all, func(docs []cluster.Document) bool {
				return len(docs) == i+2 && string(docs[0].Value) == strconv.Itoa(i)
			})
		}
		doc, err := store.Get(ctx, keys.Node("n1"))
		must(t, err)
		must(t, store.Remove(ctx, doc))
		if doc, err := one.Next(ctx); err != nil || doc.Exists() {
			t.Errorf("%+v, %v", doc, err)
		}
		next(t, all, func(docs []cluster.Document) bool { return len(docs) == 3 })
	})
}

// A watch lives through a service that is away: what is said meanwhile is an error and
// no state, and afterwards it shows what has happened.
func TestWatchWhileAway(t *testing.T) {
	over(t, own, func(t *testing.T, w world) {
		ctx, keys := within(t), keysOf(t)
		store := cluster.NewStore(w.join(t), quick())
		watch := cluster.WatchDocument(w.join(t), keys.SmapVersion(), quick())
		must(t, increment(ctx, t, store, keys.SmapVersion()))
		next(t, watch, func(doc cluster.Document) bool { return number(t, doc) == 1 })
		w.stop(t)
		for range 3 {
			if doc, err := watch.Next(ctx); !errs.Is(errs.Offline, err) {
				t.Errorf("while nothing answers: %+v, %v", doc, err)
			}
		}
		if err := increment(ctx, t, store, keys.SmapVersion()); !errs.Is(errs.Offline, err) {
			t.Errorf("while nothing answers a change says %v", err)
		}
		w.start(t)
		must(t, increment(ctx, t, store, keys.SmapVersion()))
		next(t, watch, func(doc cluster.Document) bool { return number(t, doc) == 2 })
	})
}

// A provider that lost its data shows none of it, and what is written from then on is
// seen although its indexes are below those of before.
func TestWatchOverWipedData(t *testing.T) {
	over(t, own, func(t *testing.T, w world) {
		ctx, keys := within(t), keysOf(t)
		store := cluster.NewStore(w.join(t), quick())
		watch := cluster.WatchDocument(w.join(t), keys.SmapVersion(), quick())
		for range 50 {
			must(t, increment(ctx, t, store, keys.SmapVersion()))
		}
		high := next(t, watch, func(doc cluster.Document) bool { return number(t, doc) == 50 })
		w.wipe(t)
		next(t, watch, func(doc cluster.Document) bool { return !doc.Exists() })
		must(t, increment(ctx, t, store, keys.SmapVersion()))
		low := next(t, watch, func(doc cluster.Document) bool { return number(t, doc) == 1 })
		t.Logf("index %d, then %d", high.Index, low.Index)
		wantKind(t, errs.Conflict, store.Put(ctx, high, []byte("51"))) // of a life before
	})
}
