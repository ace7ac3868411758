package xaction

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// memory is a Store that can refuse, and that tells of what it wrote.
type memory struct {
	mu     sync.Mutex
	docs   map[string][]byte
	refuse error
	writes int
}

func newMemory() *memory { return &memory{docs: make(map[string][]byte)} }

func (s *memory) PutJob(id string, content []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return s.refuse
	}
	s.writes++
	s.docs[id] = slices.Clone(content)
	return nil
}

func (s *memory) RemoveJob(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.docs, id)
	return nil
}

func (s *memory) refuseWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = err
}

func (s *memory) all() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.docs)
}

func (s *memory) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// doc returns what a restart would find of a job.
func (s *memory) doc(t *testing.T, id string) *document {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	doc, err := decode(id, s.docs[id])
	if err != nil {
		t.Fatalf("document of %s: %v", id, err)
	}
	return doc
}

// clock is a clock that a test moves.
type fakeClock struct {
	mu     sync.Mutex
	now    time.Time
	timers []*timer
	set    chan time.Duration // every AfterFunc
}

type timer struct {
	clock *fakeClock
	at    time.Time
	call  func()
}

func newClock() *fakeClock {
	return &fakeClock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), set: make(chan time.Duration, 10_000)}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Elapsed() time.Duration { return c.Now().Sub(time.Time{}) }

func (c *fakeClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{clock: c, at: c.now.Add(d), call: f}
	c.timers = append(c.timers, t)
	select {
	case c.set <- d:
	default:
	}
	return t
}

func (c *fakeClock) NewTimer(d time.Duration) (<-chan time.Time, clock.Timer) {
	over := make(chan time.Time, 1)
	return over, c.AfterFunc(d, func() { over <- c.Now() })
}

func (t *timer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	at := slices.Index(t.clock.timers, t)
	if at >= 0 {
		t.clock.timers = slices.Delete(t.clock.timers, at, at+1)
	}
	return at >= 0
}

// pass lets time pass; what is due is called, each on a goroutine of its own.
func (c *fakeClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	var later []*timer
	for _, t := range c.timers {
		if t.at.After(c.now) {
			later = append(later, t)
		} else {
			go t.call()
		}
	}
	c.timers = later
}

// node is a node that has nothing but jobs.
type node struct {
	t      *testing.T
	store  *memory
	clock  *fakeClock
	system *actors.System
	self   *actor.PID
	kinds  []Kind
	limits Limits
	census atomic.Pointer[Census]
	log    bytes.Buffer // what was logged; to be read while the node is stopped

	quarantined []messages.Quarantine // at the next start
}

// breaking makes the actor at an address panic on the next Ping that it gets.
type breaking struct{ address string }

func (b breaking) Intercept(address string, message any) actors.Interception {
	if _, ping := message.(*messages.Ping); ping && address == b.address {
		panic("on purpose")
	}
	return actors.Interception{}
}

// breakActor makes an actor panic.
func (n *node) breakActor(address string) {
	n.t.Helper()
	n.system.Intercept(breaking{address})
	ping := &messages.Ping{Reply: messages.NewReply[struct{}]()}
	n.system.Root().Send(n.system.PID(address), ping)
	if _, err := ping.Reply.Wait("test", answerTime); err == nil {
		n.t.Fatalf("%s did not panic", address)
	}
	n.system.Intercept(nil)
}

// answerTime bounds every wait of these tests; nothing here takes as long.
const answerTime = 20 * time.Second

func newNode(t *testing.T, kinds ...Kind) *node {
	return &node{t: t, store: newMemory(), clock: newClock(), kinds: kinds}
}

// start starts the coordinator over what the store has.
func (n *node) start() *node {
	n.t.Helper()
	log := logrus.New()
	log.SetOutput(&n.log)
	n.system = actors.NewSystemOn(n.clock, logrus.NewEntry(log))
	n.system.Quarantine().Restore(n.quarantined)
	spec, err := Spec(Config{System: n.system, Store: n.store, Documents: n.store.all(), Kinds: n.kinds, Limits: n.limits, Published: &n.census})
	if err != nil {
		n.t.Fatal(err)
	}
	if n.self, err = n.system.Spawn(n.system.Root(), spec); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(n.stop)
	return n
}

// rest ends the runs as a stop of the node does, before it stops the actors.
func (n *node) rest() {
	n.t.Helper()
	m := &messages.RestJobs{Reply: messages.NewReply[struct{}]()}
	if _, err := ask(n, m, m.Reply); err != nil {
		n.t.Fatal(err)
	}
}

// stop ends the actors, as far as the disk is concerned as a kill does.
func (n *node) stop() {
	if n.system == nil {
		return
	}
	n.t.Helper()
	n.system.Root().Stop(n.self)
	ended := make(chan struct{})
	go func() { defer close(ended); n.awaitEnd(n.self.Id) }()
	<-ended
	n.system.Shutdown()
	n.system = nil
}

