package crash

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/model"
)

// world is one history: a machine, what its writers did to it, and what the
// model knows of that.
type world struct {
	seed    uint64
	machine *machine
	model   *model.Model
	relaxed bool // half of the writes are in the relaxed class
	stopped bool // the store could not be restarted
	faults  bool // operations may fail: an error is judged, and is no violation by itself

	buckets atomic.Pointer[bucketSet]
	made    atomic.Uint64 // payloads, uploads and buckets so far: the source of what makes each different

	mu       sync.Mutex
	problems []string
}

// bucketSet is the buckets that there are. Immutable.
type bucketSet struct {
	live     []objects.Bucket
	dropping *objects.Bucket // its document says that it is destroyed; it is dropped again at the next start
}

func newWorld(seed uint64, fs disk.FS, m *machine) *world {
	w := &world{seed: seed, machine: m, model: model.New()}
	m.fs = fs
	w.buckets.Store(&bucketSet{live: []objects.Bucket{
		{ID: w.bucketID(), Provider: objects.ProviderAIS, Name: "photos"},
		{ID: w.bucketID(), Provider: objects.ProviderAIS, Namespace: "u#n", Name: "photos"}, // lies in .troupe/buckets
		{ID: w.bucketID(), Provider: objects.ProviderAIS, Name: "shortlived"},
	}})
	return w
}

func (w *world) bucketID() (id objects.BucketID) {
	binary.BigEndian.PutUint64(id[:], 0xb<<60|w.made.Add(1))
	return id
}

// problem notes something that no power cut explains: a wrong answer.
func (w *world) problem(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// wrong reports whether there was a problem.
func (w *world) wrong() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.problems) > 0
}

// shape is what a history is like, by its seed: most have one writer, whose order
// is the same in every run; some have several.
type shape struct {
	writers, steps, inline int
	relaxed                bool
}

func shapeOf(seed uint64) shape {
	random := rand.New(rand.NewPCG(seed, 1))
	s := shape{writers: 1, steps: 30, inline: 1 << 10 << (2 * random.IntN(3))}
	if random.IntN(4) == 0 {
		s.writers, s.steps = 3, 12
	}
	s.relaxed = random.IntN(3) == 0
	return s
}
