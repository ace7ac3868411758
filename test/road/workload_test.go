package road

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/s3client"
)

// operation is what a client did to a key, and what it was told.
type operation struct {
	do       string // "get", "put", "delete", "create", "replace"
	value    string // of a write: nobody else's
	expected string // of a replace: only this value is replaced
	read     string // what was seen; empty: nothing
	failed   bool   // its condition did not hold
	unknown  bool   // nobody knows whether it happened
}

// register is what a key is to its clients: one value or none.
func register() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			value, o := state.(string), output.(operation)
			met := o.do == "put" || o.do == "delete" || o.do == "create" && value == "" || o.do == "replace" && value == o.expected
			switch {
			case o.do == "get":
				return o.read == value, value
			case !o.unknown && met == o.failed:
				return false, value
			case met:
				return true, o.value
			default:
				return true, value
			}
		},
		DescribeOperation: func(_, output any) string { return fmt.Sprintf("%+v", output) },
	}
}

// workload is clients that write and read the same few keys through all nodes.
type workload struct {
	*world
	doc    *objects.BucketDoc
	seed   uint64
	keys   int
	names  []string                                             // of keys; nil: k0, k1, …
	why    func(key string, answer *s3client.Answer, err error) // is told of reads that fail; may be nil
	breaks bool                                                 // disks fail, and so do writes
	begin  time.Time
	number atomic.Int64 // of values
	mu     sync.Mutex
	ops    map[string][]porcupine.Operation
	told   map[string]int // answers by kind
}

// name is a key by its number.
func (w *workload) name(i int) string {
	if w.names != nil {
		return w.names[i]
	}
	return fmt.Sprint("k", i)
}

func (w *workload) now() int64 { return int64(time.Since(w.begin)) }

// note adds an operation to the history. A read without an answer says nothing.
func (w *workload) note(client int, key string, call int64, o operation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kind := o.do
	switch {
	case o.unknown:
		kind += " unknown"
	case o.failed:
		kind += " failed"
	}
	w.told[kind]++
	if o.do == "get" && o.unknown {
		return
	}
	end := w.now()
	if o.unknown {
		end = math.MaxInt64 // it may happen at any time
	}
	w.ops[key] = append(w.ops[key], porcupine.Operation{ClientId: client, Input: key, Call: call, Output: o, Return: end})
}

// valueOf is the value in a body, which may have been made longer.
func valueOf(body []byte) string {
	value, _, _ := strings.Cut(string(body), " ")
	return value
}

// client does random operations until it is told to stop.
func (w *workload) client(number int, stop <-chan struct{}) error {
	random := rand.New(rand.NewPCG(w.seed, uint64(number)))
	ctx := context.Background()
	type seen struct{ value, etag string }
	last := make(map[string]seen)
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		key := w.name(random.IntN(w.keys))
		m := w.members[random.IntN(len(w.members))]
		o := operation{do: []string{"get", "get", "get", "put", "put", "delete", "create", "replace"}[random.IntN(8)]}
		if o.do == "replace" && last[key].etag == "" {
			o.do = "get"
		}
		r := s3client.Request{Method: "PUT", Bucket: w.doc.Name, Key: key}
		switch o.do {
		case "get":
			r.Method = "GET"
		case "delete":
			r.Method = "DELETE"
		default:
			o.value = fmt.Sprint("v", w.number.Add(1))
			size := []int{0, 0, 100, 20 << 10, 300 << 10}[random.IntN(5)]
			r.Body = append([]byte(o.value+" "), bytes.Repeat([]byte{'x'}, size)...)
		}
		switch o.do {
		case "create":
			r.Header = []objects.Pair{{Name: "If-None-Match", Value: "*"}}
		case "replace":
			o.expected = last[key].value
			r.Header = []objects.Pair{{Name: "If-Match", Value: `"` + last[key].etag + `"`}}
		}
		call := w.now()
		answer, err := m.s3.Do(ctx, r)
		if w.why != nil && o.do == "get" && (err != nil || answer.Status != http.StatusOK && answer.Status != http.StatusNotFound) {
			w.why(key, answer, err)
		}
		switch {
		case err != nil: // the body was cut off, or the connection
			o.unknown = true
		case o.do == "get" && answer.Status == http.StatusOK:
			o.read = valueOf(answer.Body)
			last[key] = seen{o.read, answer.ETag()}
		case o.do == "get" && answer.Status == http.StatusNotFound && answer.Code == "NoSuchKey":
			delete(last, key)
		case answer.Status == http.StatusServiceUnavailable, w.breaks && answer.Status == http.StatusInternalServerError:
			o.unknown = true
		case answer.Status == http.StatusPreconditionFailed && r.Header != nil, answer.Status == http.StatusNotFound && o.do == "replace":
			o.failed = true
		case answer.Status/100 != 2:
			return fmt.Errorf("seed %d: %s %s through %s: status %d: %s", w.seed, r.Method, key, m.id, answer.Status, answer.Body)
		}
		w.note(number, key, call, o)
	}
}

