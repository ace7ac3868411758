package index

import (
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Metrics is what an index can tell of itself at one moment. Sizes are bytes.
type Metrics struct {
	DiskBytes      uint64 // all that the index takes on the disk
	Tables         uint64
	TableBytes     uint64
	Blobs          uint64
	BlobBytes      uint64
	GarbageBytes   uint64 // separated values that no key refers to any more
	LogBytes       uint64 // written to logs that are not flushed yet
	MemTables      int64
	MemTableBytes  uint64
	DebtBytes      uint64 // what compactions have to rewrite before the index is at rest
	ReadAmp        int    // sorted runs that a scan merges
	Tombstones     uint64
	Compactions    int64 // so far
	CompactionsNow int64 // running
	CompactionTime time.Duration
	Flushes        int64 // so far
	CacheHits      int64 // of the node's block cache
	CacheMisses    int64
	CacheBytes     int64
	OpenFiles      int64 // of the node's file cache
	KeysInFlight   int64
	Commits        uint64 // applied so far
	Stalled        bool
}

// Metrics measures the index. It takes Pebble's locks; ask every few seconds,
// not per request. Offline on a dead index.
func (x *Index) Metrics() (Metrics, error) {
	var m *pebble.Metrics
	err := x.maintain("index.Metrics", func() error {
		m = x.db.Metrics()
		return nil
	})
	if err != nil {
		return Metrics{}, err
	}
	out := Metrics{
		DiskBytes:      diskBytes(m),
		Tables:         m.Table.Local.LiveCount,
		TableBytes:     m.Table.Local.LiveSize,
		Blobs:          m.BlobFiles.Local.LiveCount,
		BlobBytes:      m.BlobFiles.Local.LiveSize,
		GarbageBytes:   m.BlobFiles.ValueSize - min(m.BlobFiles.ReferencedValueSize, m.BlobFiles.ValueSize),
		LogBytes:       m.WAL.Size,
		MemTables:      m.MemTable.Count,
		MemTableBytes:  m.MemTable.Size,
		DebtBytes:      m.Compact.EstimatedDebt,
		ReadAmp:        m.ReadAmp(),
		Tombstones:     m.Keys.TombstoneCount,
		Compactions:    m.Compact.Count,
		CompactionsNow: m.Compact.NumInProgress,
		CompactionTime: m.Compact.Duration,
		Flushes:        m.Flush.Count,
		CacheHits:      m.BlockCache.Hits,
		CacheMisses:    m.BlockCache.Misses,
		CacheBytes:     m.BlockCache.Size,
		OpenFiles:      m.FileCache.TableCount + m.FileCache.BlobFileCount,
		KeysInFlight:   x.flights.keys.Load(),
		Commits:        x.barrier.applied.Load(),
		Stalled:        x.stalled.Load(),
	}
	return out, nil
}

// Debt returns how many bytes compactions have to rewrite before the index is
// at rest; 0 on a dead index, where nothing will be.
func (x *Index) Debt() uint64 {
	m, err := x.Metrics()
	if err != nil {
		return 0
	}
	return m.DebtBytes
}

// Compact rewrites the keys from lower up to and without upper, so that the
// space of what was deleted among them comes back and a scan does not walk over
// their tombstones. It first flushes what is in memory, takes as long as the
// range is large, and returns when it is done or when the instance dies.
func (x *Index) Compact(lower, upper []byte) error {
	const op errs.Op = "index.Compact"
	return x.maintain(op, func() error {
		return x.db.Compact(context.Background(), lower, upper, false)
	})
}

// Flush writes what is in memory to tables. It returns when that is done, or
// when the instance dies.
func (x *Index) Flush() error {
	const op errs.Op = "index.Flush"
	return x.maintain(op, x.db.Flush)
}

// diskBytes is what the index takes on disk. Pebble 2.1.7 counts the local blob
// files from zero after an open, and down from there; the files of the version
// that is open say it.
func diskBytes(m *pebble.Metrics) uint64 {
	return m.DiskSpaceUsage() - m.BlobFiles.Local.LiveSize + m.BlobFiles.LiveSize
}
