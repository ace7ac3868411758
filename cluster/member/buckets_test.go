package member_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// shelf keeps documents of buckets in memory, and what requests see.
type shelf struct {
	mu    sync.Mutex
	docs  map[objects.BucketID]*objects.BucketDoc
	shown map[string]uint64 // versions by name
	fail  error
	keeps bool                      // what is destroyed is not dropped
	drop  func(id objects.BucketID) // tells that there is nothing of a bucket any more
}

// Forget implements member.BucketShelf.
func (s *shelf) Forget(id objects.BucketID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.docs, id)
	return nil
}

// state is that of a bucket's document on the disks; empty: there is none.
func (s *shelf) state(id byte) objects.BucketState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.docs[objects.BucketID{id}]; d != nil {
		return d.State
	}
	return ""
}

// keep has what is destroyed stay, or go.
func (s *shelf) keep(keeps bool) {
	s.mu.Lock()
	s.keeps = keeps
	var gone []objects.BucketID
	for id, d := range s.docs {
		if d.State == objects.BucketDestroyed && !keeps {
			gone = append(gone, id)
		}
	}
	s.mu.Unlock()
	for _, id := range gone {
		s.drop(id)
	}
}

// Buckets implements member.BucketShelf.
func (s *shelf) Buckets() []*objects.BucketDoc {
	s.mu.Lock()
	defer s.mu.Unlock()
	var docs []*objects.BucketDoc
	for _, d := range s.docs {
		docs = append(docs, d)
	}
	return docs
}

// AdoptBucket implements member.BucketShelf.
func (s *shelf) AdoptBucket(doc *objects.BucketDoc) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	if have := s.docs[doc.ID]; have == nil || have.Version < doc.Version {
		s.docs[doc.ID] = doc
	}
	return nil
}

func (s *shelf) show(docs []*objects.BucketDoc) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range docs {
		if s.docs[d.ID] == nil || s.docs[d.ID].Version < d.Version {
			return errors.New("it is shown before it is on the disks")
		}
		s.shown[d.Name] = max(s.shown[d.Name], d.Version)
		if d.State == objects.BucketDestroyed {
			delete(s.shown, d.Name)
			if !s.keeps {
				s.drop(d.ID)
			}
		}
	}
	return nil
}

func (s *shelf) version(name string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown[name]
}

func (s *shelf) setFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func newShelf() *shelf {
	return &shelf{docs: make(map[objects.BucketID]*objects.BucketDoc), shown: make(map[string]uint64)}
}

// bucketsOf makes the documents that a node follows.
func (n *node) bucketsOf(t *testing.T, log *logrus.Entry) *member.Buckets {
	b, err := member.NewBuckets(member.BucketsConfig{
		Provider: n.provider, ClusterID: clusterID, Shelf: n.shelf, View: n.view.Load, Adopted: n.shelf.show, Clock: clock.NewSystem(), Log: log,
	})
	must(t, err)
	n.shelf.drop = func(id objects.BucketID) { must(t, b.Forget(id)) }
	return b
}

func bucketDoc(name string, id byte, version uint64) *objects.BucketDoc {
	return &objects.BucketDoc{Bucket: objects.Bucket{ID: objects.BucketID{id}, Provider: objects.ProviderAIS, Name: name}, Version: version, State: objects.BucketLive}
}

// A change is answered once every node that is up has it on its disks and shows it;
// answers that got lost do not make it happen twice.
func TestBucketChange(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		for version := uint64(1); version <= 5; version++ {
			w.provider(func(n *node) { n.provider.Faults().LoseAnswers(int(version % 3)) })
			must(t, w.nodes["a"].buckets.PutBucket(bucketDoc("photos", 1, version)))
			for _, id := range w.order {
				if got := w.nodes[id].shelf.version("photos"); got != version {
					t.Errorf("%s has version %d, answered is %d", id, got, version)
				}
			}
		}
		if err := w.nodes["b"].buckets.PutBucket(bucketDoc("photos", 1, 5)); !errs.Is(errs.Conflict, err) {
			t.Errorf("a change that another one came before: %v", err)
		}
		if err := w.nodes["b"].buckets.PutBucket(bucketDoc("photos", 2, 1)); !errs.Is(errs.Exists, err) {
			t.Errorf("another bucket of that name: %v", err)
		}
	})
}

// A change that a node which is up has not adopted is not answered as done; one that is
// down is not waited for, and has it when it comes back.
func TestBucketChangeWaits(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		w.nodes["b"].shelf.setFail(errors.New("the disk is full"))
		err := w.nodes["a"].buckets.PutBucket(bucketDoc("photos", 1, 1))
		if !errors.Is(err, objects.ErrOutcomeUnknown) || !strings.Contains(fmt.Sprint(err), "[b]") {
			t.Errorf("b has not adopted it: %v", err)
		}
		w.nodes["b"].shelf.setFail(nil)
		w.wait("b adopts it", func() bool { return w.nodes["b"].shelf.version("photos") == 1 })
		w.nodes["b"].kill()
		w.wait("b is down", func() bool { return w.agree("a up, b down, c up") })
		must(t, w.nodes["a"].buckets.PutBucket(bucketDoc("photos", 1, 2)))
		w.start("b")
		w.wait("b has it", func() bool { return w.nodes["b"].shelf.version("photos") == 2 })
	})
}

