package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// DefaultInlineLimit is the largest payload that goes into the index, in bytes.
// A first guess from probes: with value separation a synced batch of 32 KiB
// costs 202 µs of CPU, a file with two fsyncs 360 to 410 at any size.
const DefaultInlineLimit = 32 << 10

// LeaseTime is how long a reader keeps the part files of a replaced object from
// being reclaimed without saying anything: an hour is 5 TiB at 1.4 GiB/s.
const LeaseTime = time.Hour

// Options says what a store is made of. FS, Shared and Generations are needed.
type Options struct {
	FS          disk.FS
	Shared      *index.Shared
	Generations *objects.Sequencer
	// Shares says that other nodes keep the same objects: what is settled after a crash
	// may be here only, and its record says so.
	Shares        bool
	MemTableBytes int // of the index; 0: its default
	InlineLimit   int // bytes; 0: DefaultInlineLimit
	// BootID is another one after each start of the operating system. With an
	// empty one every open is taken to follow a crash of the system.
	BootID string
	// ReadOnly opens a store on a filesystem that takes no writes now: see Open.
	ReadOnly bool
	// Lifetime is what the process remembers of the mountpath; nil: nothing, this
	// is its only store.
	Lifetime *Lifetime
	// Reserve is kept free beside what the index needs; zero: DefaultReserve.
	Reserve Reserve
	// History bounds the history of objects; zero: DefaultHistoryLimits.
	History HistoryLimits
	Now     func() time.Time // nil: by the operating system
	// Elapsed measures how long reads take: clock.Clock's; nil: by the operating
	// system.
	Elapsed func() time.Duration
	Log     *logrus.Entry // nil: discarded
	OnEvent func(Event)   // nil: none; must not block
}

// Event is something that happened to the disk, for the mountpath's coordinator.
type Event struct {
	Kind EventKind
	Key  objects.Key // zero if it is about the whole disk
	Err  error
}

// EventKind says what happened.
type EventKind string

const (
	// DiskError: the operating system refused in a way that speaks against the disk.
	DiskError EventKind = "disk error"
	// DiskReadOnly: the filesystem has turned read-only.
	DiskReadOnly EventKind = "disk read-only"
	// IndexDead: the index stopped; reads of it may go on, writes do not.
	IndexDead EventKind = "index dead"
	// Panicked: settling a key, or reclaiming a payload, did; Err is a *PanicError. The disk has no part in it.
	Panicked EventKind = "panicked"
	// Damaged: something stored is not what was stored.
	Damaged EventKind = "damaged"
)

// Store is one mountpath's objects. Methods are safe for concurrent use, but
// those that change a key run in the key's turn (see the package comment).
type Store struct {
	fs     disk.FS // with readOnly a view of disk
	disk   disk.FS // to be probed
	index  *index.Index
	format *layout.Format
	lock   io.Closer
	// readOnly says that nothing is written, not even once the filesystem takes writes
	// again: another store must follow then.
	readOnly bool

	generations *objects.Sequencer
	shares      bool
	inlineLimit int
	now         func() time.Time
	log         *logrus.Entry
	onEvent     func(Event)

	memTableBytes int                        // of the index, for the reserve
	space         atomic.Pointer[disk.Space] // as last measured
	fullness      atomic.Uint32              // a Fullness
	claimedBytes  atomic.Int64               // admitted since then
	claimedFiles  atomic.Int64               // likewise
	deletedBytes  atomic.Int64               // of payloads in the index, since it was flushed for the room

	names   *names
	leases  *leases
	reclaim *reclaimQueue
	staging *staging // of the lifetime

	// unsettled holds the intents that nobody is at work on. Keys whose write
	// failed after its rename are Busy until they are settled: what is on the disk
	// is unknown.
	unsettled unsettled

	reads      reads
	moved      moved
	tombstones tombstones
	history    history
	scrub      *Scrub
	damages    damages
	members    memberFiles
	lifetime   *Lifetime
	reserve    Reserve
	probes     atomic.Uint64 // makes the content of each probe another
	importing  sync.Map      // objects.Key's index key as string, of imports under way

	// relaxed says that there are relaxed writes since the last checkpoint, whose
	// generation is checkpoint (nil: there was none).
	relaxed atomic.Bool
	// dropped says that the system may have given up bytes of relaxed writes: a sync of
	// everything failed, now or before the process began.
	dropped    atomic.Bool
	checkpoint atomic.Pointer[objects.Generation]
}