// run lets clients work while accidents happens.
func (w *workload) run(clients int, accidents func(*rand.Rand)) {
	w.t.Helper()
	w.begin, w.ops, w.told = time.Now(), make(map[string][]porcupine.Operation), make(map[string]int)
	stop := make(chan struct{})
	done := make(chan error, clients)
	for i := range clients {
		go func() { done <- w.client(i, stop) }()
	}
	accidents(rand.New(rand.NewPCG(w.seed, 1<<32)))
	close(stop)
	var failures []error
	for range clients {
		failures = append(failures, <-done)
	}
	if err := errors.Join(failures...); err != nil {
		w.t.Fatal(err)
	}
}

// enough waits until clients were told about so many operations since.
func (w *workload) enough(operations int) {
	count := func() (n int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, of := range w.told {
			n += of
		}
		return n
	}
	for begun, end := count(), time.Now().Add(patience); count() < begun+operations && time.Now().Before(end); {
		<-time.After(time.Millisecond)
	}
}

// judge looks for an order in which all that clients saw is what one register per key
// would have told.
func (w *workload) judge() {
	w.t.Helper()
	w.t.Logf("seed %d: %v", w.seed, w.told)
	if wrong := w.wrong(); wrong != "" {
		w.t.Fatalf("seed %d: %s", w.seed, wrong)
	}
}

// wrong is what no order explains; empty: nothing.
func (w *workload) wrong() string {
	w.t.Helper()
	for key, history := range w.ops {
		switch result, info := porcupine.CheckOperationsVerbose(register(), history, time.Minute); result {
		case porcupine.Illegal:
			var lines []string
			for _, o := range history {
				lines = append(lines, fmt.Sprintf("%d-%d client %d %+v", o.Call, o.Return, o.ClientId, o.Output))
			}
			return fmt.Sprintf("%s is not linearizable: of %d operations at most %d fit\n%s", key, len(history), longest(info), strings.Join(lines, "\n"))
		case porcupine.Unknown:
			w.t.Logf("seed %d: %s: the search took too long", w.seed, key)
		}
	}
	return ""
}

func longest(info porcupine.LinearizationInfo) int {
	most := 0
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, order := range partition {
			most = max(most, len(order))
		}
	}
	return most
}

// settleAll reads every key, so that all nodes of it have the same.
func (w *workload) settleAll() {
	w.t.Helper()
	for i := range w.keys {
		answer, err := w.members[0].s3.Get(context.Background(), w.doc.Name, w.name(i))
		if err != nil || answer.Status != http.StatusOK && answer.Status != http.StatusNotFound {
			w.t.Fatalf("seed %d: k%d: %v %+v", w.seed, i, err, answer)
		}
	}
}

func newWorkload(t *testing.T, copies int) *workload {
	t.Helper()
	w := &workload{world: newMovingWorld(t, 3), seed: rand.Uint64(), keys: 10}
	w.doc = w.share("load", objects.BucketProps{Copies: copies})
	return w
}

