package disk

import "syscall"

// ErrLocked says that another holds the lock, in this process or another. It is
// also syscall.EWOULDBLOCK.
var ErrLocked error = lockedError{}

type lockedError struct{}

func (lockedError) Error() string { return "locked by another" }
func (lockedError) Unwrap() error { return syscall.EWOULDBLOCK }
