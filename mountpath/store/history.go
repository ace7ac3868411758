package store

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
)

// The history of objects is written with what it tells of: one entry in the batch of the
// record, and no sync of its own. Entries go to the newest of some segments. The keeper
// begins the next one when that is full or old, and drops the oldest, one range each,
// when there are too many bytes or too old ones. So a key is looked up in some 30
// segments at the most, and what a write costs does not depend on how much there is.

// HistoryLimits bound the history of objects that a mountpath keeps.
type HistoryLimits struct {
	Off     bool          // nothing is recorded; what there is goes when it is old
	Bytes   int64         // of keys and values, before they are compressed; 0: as many as there are
	Percent float64       // of the filesystem, 0 to 100: at most so many bytes; 0: as many as there are
	Age     time.Duration // entries older than this go; 0: never
}

// DefaultHistoryLimits are 256 MiB, and on a small filesystem 1% of it, and 30 days. An
// entry takes some 130 bytes: 256 MiB are two million writes, one in 1.3 s for 30 days.
func DefaultHistoryLimits() HistoryLimits {
	return HistoryLimits{Bytes: 256 << 20, Percent: 1, Age: 30 * 24 * time.Hour}
}

// of returns how many bytes may be kept on a filesystem.
func (l HistoryLimits) of(totalBytes uint64) int64 {
	most := int64(math.MaxInt64)
	if l.Bytes > 0 {
		most = l.Bytes
	}
	if l.Percent > 0 && totalBytes > 0 { // else it was not measured yet
		most = min(most, int64(float64(totalBytes)*(l.Percent/100)))
	}
	return most
}

// history is a store's history of objects. Adding to it is safe for concurrent use.
type history struct {
	limits HistoryLimits
	// current is the number of the segment that entries go to; 0: none are recorded.
	current atomic.Uint64
	// added counts the bytes that came since the current segment was last counted.
	added atomic.Int64

	// segments are there, oldest first; the last is the current one, also while nothing is
	// recorded. What is published is not changed. nil: there are none.
	segments atomic.Pointer[[]segment]
	dropped  atomic.Uint64 // segments, since the store was opened
	keeping  sync.Mutex    // held by who changes segments, and blocks on the disk
	// opened was taken when the store was: what arrived before is counted by recount. Zero
	// once that is done.
	opened objects.Generation
}

// recordWrite adds to the batch of a record, whose generation was taken for it, that it is
// written.
func (s *Store) recordWrite(batch *index.Batch, kind objects.MutationKind, key objects.Key, meta *objects.Meta, by *objects.Origin) {
	if segment := s.history.current.Load(); segment != 0 {
		m := objects.Mutation{Kind: kind, At: s.now(), Size: meta.Size, XXHash: meta.XXHash, Origin: *by}
		s.addMutation(batch, segment, key, meta.Generation, &m)
	}
}

// recordOther adds to the batch of a change that there was one, where the generation was
// not taken for it: it came with the record, or goes with it.
func (s *Store) recordOther(batch *index.Batch, kind objects.MutationKind, key objects.Key, meta *objects.Meta, by *objects.Origin) {
	if segment := s.history.current.Load(); segment != 0 {
		m := objects.Mutation{Kind: kind, At: s.now(), Generation: meta.Generation, Size: meta.Size, XXHash: meta.XXHash, Origin: *by}
		s.addMutation(batch, segment, key, s.generations.Next(), &m)
	}
}

// addMutation adds an entry to a batch, some 130 bytes.
func (s *Store) addMutation(batch *index.Batch, segment uint64, key objects.Key, arrival objects.Generation, m *objects.Mutation) {
	var room [192]byte
	indexKey := layout.MutationKey(room[:0], segment, key.Bucket.ID, key.Name, arrival)
	value := layout.AppendMutation(make([]byte, 0, 128), m)
	batch.Set(indexKey, value)
	s.history.added.Add(int64(len(indexKey) + len(value)))
}

// storedKind is the kind of the entry of a record that came from another node.
func storedKind(meta *objects.Meta) objects.MutationKind {
	if meta.Deleted {
		return objects.MutationDeleted
	}
	return objects.MutationStored
}

// HistorySize returns how many bytes of history there are, in how many segments, and how
// many segments were dropped since the store was opened.
func (s *Store) HistorySize() (bytes int64, segments int, dropped uint64) {
	all := s.history.all()
	bytes = s.history.added.Load()
	for i := range all {
		bytes += all[i].Bytes
	}
	return bytes, len(all), s.history.dropped.Load()
}

// all returns the segments there are, the oldest first. Only to be read.
func (h *history) all() []segment {
	if all := h.segments.Load(); all != nil {
		return *all
	}
	return nil
}