// awaitEnd waits for the end of an actor by the real clock.
func (n *node) awaitEnd(address string) {
	n.t.Helper()
	if err := n.system.AwaitEnd(answerTime, address); err != nil { // its deadline is the fake clock's: the test's own ends it
		n.t.Error(err)
	}
}

func ask[T any](n *node, message any, reply messages.Reply[T]) (T, error) {
	n.t.Helper()
	n.system.Root().Send(n.self, message)
	return reply.Wait("test", answerTime)
}

func (n *node) begin(kind, parameters string) *messages.Job {
	n.t.Helper()
	job, err := n.tryBegin(kind, parameters)
	if err != nil {
		n.t.Fatal(err)
	}
	return job
}

func (n *node) tryBegin(kind, parameters string) (*messages.Job, error) {
	n.t.Helper()
	m := &messages.StartJob{Kind: kind, Parameters: []byte(parameters), Reply: messages.NewReply[*messages.Job]()}
	return ask(n, m, m.Reply)
}

func (n *node) get(id string) *messages.Job {
	n.t.Helper()
	m := &messages.GetJob{ID: id, Reply: messages.NewReply[*messages.Job]()}
	job, err := ask(n, m, m.Reply)
	if err != nil {
		n.t.Fatal(err)
	}
	return job
}

func (n *node) wait(id string) *messages.Job {
	n.t.Helper()
	m := &messages.WaitJob{ID: id, Within: time.Minute, Reply: messages.NewReply[*messages.Job]()}
	job, err := ask(n, m, m.Reply)
	if err != nil {
		n.t.Fatal(err)
	}
	return job
}

func (n *node) list() []*messages.Job {
	n.t.Helper()
	m := &messages.ListJobs{Reply: messages.NewReply[[]*messages.Job]()}
	jobs, err := ask(n, m, m.Reply)
	if err != nil {
		n.t.Fatal(err)
	}
	return jobs
}

func (n *node) pause(id string) (*messages.Job, error) {
	n.t.Helper()
	m := &messages.PauseJob{ID: id, Reply: messages.NewReply[*messages.Job]()}
	return ask(n, m, m.Reply)
}

func (n *node) resume(id string) (*messages.Job, error) {
	n.t.Helper()
	m := &messages.ResumeJob{ID: id, Reply: messages.NewReply[*messages.Job]()}
	return ask(n, m, m.Reply)
}

func (n *node) halt(id string) (*messages.Job, error) {
	n.t.Helper()
	m := &messages.StopJob{ID: id, Reply: messages.NewReply[*messages.Job]()}
	return ask(n, m, m.Reply)
}

func (n *node) again(id string) (*messages.Job, error) {
	n.t.Helper()
	m := &messages.RestartJob{ID: id, Reply: messages.NewReply[*messages.Job]()}
	return ask(n, m, m.Reply)
}

func wantState(t *testing.T, job *messages.Job, state messages.JobState) {
	t.Helper()
	if job.State != state {
		t.Fatalf("job %s is %s (%s), want %s", job.ID, job.State, job.Err, state)
	}
}

func wantKind(t *testing.T, err error, kind errs.Kind) {
	t.Helper()
	if !errs.Is(kind, err) {
		t.Fatalf("%v, want %s", err, kind)
	}
}

// counting is a kind that counts to a number in steps that the test lets it take,
// with a checkpoint after each.
type counting struct {
	step   chan struct{} // one for every step
	took   chan int      // the number of every step taken
	began  chan int      // where each run began
	turned chan int      // where it is when a step has begun; nil: nobody is told
}

func newCounting() *counting {
	return &counting{step: make(chan struct{}), took: make(chan int, 100), began: make(chan int, 10)}
}

type countTo struct {
	To     int    `json:"to"`
	Bucket string `json:"bucket"`
}

func (c *counting) kind() Kind {
	return Kind{
		Name: "count", Summary: "Counts.", Pausable: true, Resumable: true,
		Check: func(parameters json.RawMessage) (Target, error) {
			var p countTo
			if err := Decode(parameters, &p); err != nil {
				return Target{}, err
			}
			if p.To < 1 {
				return Target{}, errors.New("to: at least 1")
			}
			return Target{Bucket: p.Bucket}, nil
		},
		Run: c.run,
	}
}

func (c *counting) run(r *Run) error {
	var p countTo
	if err := r.Parameters(&p); err != nil {
		return err
	}
	var at int
	if _, err := r.Restore(&at); err != nil {
		return err
	}
	c.began <- at
	r.Expect(Amount{Objects: int64(p.To)})
	for at < p.To {
		if err := r.Turn(); err != nil {
			return err
		}
		if c.turned != nil {
			c.turned <- at
		}
		select {
		case <-c.step:
		case <-r.Context().Done():
			return ErrStop
		}
		at++
		r.Did(Amount{Objects: 1, Bytes: 10})
		if err := r.Checkpoint(1, at); err != nil {
			return err
		}
		c.took <- at
	}
	return nil
}
