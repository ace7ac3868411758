package index

import (
	"runtime"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

const (
	// MaxMemTableBytes bounds one memtable: a larger one makes flushes longer,
	// not rarer enough to pay for its memory.
	MaxMemTableBytes = 16 << 20
	// MinMemTableBytes is what Pebble starts with; below it, it only rotates.
	MinMemTableBytes = 256 << 10

	// MemTables is how many memtables one index may hold at once: one that
	// takes writes and one that is being flushed. Beyond it writes stall.
	MemTables = 2

	// spareIndexes is for how many indexes more than a node begins with there is room
	// for memtables that does not come from its blocks. A room that nobody has costs
	// nothing; beyond them blocks give way.
	spareIndexes = 256

	// sharedFiles is how many tables and blobs a node keeps open: 512 of them at
	// 4 to 64 MiB are more than a million small objects. It is a line of the
	// node's budget of descriptors.
	sharedFiles = 512
)

// MemTableBytes returns the memtable size of each of the mountpaths of a node
// whose memory budget is budgetBytes: an eighth of it for all of them.
func MemTableBytes(budgetBytes int64, mountpaths int) int {
	share := budgetBytes / (8 * int64(max(mountpaths, 1)))
	return int(min(max(share, MinMemTableBytes), MaxMemTableBytes))
}

// Shared is what the indexes of one node have in common: one block cache and
// one cache of open files. Its memory lies outside the Go heap and GOMEMLIMIT.
// Safe for concurrent use.
type Shared struct {
	cache *pebble.Cache
	files *pebble.FileCache
	limit int64

	mu       sync.Mutex
	reserved []func() // one for each mountpath whose index is not open: gives its memtables' room back
}

// NewShared makes the caches of a node with so many mountpaths, and room for more.
// Memtables take their room from the block cache, so it is made larger by what they
// need: at least blockCacheBytes are left for blocks, whatever the memtables hold.
// The caller closes it after the last index.
func NewShared(blockCacheBytes int64, mountpaths int) *Shared {
	const room = MemTables * MaxMemTableBytes
	indexes := mountpaths + spareIndexes
	s := &Shared{cache: pebble.NewCache(blockCacheBytes + int64(indexes)*room), limit: blockCacheBytes + int64(mountpaths)*room}
	s.files = pebble.NewFileCache(runtime.GOMAXPROCS(0), sharedFiles)
	for range indexes {
		s.reserved = append(s.reserved, s.cache.Reserve(room))
	}
	return s
}

// attach makes room for one more index's memtables, and returns what undoes it.
// The room of a mountpath that has no index is reserved, and so is, of one that
// has, what its memtables can never take.
func (s *Shared) attach(memTableBytes int) (detach func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.reserved); n > 0 {
		s.reserved[n-1]()
		s.reserved = s.reserved[:n-1]
	}
	giveBack := func() {}
	if rest := MemTables * (MaxMemTableBytes - memTableBytes); rest > 0 {
		giveBack = s.cache.Reserve(rest)
	}
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		giveBack()
		s.reserved = append(s.reserved, s.cache.Reserve(MemTables*MaxMemTableBytes))
	})
}

// Bytes returns the most memory that blocks and memtables together may take:
// a line of the node's budget. It is exact when every memtable has its full size.
func (s *Shared) Bytes() int64 { return s.limit }

// Files returns how many tables and blobs are kept open: a line of the node's
// budget of descriptors.
func (s *Shared) Files() int { return sharedFiles }

// Close lets the caches go once the indexes that use them are closed.
func (s *Shared) Close() {
	s.files.Unref()
	s.cache.Unref()
}
