package intra

import "time"

// within is the deadline of a socket: the kernel's, which takes its time.
func within(d time.Duration) time.Time { return time.Now().Add(d) }
