package faults

import (
	"runtime"
	"strings"
)

// Where callers of disks are recognized by.
const (
	module         = "github.com/troupe-storage/troupe/"
	guardFunctions = module + "actors.(*guard)."
	indexFunctions = "github.com/cockroachdb/pebble/"

	// What recovers on goroutines that are no actor's turn.
	settlesApart   = module + "mountpath/store.(*Store).apart"
	opensMountpath = module + "mountpath.(*worker).come"
	worksApart     = module + "actors/xaction.(*Run).Apart"
)

// bearsPanic reports whether a panic of the calling goroutine costs an actor, or what it
// does, and no more: somebody recovers, and nothing that would keep a lock for ever, an
// index, is in between. It takes microseconds.
func bearsPanic() bool {
	var callers [128]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	for {
		frame, more := frames.Next()
		switch {
		case strings.HasPrefix(frame.Function, guardFunctions),
			frame.Function == settlesApart, frame.Function == opensMountpath, frame.Function == worksApart:
			return true
		case strings.HasPrefix(frame.Function, indexFunctions), !more:
			return false
		}
	}
}
