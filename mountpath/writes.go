package mountpath

import (
	"sync/atomic"

	"github.com/troupe-storage/troupe/objects"
)

// writes counts the writes of keys, many keys to a number: whoever looks twice at a
// key's and finds it unchanged knows that no write of it began in between. The zero
// value is ready. Safe for concurrent use.
type writes [1024]atomic.Uint64

// began counts a write that is about to be done, in the key's turn.
func (w *writes) began(key objects.Key) { w.slot(key).Add(1) }

// of returns the count.
func (w *writes) of(key objects.Key) uint64 { return w.slot(key).Load() }

func (w *writes) slot(key objects.Key) *atomic.Uint64 { return &w[key.Digest()%uint64(len(w))] }
