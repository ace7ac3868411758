package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/s3client"
)

// loadPace is between two requests of a client: a node that refuses at once is not asked
// so often that nobody can judge what happened.
const loadPace = 15 * time.Millisecond

// patience is how long anything that has to happen may take on a busy machine.
const patience = 2 * time.Minute

// LoadConfig says what a load is. Every field is required, but Prefix and Within.
type LoadConfig struct {
	Bucket string
	Prefix string // of the names, beside "load/"
	// Clients is how many there are, Keys how many names: a quarter of them is
	// everybody's, the others belong to one client each.
	Clients, Keys int
	// Nodes is how many there are to ask, Node the way to each; any client may call it.
	Nodes int
	Node  func(at int) *s3client.Client
	Large int // bytes of the largest value
	Seed  uint64
	// Within is how long a client waits for an answer; 0: half a minute.
	Within time.Duration
}

// Load is clients that do random things through random nodes until they are stopped. Its
// methods are called by the goroutine of the test.
type Load struct {
	LoadConfig
	History *History

	t       testing.TB
	clients []*Client
	stop    context.CancelFunc
	done    sync.WaitGroup

	mu     sync.Mutex
	failed []error
}

// StartLoad lets clients loose. They are stopped with the test.
func StartLoad(t testing.TB, config LoadConfig) *Load {
	t.Helper()
	t.Logf("load of %s: seed %d", config.Bucket, config.Seed)
	ctx, stop := context.WithCancel(t.Context())
	l := &Load{LoadConfig: config, History: New(), t: t, stop: stop}
	for number := range config.Clients {
		c := &Client{
			History: l.History, Number: number, Bucket: config.Bucket, Nodes: config.Nodes, Node: config.Node,
			Random: rand.New(rand.NewPCG(config.Seed, uint64(number))), Large: config.Large, Within: config.Within,
		}
		for i := range config.Keys {
			if i%4 == 0 || i%config.Clients == number {
				c.Keys = append(c.Keys, fmt.Sprintf("load/%s%d", config.Prefix, i))
			}
		}
		l.clients = append(l.clients, c)
		l.done.Go(func() { l.work(ctx, c) })
	}
	t.Cleanup(l.End)
	return l
}

// work is what a client does. What it has begun it brings to its end.
func (l *Load) work(ctx context.Context, c *Client) {
	pace := time.NewTicker(loadPace)
	defer pace.Stop()
	for ctx.Err() == nil {
		<-pace.C
		if err := c.Step(context.WithoutCancel(ctx)); err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.failed = append(l.failed, err)
			return
		}
	}
}

// Broken is what no client must ever be told; nil: nobody was.
func (l *Load) Broken() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.failed...)
}

// More waits until so many requests more have been made, and ends the test if a client was
// told what none must be.
func (l *Load) More(count int) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	look := time.NewTicker(loadPace)
	defer look.Stop()
	for until := l.History.Len() + count; l.History.Len() < until && l.Broken() == nil; {
		select {
		case <-look.C:
		case <-ctx.Done():
			l.t.Fatalf("%s: the load does not go on: %d calls", l.Bucket, l.History.Len())
		}
	}
	if err := l.Broken(); err != nil {
		l.t.Fatal(err)
	}
}

// End stops the clients and waits for what they have begun. More than once is no failure.
func (l *Load) End() {
	l.stop()
	l.done.Wait()
}

// Keys are those of all clients, sorted.
func (l *Load) Keys() []string {
	var all []string
	for _, c := range l.clients {
		all = append(all, c.Keys...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Trouble is how many requests were not served.
func (l *Load) Trouble() int { return l.History.Count(Refused) + l.History.Count(Unknown) }

// Judge ends the load, reads and lists everything at every node, all of which must serve,
// and fails the test with whatever was wrong.
func (l *Load) Judge() {
	l.t.Helper()
	l.End()
	if err := l.Broken(); err != nil {
		l.t.Error(err)
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	reader := *l.clients[0]
	reader.Keys = l.Keys()
	if err := reader.ReadAll(ctx); err != nil {
		l.t.Error(err)
	}
	want := l.History.Present()
	for at := range l.Nodes {
		listed, err := l.Node(at).List(ctx, l.Bucket, "load/"+l.Prefix, 7)
		var names []string
		for _, o := range listed {
			names = append(names, o.Key)
		}
		if err != nil || !slices.Equal(names, want) {
			l.t.Errorf("%s: node %d lists %q (%v), and what can be read is %q", l.Bucket, at, names, err, want)
		}
	}
	v := l.History.Judge()
	if v.Wrong != "" {
		l.t.Error(v.Wrong)
	}
	if len(v.Undecided) > 0 {
		l.t.Errorf("%s: undecided: %q", l.Bucket, v.Undecided)
	}
	l.t.Logf("%s: %d calls, %d refused, %d of unknown outcome; %d keys judged, %d there",
		l.Bucket, l.History.Len(), l.History.Count(Refused), l.History.Count(Unknown), v.Keys, len(want))
}
