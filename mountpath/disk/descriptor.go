package disk

import (
	"errors"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// descriptor is a file descriptor that outlives its Close until the last call
// that uses it has returned. So a number is never used after the kernel gave it
// to somebody else, and Close never waits for a call that hangs on a dead disk.
// Safe for concurrent use.
type descriptor struct {
	number int
	uses   atomic.Int64 // calls under way, and one while open; closed for good at 0
	closed atomic.Bool
}

// newDescriptor takes ownership of the number.
func newDescriptor(number int) *descriptor {
	d := &descriptor{number: number}
	d.uses.Store(1)
	return d
}

// use returns the number, valid until release; EBADF after Close.
func (d *descriptor) use() (int, error) {
	for {
		n := d.uses.Load()
		if n == 0 || d.closed.Load() {
			return -1, syscall.EBADF
		}
		if d.uses.CompareAndSwap(n, n+1) {
			return d.number, nil
		}
	}
}

// release ends a use.
func (d *descriptor) release() error {
	if d.uses.Add(-1) == 0 {
		return closeDescriptor(d.number)
	}
	return nil
}

// Close gives the descriptor back, at once or when the last use ends; EBADF the
// second time.
func (d *descriptor) Close() error {
	if d.closed.Swap(true) {
		return syscall.EBADF
	}
	return d.release()
}

// closeDescriptor never retries: on Linux the number is free even after EINTR.
func closeDescriptor(number int) error {
	if err := unix.Close(number); err != nil && err != unix.EINTR {
		return err
	}
	return nil
}

// abandon closes a number that is of no use because of err, which it returns.
func abandon(number int, err error) error {
	if closing := closeDescriptor(number); closing != nil {
		return errors.Join(err, closing)
	}
	return err
}

// retry calls again while a signal interrupts the call.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
