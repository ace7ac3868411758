package embedded

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// shelf is a mountpath's documents in memory.
type shelf struct {
	name   string
	docs   map[string][]byte
	writes int   // until broken; negative: never
	broken error // what writes answer then
}

func newShelf(name string) *shelf { return &shelf{name: name, docs: map[string][]byte{}, writes: -1} }

func (s *shelf) String() string { return s.name }

func (s *shelf) ID() string { return s.name }

func (s *shelf) Read(name string) ([]byte, error) {
	if content, ok := s.docs[name]; ok {
		return content, nil
	}
	return nil, errs.E("shelf.Read", name, errs.NotFound)
}

func (s *shelf) Write(name string, content []byte) error {
	if s.writes == 0 {
		return s.broken
	}
	s.writes--
	s.docs[name] = content
	return nil
}

func (s *shelf) List(dir string) ([]string, error) {
	var names []string
	for name := range s.docs {
		if len(name) > len(dir) && name[:len(dir)+1] == dir+"/" {
			names = append(names, name[len(dir)+1:])
		}
	}
	return names, nil
}

func (s *shelf) Remove(name string) error {
	delete(s.docs, name)
	return nil
}

// node is a few shelves that are started again and again.
type node struct {
	t       *testing.T
	shelves []*shelf
}

func newNode(t *testing.T, shelves int) *node {
	n := &node{t: t}
	for i := range shelves {
		n.shelves = append(n.shelves, newShelf(fmt.Sprintf("d%d", i)))
	}
	return n
}

func (n *node) start(present ...*shelf) *Documents {
	n.t.Helper()
	var all []Shelf
	var mountpaths []Mountpath
	for _, s := range present {
		all = append(all, s)
		mountpaths = append(mountpaths, Mountpath{ID: s.name, Path: "/" + s.name})
	}
	d, err := Open(all)
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := d.Begin(all, mountpaths); err != nil {
		n.t.Fatal(err)
	}
	return d
}

func bucketNamed(name string) *objects.BucketDoc {
	doc := &objects.BucketDoc{Bucket: objects.Bucket{Provider: "ais", Name: name}, Version: 1, State: objects.BucketLive}
	copy(doc.ID[:], name+"--------")
	return doc
}

// A node keeps its identity and its buckets over a start, and its start counter
// grows with each, also past one that only a minority saw.
func TestIdentityBucketsAndStartCounterOutliveAStart(t *testing.T) {
	n := newNode(t, 3)
	d := n.start(n.shelves...)
	first := d.Node()
	if err := d.PutBucket(bucketNamed("photos")); err != nil {
		t.Fatal(err)
	}
	alone := n.start(n.shelves[0]).Node() // only one mountpath is there for once
	second := n.start(n.shelves...)
	if second.Node().NodeID != first.NodeID || second.Node().ClusterID != first.ClusterID {
		t.Fatalf("the node is another one: %+v, was %+v", second.Node(), first)
	}
	if !(first.Start < alone.Start && alone.Start < second.Node().Start) {
		t.Fatalf("start counters %d, %d, %d do not grow", first.Start, alone.Start, second.Node().Start)
	}
	if docs := second.Buckets(); len(docs) != 1 || docs[0].Name != "photos" {
		t.Fatalf("buckets %v", docs)
	}
}

// A change that reached all mountpaths counts for ever; one that a crash
// interrupted counts as one or the other, and for all of them alike.
func TestAnInterruptedChangeIsDecidedByMajority(t *testing.T) {
	for reached := range 5 { // how many of four mountpaths the change reached
		n := newNode(t, 4)
		d := n.start(n.shelves...)
		doc := bucketNamed("photos")
		if err := d.PutBucket(doc); err != nil {
			t.Fatal(err)
		}
		gone := *doc
		gone.Version, gone.State = 2, objects.BucketDestroyed
		for i, s := range n.shelves {
			if i >= reached {
				s.writes, s.broken = 0, errors.New("power is gone")
			}
		}
		err := d.PutBucket(&gone)
		if (err == nil) != (reached == 4) {
			t.Fatalf("reached %d: %v", reached, err)
		}
		for _, s := range n.shelves {
			s.writes = -1
		}
		docs := n.start(n.shelves...).Buckets()
		if len(docs) != 1 {
			t.Fatalf("reached %d: %d documents", reached, len(docs))
		}
		if happened := docs[0].State == objects.BucketDestroyed; happened != (reached > 2) {
			t.Errorf("reached %d of 4: the bucket is %s", reached, docs[0].State)
		}
		for _, s := range n.shelves[1:] {
			if !maps.EqualFunc(s.docs, n.shelves[0].docs, func(a, b []byte) bool { return string(a) == string(b) }) {
				t.Errorf("reached %d: mountpaths still differ after a start", reached)
			}
		}
	}
}

// A bucket that was never acknowledged and reached a minority is not there.
func TestACreationThatReachedAMinorityNeverHappened(t *testing.T) {
	n := newNode(t, 3)
	d := n.start(n.shelves...)
	for _, s := range n.shelves[1:] {
		s.writes, s.broken = 0, errors.New("power is gone")
	}
	if err := d.PutBucket(bucketNamed("photos")); err == nil {
		t.Fatal("a creation that failed on two of three mountpaths was acknowledged")
	}
	for _, s := range n.shelves {
		s.writes = -1
	}
	if docs := n.start(n.shelves...).Buckets(); len(docs) != 0 {
		t.Fatalf("buckets %v", docs)
	}
}

// Two changes of one version: the second is told that it came late.
func TestChangesFollowOneAnother(t *testing.T) {
	n := newNode(t, 1)
	d := n.start(n.shelves...)
	doc := bucketNamed("photos")
	if err := d.PutBucket(doc); err != nil {
		t.Fatal(err)
	}
	if err := d.PutBucket(doc); !errs.Is(errs.Conflict, err) {
		t.Fatalf("the same version again: %v, want a conflict", err)
	}
	if err := d.Forget(doc.ID); !errs.Is(errs.Conflict, err) {
		t.Fatalf("a live bucket was forgotten: %v", err)
	}
	gone := *doc
	gone.Version, gone.State = 2, objects.BucketDestroyed
	if err := d.PutBucket(&gone); err != nil {
		t.Fatal(err)
	}
	if err := d.Forget(doc.ID); err != nil {
		t.Fatal(err)
	}
	if docs := n.start(n.shelves...).Buckets(); len(docs) != 0 {
		t.Fatalf("a forgotten bucket is back: %v", docs)
	}
}

// A damaged copy does not hide the others; where all are damaged the start fails
// and says which.
func TestADamagedCopyIsOutvoted(t *testing.T) {
	n := newNode(t, 3)
	id := n.start(n.shelves...).Node().NodeID
	n.shelves[1].docs[nodeDocument] = []byte("{")
	if again := n.start(n.shelves...).Node(); again.NodeID != id || again.Start < startJump {
		t.Fatalf("with one copy of three damaged the node is %+v, was %s", again, id)
	}
	n.shelves[1].docs[nodeDocument] = []byte("{")
	n.shelves[0].docs[nodeDocument], n.shelves[2].docs[nodeDocument] = []byte("{"), []byte("{")
	var all []Shelf
	for _, s := range n.shelves {
		all = append(all, s)
	}
	if _, err := Open(all); !errs.Is(errs.Corrupt, err) {
		t.Fatalf("every copy is damaged: %v, want corrupt", err)
	}
}
