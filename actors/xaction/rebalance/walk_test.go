package rebalance

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Every slot is walked once: neither one that was, nor one that has gone over.
func TestChoose(t *testing.T) {
	w := &walk{at: state{Runs: []messages.SlotRun{{From: 0, To: slotsTogether - 1}}}}
	next := &smap.Next{Switched: []smap.Switch{{From: slotsTogether, To: 2*slotsTogether - 1, Version: 3}}}
	seen := 0
	for {
		from, to, left := w.choose(next)
		if !left {
			break
		}
		if from < 2*slotsTogether || int(to)-int(from) != slotsTogether-1 {
			t.Fatalf("slots %d to %d are walked", from, to)
		}
		seen++
		w.at.Runs = append(w.at.Runs, messages.SlotRun{From: from, To: to})
	}
	if want := smap.Slots/slotsTogether - 2; seen != want || len(w.at.Runs) > messages.MaxSlotRuns {
		t.Errorf("%d runs of slots are walked, want %d", seen, want)
	}
}

// What failed is tried again after everything else.
func TestChooseAfterAFailure(t *testing.T) {
	w, next := &walk{}, &smap.Next{}
	failed, _, _ := w.choose(next)
	w.from = failed + slotsTogether
	for range smap.Slots/slotsTogether - 1 {
		from, to, left := w.choose(next)
		if !left || from == failed {
			t.Fatalf("slots from %d are tried before others; left: %t", from, left)
		}
		w.at.Runs = append(w.at.Runs, messages.SlotRun{From: from, To: to})
	}
	if from, to, left := w.choose(next); !left || from != failed || to != failed+slotsTogether-1 {
		t.Errorf("at last slots %d to %d, %t", from, to, left)
	}
}

// A report is void when a node has changed its state since, and only then.
func TestBase(t *testing.T) {
	m, err := smap.New("line", smap.Node{ID: "a", Digest: 1}, smap.Node{ID: "b", Digest: 2})
	if err == nil {
		m, err = m.Change().Begin([]smap.NodeID{"a"}).Done()
	}
	if err != nil {
		t.Fatal(err)
	}
	next, _ := m.Next()
	if got := base(m, &next); got != 2 {
		t.Errorf("the plan begins in version 2, its walks count from %d", got)
	}
	switched, err := m.Change().Switch(7).Done()
	if err != nil {
		t.Fatal(err)
	}
	if got := base(switched, &next); got != 2 {
		t.Errorf("a slot has gone over, and walks count from %d", got)
	}
	down, err := switched.Change().SetState("b", 1, smap.Down).Done()
	if err != nil {
		t.Fatal(err)
	}
	if got := base(down, &next); got != 4 {
		t.Errorf("a node is down since version 4, and walks count from %d", got)
	}
}

// Work is spread by the rate as it is now, and nothing is saved up.
func TestLimit(t *testing.T) {
	var l limit
	now := time.Unix(1000, 0)
	if wait := l.due(messages.JobRate{Objects: 10}, now); wait != 0 {
		t.Errorf("nothing was done, and %s are waited", wait)
	}
	l.did(5, 0)
	if wait := l.due(messages.JobRate{Objects: 10}, now); wait != 500*time.Millisecond {
		t.Errorf("five objects at ten a second, and %s are waited", wait)
	}
	l.did(5, 1<<20)
	if wait := l.due(messages.JobRate{Bytes: 1 << 20}, now); wait != 1500*time.Millisecond {
		t.Errorf("after another second's work %s are waited", wait)
	}
	if wait := l.due(messages.JobRate{}, now); wait != 0 {
		t.Errorf("without a limit %s are waited", wait)
	}
	l.did(1, 0)
	if wait := l.due(messages.JobRate{Objects: 1}, now.Add(time.Hour)); wait != time.Second {
		t.Errorf("after an hour of rest %s are waited", wait)
	}
}

// completed is a node's keys: an upload is under way that is completed while objects are
// copied, behind them, and the next owner is not told.
type completed struct {
	mu      sync.Mutex
	pages   int
	object  bool     // the upload is an object
	copied  []string // what the next owners have
	uploads int      // how often uploads were listed
	end     func()   // called when all slots are walked
}

