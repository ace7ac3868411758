package bucket

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// agreedDocs is what nodes agree on, and how full they are.
type agreedDocs struct {
	mu      sync.Mutex
	put     []*objects.BucketDoc
	dropped []objects.BucketID
	fail    func(doc *objects.BucketDoc) error // may be nil
	empty   func(doc *objects.BucketDoc) (bool, error)
}

// PutBucket implements Documents.
func (a *agreedDocs) PutBucket(doc *objects.BucketDoc) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail != nil {
		if err := a.fail(doc); err != nil {
			return err
		}
	}
	a.put = append(a.put, doc)
	return nil
}

// Forget implements Documents.
func (a *agreedDocs) Forget(id objects.BucketID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dropped = append(a.dropped, id)
	return nil
}

// Empty implements Cluster.
func (a *agreedDocs) Empty(doc *objects.BucketDoc) (bool, error) { return a.empty(doc) }

// states are those of the documents that were put, in order.
func (a *agreedDocs) states() (list []objects.BucketState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, doc := range a.put {
		list = append(list, doc.State)
	}
	return list
}

// What a node of a cluster does to destroy a bucket, in which order, and how the bucket
// takes writes again where that does not come to its end, whoever began it.
func TestDestroyingInACluster(t *testing.T) {
	live := &objects.BucketDoc{Bucket: objects.Bucket{ID: objects.BucketID{1}, Provider: objects.ProviderAIS, Name: "photos"}, Version: 3, State: objects.BucketLive}
	in := func(state objects.BucketState, version uint64) *objects.BucketDoc {
		doc := *live
		doc.State, doc.Version = state, version
		return &doc
	}
	always := func(empty bool, err error) func(*objects.BucketDoc) (bool, error) {
		return func(*objects.BucketDoc) (bool, error) { return empty, err }
	}
	for name, test := range map[string]struct {
		empty   func(*objects.BucketDoc) (bool, error)
		fail    func(*objects.BucketDoc) error
		objects bool // with what is in it
		want    []objects.BucketState
		is      error
	}{
		"empty":     {empty: always(true, nil), want: []objects.BucketState{objects.BucketDeleting, objects.BucketDestroyed}},
		"not empty": {empty: always(false, nil), is: objects.ErrBucketNotEmpty},
		"with all":  {empty: always(false, nil), objects: true, want: []objects.BucketState{objects.BucketDestroyed}},
		"written to meanwhile": {
			empty: func(doc *objects.BucketDoc) (bool, error) { return doc.State == objects.BucketLive, nil },
			want:  []objects.BucketState{objects.BucketDeleting, objects.BucketLive}, is: objects.ErrBucketNotEmpty,
		},
		"a node is away": {empty: always(false, errs.E("x", errs.Offline, errAway)), is: errAway},
		"cannot be agreed on": {
			empty: always(true, nil), want: []objects.BucketState{objects.BucketDeleting, objects.BucketLive}, is: errAway,
			fail: func(doc *objects.BucketDoc) error {
				if doc.State == objects.BucketDestroyed {
					return errs.E("x", errs.Offline, errAway)
				}
				return nil
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			agreed := &agreedDocs{empty: test.empty, fail: test.fail}
			c := &change{config: Config{Documents: agreed, Cluster: agreed}, doc: live, goal: destroyEverywhere}
			if test.objects {
				c.goal = purgeEverywhere
			}
			_, err := c.run()
			if !errors.Is(err, test.is) || (err == nil) != (test.is == nil) {
				t.Errorf("%v, want %v", err, test.is)
			}
			if got := agreed.states(); len(got) != len(test.want) || len(got) > 0 && got[len(got)-1] != test.want[len(got)-1] {
				t.Errorf("documents: %v, want %v", got, test.want)
			}
		})
	}

	t.Run("whoever began it has failed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			log := logrus.New()
			log.SetOutput(io.Discard)
			system := actors.NewSystemOn(clock.NewSystem(), logrus.NewEntry(log))
			agreed := &agreedDocs{empty: always(true, nil)}
			var roster atomic.Pointer[messages.Roster]
			var set atomic.Pointer[messages.BucketSet]
			roster.Store(&messages.Roster{})
			pid, err := system.Spawn(system.Root(), Spec(Config{
				System: system, Documents: agreed, Cluster: agreed, Roster: &roster, Published: &set, Docs: []*objects.BucketDoc{live}, Now: time.Now,
			}))
			if err != nil {
				t.Fatal(err)
			}
			adopt := func(doc *objects.BucketDoc) {
				t.Helper()
				m := &messages.AdoptBuckets{Docs: []*objects.BucketDoc{doc}, Reply: messages.NewReply[struct{}]()}
				system.Root().Send(pid, m)
				if _, err := m.Reply.WaitOn(system.Clock(), "adopt", time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			adopt(in(objects.BucketDeleting, 4))
			if view := set.Load().Find("photos"); view == nil || view.Doc.Version != 4 {
				t.Errorf("while it is asked about it is %+v", view)
			}
			elapsed, _ := system.Clock().NewTimer(reopenAfter + time.Second)
			<-elapsed
			synctest.Wait()
			if got := agreed.states(); len(got) != 1 || got[0] != objects.BucketLive {
				t.Errorf("after %s: %v", reopenAfter, got)
			}
			adopt(in(objects.BucketLive, 5))
			adopt(in(objects.BucketDestroyed, 6))
			synctest.Wait()
			if view := set.Load().Find("photos"); view != nil || len(agreed.dropped) != 1 {
				t.Errorf("destroyed: %+v, dropped %v", view, agreed.dropped)
			}
			if err := system.Stop(pid); err != nil {
				t.Error(err)
			}
			system.Shutdown()
		})
	})
}

var errAway = errors.New("a node is away")
