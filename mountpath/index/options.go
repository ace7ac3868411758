package index

import (
	"runtime"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

const (
	// defaultDeadline bounds opening and closing: replaying the logs of two
	// memtables takes tenths of a second on any disk that works.
	defaultDeadline = 60 * time.Second

	// retreat is how long an error of a flush or compaction is held back,
	// because Pebble tries again at once and for ever.
	retreat = time.Second

	// rangeDeleteFlush is when a range deletion is flushed, which is when its
	// space begins to come back.
	rangeDeleteFlush = 10 * time.Second

	// bloomBits per key let one of a hundred lookups of an absent key reach a table.
	bloomBits = 10

	// separatedBytes is the size from which a value goes to a blob file, which
	// compactions of its key do not rewrite.
	separatedBytes = 1 << 10
)

// FormatVersion is the version of Pebble's format that an index is written in.
// It belongs in the mountpath's format.json.
const FormatVersion = uint64(pebble.FormatNewest)

// Options say how to open an index.
type Options struct {
	// FS is the mountpath's filesystem; Dir the index's directory below its
	// root, for example ".troupe/index". Dir is made if it is absent, its parent
	// too. Both are required.
	FS  disk.FS
	Dir string

	// MustExist makes it Corrupt that there is no index. The mountpath sets it
	// when its format document says that the index was made.
	MustExist bool

	// ReadOnly opens what is there, replaying its logs in memory, and changes
	// nothing on the disk: FS may be a disk.View. Commits are refused, as Offline
	// around EROFS. An index that is not there is NotFound.
	ReadOnly bool

	// Node is the node's caches, which must outlive the index. Required.
	Node *Shared

	// MemTableBytes is the size of a memtable; MemTableBytes(budget, mountpaths)
	// gives it. 0: MaxMemTableBytes. Kept between the two bounds.
	MemTableBytes int

	// Log gets what Pebble reports; nil: nobody does.
	Log *logrus.Entry

	// OnEvent is told what happens to the index, on any goroutine; it must not
	// block and must not call the index. nil: nobody is.
	OnEvent func(Event)

	// Deadline bounds opening, closing and a scan's wait for a sync; 0: one minute.
	Deadline time.Duration

	// InlineSeparation keeps values of any size beside their keys instead of
	// separating those from 1 KiB up into blob files. It is there to measure the
	// difference: processor time of a synced commit with its compactions, 64
	// writers on ext4, separated and inline: payloads of 4 KiB 40 and 47 µs,
	// of 16 KiB 99 and 147, of 32 KiB 236 and 261, of 64 KiB 493 and 606.
	InlineSeparation bool

	// Retreat is how long an error of a flush or compaction is held back before
	// Pebble may retry; 0: one second. Tests make it short.
	Retreat time.Duration
}

func (o Options) withDefaults() Options {
	if o.MemTableBytes == 0 {
		o.MemTableBytes = MaxMemTableBytes
	}
	o.MemTableBytes = min(max(o.MemTableBytes, MinMemTableBytes), MaxMemTableBytes)
	if o.Log == nil {
		discard := logrus.New()
		discard.SetOutput(nothing{})
		discard.SetLevel(logrus.PanicLevel)
		o.Log = logrus.NewEntry(discard)
	}
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
	if o.Deadline == 0 {
		o.Deadline = defaultDeadline
	}
	if o.Retreat == 0 {
		o.Retreat = retreat
	}
	return o
}

type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }

// compression is what blocks of an index are written with: fast for keys and
// records, none for separated values, which are payloads and as a rule
// compressed by whoever made them.
func compression() *block.CompressionProfile {
	profile := *block.FastestCompression
	profile.Name = "Troupe"
	profile.ValueBlocks = block.NoCompression.ValueBlocks
	return &profile
}

// pebbleOptions says how Pebble runs one instance.
func pebbleOptions(o Options, a *adapter, events *pebble.EventListener) *pebble.Options {
	profile := compression()
	compactions := min(2, runtime.GOMAXPROCS(0))
	p := &pebble.Options{
		FS:                 a,
		Cache:              o.Node.cache,
		FileCache:          o.Node.files,
		ReadOnly:           o.ReadOnly,
		FormatMajorVersion: pebble.FormatNewest,
		Logger:             &logger{entry: o.Log, instance: a.instance},
		EventListener:      events,

		MemTableSize:                uint64(o.MemTableBytes),
		MemTableStopWritesThreshold: MemTables,
		FlushDelayDeleteRange:       rangeDeleteFlush,

		L0CompactionThreshold: 4,
		L0StopWritesThreshold: 24, // twice Pebble's: a small node compacts late rather than refuses
		LBaseMaxBytes:         64 << 20,
		CompactionConcurrencyRange: func() (int, int) {
			return 1, compactions
		},
		MaxManifestFileSize: 4 << 20, // replayed at every start
	}
	for i := range p.Levels {
		p.Levels[i] = pebble.LevelOptions{
			BlockSize:      8 << 10,
			IndexBlockSize: 64 << 10,
			FilterPolicy:   bloom.FilterPolicy(bloomBits),
			Compression:    func() *block.CompressionProfile { return profile },
		}
	}
	p.TargetFileSizes[0] = 4 << 20
	p.Experimental.CompactionScheduler = newScheduler(a.instance)
	p.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{
			Enabled:               !o.InlineSeparation,
			MinimumSize:           separatedBytes,
			MaxBlobReferenceDepth: 10,
			RewriteMinimumAge:     time.Minute,
			TargetGarbageRatio:    0.3,
		}
	}
	return p
}
