package plan

import (
	"fmt"
	"testing"

	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// recount asks for another number of copies at a node, again while that cannot be done now.
func (w *world) recount(name string, copies int) {
	w.t.Helper()
	w.wait("other copies are asked for", func() bool {
		doc, err := w.nodes[name].Gateway().Bucket(bucket)
		if err == nil {
			props := doc.Wanted()
			props.Copies, props.MinCopies = copies, 0
			_, err = w.nodes[name].Gateway().SetBucketProps(w.t.Context(), bucket, props)
		}
		if err != nil && !errs.Is(errs.Busy, err) && !errs.Is(errs.Offline, err) {
			w.t.Fatalf("%d copies: %v", copies, err)
		}
		return err == nil
	})
}

// recounted reports whether all nodes that run know that the bucket has so many copies, by
// the map and by its document, and is to have no others.
func (w *world) recounted(copies int) bool {
	for _, n := range w.running() {
		doc, err := n.Gateway().Bucket(bucket)
		v := n.Cluster()
		if err != nil || doc.Props.Owners() != copies || doc.Next != nil || v.Map == nil || v.Plan != nil {
			return false
		}
		if now, next := v.Map.Owners(messages.Placing(doc, 0)); now != copies || next != copies {
			return false
		}
	}
	return true
}

// without stops nodes one by one, and looks whether all is there while each is away.
func (w *world) without(want map[string]string, names ...string) {
	w.t.Helper()
	for _, name := range names {
		is := func(state smap.State) func() bool {
			return func() bool {
				for _, n := range w.running() {
					if v := n.Cluster(); v.Map == nil {
						return false
					} else if entry, _ := v.Map.Node(w.nodes[name].id); entry.State != state {
						return false
					}
				}
				return true
			}
		}
		w.stop(name)
		w.wait(name+" is down", is(smap.Down))
		w.same("without "+name, want)
		w.start(name)
		w.wait(name+" is back", is(smap.Up))
	}
}

// The number of copies of a bucket is changed while clients read and write: no read fails,
// afterwards each payload is on as many nodes as was asked for, and with one away all is
// there if there are two.
func TestCopiesAreChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.found("a", "b", "c")
	w.create(1)
	want := w.fill(11, 150)
	load := w.begin(12, 2)
	for i, copies := range []int{2, 3, 1, 2} {
		w.recount([]string{"a", "b", "c"}[i%3], copies)
		w.wait(fmt.Sprintf("there are %d copies", copies), func() bool { return w.recounted(copies) })
	}
	load.end(want)
	w.same("afterwards", want)
	w.wait("nothing is missing or left over", func() bool { return w.settledDown(2) })
	w.without(want, "a", "b", "c")
}

// A change of copies that is under way is taken back, and leaves nothing behind. While it is
// under way, another one is refused.
func TestChangeOfCopiesIsTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.found("a", "b")
	w.create(1)
	want := w.fill(13, 800) // of so many some are left in each run of slots once the plan is held
	release := w.holdPlans()
	w.recount("a", 2)
	w.wait("a plan begins", func() bool { return w.plan("a") != nil && w.plan("b") != nil })
	doc, err := w.nodes["b"].Gateway().Bucket(bucket)
	if err != nil || doc.Props.Owners() != 1 || doc.Next == nil || doc.Next.Copies != 2 {
		t.Fatalf("under the plan: %v, %+v", err, doc)
	}
	props := doc.Props
	if _, err := w.nodes["b"].Gateway().SetBucketProps(t.Context(), bucket, props); !errs.Is(errs.Conflict, err) {
		t.Fatalf("it was taken back beside the plan: %v", err)
	}
	props = doc.Wanted()
	props.HideWrites = true // anything else can be changed
	w.wait("it is changed otherwise", func() bool {
		_, err := w.nodes["b"].Gateway().SetBucketProps(t.Context(), bucket, props)
		if err != nil && !errs.Is(errs.Busy, err) { // while the change before is ending
			t.Fatal(err)
		}
		return err == nil
	})
	if w.plan("a").Switched > 0 {
		t.Fatal("slots have gone over already: the test says nothing")
	}
	w.ask("b", member.Request{Kind: member.RequestCancel})
	w.wait("it is taken back", func() bool { return w.recounted(1) })
	w.same("afterwards", want)
	w.wait("nothing is left over", func() bool { return w.settledDown(1) })
	release()
	w.recount("b", 2)
	w.wait("there are two copies", func() bool { return w.recounted(2) })
	w.wait("nothing is missing", func() bool { return w.settledDown(2) })
	w.without(want, "a", "b")
	if doc, err = w.nodes["a"].Gateway().Bucket(bucket); err != nil || !doc.Props.HideWrites {
		t.Errorf("another property was lost on the way: %v, %+v", err, doc)
	}
}

// Nodes die while copies are changed, and who leads, too: it goes on when they are back, or
// without one where enough others have what is written.
func TestCopiesAreChangedDespiteDeaths(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.found("a", "b", "c")
	w.create(2)
	want := w.fill(14, 200)
	for i, copies := range []int{3, 2} {
		release := w.holdPlans()
		w.recount("b", copies)
		w.wait("a plan begins", func() bool { return w.plan("a") != nil && w.plan("b") != nil && w.plan("c") != nil })
		names := []string{"a", "b", "c"}
		w.without(want, names[i], names[i+1])
		// To fewer copies nothing is copied that could be held, and one node may be away.
		if copies == 3 && w.plan("a") == nil {
			t.Fatal("the plan ended without nodes: the test says nothing")
		}
		release()
		w.wait("there are so many copies", func() bool { return w.recounted(copies) })
		w.same("afterwards", want)
		w.wait("nothing is missing or left over", func() bool { return w.settledDown(copies) })
	}
	w.without(want, "a", "b", "c")
}

// A bucket that is destroyed while its copies are changed takes nothing with it, and leaves
// nothing in the map.
func TestDestroyedWhileCopiesAreChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.found("a", "b")
	w.create(1)
	w.fill(15, 40)
	release := w.holdPlans()
	w.recount("a", 2)
	w.wait("a plan begins", func() bool { return w.plan("a") != nil && w.plan("b") != nil })
	if err := w.nodes["b"].Gateway().DestroyBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	release()
	w.wait("the map has no count", func() bool {
		for _, n := range w.running() {
			if v := n.Cluster(); v.Plan != nil || len(v.Map.Counts()) > 0 {
				return false
			}
		}
		return true
	})
	w.create(2)
	doc, err := w.nodes["a"].Gateway().Bucket(bucket)
	if err != nil || doc.Next != nil || doc.Props != (objects.BucketProps{Copies: 2}) {
		t.Fatalf("%v, %+v", err, doc)
	}
	want := w.fill(16, 40)
	w.wait("nothing is missing or left over", func() bool { return w.settledDown(2) })
	w.same("afterwards", want)
}
