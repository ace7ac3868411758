package smap

import (
	"slices"
	"testing"

	"github.com/troupe-storage/troupe/objects"
)

// A plan gives the keys of a bucket another number of owners, slot by slot; others keep
// theirs. What it came to holds from then on.
func TestCountsOfAPlan(t *testing.T) {
	bucket := objects.BucketID{1}
	for _, change := range []struct{ from, to int }{{1, 2}, {3, 1}, {2, 3}} {
		m := founded(t, 4)
		key := Key{Digest: 7 << 52, Bucket: bucket, Owners: change.from, Document: 1}
		other := Key{Digest: 7 << 52, Bucket: objects.BucketID{2}, Owners: change.from, Document: 1}
		before := m.View(key)
		m = done(t, m.Change().Begin(m.Placement(), Count{bucket, change.to}))
		v := m.View(key)
		if !slices.Equal(v.Owners, before.Owners) || len(v.Next) != change.to || len(v.AckSet) != max(change.from, change.to) || v.InCharge != before.InCharge || v.Epoch.Map != 2 || v.Count != change.from {
			t.Fatalf("%v: under the plan %+v", change, v)
		}
		if v := m.View(other); len(v.Next) != 0 || v.Epoch.Map != 1 {
			t.Fatalf("%v: another bucket: %+v", change, v)
		}
		if now, next := m.Owners(key); now != change.from || next != change.to || m.Most(key) != max(now, next) || m.Least(key) != min(now, next) {
			t.Fatalf("%v: %d and %d owners", change, now, next)
		}
		m = done(t, m.Change().Switch(7))
		if v := m.View(key); !slices.Equal(v.Owners, order(m.placement, m.weighed, key.Digest, change.to)) || len(v.Next) != 0 || v.Placed != 3 || v.Count != change.to {
			t.Fatalf("%v: its slot has switched: %+v", change, v)
		}
		c := m.Change()
		for slot := range uint16(Slots) {
			if slot != 7 {
				c.Switch(slot)
			}
		}
		m = done(t, done(t, c).Change().Finish())
		after := m.View(key)
		if len(after.Owners) != change.to || len(after.Next) != 0 || !slices.Equal(m.Counts(), []Count{{bucket, change.to}}) {
			t.Fatalf("%v: afterwards %+v", change, after)
		}
		parsed, err := Parse(must(m.MarshalJSON()))
		if err != nil || parsed.Hash() != m.Hash() || !slices.Equal(parsed.View(key).Owners, after.Owners) {
			t.Fatalf("%v: read again: %v", change, err)
		}
		key.Owners = change.to // as the document says afterwards
		if documented := m.View(key); !slices.Equal(documented.Owners, after.Owners) || documented.Epoch != after.Epoch {
			t.Fatalf("%v: once the document says it: %+v", change, documented)
		}
		again := done(t, m.Change().Begin(m.Placement(), Count{bucket, 4}))
		if v := again.View(key); len(v.Owners) != change.to || len(v.Next) != 4 {
			t.Fatalf("%v: under another plan: %+v", change, v)
		}
		if m = done(t, m.Change().Forget(bucket)); len(m.Counts()) != 0 {
			t.Fatalf("%v: once it is destroyed there are counts", change)
		}
	}
}

// A plan that would leave more counts than fit the map is refused when it begins: it could
// not be finished.
func TestCountsHaveRoom(t *testing.T) {
	m := founded(t, 2)
	var full []Count
	var ids []objects.BucketID
	for i := range maxCounts {
		full = append(full, Count{objects.BucketID{1, byte(i >> 8), byte(i)}, 2})
		ids = append(ids, full[i].Bucket)
	}
	other := objects.BucketID{2}
	if !m.MayCount(ids...) || m.MayCount(append(ids, other)...) || !m.MayCount(append(ids, ids[0])...) {
		t.Error("an empty map has room for something else than its bound")
	}
	c := done(t, m.Change().Begin(m.Placement(), full...)).Change()
	for slot := range uint16(Slots) {
		c.Switch(slot)
	}
	if m = done(t, c); m.MayCount(other) {
		t.Error("the counts of the plan are none")
	}
	m = done(t, m.Change().Finish())
	if m.MayCount(other) || !m.MayCount(ids[7], ids[8]) {
		t.Error("a full map has room for another bucket, or none for its own")
	}
	if _, err := m.Change().Begin(m.Placement(), Count{other, 2}).Done(); err == nil {
		t.Error("a plan began that cannot be finished")
	}
	m = done(t, m.Change().Begin(m.Placement(), Count{ids[7], 1})) // control: it has a count already
	m = done(t, m.Change().Forget(ids[7]))
	if next, _ := m.Next(); len(next.Counts) != 0 || m.HasCount(ids[7]) || !m.MayCount(other) {
		t.Error("a destroyed bucket has a count by the plan")
	}
}

func must(text []byte, err error) []byte {
	if err != nil {
		panic(err) // a map writes what can be read
	}
	return text
}
