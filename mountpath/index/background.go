package index

import (
	"runtime"
	"strings"
)

// inBackground reports whether the calling goroutine is one of Pebble's flushes
// or compactions. Pebble does not say for whom it reads, and only an error that
// would be retried at once is held back; one that a client waits for is not.
// It walks the stack: it is asked after an error only.
func inBackground() bool {
	var callers [64]uintptr
	n := runtime.Callers(2, callers[:])
	frames := runtime.CallersFrames(callers[:n])
	for {
		frame, more := frames.Next()
		if name, ok := strings.CutPrefix(frame.Function, "github.com/cockroachdb/pebble/v2.(*DB)."); ok {
			switch {
			case strings.HasPrefix(name, "compact1"), strings.HasPrefix(name, "flush1"):
				return true
			}
		}
		if !more {
			return false
		}
	}
}
