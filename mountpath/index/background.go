package index

import (
	"runtime"
	"strings"
)

// pebbleMethods is where Pebble's goroutines are recognized.
const pebbleMethods = "github.com/cockroachdb/pebble/v2.(*DB)."

// inBackground reports whether the calling goroutine is one of Pebble's flushes
// or compactions. Pebble does not say for whom it reads, and only an error that
// would be retried at once is held back; one that a client waits for is not.
func inBackground() bool { return under("compact1", "flush1") }

// inStatistics reports whether the calling goroutine is collecting statistics of
// tables. That, too, is tried again at once and for ever after an error, whatever
// its kind, and holds no lock while it reports one.
func inStatistics() bool { return under("scanReadStateTableStats") }

// under reports whether any of Pebble's methods is on the stack. It is asked
// after an error only: it takes microseconds.
func under(methods ...string) bool {
	var callers [64]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers[:])])
	for {
		frame, more := frames.Next()
		if name, ok := strings.CutPrefix(frame.Function, pebbleMethods); ok {
			for _, method := range methods {
				if strings.HasPrefix(name, method) {
					return true
				}
			}
		}
		if !more {
			return false
		}
	}
}
