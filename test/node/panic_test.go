package node

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// load is clients that write, read and delete, each its own keys, and know what
// every key must hold.
type load struct {
	client *client
	stop   chan struct{}
	ended  sync.WaitGroup
	turn   sync.RWMutex // held shared for each request: who holds it alone stops the load

	requests  atomic.Int64
	retried   atomic.Int64 // answers that a client may meet when an actor above many is restarted
	tolerates atomic.Bool  // such answers are no failures now

	mu       sync.Mutex
	held     map[string]uint64 // the version last acknowledged, by key; 0: deleted
	failures []string
}

const loadClients = 8

func newLoad(c *client) *load {
	l := &load{client: c, stop: make(chan struct{}), held: make(map[string]uint64)}
	for n := range loadClients {
		l.ended.Go(func() { l.run(uint64(n)) })
	}
	return l
}

func (l *load) run(client uint64) {
	random := rand.New(rand.NewPCG(3, client))
	for number := client << 32; ; number++ {
		select {
		case <-l.stop:
			return
		default:
		}
		l.turn.RLock()
		key := fmt.Sprintf("c%d-%d", client, random.IntN(6))
		version := version(number + 1)
		switch random.IntN(5) {
		case 0, 1:
			l.until(key, "PUT", func() error { return l.client.put("photos", key, version) })
			l.note(key, number+1)
		case 2:
			l.until(key, "DELETE", func() error { return l.client.delete("photos", key) })
			l.note(key, 0)
		default:
			l.until(key, "GET", func() error { return l.check(key) })
		}
		l.turn.RUnlock()
		l.requests.Add(1)
	}
}

func (l *load) note(key string, number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[key] = number
}

// until repeats a request while it is answered with what may be repeated, if that
// is tolerated now; everything else is a failure.
func (l *load) until(key, what string, do func() error) {
	deadline := time.Now().Add(requestTime)
	for {
		err := do()
		switch {
		case err == nil:
			return
		case retryable(err) && l.tolerates.Load() && time.Now().Before(deadline):
			l.retried.Add(1)
		default:
			l.mu.Lock()
			l.failures = append(l.failures, fmt.Sprintf("%s %s: %v", what, key, err))
			l.mu.Unlock()
			return
		}
	}
}

// check reads a key and compares it with what must be there.
func (l *load) check(key string) error {
	l.mu.Lock()
	want := l.held[key]
	l.mu.Unlock()
	body, err := l.client.get("photos", key)
	if errors.Is(err, errNone) && want == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if got, err := versionOf(body); err != nil || got != want {
		return fmt.Errorf("it holds version %d (%v), and must hold %d", got, err, want)
	}
	return nil
}

// some waits until clients have made so many more requests.
func (l *load) some(t *testing.T, n int64) {
	t.Helper()
	want := l.requests.Load() + n
	deadline := time.Now().Add(requestTime)
	for l.requests.Load() < want {
		if time.Now().After(deadline) {
			t.Fatalf("clients have made no %d requests within %s", n, requestTime)
		}
		if err := l.check("nobody's"); err != nil && !(retryable(err) && l.tolerates.Load()) { // this client works meanwhile, too
			t.Fatal(err)
		}
	}
}

func (l *load) report(t *testing.T, what string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.failures[:min(len(l.failures), 5)] {
		t.Errorf("%s: %s", what, f)
	}
	l.failures = nil
}

// verify reads every key at the end.
func (l *load) verify(t *testing.T, c *client) {
	t.Helper()
	close(l.stop)
	l.ended.Wait()
	l.report(t, "the load")
	l.client = c
	for key := range l.held {
		if err := l.check(key); err != nil {
			t.Errorf("at the end: %s: %v", key, err)
		}
	}
}

