package member_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// counting has the nodes ask of plans what the buckets on a node's shelf ask for.
func (w *world) counting(id smap.NodeID) {
	w.rule = func() member.Rule {
		rule := member.Rule{Copies: 1}
		n := w.nodes[id]
		for _, doc := range n.shelf.Buckets() {
			if doc.State == objects.BucketDestroyed {
				continue
			}
			copies := doc.Props.Owners()
			if v := n.view.Load(); v != nil && v.Map != nil {
				copies = v.Map.Least(messages.Placing(doc, 0))
			}
			rule.Buckets = append(rule.Buckets, member.Protection{Doc: doc, Copies: copies})
		}
		slices.SortFunc(rule.Buckets, func(a, b member.Protection) int { return int(a.Doc.ID[0]) - int(b.Doc.ID[0]) })
		return rule
	}
}

// change puts a document at a node, while time passes.
func (w *world) change(id smap.NodeID, doc *objects.BucketDoc) error {
	w.t.Helper()
	put := make(chan error, 1)
	go func() { put <- w.nodes[id].buckets.PutBucket(doc) }()
	var err error
	w.wait("an answer to a change of a bucket", func() bool {
		select {
		case err = <-put:
			return true
		default:
			return false
		}
	})
	return err
}

// have is the document of a bucket as a node has it on its disks.
func (w *world) have(id smap.NodeID, bucket byte) *objects.BucketDoc {
	n := w.nodes[id]
	n.shelf.mu.Lock()
	defer n.shelf.mu.Unlock()
	return n.shelf.docs[objects.BucketID{bucket}]
}

// wanted is the document by which another number of copies is asked for.
func wanted(doc *objects.BucketDoc, copies int) *objects.BucketDoc {
	props := doc.Props
	props.Copies = copies
	return doc.With(props)
}

// all reports whether the map of every node that runs is as wanted.
func (w *world) all(is func(*smap.Smap) bool) bool {
	for _, n := range w.nodes {
		if n.system != nil && (n.view.Load().Map == nil || !is(n.view.Load().Map)) {
			return false
		}
	}
	return true
}

// Another number of copies that is asked for comes by a plan, and the document follows once
// it has ended; meanwhile and until then nothing else may be asked for.
func TestRecount(t *testing.T) {
	run(t, func(w *world) {
		w.counting("a")
		w.filled("a", "b")
		doc := bucketDoc("photos", 1, 1)
		if err := w.change("a", wanted(doc, 5)); !errs.Is(errs.Conflict, err) {
			t.Errorf("five copies on two nodes, of which three are to have a write: %v", err)
		}
		must(t, w.change("b", wanted(doc, 2)))
		w.wait("a plan begins", func() bool { return w.all(planned) })
		doc = w.have("b", 1)
		if err := w.change("b", wanted(doc, 1)); !errs.Is(errs.Conflict, err) {
			t.Errorf("it was taken back beside the plan: %v", err)
		}
		other := *doc
		other.Version++
		other.Props.HideWrites = true
		must(t, w.change("a", &other)) // control: what is not about copies
		w.walks(512)
		w.wait("the document says it", func() bool {
			doc = w.have("b", 1)
			return doc.Props.Owners() == 2 && doc.Next == nil && w.all(func(m *smap.Smap) bool { return !planned(m) && len(m.Counts()) == 1 })
		})
		if !doc.Props.HideWrites {
			t.Error("another property was lost on the way")
		}
	})
}

// A bucket that is destroyed leaves no count in the map: neither that of the plan under way,
// nor where other buckets are changed meanwhile and all nodes start again. Until no node has
// anything of it, the count stays.
func TestCountOfDestroyedBucket(t *testing.T) {
	run(t, func(w *world) {
		w.counting("a")
		w.filled("a", "b", "c")
		must(t, w.change("a", bucketDoc("videos", 2, 1)))
		must(t, w.change("a", wanted(bucketDoc("photos", 1, 1), 2)))
		w.wait("a plan begins", func() bool { return w.all(planned) })
		id := objects.BucketID{1}
		counted := func(m *smap.Smap) bool { return m.HasCount(id) }
		w.nodes["c"].shelf.keep(true)
		must(t, w.change("b", next(w.have("b", 1), objects.BucketDestroyed)))
		must(t, w.change("a", next(bucketDoc("videos", 2, 1), objects.BucketLive)))
		w.let(time.Minute)
		if !w.all(counted) {
			t.Error("the map has forgotten the count of a bucket that a node still has")
		}
		if err := w.change("a", bucketDoc("photos", 3, 1)); !errs.Is(errs.Busy, err) {
			t.Errorf("another bucket of the name, while c has data of it: %v", err)
		}
		for _, n := range w.nodes {
			n.kill()
		}
		w.start("a", "b", "c")
		w.wait("all are back", func() bool { return w.agree("a up, b up, c up") })
		w.nodes["c"].shelf.keep(false)
		w.wait("the map has no count", func() bool {
			return w.all(func(m *smap.Smap) bool { return !counted(m) }) && !w.document(t, w.keys().Destroyed(id)).Exists()
		})
		w.walks(512)
		w.wait("the plan ends", func() bool { return w.all(func(m *smap.Smap) bool { return !planned(m) }) })
		if w.all(counted) {
			t.Error("the plan has left a count of a destroyed bucket")
		}
		must(t, w.change("a", bucketDoc("photos", 3, 1)))
	})
}

