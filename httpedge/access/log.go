package access

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// The bounds of a log.
const (
	// queueLines is how many lines may wait for the writer: at 20,000 requests a
	// second a stalled disk has a third of a second before lines are dropped, and
	// 500 bytes each make 4 MiB.
	queueLines = 8192
	// batchBytes is how much is written at once when lines are waiting.
	batchBytes = 64 << 10
	// lineBytes is the room that a line begins with; one that grew beyond
	// maxLineBytes is not kept for another.
	lineBytes    = 512
	maxLineBytes = 8 << 10
	// nameTime is how often the file's name is looked at, for who renames files
	// and sends no signal.
	nameTime = time.Second
	// complainTime is how often the log says that it loses lines.
	complainTime = time.Minute
)

// Stdout is the name of standard output as a log's file.
const Stdout = "-"

// Options configure a Log.
type Options struct {
	File   string // path, appended to and made with mode 0640, or Stdout
	Format Format // default S3
	Errors logrus.FieldLogger
	Clock  clock.Clock
	// Output, if not nil, is written to instead of File, for tests.
	Output io.Writer
}

// Log writes the lines of requests, one after the other, in a goroutine of its
// own that ends with Close. Safe for concurrent use.
type Log struct {
	format Format
	path   string // empty: output is no file of ours
	errors logrus.FieldLogger
	clock  clock.Clock

	queue   chan []byte
	reopen  chan chan error
	stop    chan struct{}
	stopped chan struct{}
	once    sync.Once
	closing error

	lines   sync.Pool // of *[]byte
	records sync.Pool // of *Record

	written, dropped atomic.Uint64
}

// Open opens the file and starts the writer. Errors name the file.
func Open(o Options) (*Log, error) {
	l := &Log{
		format: o.Format, errors: o.Errors, clock: o.Clock,
		queue: make(chan []byte, queueLines), reopen: make(chan chan error),
		stop: make(chan struct{}), stopped: make(chan struct{}),
		lines:   sync.Pool{New: func() any { b := make([]byte, 0, lineBytes); return &b }},
		records: sync.Pool{New: func() any { return new(Record) }},
	}
	w := &writer{log: l, output: o.Output}
	switch {
	case o.Output != nil:
	case o.File == Stdout:
		w.output = os.Stdout
	default:
		l.path = o.File
		if err := w.open(); err != nil {
			return nil, err
		}
	}
	go w.run()
	return l, nil
}

// Reopen closes the file and opens the name again: the old one was renamed, and
// may be compressed now. Lines that were waiting are in the old one.
func (l *Log) Reopen() error {
	done := make(chan error, 1)
	select {
	case l.reopen <- done:
		return <-done
	case <-l.stopped:
		return nil
	}
}

// Close writes what is waiting and closes the file. Idempotent. Requests that
// end later are not logged.
func (l *Log) Close() error {
	l.once.Do(func() { close(l.stop) })
	<-l.stopped
	return l.closing
}

// Written returns how many lines were written.
func (l *Log) Written() uint64 { return l.written.Load() }

// Dropped returns how many lines were lost: the queue was full, or the file took
// none.
func (l *Log) Dropped() uint64 { return l.dropped.Load() }

// room returns an empty line.
func (l *Log) room() []byte {
	return (*l.lines.Get().(*[]byte))[:0] //nolint:forcetypeassert // the pool holds nothing else
}

// enqueue hands a line over, or drops it.
func (l *Log) enqueue(line []byte) {
	select {
	case l.queue <- append(line, '\n'):
	default:
		l.dropped.Add(1)
		l.recycle(line)
	}
}

func (l *Log) recycle(line []byte) {
	if cap(line) <= maxLineBytes {
		l.lines.Put(&line)
	}
}

// writer is the goroutine that writes.
type writer struct {
	log        *Log
	output     io.Writer
	file       *os.File // output, where it is ours to close
	batch      []byte
	waiting    uint64 // lines in batch
	looked     time.Duration
	complained time.Duration // 0: never
}

func (w *writer) run() {
	l := w.log
	defer close(l.stopped)
	for {
		select {
		case line := <-l.queue:
			w.take(line)
			w.drain()
		case done := <-l.reopen:
			w.drain()
			done <- w.reopen()
		case <-l.stop:
			w.drain()
			l.closing = w.close()
			return
		}
	}
}

// drain writes all lines that are waiting.
func (w *writer) drain() {
	for {
		select {
		case line := <-w.log.queue:
			w.take(line)
		default:
			w.flush()
			return
		}
	}
}

func (w *writer) take(line []byte) {
	w.batch = append(w.batch, line...)
	w.waiting++
	w.log.recycle(line)
	if len(w.batch) >= batchBytes {
		w.flush()
	}
}

// flush writes the batch. A file that takes none costs its lines: keeping them
// would fill the memory instead.
func (w *writer) flush() {
	if len(w.batch) == 0 {
		return
	}
	w.followName()
	_, err := w.output.Write(w.batch)
	if err != nil {
		w.log.dropped.Add(w.waiting)
		w.complain(err)
	} else {
		w.log.written.Add(w.waiting)
	}
	w.batch, w.waiting = w.batch[:0], 0
}

// followName opens the name anew once another file, or none, has it.
func (w *writer) followName() {
	now := w.log.clock.Elapsed()
	if w.file == nil || now-w.looked < nameTime {
		return
	}
	w.looked = now
	named, err := os.Stat(w.log.path)
	if err == nil {
		if ours, oursErr := w.file.Stat(); oursErr == nil && os.SameFile(named, ours) {
			return
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return // the name cannot be seen now; the file is open still
	}
	if err := w.reopen(); err != nil {
		w.complain(err)
	}
}

func (w *writer) open() error {
	file, err := os.OpenFile(w.log.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return errs.E("access.open", w.log.path, errs.Invalid, err)
	}
	w.file, w.output = file, file
	return nil
}

// reopen opens the name again; on failure the file that is open stays.
func (w *writer) reopen() error {
	old := w.file
	if old == nil {
		return nil
	}
	if err := w.open(); err != nil {
		return err
	}
	return old.Close()
}

func (w *writer) close() error {
	if w.file == nil {
		return nil
	}
	return w.file.Close()
}

func (w *writer) complain(err error) {
	if now := w.log.clock.Elapsed(); w.log.errors != nil && (w.complained == 0 || now-w.complained >= complainTime) {
		w.complained = now
		w.log.errors.WithError(err).WithField("lost", w.log.Dropped()).Error("the access log loses lines")
	}
}
