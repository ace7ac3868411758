package member

import (
	"errors"
	"testing"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/smap"
)

// A map is written only in place of the one that it was made from, whatever was read in
// between; a placement without a plan only where there is no bucket; and nothing after
// the lead was lost.
func TestWriting(t *testing.T) {
	ctx := t.Context()
	memory := embedded.NewMemory(clock.NewSystem())
	defer memory.Close()
	p := memory.Provider()
	keys, err := cluster.NewKeys("00c0ffee00c0ffee")
	if err != nil {
		t.Fatal(err)
	}
	leads := true
	w := writing{store: cluster.NewStore(p, cluster.Pace{}), keys: keys, name: "test", id: "00c0ffee00c0ffee", held: func() bool { return leads }}
	want := func(got *mapWritten, next, stale, filled bool) *smap.Smap {
		t.Helper()
		if (got.next != nil) != next || got.stale != stale || got.filled != filled || !next && !stale && !filled && got.err == nil {
			t.Errorf("written: %+v, want next %v, stale %v, filled %v", got, next, stale, filled)
		}
		return got.next
	}
	first := want(w.found(ctx, "line", []smap.Node{{ID: "a", Digest: 1}, {ID: "b", Digest: 2}}), true, false, false)
	want(w.found(ctx, "another", []smap.Node{{ID: "c", Digest: 3}}), false, true, false)
	down := decision{change: func(c *smap.Change) { c.SetState("b", 1, smap.Down) }}
	second := want(w.change(ctx, first, wishes{}, down), true, false, false)
	if !second.Follows(first) {
		t.Error("the second map does not follow the first one")
	}
	want(w.change(ctx, first, wishes{}, decision{change: func(c *smap.Change) { c.SetState("a", 1, smap.Down) }}), false, true, false)
	want(w.change(ctx, second, wishes{}, down), false, false, false) // the report is about an earlier life of b
	leads = false
	back := decision{change: func(c *smap.Change) { c.SetState("b", 2, smap.Recovering) }}
	want(w.change(ctx, second, wishes{}, back), false, true, false)
	leads = true
	third := want(w.change(ctx, second, wishes{}, back), true, false, false)
	place := decision{change: func(c *smap.Change) { c.Place([]smap.NodeID{"a"}) }, empty: true}
	fourth := want(w.change(ctx, third, wishes{}, place), true, false, false)
	if err := w.store.Commit(ctx, cluster.Document{Key: keys.Buckets() + "ais/@/photos"}.Put([]byte("{}"))); err != nil {
		t.Fatal(err)
	}
	want(w.change(ctx, fourth, wishes{}, place), false, false, true)
	want(w.restore(ctx, fourth), false, true, false) // it is there
	if doc, err := w.store.Get(ctx, keys.Smap()); err != nil || w.store.Remove(ctx, doc) != nil {
		t.Fatal(err)
	}
	// With the map, what it is found by was lost; somebody has looked for it since.
	if name, err := w.store.Get(ctx, cluster.NameKey("test")); err != nil || w.store.Remove(ctx, name) != nil {
		t.Fatal(err)
	}
	const proposed = "0badc0de0badc0de"
	if id, err := Resolve(ctx, p, cluster.Pace{}, "test", proposed); err != nil || id != proposed {
		t.Fatalf("%s, %v", id, err)
	}
	want(w.restore(ctx, fourth), true, false, false)
	if id, err := Resolve(ctx, p, cluster.Pace{}, "test", proposed); err != nil || id != w.id {
		t.Fatalf("the name leads to %s, %v", id, err)
	}
	keys, err = cluster.NewKeys(proposed)
	if err != nil {
		t.Fatal(err)
	}
	stranger := writing{store: w.store, keys: keys, name: "test", id: proposed, held: w.held}
	if got := stranger.found(ctx, "line", []smap.Node{{ID: "d", Digest: 4}}); got.next != nil || !errors.Is(got.err, errNameTaken) {
		t.Errorf("another cluster of the name was founded: %+v", got)
	}
	want(w.restore(ctx, third), false, true, false) // a newer one is there
}

// What lies under the cluster's name does not keep a lost map from being restored. It is
// replaced where it leads nowhere; where another cluster has it, or it cannot be read, it stays,
// and that is said. Nothing is founded over it.
func TestNameOfRestoredCluster(t *testing.T) {
	ctx := t.Context()
	memory := embedded.NewMemory(clock.NewSystem())
	defer memory.Close()
	store := cluster.NewStore(memory.Provider(), cluster.Pace{})
	writer := func(id string) writing {
		keys, err := cluster.NewKeys(id)
		if err != nil {
			t.Fatal(err)
		}
		return writing{store: store, keys: keys, name: "test", id: id, held: func() bool { return true }}
	}
	put := func(key, value string) {
		t.Helper()
		if err := store.Update(ctx, key, func(cluster.Document) ([]byte, error) { return []byte(value), nil }); err != nil {
			t.Fatal(err)
		}
	}
	const own, other = "00c0ffee00c0ffee", "0badc0de0badc0de"
	w := writer(own)
	m := w.found(ctx, "line", []smap.Node{{ID: "a", Digest: 1}}).next
	for _, c := range []struct {
		name, holds, left string
		founded           bool
		unnamed           error
	}{
		{"its own id", own, own, false, nil},
		{"one that is looked for only", other, own, false, nil},
		{"what cannot be read", other + "\n", other + "\n", false, errNameUnread},
		{"another cluster's id", other, other, true, errNameTaken},
	} {
		put(cluster.NameKey("test"), c.holds)
		if c.founded {
			put(writer(other).keys.Smap(), "{}")
		}
		if doc, err := store.Get(ctx, w.keys.Smap()); err != nil || store.Remove(ctx, doc) != nil {
			t.Fatal(err)
		}
		got := w.restore(ctx, m)
		if got.err != nil || !got.restored || !errors.Is(got.unnamed, c.unnamed) {
			t.Errorf("%s: %+v, want %v", c.name, got, c.unnamed)
		}
		if name, err := store.Get(ctx, cluster.NameKey("test")); err != nil || string(name.Value) != c.left {
			t.Errorf("%s: then it holds %q, %v", c.name, name.Value, err)
		}
		if stranger := writer("feedfeedfeedfeed").found(ctx, "line", []smap.Node{{ID: "b", Digest: 2}}); stranger.next != nil || !isForPeople(stranger.err) {
			t.Errorf("%s: another cluster of the name is founded: %+v", c.name, stranger)
		}
	}
}