// Without the provider a change is refused, and says why; nothing of it happens.
func TestBucketChangeProviderAway(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b")
		w.provider(func(n *node) { n.provider.Faults().Cut(true) })
		err := w.nodes["a"].buckets.PutBucket(bucketDoc("photos", 1, 1))
		if !errs.Is(errs.Offline, err) || !strings.Contains(err.Error(), "Consul") {
			t.Errorf("%v", err)
		}
		w.provider(func(n *node) { n.provider.Faults().Cut(false) })
		w.let(time.Minute)
		if w.nodes["b"].shelf.version("photos") != 0 {
			t.Error("what was refused has happened")
		}
		must(t, w.nodes["a"].buckets.PutBucket(bucketDoc("photos", 1, 1)))
	})
}

// Documents that the provider lost are there again once the map is.
func TestBucketsRestored(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		for i, name := range []string{"one", "two", "three"} {
			must(t, w.nodes[w.order[i]].buckets.PutBucket(bucketDoc(name, byte(i+1), 1)))
		}
		w.memory.Wipe()
		w.wait("all are there", func() bool {
			return w.hasMap(t) && !slices.ContainsFunc([]string{"one", "two", "three"}, func(name string) bool {
				return !w.document(t, w.keys().Bucket(bucketDoc(name, 0, 0).Bucket)).Exists()
			})
		})
		must(t, w.nodes["a"].buckets.PutBucket(bucketDoc("one", 1, 2)))
	})
}

// next is the document that follows one, in another state.
func next(doc *objects.BucketDoc, state objects.BucketState) *objects.BucketDoc {
	after := *doc
	after.Version++
	after.State = state
	return &after
}

// A bucket that is destroyed is gone everywhere when that is answered, its name is free,
// and nothing of it stays: not in what is agreed on, nor on the disks.
func TestBucketDestroyed(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		doc := bucketDoc("photos", 1, 1)
		must(t, w.nodes["a"].buckets.PutBucket(doc))
		doc = next(doc, objects.BucketDeleting)
		must(t, w.nodes["b"].buckets.PutBucket(doc))
		gone := next(doc, objects.BucketDestroyed)
		must(t, w.nodes["b"].buckets.PutBucket(gone))
		for _, id := range w.order {
			if got := w.nodes[id].shelf.version("photos"); got != 0 {
				t.Errorf("%s shows version %d of what is destroyed", id, got)
			}
		}
		if w.document(t, w.keys().Bucket(doc.Bucket)).Exists() || w.document(t, w.keys().Destroyed(doc.ID)).Exists() {
			t.Error("something of it is still agreed on")
		}
		if err := w.nodes["a"].buckets.PutBucket(next(gone, objects.BucketLive)); !errors.Is(err, objects.ErrNoSuchBucket) {
			t.Errorf("a change of what is destroyed: %v", err)
		}
	})
}

// A node that was away when a bucket was destroyed learns of it when it comes back, and
// nothing of it comes back with the node. Until then nobody makes another bucket of the
// name.
func TestBucketDestroyedWhileAway(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		doc := bucketDoc("photos", 1, 1)
		must(t, w.nodes["a"].buckets.PutBucket(doc))
		w.nodes["c"].kill()
		w.wait("c is down", func() bool { return w.agree("a up, b up, c down") })
		gone := next(doc, objects.BucketDestroyed)
		must(t, w.nodes["a"].buckets.PutBucket(gone))
		if !w.document(t, w.keys().Destroyed(doc.ID)).Exists() {
			t.Fatal("what c is to learn is not kept")
		}
		err := w.nodes["b"].buckets.PutBucket(bucketDoc("photos", 2, 1))
		if !errs.Is(errs.Busy, err) || !strings.Contains(err.Error(), "c]") {
			t.Errorf("another bucket of the name, while c has data of it: %v", err)
		}
		if err := w.nodes["b"].buckets.PutBucket(gone); err == nil {
			t.Error("it is destroyed twice")
		}
		must(t, w.nodes["b"].buckets.PutBucket(bucketDoc("videos", 3, 1))) // control: other names are free
		w.nodes["c"].shelf.keep(true)
		w.start("c")
		w.wait("c learns of it", func() bool { return w.nodes["c"].shelf.state(1) == objects.BucketDestroyed })
		w.let(time.Minute)
		if !w.document(t, w.keys().Destroyed(doc.ID)).Exists() {
			t.Error("it is forgotten while c has data of it")
		}
		w.nodes["c"].shelf.keep(false)
		w.wait("it is forgotten", func() bool { return !w.document(t, w.keys().Destroyed(doc.ID)).Exists() })
		must(t, w.nodes["c"].buckets.PutBucket(bucketDoc("photos", 2, 1)))
		for _, id := range w.order {
			n := w.nodes[id]
			w.wait(string(id)+" has nothing of it", func() bool { return n.shelf.state(1) == "" && n.shelf.state(2) == objects.BucketLive })
		}
	})
}
