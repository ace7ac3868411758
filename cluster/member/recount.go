package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// A bucket gets another number of copies in these steps, each written by compare-and-set:
//
//	asked   its document has Next: who changes its properties writes it (PutBucket)
//	begun   a plan of the map gives its keys their next owners, slot by slot
//	ended   the map has the count from now on, whatever the document says
//	told    the document says it, too, for people and for who founds another cluster
//	gone    once no node knows the bucket, destroyed, any more, the map has no count of it
//
// So a key has its owners by the map alone, and nobody who still has an older document in his
// hands takes others for them. From begun to ended the document keeps its copies and Next:
// who writes it looks at the map, and who begins a plan at the document. Canceled before a
// slot has gone over, the plan goes, and Next with it.

// maxRecounts is of how many buckets one plan changes the copies: each is a document of the
// same transaction.
const maxRecounts = 16

var (
	errRecounting = errors.New("a plan is under way that changes its copies: cancel it (troupe cluster plan cancel), or ask again when it has ended")
	errRecounted  = errors.New("its copies have just been changed, and its document does not say so yet: ask again in a moment")
	errCopies     = errors.New("copies are changed by a plan")
	errNoCount    = errors.New("the cluster keeps count of as many buckets whose copies were changed as it can: make another bucket with so many copies, and copy what is in this one")
	errDestroying = errors.New("it is being destroyed: ask again in a moment")
)

// judgeCopies says why a document may not follow another one with other copies under a map.
func judgeCopies(m *smap.Smap, have, doc *objects.BucketDoc) error {
	const op errs.Op = "member.judgeCopies"
	next, _ := m.Next()
	copies := doc.Props.Owners()
	made := countOf(m.Counts(), doc.ID)
	switch {
	case countOf(next.Counts, doc.ID) != 0:
		return errs.E(op, doc.Bucket, errs.Conflict, errRecounting)
	case made != 0 && copies != made:
		return errs.E(op, doc.Bucket, errs.Busy, errRecounted)
	case made == 0 && copies != have.Props.Owners():
		return errs.E(op, doc.Bucket, errs.Conflict, errCopies)
	case doc.Next != nil && !m.MayCount(doc.ID):
		return errs.E(op, doc.Bucket, errs.Conflict, errNoCount)
	}
	if least, nodes := doc.Wanted().LeastCopies(), len(m.Placement()); doc.Next != nil && least > nodes && least > have.Props.LeastCopies() {
		return errs.E(op, doc.Bucket, errs.Conflict, fmt.Errorf("a write would have to be on %d nodes (min_copies), and keys live on %d: none could be acknowledged", least, nodes))
	}
	return nil
}

// sameCopies reports whether two documents say the same of copies, those to come among them.
func sameCopies(a, b *objects.BucketDoc) bool {
	return a.Props.Owners() == b.Props.Owners() && (a.Next == b.Next || a.Next != nil && b.Next != nil && *a.Next == *b.Next)
}

// countOf is the count of a bucket in a list; 0: it has none.
func countOf(list []smap.Count, id objects.BucketID) int {
	for _, c := range list {
		if c.Bucket == id {
			return c.Owners
		}
	}
	return 0
}

// recounting begins a plan for buckets that are to have other copies. It is asked for by
// who changes them: also where plans are manual.
func (e evidence) recounting() decision {
	var d decision
	var counts []smap.Count
	var ids []objects.BucketID
	var text []string
	for _, bucket := range e.rule().Buckets {
		doc := bucket.Doc
		if doc.Next == nil || doc.State != objects.BucketLive || len(counts) == maxRecounts || !e.current.MayCount(append(ids, doc.ID)...) {
			continue
		}
		if now, _ := e.current.Owners(messages.Placing(doc, 0)); now == doc.Next.Copies {
			continue // it is made, and the document does not say so yet
		}
		ids = append(ids, doc.ID)
		counts = append(counts, smap.Count{Bucket: doc.ID, Owners: doc.Next.Copies})
		text = append(text, fmt.Sprintf("%s gets %d copies", doc.Name, doc.Next.Copies))
		d.expects = append(d.expects, doc)
	}
	if len(counts) > 0 {
		d.change = func(c *smap.Change) { c.Begin(e.current.Placement(), counts...) }
		d.reasons = []string{"a plan begins: " + strings.Join(text, ", ")}
	}
	return d
}

// unrecounted cancels a plan that changes copies: its buckets keep what they have. Busy: who
// destroys one of them counts on its document.
func (e evidence) unrecounted(counts []smap.Count) (decision, error) {
	d := decision{change: func(c *smap.Change) { c.Cancel() }}
	text := []string{"the plan is canceled"}
	for _, bucket := range e.rule().Buckets {
		doc := bucket.Doc
		if countOf(counts, doc.ID) == 0 {
			continue
		}
		if doc.State != objects.BucketLive {
			return decision{}, errs.E("member.unrecounted", doc.Bucket, errs.Busy, errDestroying)
		}
		d.expects = append(d.expects, doc)
		d.rewrites = append(d.rewrites, doc.With(doc.Props))
		text = append(text, fmt.Sprintf("%s keeps %d copies", doc.Name, doc.Props.Owners()))
	}
	d.reasons = []string{strings.Join(text, "; ")}
	return d, nil
}

