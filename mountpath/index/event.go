package index

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/sirupsen/logrus"
)

// EventKind says what happened to an index.
type EventKind uint8

const (
	// Died: the instance is dead; Err is the cause. Sent once.
	Died EventKind = iota
	// Stalled: the write gate is closed; Reason says why. Reads go on.
	Stalled
	// Unstalled: the write gate is open again.
	Unstalled
	// CorruptionFound: what is stored in File is not what was stored. Sent once
	// for each table, and once for each damaged block of a blob, not for each read.
	CorruptionFound
	// BackgroundFailed: a flush or compaction failed and will be tried again.
	BackgroundFailed
)

var eventNames = [...]string{
	Died: "died", Stalled: "stalled", Unstalled: "unstalled",
	CorruptionFound: "corruption found", BackgroundFailed: "background work failed",
}

// String returns the kind in words.
func (k EventKind) String() string {
	if int(k) < len(eventNames) {
		return eventNames[k]
	}
	return fmt.Sprintf("event %d", uint8(k))
}

// Event is something that an index has to tell. It is delivered on whatever
// goroutine found out, which may hold Pebble's locks: a listener only hands it
// on and never blocks or calls the index.
type Event struct {
	Kind   EventKind
	Reason string // of Stalled
	File   string // of CorruptionFound: the path below the mountpath; empty for a blob, which Err names
	Err    error  // of Died, CorruptionFound, BackgroundFailed
}

// damages tells of each damage once. The zero value is ready.
type damages struct {
	told sync.Map // files, and for blobs the texts of errors
}

func (d *damages) tell(tell func(Event), file string, err error) {
	what := file
	if what == "" {
		what = err.Error()
	}
	if _, told := d.told.LoadOrStore(what, true); !told {
		tell(Event{Kind: CorruptionFound, File: file, Err: err})
	}
}

// listener translates Pebble's events. None of its functions blocks, but for the
// collector of statistics, which would otherwise try again at once.
func (x *Index) listener() *pebble.EventListener {
	tell := x.options.OnEvent
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			tell(Event{Kind: BackgroundFailed, Err: err})
			if inStatistics() {
				x.instance.holdOrPark()
			}
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			x.damages.tell(tell, info.Path, info.Details)
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			x.stalled.Store(true)
			tell(Event{Kind: Stalled, Reason: info.Reason})
		},
		WriteStallEnd: func() {
			x.stalled.Store(false)
			tell(Event{Kind: Unstalled})
		},
	}
}

// logger is Pebble's log. What Pebble calls information is for debugging here.
type logger struct {
	entry    *logrus.Entry
	instance *instance
}

var _ pebble.Logger = (*logger)(nil)

// Infof implements pebble.Logger.
func (l *logger) Infof(format string, args ...any) {
	if l.entry.Logger.IsLevelEnabled(logrus.TraceLevel) {
		l.entry.Tracef(format, args...)
	}
}

// Errorf implements pebble.Logger.
func (l *logger) Errorf(format string, args ...any) { l.entry.Warnf(format, args...) }

// Fatalf implements pebble.Logger: it ends the instance and the goroutine, not
// the process. Pebble relies on its not returning.
func (l *logger) Fatalf(format string, args ...any) {
	l.instance.die(fmt.Errorf("pebble gave up: "+format, args...))
	runtime.Goexit()
}
