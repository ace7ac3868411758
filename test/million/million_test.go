// Package million_test fills a real node with small objects, a million in the long
// form, and asks what many objects cost: starts after a clean stop and after kill
// -9, a listing to its end, memory, and the space of those that are deleted. It
// fails when an object is missing, wrong or too many; how long things took it only
// tells (docs/benchmarks.md has the figures).
package million_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
)

const (
	bucket    = "million"
	shortForm = 20_000
	longForm  = 1_000_000
	workers   = 32
	pageKeys  = 1000
	bodyBytes = 1024
)

// name returns the key of an object: a thousand directories, as data sets have.
func name(i int) string { return fmt.Sprintf("shard-%03d/%08d.bin", i%1000, i) }

// body returns what an object holds: nothing that compresses, as in data sets.
func body(i int) []byte {
	random := rand.New(rand.NewPCG(uint64(i), 0))
	body := make([]byte, bodyBytes)
	for at := 0; at < len(body); at += 8 {
		binary.LittleEndian.PutUint64(body[at:], random.Uint64())
	}
	return body
}

func TestManyObjects(t *testing.T)        { manyObjects(t, shortForm) }
func TestMillionObjectsSoak(t *testing.T) { manyObjects(t, longForm) }

func manyObjects(t *testing.T, count int) {
	if count == longForm && os.Getenv("TROUPE_SOAK") == "" {
		t.Skip("TROUPE_SOAK is not set: a million objects take minutes")
	}
	node, client := start(t)
	m := &many{t: t, node: node, client: client, count: count}
	m.tell("idle")

	m.timed("put", func() { m.each(0, count, 1, m.put) })
	m.tell("filled")
	m.list(func(int) bool { return true })
	m.each(0, count, max(1, count/1000), m.get)

	must(t, node.Stop(t.Context()))
	m.start("clean stop")
	m.each(0, count, max(1, count/1000), m.get)

	// Kill it while it is being written to, objects of their own.
	m.killUnderLoad()
	m.start("kill -9")
	m.list(func(int) bool { return true })
	m.tell("started")

	full := m.used()
	m.timed("delete half", func() { m.each(1, count, 2, m.remove) })
	m.list(func(i int) bool { return i%2 == 0 })
	m.tell("half deleted")
	m.timed("space back", func() {
		// What was deleted of the index comes back with its compactions.
		m.spaceBack(full)
	})
}

// start starts a node with a bucket.
func start(t *testing.T, args ...string) (*process.Node, *s3client.Client) {
	t.Helper()
	binary, err := process.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	node := process.ForTest(t, process.Config{Binary: binary, Args: args})
	return node, process.ClientForTest(t, node, bucket)
}

// many is a node with many objects.
type many struct {
	t      *testing.T
	node   *process.Node
	client *s3client.Client
	count  int
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// timed runs something and tells how long it took.
func (m *many) timed(what string, run func()) {
	began := time.Now()
	run()
	m.t.Logf("%d objects: %s took %s", m.count, what, time.Since(began).Round(time.Millisecond))
}

// tell logs what the node holds in memory and on disk.
func (m *many) tell(when string) {
	peak, err := m.node.ResidentPeak()
	must(m.t, err)
	m.t.Logf("%d objects, %s: at most %d MiB resident so far, %d MiB on disk", m.count, when, peak>>20, m.used()>>20)
}

// each calls do for the numbers from first below end, side by side.
func (m *many) each(first, end, step int, do func(ctx context.Context, i int) error) {
	m.t.Helper()
	var next atomic.Int64
	next.Store(int64(first))
	var failed sync.Map
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for {
				i := int(next.Add(int64(step))) - step
				if i >= end {
					return
				}
				if err := do(m.t.Context(), i); err != nil {
					failed.Store(w, fmt.Errorf("%s: %w", name(i), err))
					return
				}
			}
		})
	}
	group.Wait()
	failed.Range(func(_, err any) bool { m.t.Error(err); return true })
	if m.t.Failed() {
		m.t.FailNow()
	}
}

func (m *many) put(ctx context.Context, i int) error {
	answer, err := m.client.Put(ctx, bucket, name(i), body(i))
	if err != nil {
		return err
	}
	return answer.Err()
}