// Many clients write the same keys through all nodes: each key is one register, and all
// nodes of a key have the same in the end.
func TestCopiesAreOneRegister(t *testing.T) {
	for copies := 2; copies <= 3; copies++ {
		t.Run(fmt.Sprint("copies=", copies), func(t *testing.T) {
			w := newWorkload(t, copies)
			w.run(8, func(*rand.Rand) { w.enough(raced(600)) })
			w.judge()
			for kind, n := range w.told {
				if strings.HasSuffix(kind, "unknown") {
					t.Errorf("seed %d: %s: %d, and nothing has happened to the nodes", w.seed, kind, n)
				}
			}
			w.settleAll()
			w.agrees(w.doc)
			w.quiet()
		})
	}
}

// The same while nodes are taken for dead and return, whether they know of it or not: a
// node that does not know goes on to serve by the map that it has.
func TestCopiesUnderAMapThatChanges(t *testing.T) {
	for copies := 2; copies <= 3; copies++ {
		t.Run(fmt.Sprint("copies=", copies), func(t *testing.T) {
			w := newWorkload(t, copies)
			m := w.keys0()
			w.run(6, func(random *rand.Rand) {
				for range raced(8) {
					w.enough(60)
					victim := w.members[random.IntN(len(w.members))]
					if random.IntN(4) == 0 { // only the epochs change
						state := smap.Draining
						if entry, _ := m.Node(smap.NodeID(victim.id)); entry.State == state {
							state = smap.Up
						}
						m = becomes(t, m, victim.id, state)
						w.adoptOneByOne(random, m, nil)
						continue
					}
					m = becomes(t, m, victim.id, smap.Down)
					var unaware *member
					if random.IntN(2) == 0 {
						unaware = victim
					}
					w.adoptOneByOne(random, m, unaware)
					w.enough(60)
					m = becomes(t, m, victim.id, smap.Recovering)
					w.adopt(m)
					w.awaitMap(m)
					w.catchUp(victim)
					m = becomes(t, m, victim.id, smap.Up)
					w.adoptOneByOne(random, m, nil)
				}
				w.awaitMap(m)
			})
			w.judge()
			if w.told["get"] == 0 || w.told["put"] == 0 {
				t.Fatalf("seed %d: %v: the test says nothing", w.seed, w.told)
			}
			w.settleAll()
			w.agrees(w.doc)
			w.quiet()
		})
	}
}

// The judge sees what a node does that was replaced, does not know it, and asks nobody:
// neither before it answers a read, nor to store what it writes.
func TestJudgeSeesBrokenRules(t *testing.T) {
	w := newWorkload(t, 2)
	alone := w.members[0]
	alone.peers.fakeConfirms.Store(true)
	alone.peers.fakeStores.Store(true)
	w.run(6, func(*rand.Rand) {
		w.enough(50)
		m := becomes(t, w.keys0(), alone.id, smap.Down)
		for _, x := range w.members[1:] {
			w.adoptAt(x, m)
		}
		w.enough(400)
	})
	if w.wrong() == "" {
		t.Fatalf("seed %d: %v: nothing is wrong", w.seed, w.told)
	}
}

// keys0 is the map that the nodes began with.
func (w *workload) keys0() *smap.Smap { return w.members[0].nodes.Load().Map }

// adoptOneByOne has nodes adopt a map in random order, with requests in between; one of
// them does not hear of it.
func (w *workload) adoptOneByOne(random *rand.Rand, m *smap.Smap, unaware *member) {
	for _, i := range random.Perm(len(w.members)) {
		if x := w.members[i]; x != unaware {
			w.adoptAt(x, m)
			w.enough(random.IntN(4))
		}
	}
}

// catchUp has a node make its state equal to that of those in sync, as one does that
// returns.
func (w *workload) catchUp(victim *member) {
	w.t.Helper()
	if err := victim.Gateway().CatchUp(context.Background(), victim.nodes.Load().Map); err != nil {
		w.t.Fatalf("seed %d: %s does not catch up: %v", w.seed, victim.id, err)
	}
}
