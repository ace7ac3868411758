package transition

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/model"
	"github.com/troupe-storage/troupe/test/s3client"
)

const bucket = "photos"

// steadyKeys are written before the history and only ever overwritten: a read or a
// listing that does not find one of them is wrong, whenever it comes.
const steadyKeys = 40

// changingKeys are written and deleted.
const changingKeys = 40

// cell is one key of the history. Its writes take turns.
type cell struct {
	mu   sync.Mutex
	name string
	// steady keys are read by others meanwhile.
	steady bool
	upload string // a multipart upload under way; empty: none
	parts  []s3client.Part
	whole  []byte // of the parts
}

// history is what clients do while the set changes.
type history struct {
	seed   uint64
	model  *model.Model
	cells  []*cell
	client atomic.Pointer[s3client.Client]

	writes, reads, lists, busy atomic.Int64

	// faulty says that a disk fails on purpose: writes may meet it and be answered 500.
	faulty atomic.Bool

	enough chan struct{} // closed when the history proves something
	once   sync.Once

	mu       sync.Mutex
	failures []error
}

func newHistory(seed uint64) *history {
	h := &history{seed: seed, model: model.New(), enough: make(chan struct{})}
	for i := range steadyKeys + changingKeys {
		c := &cell{name: fmt.Sprintf("changing/%02d", i-steadyKeys), steady: i < steadyKeys}
		if c.steady {
			c.name = fmt.Sprintf("steady/%02d", i)
		}
		h.cells = append(h.cells, c)
	}
	return h
}

func (h *history) fail(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.failures) < 20 {
		h.failures = append(h.failures, fmt.Errorf(format, args...))
	}
}

// place is the cell of the model; the bucket has no id there.
func (c *cell) place() model.Cell { return model.Object(objects.Key{Name: c.name}) }

