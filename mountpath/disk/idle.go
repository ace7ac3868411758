package disk

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Of ioprio_set(2).
const (
	ioprioWhoProcess = 1
	ioprioIdle       = 3 << 13
	ioprioNone       = 0
)

// Idle does something whose calls of disks give way to those of everybody else, where the
// kernel's scheduler of the disk knows priorities (bfq, mq-deadline; none does not). It
// belongs to one thread while it lasts.
func Idle(do func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if setPriority(ioprioIdle) {
		defer setPriority(ioprioNone)
	}
	do()
}

func setPriority(priority uintptr) bool {
	_, _, failure := unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, 0, priority)
	return failure == 0
}