// Who leads stops at once though a document waits for a node that does not adopt it, and
// whoever leads then has it adopted.
func TestLeaderStopsWhileDocumentWaits(t *testing.T) {
	run(t, func(w *world) {
		w.counting("a")
		w.filled("a", "b", "c")
		w.walks(512)
		leader := w.leader()
		late := w.anyBut(leader)
		must(t, w.change("a", wanted(bucketDoc("photos", 1, 1), 2)))
		w.wait("the plan begins", func() bool { return w.all(planned) })
		w.nodes[late].shelf.setFail(errors.New("the disk is full"))
		w.wait("a document says it", func() bool { return w.have(leader, 1).Props.Owners() == 2 })
		w.nodes[leader].kill() // fails if it takes long
		w.nodes[late].shelf.setFail(nil)
		w.start(leader)
		w.wait("all say it", func() bool {
			return !slices.ContainsFunc(w.order, func(id smap.NodeID) bool { return w.have(id, 1).Props.Owners() != 2 })
		})
	})
}

// A plan for other copies does not begin before all nodes that are up know of them.
func TestRecountWaitsForDocuments(t *testing.T) {
	run(t, func(w *world) {
		w.counting("a")
		w.filled("a", "b", "c")
		late := w.anyBut(w.leader())
		w.nodes[late].shelf.setFail(errors.New("the disk is full"))
		if err := w.change("a", wanted(bucketDoc("photos", 1, 1), 2)); !errors.Is(err, objects.ErrOutcomeUnknown) && !errs.Is(errs.Offline, err) {
			t.Errorf("%s has not adopted it: %v", late, err)
		}
		w.let(time.Minute)
		if w.all(planned) {
			t.Errorf("a plan began, and %s does not know why", late)
		}
		w.nodes[late].shelf.setFail(nil)
		w.wait("a plan begins", func() bool { return w.all(planned) })
	})
}

// A plan for copies whose bucket was destroyed is canceled as such: what else is wanted stays.
func TestCancelAfterDestruction(t *testing.T) {
	run(t, func(w *world) {
		w.counting("a")
		w.filled("a", "b")
		must(t, w.change("a", bucketDoc("videos", 2, 1)))
		must(t, w.change("a", wanted(bucketDoc("photos", 1, 1), 2)))
		w.wait("a plan begins", func() bool { return w.all(planned) })
		w.want("a", member.Request{Kind: member.RequestDrain, Node: "b"}, 0)
		must(t, w.change("b", next(w.have("b", 1), objects.BucketDestroyed)))
		w.wait("its count is forgotten", func() bool {
			return w.all(func(m *smap.Smap) bool { return !m.HasCount(objects.BucketID{1}) })
		})
		if !w.all(planned) {
			t.Fatal("the plan has ended: the test says nothing")
		}
		w.want("a", member.Request{Kind: member.RequestCancel}, 0)
		w.wait("b is drained still", func() bool {
			return w.all(func(m *smap.Smap) bool { next, _ := m.Next(); return slices.Equal(next.Placement, []smap.NodeID{"a"}) })
		})
	})
}

// A plan is not canceled beside the destruction of its bucket, which counts on the document.
func TestCancelBesideDestruction(t *testing.T) {
	run(t, func(w *world) {
		w.counting("a")
		w.filled("a", "b")
		must(t, w.change("a", wanted(bucketDoc("photos", 1, 1), 2)))
		w.wait("a plan begins", func() bool { return w.all(planned) })
		must(t, w.change("b", next(w.have("b", 1), objects.BucketDeleting)))
		w.want("b", member.Request{Kind: member.RequestCancel}, errs.Busy)
		must(t, w.change("b", next(w.have("b", 1), objects.BucketLive)))
		w.want("b", member.Request{Kind: member.RequestCancel}, 0)
		w.wait("it is taken back", func() bool {
			doc := w.have("a", 1)
			return doc.Next == nil && doc.Props.Owners() == 1 && w.all(func(m *smap.Smap) bool { return !planned(m) && !m.HasCount(doc.ID) })
		})
	})
}