// An actor of every kind that stands by itself panics under load: it is back, and
// no client notices. Of those above others (their children go with them), clients
// notice at most answers that may be repeated. Nothing acknowledged is lost.
func TestPanicsOfActors(t *testing.T) {
	defer leaves(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	node := start(t, dir, 2, withDesk)
	c := newClient(node)
	c.bucket(t, "photos")
	l := newLoad(c)
	l.some(t, 200)

	for _, kind := range []struct {
		name    string
		pattern string // of addresses
		above   bool   // others stop with it
	}{
		{"write lane", "node/mountpaths/d*/w*", false},
		{"read lane", "node/mountpaths/d*/r*", false},
		{"keeper", "node/mountpaths/d*/keeper", false},
		{"bucket", "node/buckets/????????????????", true}, // listings under way
		{"buckets", "node/buckets", true},
		{"coordinator", "node/mountpaths/d*", true},
		{"mountpaths", "node/mountpaths", true},
		{"edge", "node/edges/s3", true},
		{"edges", "node/edges", true},
	} {
		t.Run(kind.name, func(t *testing.T) {
			l.tolerates.Store(kind.above)
			l.retried.Store(0)
			var hit int
			for _, actor := range node.System().Actors() {
				if ok, err := path.Match(kind.pattern, actor.Address); err != nil || !ok || hit == 6 {
					continue
				}
				hit++
				fault := inject(t, node, faults.Fault{
					Messages: &faults.Messages{Actor: actor.Address, Message: "messages.Ping", Do: faults.Panic}, When: faults.When{Count: 1},
				})
				if err := node.System().Await(requestTime, actor.Address); err == nil || !strings.Contains(err.Error(), "on purpose") {
					t.Errorf("%s: %v", actor.Address, err)
				}
				fault.Clear()
				if err := node.System().Await(requestTime, actor.Address); err != nil {
					t.Errorf("%s is not back: %v", actor.Address, err)
				}
				l.some(t, 20)
			}
			if hit == 0 {
				t.Fatalf("no actor is called %s: %v", kind.pattern, addresses(node))
			}
			if _, _, err := c.do("GET", "/photos", "list-type=2", nil); err != nil && !kind.above {
				t.Errorf("a listing afterwards: %v", err)
			}
			l.report(t, kind.name)
			t.Logf("%d panics; %d answers were repeated", hit, l.retried.Load())
		})
	}
	l.tolerates.Store(false)
	l.some(t, 100)
	l.verify(t, c)
	slabsComeBack(t, node)
	c.close()
	stop(t, node)

	again := start(t, dir, 2, nil)
	c = newClient(again)
	l.stop = make(chan struct{})
	l.verify(t, c)
	c.close()
	stop(t, again)
}

func addresses(node *supervisors.Node) []string {
	var all []string
	for _, a := range node.System().Actors() {
		all = append(all, a.Address)
	}
	return all
}

// A panic in the middle of a request, wherever it uses the disk, costs that request
// and no other: its client is told that it may be repeated, within the deadline;
// other keys have no errors; and after a restart the key is whole or absent.
func TestPanicsInRequests(t *testing.T) {
	defer leaves(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	node := start(t, dir, 2, withDesk)
	c := newClient(node)
	c.bucket(t, "photos")
	c.bucket(t, "victims")
	l := newLoad(c)
	l.some(t, 100)

	old, next := version(1<<62), largeVersion(1<<62+1)
	held := make(map[string][]uint64) // what a victim may hold at the end
	for i, at := range []struct {
		name    string
		call    string
		path    string
		request func(key string) error
		writes  bool
	}{
		{"write lane, before the rename", "receive", "victims/**", nil, true},
		{"write lane, after the rename", "syncdir", "victims", nil, true},
		{"transfer, at the first byte", "write", ".troupe/work/*", nil, true},
		{"transfer, sealing", "sync", ".troupe/work/*", nil, true},
		{"transfer, beginning", "create", ".troupe/work/*", nil, true},
		{"read lane", "open", "victims/**", func(key string) error {
			_, err := c.get("victims", key)
			return err
		}, false},
	} {
		t.Run(at.name, func(t *testing.T) {
			key := fmt.Sprintf("v%d", i)
			before := old
			if !at.writes {
				before = largeVersion(1<<62 + 2)
			}
			if err := c.put("victims", key, before); err != nil {
				t.Fatal(err)
			}
			first, err := versionOf(before)
			if err != nil {
				t.Fatal(err)
			}
			held[key] = []uint64{first}
			request := at.request
			if at.writes {
				request = func(key string) error { return c.put("victims", key, next) }
				held[key] = append(held[key], 1<<62+1)
			}
			// Work files do not tell whose they are: nobody else writes then.
			alone := strings.HasPrefix(at.path, ".troupe/work")
			if alone {
				l.turn.Lock()
			}
			fault := inject(t, node, panicsOnce(at.call, at.path))
			began := time.Now()
			err = request(key)
			took := time.Since(began)
			if alone {
				l.turn.Unlock()
			}
			listed(t, node, "victims/"+key)
			fault.Clear()
			if fault.Hits() != 1 {
				t.Fatalf("%d operations panicked", fault.Hits())
			}
			var f *failure
			if !errors.As(err, &f) || f.status != http.StatusServiceUnavailable {
				t.Errorf("the request was answered with: %v", err)
			}
			if took > requestTime {
				t.Errorf("it took %s", took)
			}
			l.some(t, 50)
			l.report(t, at.name)
			t.Logf("answered in %s: %.120v", took.Round(time.Millisecond), err)
		})
	}
	t.Run("keeper", func(t *testing.T) {
		fault := inject(t, node, panicsOnce("remove", ".troupe/trash/*"))
		for fault.Hits() == 0 {
			l.some(t, 20)
		}
		l.some(t, 100)
		l.report(t, "keeper")
	})
	l.verify(t, c)
	slabsComeBack(t, node)
	c.close()
	stop(t, node)

	again := start(t, dir, 2, nil)
	c = newClient(again)
	l.stop = make(chan struct{})
	l.verify(t, c)
	for key, allowed := range held {
		body, err := c.get("victims", key)
		if err != nil {
			t.Errorf("after a restart: %s: %v", key, err)
			continue
		}
		if got, err := versionOf(body); err != nil || !slices.Contains(allowed, got) {
			t.Errorf("after a restart: %s holds version %d (%v), allowed %d", key, got, err, allowed)
		}
		if err := c.put("victims", key, version(7)); err != nil {
			t.Errorf("after a restart: %s: %v", key, err)
		}
	}
	c.close()
	stop(t, again)
}

// largeVersion is a version that is a file.
func largeVersion(from uint64) []byte {
	for number := from; ; number++ {
		if body := version(number); len(body) > inlineBytes {
			return body
		}
	}
}

// withDesk gives a node a fault desk.
func withDesk(config *supervisors.Config) { config.Faults = faults.New(faults.Options{}) }

// inject breaks something in a node; what is forgotten ends after a minute.
func inject(t *testing.T, node *supervisors.Node, fault faults.Fault) *faults.Injected {
	t.Helper()
	fault.Expiry = time.Minute
	injected, err := node.Faults().Inject(fault)
	if err != nil {
		t.Fatal(err)
	}
	return injected
}

// listed fails the test unless the panic on the key is listed, with what is needed to
// find it, at the top of the tree.
func listed(t *testing.T, node *supervisors.Node, key string) {
	t.Helper()
	state, err := node.System().Find("node")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range state.Panics {
		if strings.HasSuffix(p.Subject, key) && p.Count == 1 && p.Cause != "" && p.Message != "" && strings.HasPrefix(p.Address, "node/mountpaths/") && !p.Last.IsZero() {
			return
		}
	}
	t.Errorf("the panic on %s is not listed: %+v", key, state.Panics)
}

// panicsOnce lets the first operation that matches, on any mountpath, panic.
func panicsOnce(call, path string) faults.Fault {
	return faults.Fault{Disk: &faults.Disk{Calls: []string{call}, Path: path, Do: faults.Crash}, When: faults.When{Count: 1}}
}