// Open takes the mountpath's lock, opens its index, settles what a crash left
// and returns a store that serves. It takes time in proportion to what was in
// flight, not to what is stored. The mountpath must have been formatted.
//
// With ReadOnly nothing on the disk is changed and nothing is settled: what is
// stored is read, writes are refused (Offline, around EROFS), and keys whose writes a
// crash interrupted are Busy: see survey. For as long as it is open the store stays so.
func Open(o Options) (_ *Store, err error) {
	const op errs.Op = "store.Open"
	s := &Store{
		fs: o.FS, disk: o.FS, readOnly: o.ReadOnly, generations: o.Generations, shares: o.Shares, inlineLimit: o.InlineLimit, now: o.Now, log: o.Log, onEvent: o.OnEvent,
	}
	if s.readOnly {
		s.fs = disk.View(o.FS)
	}
	if s.inlineLimit == 0 {
		s.inlineLimit = DefaultInlineLimit
	}
	if s.memTableBytes = o.MemTableBytes; s.memTableBytes == 0 {
		s.memTableBytes = index.MaxMemTableBytes
	}
	if s.now == nil {
		s.now = clock.NewSystem().Now
	}
	if s.reads.elapsed = o.Elapsed; s.reads.elapsed == nil {
		s.reads.elapsed = clock.NewSystem().Elapsed
	}
	if s.log == nil {
		quiet := logrus.New()
		quiet.SetOutput(io.Discard)
		s.log = logrus.NewEntry(quiet)
	}
	if s.onEvent == nil {
		s.onEvent = func(Event) {}
	}
	if s.lifetime = o.Lifetime; s.lifetime == nil {
		s.lifetime = new(Lifetime)
	}
	if s.reserve = o.Reserve; s.reserve == (Reserve{}) {
		s.reserve = DefaultReserve()
	}
	s.names = newNames(s.fs)
	s.leases = s.lifetime.leasesOf(func() *leases { return newLeases(s.now) })
	s.reclaim = &reclaimQueue{}
	s.staging = &s.lifetime.staging

	if s.format, err = ReadFormat(s.fs); err != nil {
		return nil, errs.E(op, err)
	}
	if s.lock, err = s.fs.Lock(layout.LockFile); err != nil {
		if errors.Is(err, disk.ErrLocked) {
			return nil, errs.E(op, errs.Busy, fmt.Errorf("the mountpath is in use by another process: %w", err))
		}
		return nil, errs.E(op, kindOf(err), err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if _, statErr := s.fs.Stat(layout.RebuildFile); statErr == nil {
		return nil, errs.E(op, errs.Offline, errors.New("a rebuild of the index was interrupted; run troupe storage rebuild again"))
	} else if !errors.Is(statErr, fs.ErrNotExist) {
		return nil, errs.E(op, kindOf(statErr), statErr)
	}
	if s.readOnly {
		if err = s.openIndex(o); err == nil {
			err = s.loadBounds()
		}
		if err == nil {
			err = s.openHistory(o.History)
		}
		if err == nil {
			err = s.openScrub()
		}
		if err == nil {
			err = s.openDamage()
		}
		if err == nil {
			err = s.survey(o.BootID)
		}
		if err != nil {
			return nil, errs.E(op, err)
		}
		return s, nil
	}
	if err = s.makeDirectories(); err != nil {
		return nil, errs.E(op, err)
	}
	if err = s.openIndex(o); err != nil {
		return nil, errs.E(op, err)
	}
	if err = s.loadBounds(); err != nil {
		return nil, errs.E(op, err)
	}
	if err = s.openHistory(o.History); err != nil {
		return nil, errs.E(op, err)
	}
	s.staging.begin()
	if err = s.openScrub(); err != nil {
		return nil, errs.E(op, err)
	}
	if err = s.openDamage(); err != nil {
		return nil, errs.E(op, err)
	}
	if err = s.recover(o.BootID); err != nil {
		return nil, errs.E(op, err)
	}
	s.staging.store.Store(s)
	return s, nil
}

// openIndex opens the index. One that was made and is gone is lost, and not made
// anew: an empty one would hide every object.
func (s *Store) openIndex(o Options) error {
	const op errs.Op = "store.openIndex"
	_, err := s.fs.Stat(layout.IndexMadeFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errs.E(op, kindOf(err), err)
	}
	made := err == nil
	s.index, err = s.lifetime.openIndex(index.Options{
		FS: s.fs, Dir: layout.IndexDir, MustExist: made, ReadOnly: s.readOnly, Node: o.Shared, MemTableBytes: o.MemTableBytes, Log: s.log,
		OnEvent: s.onIndexEvent,
	})
	if errs.Is(errs.Corrupt, err) {
		return errs.E(op, errs.Corrupt, fmt.Errorf("%w (troupe storage rebuild makes a new index from the files)", err))
	}
	if err != nil {
		return errs.E(op, err)
	}
	if !made && !s.readOnly {
		return errs.Wrap(op, WriteFile(s.fs, layout.IndexMadeFile, []byte("1\n")))
	}
	return nil
}

// Close ends a store that nobody uses any more. A store whose index died cannot
// be closed cleanly; Close then says why it died.
func (s *Store) Close() error {
	var failures []error
	if s.index != nil {
		if err := s.Checkpoint(); err != nil {
			failures = append(failures, err)
		}
		if s.scrub != nil {
			if err := s.scrub.Note(); err != nil {
				failures = append(failures, err)
			}
		}
		if err := s.closeHistory(); err != nil {
			failures = append(failures, err)
		}
		if err := s.index.Close(); err != nil {
			failures = append(failures, err)
		}
	}
	if s.lock != nil {
		if err := s.lock.Close(); err != nil {
			failures = append(failures, err)
		}
	}
	if len(failures) > 0 {
		return errs.E("store.Close", errors.Join(failures...))
	}
	return nil
}

// Format returns what the mountpath says it is.
func (s *Store) Format() layout.Format { return *s.format }

// Index returns the index, for metrics, compaction and tests.
func (s *Store) Index() *index.Index { return s.index }

// ReadOnly reports whether the store was opened to be read only.
func (s *Store) ReadOnly() bool { return s.readOnly }

// MemTableBytes returns the size of each of the index's memtables.
func (s *Store) MemTableBytes() int { return s.memTableBytes }

// InlineLimit returns the largest payload that goes into the index, in bytes.
func (s *Store) InlineLimit() int { return s.inlineLimit }

// Reopenings returns how often an index of the mountpath that dies can still be
// followed by another one in this process.
func (s *Store) Reopenings() int { return s.lifetime.Reopenings() }

// Leases returns how many leases readers hold.
func (s *Store) Leases() int { return s.leases.count() }

// Dead is closed when the index has died: nothing can be written any more.
func (s *Store) Dead() <-chan struct{} { return s.index.Dead() }

func (s *Store) onIndexEvent(e index.Event) {
	switch e.Kind {
	case index.Died:
		s.onEvent(Event{Kind: IndexDead, Err: e.Err})
	case index.CorruptionFound:
		s.onEvent(Event{Kind: Damaged, Err: e.Err})
	}
}

// diskError reports an error of the filesystem that speaks against the disk:
// not fullness, not a name that is not there, and no refusal of our own.
func (s *Store) diskError(key objects.Key, err error) {
	var number syscall.Errno
	if !errors.As(err, &number) {
		return
	}
	if errors.Is(err, syscall.EROFS) {
		s.onEvent(Event{Kind: DiskReadOnly, Key: key, Err: err})
		return
	}
	for _, innocent := range []error{syscall.ENOSPC, syscall.EDQUOT, fs.ErrNotExist, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOTDIR, syscall.EISDIR, syscall.E2BIG, syscall.ENAMETOOLONG} {
		if errors.Is(err, innocent) {
			return
		}
	}
	s.onEvent(Event{Kind: DiskError, Key: key, Err: err})
}

// indexError reports an error of reading the index, if it is one of the disk.
func (s *Store) indexError(key objects.Key, err error) {
	if errs.Is(errs.IO, err) {
		s.diskError(key, err)
	}
}

// current returns the record of a key as a writer may judge it: durable, or
// nil if there is none. In the key's turn; elsewhere writers may overtake it:
// messages.Overtaken.
func (s *Store) current(op errs.Op, key objects.Key, indexKey []byte) (*objects.Meta, error) {
	for range maxRereads {
		meta, err := s.record(indexKey)
		if err != nil && !errs.Is(errs.NotFound, err) {
			s.indexError(key, err)
			return nil, failed(op, key, err)
		}
		waited, settleErr := s.settled(indexKey)
		if settleErr != nil {
			return nil, failed(op, key, settleErr)
		}
		if !waited {
			return meta, nil
		}
	}
	return nil, errs.E(op, key, errs.Busy, errMoved)
}

// maxRereads bounds how often a reader starts anew because a write of the key
// was in flight when it looked. A key that is written without pause would starve
// it; in the key's turn no write is in flight.
const maxRereads = 2

// settleTime is how long a reader waits for a commit in flight.
const settleTime = 10 * time.Second

// settled waits until no commit of the key is in flight; see index.Settled.
func (s *Store) settled(indexKey []byte) (waited bool, err error) {
	if err := s.unsettled.refuses(indexKey); err != nil {
		return false, err
	}
	return s.index.Settled(indexKey, settleTime)
}

// record reads and decodes a record; errs.NotFound if there is none.
func (s *Store) record(indexKey []byte) (*objects.Meta, error) {
	value, err := s.index.Get(indexKey)
	if err != nil {
		return nil, err
	}
	defer value.Close()
	return layout.DecodeRecord(value.Bytes)
}

// objectKey is the index key of a key's current record.
func objectKey(key objects.Key) []byte {
	return layout.ObjectKey(make([]byte, 0, 9+len(key.Name)), key.Bucket.ID, key.Name)
}
