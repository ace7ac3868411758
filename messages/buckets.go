package messages

import (
	"sort"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
)

// BucketSet is the live buckets of the cluster as a node knows them: an
// immutable snapshot, read on every request.
type BucketSet struct {
	ordered []*BucketView
	byName  map[string]*BucketView
	byID    map[objects.BucketID]*BucketView
}

// BucketView is one live bucket: its document and its actor on this node.
type BucketView struct {
	Doc   *objects.BucketDoc
	Actor *actor.PID
}

// NewBucketSet makes a snapshot of the views.
func NewBucketSet(views []*BucketView) *BucketSet {
	s := &BucketSet{ordered: append([]*BucketView(nil), views...), byName: make(map[string]*BucketView, len(views)), byID: make(map[objects.BucketID]*BucketView, len(views))}
	sort.Slice(s.ordered, func(i, j int) bool { return s.ordered[i].Doc.Name < s.ordered[j].Doc.Name })
	for _, v := range s.ordered {
		s.byName[v.Doc.Name], s.byID[v.Doc.ID] = v, v
	}
	return s
}

// Find returns the bucket of that name, or nil.
func (s *BucketSet) Find(name string) *BucketView { return s.byName[name] }

// Placing is what placement must know of a key, by the document of its bucket; one that the
// node does not know, or no more, has one owner unless a map says otherwise. Of nil none
// is known.
func (s *BucketSet) Placing(key objects.Key) smap.Key {
	if s != nil {
		if view := s.byID[key.Bucket.ID]; view != nil {
			return Placing(view.Doc, key.Digest())
		}
	}
	return smap.Key{Digest: key.Digest(), Bucket: key.Bucket.ID, Owners: 1}
}

// All returns the buckets ordered by name; only to be read.
func (s *BucketSet) All() []*BucketView { return s.ordered }

// With returns a snapshot that has the view, in place of one of the same name.
func (s *BucketSet) With(view *BucketView) *BucketSet {
	views := []*BucketView{view}
	for _, v := range s.ordered {
		if v.Doc.Name != view.Doc.Name {
			views = append(views, v)
		}
	}
	return NewBucketSet(views)
}

// Without returns a snapshot that lacks the name.
func (s *BucketSet) Without(name string) *BucketSet {
	var views []*BucketView
	for _, v := range s.ordered {
		if v.Doc.Name != name {
			views = append(views, v)
		}
	}
	return NewBucketSet(views)
}

// CreateBucket makes a bucket. Sent by the gateway to the buckets coordinator;
// answered by its document once every mountpath present has it, or by a failure
// (Exists).
type CreateBucket struct {
	Name  string
	Props objects.BucketProps
	Reply Reply[*objects.BucketDoc]
}

// Fail implements Failer.
func (m *CreateBucket) Fail(err error) { m.Reply.Fail(err) }

// AdoptBuckets has a node use documents that the nodes of its cluster agreed on, which
// are on its disks. Sent by the cluster's membership to the buckets coordinator; answered
// once requests see them.
type AdoptBuckets struct {
	Docs  []*objects.BucketDoc // nobody changes them
	Reply Reply[struct{}]
}

// Fail implements Failer.
func (m *AdoptBuckets) Fail(err error) { m.Reply.Fail(err) }

// DestroyBucket removes a bucket. Sent by the gateway to the buckets coordinator;
// answered when it is gone for good, or by a failure (NotFound; Conflict if it is
// not empty, unless WithObjects).
type DestroyBucket struct {
	Name string
	// WithObjects destroys what is in the bucket too. Once that has begun, the
	// bucket is gone for clients, and a restart of the node finishes it.
	WithObjects bool
	Reply       Reply[struct{}]
}

// Fail implements Failer.
func (m *DestroyBucket) Fail(err error) { m.Reply.Fail(err) }

// SetBucketProps replaces the properties of a bucket. Sent by the gateway to the
// buckets coordinator; answered by the new document.
type SetBucketProps struct {
	Name  string
	Props objects.BucketProps
	Reply Reply[*objects.BucketDoc]
}

// Fail implements Failer.
func (m *SetBucketProps) Fail(err error) { m.Reply.Fail(err) }