// forgetting has the map forget the counts of buckets that are destroyed, once no node knows
// them any more: who still had the bucket would take others for the owners of its keys.
func (e evidence) forgetting() decision {
	next, _ := e.current.Next()
	var gone []objects.BucketID
	for _, count := range append(e.current.Counts(), next.Counts...) {
		if e.forgotten != nil && e.forgotten(count.Bucket) && !slices.Contains(gone, count.Bucket) {
			gone = append(gone, count.Bucket)
		}
	}
	if len(gone) == 0 {
		return decision{}
	}
	return decision{
		change: func(c *smap.Change) {
			for _, id := range gone {
				c.Forget(id)
			}
		},
		reasons: []string{fmt.Sprintf("%d buckets are destroyed of which the map had counts", len(gone))},
	}
}

// planCopies is what a plan says of buckets, by their names.
func planCopies(counts []smap.Count, buckets []Protection) (list []messages.PlanCopies) {
	for _, count := range counts {
		c := messages.PlanCopies{Bucket: count.Bucket.String(), To: count.Owners}
		for _, bucket := range buckets {
			if bucket.Doc.ID == count.Bucket {
				c.Bucket, c.From = bucket.Doc.Name, bucket.Doc.Props.Owners()
			}
		}
		list = append(list, c)
	}
	return list
}

// expect reads documents of buckets that are to be as the leader knows them, and returns the
// conditions that they stay so; not the same: they are others by now.
func (w writing) expect(ctx context.Context, docs []*objects.BucketDoc) (read []cluster.Document, same bool, err error) {
	for _, want := range docs {
		was, err := w.store.Get(ctx, w.keys.Bucket(want.Bucket))
		if err != nil {
			return nil, false, err
		}
		var have objects.BucketDoc
		if was.Exists() {
			if err := json.Unmarshal(was.Value, &have); err != nil {
				return nil, false, errs.E("member.expect", was.Key, errs.Corrupt, err)
			}
		}
		if have.ID != want.ID || have.Version != want.Version {
			return nil, false, nil
		}
		read = append(read, was)
	}
	return read, true, nil
}

// documents returns the conditions that the documents that a decision expects are there, and
// what it writes in their place. Version is the map's small companion.
func (w writing) documents(ctx context.Context, d decision, version cluster.Document) (also []cluster.Write, same bool, err error) {
	read, same, err := w.expect(ctx, d.expects)
	if err != nil || !same {
		return nil, same, err
	}
	small, err := w.store.Get(ctx, w.keys.BucketsVersion())
	if err != nil {
		return nil, false, err
	}
	if len(d.rewrites) == 0 {
		for _, doc := range read {
			also = append(also, doc.Unchanged())
		}
		same, err := w.buckets.isAdopted(small)
		return also, same, err
	}
	var names []string
	for i, doc := range d.rewrites {
		text, err := json.Marshal(doc)
		if err != nil {
			return nil, false, err
		}
		also, names = append(also, read[i].Put(text)), append(names, doc.Name)
	}
	next, err := w.buckets.following(small, version, names...)
	if err != nil {
		return nil, false, err
	}
	line, err := json.Marshal(next)
	return append(also, small.Put(line)), true, err
}

// isAdopted reports whether all nodes that are up have adopted the documents of buckets as they
// are. Who does not know that a bucket is to have other copies takes what it loses with a disk
// for absent.
func (b *Buckets) isAdopted(small cluster.Document) (bool, error) {
	var agreed bucketsDocument
	if small.Exists() {
		if err := json.Unmarshal(small.Value, &agreed); err != nil {
			return false, errs.E("member.isAdopted", small.Key, errs.Corrupt, err)
		}
	}
	late := b.late(agreed.Version)
	if len(late) > 0 {
		b.Log.WithField("late", late).Debug("a plan for other copies waits for nodes that do not know of them yet")
	}
	return len(late) == 0, nil
}

// documented says that documents of buckets were written, or why not. Sent by a task.
type documented struct{ err error }

// document has documents of buckets say which copies plans have made, if this node leads.
func (m *member) document(ctx actor.Context) {
	current := m.held.current
	if current == nil || m.Buckets == nil || m.documenting || m.now() < m.documentRetry || m.lead == nil || !m.lead.Held() || len(current.Counts()) == 0 {
		return
	}
	var late []*objects.BucketDoc
	for _, bucket := range m.Rule().Buckets {
		if made := countOf(current.Counts(), bucket.Doc.ID); made != 0 && bucket.Doc.State == objects.BucketLive && bucket.Doc.Behind(made) {
			late = append(late, bucket.Doc.Recopied(made))
		}
	}
	if len(late) == 0 {
		return
	}
	m.documenting = true
	buckets := m.Buckets
	m.task(ctx, "document", func(ctx context.Context) any {
		var failures []error
		for _, doc := range late {
			failures = append(failures, buckets.putBucket(ctx, doc))
		}
		return &documented{errors.Join(failures...)}
	}, func(err error) any { return &documented{err} })
}

func (m *member) onDocumented(msg *documented) {
	m.documenting = false
	if msg.err != nil {
		// The map does not wait for them.
		m.documentRetry = m.now() + retryAfter
		m.System.Log().WithError(msg.err).Debug("documents of buckets do not say yet which copies a plan has made")
	}
}