// body makes bytes of a random length on both sides of the inline limit.
func body(random *rand.Rand) []byte {
	b := make([]byte, 16+random.IntN(3*inlineBytes))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

func valueOf(b []byte) *model.Value {
	hash := fnv.New64a()
	hash.Write(b)
	return &model.Value{Size: int64(len(b)), Digest: hash.Sum64()}
}

// mayFail reports whether an answer says that a write could not be done now.
func (h *history) mayFail(status int) bool {
	broken := status == http.StatusInternalServerError || status == http.StatusInsufficientStorage
	return status == http.StatusServiceUnavailable || broken && h.faulty.Load()
}

// outcome says what an answer to a write means: it happened, it did not, or nobody
// knows.
func (h *history) outcome(operation *model.Operation, answer *s3client.Answer, err error) (done bool) {
	switch {
	case err != nil:
		operation.Doubt()
	case answer.OK():
		operation.Acknowledge()
		h.writes.Add(1)
		return true
	case answer.Status == http.StatusPreconditionFailed, answer.Status == http.StatusNotFound:
		operation.Refuse()
	case h.mayFail(answer.Status):
		h.busy.Add(1)
		operation.Doubt()
	default:
		h.fail("a write was answered %v", answer.Err())
		operation.Doubt()
	}
	return false
}

// write does one random write of a cell, which is locked.
func (h *history) write(random *rand.Rand, c *cell) {
	client := h.client.Load()
	switch choice := random.IntN(10); {
	case c.upload != "" && choice < 4:
		h.part(random, c)
	case c.upload != "" && choice < 7:
		h.complete(c)
	case c.upload != "" && choice == 7:
		if answer, err := client.Abort(context.Background(), bucket, c.name, c.upload); err == nil && answer.OK() {
			c.upload = ""
		} else if err == nil && answer.Status == http.StatusNotFound {
			h.fail("seed %d: upload of %s is not there to be aborted", h.seed, c.name)
		}
	case choice == 0:
		id, answer, err := client.CreateUpload(context.Background(), bucket, c.name)
		if err == nil && answer.OK() && id != "" {
			c.upload, c.parts, c.whole = id, nil, nil
		}
	case choice < 3 && !c.steady:
		operation := h.model.Begin(model.Change{Cell: c.place()})
		answer, err := client.Delete(context.Background(), bucket, c.name)
		h.outcome(operation, answer, err)
	case choice < 5:
		h.conditional(random, c)
	default:
		b := body(random)
		operation := h.model.Begin(model.Change{Cell: c.place(), Value: valueOf(b)})
		answer, err := client.Put(context.Background(), bucket, c.name, b)
		h.outcome(operation, answer, err)
	}
}

// conditional puts only over nothing, which must be refused if there is something.
func (h *history) conditional(random *rand.Rand, c *cell) {
	b := body(random)
	current, certain := h.model.Current(c.place())
	operation := h.model.Begin(model.Change{Cell: c.place(), Value: valueOf(b)})
	answer, err := h.client.Load().Put(context.Background(), bucket, c.name, b, objects.Pair{Name: "If-None-Match", Value: "*"})
	done := h.outcome(operation, answer, err)
	if certain && err == nil && answer.Status < http.StatusInternalServerError && done != (current == nil) {
		h.fail("seed %d: a put of %s over nothing was answered %d, and there was %s", h.seed, c.name, answer.Status, current)
	}
}

func (h *history) part(random *rand.Rand, c *cell) {
	b := body(random)
	number := len(c.parts) + 1
	answer, err := h.client.Load().PutPart(context.Background(), bucket, c.name, c.upload, number, b)
	switch {
	case err != nil || answer.Status == http.StatusServiceUnavailable:
	case h.mayFail(answer.Status):
	case answer.OK():
		c.parts = append(c.parts, s3client.Part{Number: number, ETag: answer.ETag()})
		c.whole = append(c.whole, b...)
	default:
		h.fail("seed %d: part %d of upload %s of %s: %v", h.seed, number, c.upload, c.name, answer.Err())
	}
}

func (h *history) complete(c *cell) {
	if len(c.parts) == 0 {
		return
	}
	operation := h.model.Begin(model.Change{Cell: c.place(), Value: valueOf(c.whole)})
	answer, err := h.client.Load().Complete(context.Background(), bucket, c.name, c.upload, c.parts)
	switch {
	case h.outcome(operation, answer, err):
		c.upload = ""
	case err == nil && answer.Status == http.StatusNotFound:
		h.fail("seed %d: upload %s of %s is not there to be completed", h.seed, c.upload, c.name)
		c.upload = ""
	}
}

// look reads a cell, which is locked, and compares it with the model.
func (h *history) look(c *cell) {
	want, certain := h.model.Current(c.place())
	answer, err := h.client.Load().Get(context.Background(), bucket, c.name)
	if err != nil || answer.Status == http.StatusServiceUnavailable {
		h.busy.Add(1)
		return
	}
	h.reads.Add(1)
	var got *model.Value
	if answer.OK() {
		got = valueOf(answer.Body)
	}
	if certain && !got.Equal(want) {
		h.fail("seed %d: %s is %s, want %s", h.seed, c.name, got, want)
	}
}

// glance reads a steady key while others write it.
func (h *history) glance(c *cell) {
	answer, err := h.client.Load().Get(context.Background(), bucket, c.name)
	if err == nil && answer.Status == http.StatusNotFound {
		h.fail("seed %d: %s was never deleted and is not found", h.seed, c.name)
	}
	if err == nil && answer.OK() {
		h.reads.Add(1)
	}
}

// list reads all names, page by page: every steady key is among them, once.
func (h *history) list(random *rand.Rand) {
	listed, err := h.client.Load().List(context.Background(), bucket, "", 1+random.IntN(30))
	if err != nil {
		h.busy.Add(1)
		return
	}
	var names []string
	for _, l := range listed {
		names = append(names, l.Key)
	}
	h.lists.Add(1)
	seen := make(map[string]int)
	for i, name := range names {
		seen[name]++
		if i > 0 && names[i-1] >= name {
			h.fail("seed %d: the list has %s after %s", h.seed, name, names[i-1])
		}
	}
	for _, c := range h.cells[:steadyKeys] {
		if seen[c.name] != 1 {
			h.fail("seed %d: %s is %d times in the list of %d", h.seed, c.name, seen[c.name], len(names))
		}
	}
}

// run works until stop is closed.
func (h *history) run(worker int, stop <-chan struct{}) {
	random := rand.New(rand.NewPCG(h.seed, uint64(worker)))
	for {
		select {
		case <-stop:
			return
		default:
		}
		if h.writes.Load() >= 100 && h.reads.Load() >= 100 && h.lists.Load() >= 20 {
			h.once.Do(func() { close(h.enough) })
		}
		c := h.cells[random.IntN(len(h.cells))]
		switch random.IntN(8) {
		case 0:
			h.list(random)
		case 1, 2:
			h.glance(h.cells[random.IntN(steadyKeys)])
		case 3:
			c.mu.Lock()
			h.look(c)
			c.mu.Unlock()
		default:
			c.mu.Lock()
			h.write(random, c)
			c.mu.Unlock()
		}
	}
}

// check reads everything when nothing is under way.
func (h *history) check() map[model.Cell]*model.Value {
	found := make(map[model.Cell]*model.Value)
	for _, c := range h.cells {
		answer, err := h.client.Load().Get(context.Background(), bucket, c.name)
		switch {
		case err != nil:
			h.fail("seed %d: GET %s: %v", h.seed, c.name, err)
		case answer.OK():
			found[c.place()] = valueOf(answer.Body)
		case answer.Status != http.StatusNotFound:
			h.fail("seed %d: GET %s: %v", h.seed, c.name, answer.Err())
		}
		if c.upload != "" && len(c.parts) > 0 {
			page, ok, err := h.client.Load().Parts(context.Background(), bucket, c.name, c.upload)
			if err != nil || !ok || len(page) < len(c.parts) {
				h.fail("seed %d: upload %s of %s has parts %v, want %d: %v", h.seed, c.upload, c.name, page, len(c.parts), err)
			}
		}
	}
	return found
}

func fill(h *history) error {
	random := rand.New(rand.NewPCG(h.seed, 1000))
	for _, c := range h.cells {
		b := body(random)
		operation := h.model.Begin(model.Change{Cell: c.place(), Value: valueOf(b)})
		answer, err := h.client.Load().Put(context.Background(), bucket, c.name, b)
		if !h.outcome(operation, answer, err) {
			return fmt.Errorf("PUT %s: %w", c.name, err)
		}
	}
	return nil
}