func (m *many) get(ctx context.Context, i int) error {
	answer, err := m.client.Get(ctx, bucket, name(i))
	if err == nil {
		err = answer.Err()
	}
	if err == nil && !bytes.Equal(answer.Body, body(i)) {
		err = fmt.Errorf("it is not what was put: %.40q…", answer.Body)
	}
	return err
}

func (m *many) remove(ctx context.Context, i int) error {
	answer, err := m.client.Delete(ctx, bucket, name(i))
	if err != nil {
		return err
	}
	return answer.Err()
}

// start starts the node again and tells when it first answered a read.
func (m *many) start(after string) {
	m.t.Helper()
	began := time.Now()
	must(m.t, m.node.Restart(m.t.Context()))
	must(m.t, m.get(m.t.Context(), 0))
	m.t.Logf("%d objects: first answer %s after a start after %s", m.count, time.Since(began).Round(time.Millisecond), after)
}

// killUnderLoad kills the node while objects of another prefix are put, and
// removes their names from what the listing is compared with.
func (m *many) killUnderLoad() {
	ctx, cancel := context.WithCancel(m.t.Context())
	var group sync.WaitGroup
	var done atomic.Int64
	underWay := make(chan struct{})
	for w := range workers {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				answer, err := m.client.Put(ctx, bucket, fmt.Sprintf("load/%d/%d", w, i%100), body(i))
				if err != nil || !answer.OK() {
					return
				}
				if done.Add(1) == 500 {
					close(underWay)
				}
			}
		})
	}
	<-underWay
	must(m.t, m.node.Kill())
	cancel()
	group.Wait()
}

// list lists all objects and compares them with those that there should be. It
// tells how long it took, and what pages cost at the beginning and at the end.
func (m *many) list(want func(i int) bool) {
	m.t.Helper()
	seen := make([]bool, m.count)
	var pages []time.Duration
	token := ""
	began := time.Now()
	for {
		asked := time.Now()
		page, next, err := m.client.ListPage(m.t.Context(), bucket, "shard-", token, pageKeys)
		pages = append(pages, time.Since(asked))
		must(m.t, err)
		for _, o := range page {
			digits := strings.TrimSuffix(o.Key[strings.IndexByte(o.Key, '/')+1:], ".bin")
			i, err := strconv.Atoi(digits)
			if err != nil || i >= m.count || name(i) != o.Key {
				m.t.Fatalf("a key that was never put: %q", o.Key)
			}
			if seen[i] || !want(i) || o.Size != int64(len(body(i))) {
				m.t.Fatalf("%q is listed twice, was deleted, or has another size than %d: %+v", o.Key, len(body(i)), o)
			}
			seen[i] = true
		}
		if token = next; token == "" {
			break
		}
	}
	for i, there := range seen {
		if there != want(i) {
			m.t.Fatalf("%q is missing from the listing", name(i))
		}
	}
	tenth := max(1, len(pages)/10)
	m.t.Logf("%d objects: listed in %s, %d pages; a page of the first tenth %s, of the last %s (client included)", m.count,
		time.Since(began).Round(time.Millisecond), len(pages), mean(pages[:tenth]), mean(pages[len(pages)-tenth:]))
}

func mean(times []time.Duration) time.Duration {
	var sum time.Duration
	for _, d := range times {
		sum += d
	}
	return (sum / time.Duration(len(times))).Round(time.Microsecond)
}

// used returns how many bytes the indexes take on disk: objects of this size are
// in them. Logs, which are used again and again, do not count.
func (m *many) used() int64 {
	metrics, err := m.node.Metrics(m.t.Context())
	must(m.t, err)
	return int64(metrics.Sum("troupe_index_disk_bytes"))
}

// spaceBack waits until deletions freed what they should: at least a third of what
// the objects took, where they were half of it.
func (m *many) spaceBack(full int64) {
	if m.count < longForm {
		return // a small node is all in its memtables
	}
	must(m.t, m.node.Await(m.t.Context(), "a third of the space", func(now process.Metrics) bool {
		return int64(now.Sum("troupe_index_disk_bytes")) < full*2/3
	}))
	m.t.Logf("%d objects: %d MiB on disk, %d before half was deleted", m.count, m.used()>>20, full>>20)
}