func (k *completed) Buckets() []*objects.BucketDoc {
	return []*objects.BucketDoc{{Bucket: objects.Bucket{Provider: objects.ProviderAIS, Name: "photos"}}}
}

func (k *completed) Owed(_ context.Context, r messages.OwedRequest) (*messages.OwedPage, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pages++
	if r.From == 0 {
		k.object = true
		return &messages.OwedPage{Names: []string{"a"}}, nil
	}
	if int(r.To) == smap.Slots-1 {
		k.end()
	}
	return &messages.OwedPage{}, nil
}

func (k *completed) CopyOut(_ context.Context, _ *objects.BucketDoc, name string) (int64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.copied = append(k.copied, name)
	return 1, nil
}

func (k *completed) OwedUploads(_ context.Context, r messages.OwedRequest) ([]messages.UploadName, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.uploads++
	if r.From != 0 || k.object {
		return nil, nil
	}
	return []messages.UploadName{{Name: "b", ID: "1"}}, nil
}

func (k *completed) CopyOutUpload(context.Context, *objects.BucketDoc, messages.UploadName) (int64, error) {
	return 0, fmt.Errorf("it is an object")
}

func (k *completed) Leftovers(context.Context, *objects.BucketDoc, string) (*messages.LeftoverPage, error) {
	return &messages.LeftoverPage{}, nil
}

func (k *completed) RemoveLeftover(context.Context, *objects.BucketDoc, messages.Leftover) error {
	return nil
}

func (k *completed) RemoveLeftoverUploads(context.Context, *objects.BucketDoc) error { return nil }

func (k *completed) Tally(context.Context, *objects.BucketDoc, string) (*messages.PlanTally, error) {
	return nil, nil
}

// nowhere keeps no documents of jobs.
type nowhere struct{}

func (nowhere) PutJob(string, []byte) error { return nil }
func (nowhere) RemoveJob(string) error      { return nil }

// What an upload became while objects were copied goes to the next owners, too.
func TestUploadThatIsCompletedMeanwhile(t *testing.T) {
	m, err := smap.New("line", smap.Node{ID: "a", Digest: 1}, smap.Node{ID: "b", Digest: 2})
	if err == nil {
		m, err = m.Change().Begin([]smap.NodeID{"a"}).Done()
	}
	if err != nil {
		t.Fatal(err)
	}
	over, err := m.Change().Cancel().Done()
	if err != nil {
		t.Fatal(err)
	}
	var view atomic.Pointer[messages.ClusterView]
	view.Store(&messages.ClusterView{Self: "a", Map: m})
	keys := &completed{end: func() { view.Store(&messages.ClusterView{Self: "a", Map: over}) }}
	log := logrus.New()
	log.SetOutput(io.Discard)
	system := actors.NewSystemOn(clock.NewSystem(), logrus.NewEntry(log))
	defer system.Shutdown()
	spec, err := xaction.Spec(xaction.Config{System: system, Store: nowhere{}, Kinds: []xaction.Kind{
		Kind(Config{View: view.Load, Keys: keys, Report: new(atomic.Pointer[messages.PlanWalk]), Swept: new(atomic.Uint64)}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := system.Spawn(system.Root(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer system.Root().Stop(jobs)
	start := &messages.StartJob{Kind: Name, Parameters: fmt.Appendf(nil, `{"plan":%d}`, m.Version()), Reply: messages.NewReply[*messages.Job]()}
	system.Root().Send(jobs, start)
	job, err := start.Reply.Wait("test", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	wait := &messages.WaitJob{ID: job.ID, Within: time.Minute, Reply: messages.NewReply[*messages.Job]()}
	system.Root().Send(jobs, wait)
	if job, err = wait.Reply.Wait("test", time.Minute); err != nil || job.State != messages.JobFinished {
		t.Fatalf("%+v, %v", job, err)
	}
	keys.mu.Lock()
	defer keys.mu.Unlock()
	if !slices.Contains(keys.copied, "a") || !slices.Contains(keys.copied, "b") {
		t.Errorf("of a and b %v went to the next owners; %d pages, uploads listed %d times", keys.copied, keys.pages, keys.uploads)
	}
}
