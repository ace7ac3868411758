package plan

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load is clients that write, read and delete, each keys of its own and at all nodes,
// until it is ended. A read that shows anything but the last acknowledged write is a
// failure of the test, and so is one that fails, unless a node was silent: the machine was
// too busy then, and it is repeated. A write may be refused, and is repeated.
type load struct {
	t       *testing.T
	world   *world
	seed    uint64
	stop    atomic.Bool
	running sync.WaitGroup
	reads   atomic.Int64
	writes  atomic.Int64
	refused atomic.Int64

	mu   sync.Mutex
	want map[string]string // checksums, by key
}

// loadKeys is how many keys each client has.
const loadKeys = 12

// begin lets clients loose on the nodes that run now.
func (w *world) begin(seed uint64, clients int) *load {
	l := &load{t: w.t, world: w, seed: seed, want: make(map[string]string)}
	nodes := w.running()
	for id := range clients {
		l.running.Go(func() { l.client(id, nodes) })
	}
	w.t.Cleanup(func() { l.stop.Store(true); l.running.Wait() })
	return l
}

// end ends the load, and adds what is there by now.
func (l *load) end(want map[string]string) {
	l.t.Helper()
	l.stop.Store(true)
	l.running.Wait()
	maps.Copy(want, l.want)
	l.t.Logf("load: %d reads, %d writes, %d refusals", l.reads.Load(), l.writes.Load(), l.refused.Load())
	if l.reads.Load() == 0 || l.writes.Load() == 0 {
		l.t.Error("there was no load")
	}
}

func (l *load) client(id int, nodes []*node) {
	ctx := context.Background()
	r := rand.New(rand.NewPCG(l.seed, uint64(id)+100))
	mine := make(map[string]string) // empty: it was deleted
	fault := func(format string, args ...any) {
		l.t.Errorf("seed %d, client %d: %s", l.seed, id, fmt.Sprintf(format, args...))
		l.stop.Store(true)
	}
	pace := time.NewTicker(10 * time.Millisecond) // the nodes share the machine with other tests
	defer pace.Stop()
	for !l.stop.Load() {
		<-pace.C
		key := fmt.Sprintf("load-%d/object-%02d", id, r.IntN(loadKeys))
		at := nodes[r.IntN(len(nodes))]
		was, known := mine[key]
		switch action := r.IntN(10); {
		case action < 5:
			answer, err := at.s3.Get(ctx, bucket, key)
			l.reads.Add(1)
			switch {
			case err == nil && answer.Status == http.StatusServiceUnavailable && l.world.silent.Load(),
				err == nil && answer.Status == http.StatusInternalServerError && l.world.failing.Load():
				l.refused.Add(1)
			case err != nil:
				fault("reading %s at %s: %v", key, at.name, err)
			case was == "" && answer.Status != http.StatusNotFound:
				fault("reading %s at %s, which is not there (written before: %v): %d %s", key, at.name, known, answer.Status, answer.Body[:min(200, len(answer.Body))])
			case was != "" && (answer.Status != http.StatusOK || sum(answer.Body) != was):
				fault("reading %s at %s: %d, %d bytes, %s", key, at.name, answer.Status, len(answer.Body), answer.Body[:min(200, len(answer.Body))])
			}
		case action < 9:
			body := payload(r)
			if !l.write(func() (int, error) {
				answer, err := at.s3.Put(ctx, bucket, key, body)
				if err != nil {
					return 0, err
				}
				return answer.Status, nil
			}) {
				fault("writing %s at %s fails for ever", key, at.name)
			}
			mine[key] = sum(body)
		default:
			if !l.write(func() (int, error) {
				answer, err := at.s3.Delete(ctx, bucket, key)
				if err != nil {
					return 0, err
				}
				return answer.Status, nil
			}) {
				fault("deleting %s at %s fails for ever", key, at.name)
			}
			mine[key] = ""
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, value := range mine {
		if value != "" {
			l.want[key] = value
		}
	}
}

// write does a write until it is acknowledged.
func (l *load) write(do func() (status int, err error)) bool {
	for began := time.Now(); time.Since(began) < patience; {
		status, err := do()
		if err == nil && status/100 == 2 {
			l.writes.Add(1)
			return true
		}
		l.refused.Add(1)
	}
	return false
}
