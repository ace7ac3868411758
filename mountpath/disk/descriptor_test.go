package disk

import (
	"errors"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A descriptor that is closed while a call uses it stays the kernel's until the
// call returns: the number never means somebody else's file.
func TestDescriptorOutlivesItsClose(t *testing.T) {
	number, err := unix.Open(t.TempDir(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	d := newDescriptor(number)
	if used, err := d.use(); err != nil || used != number {
		t.Fatalf("use: %d, %v", used, err)
	}
	if err := d.Close(); err != nil {
		t.Fatalf("Close while in use: %v", err)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(number, &stat); err != nil {
		t.Fatalf("the number was given back while in use: %v", err)
	}
	if _, err := d.use(); !errors.Is(err, syscall.EBADF) {
		t.Errorf("a use after Close: %v", err)
	}
	if err := d.Close(); !errors.Is(err, syscall.EBADF) {
		t.Errorf("Close again: %v", err)
	}
	if err := d.release(); err != nil {
		t.Fatal(err)
	}
	// No other test runs in this moment, but the runtime may have taken the number.
	var again unix.Stat_t
	if err := unix.Fstat(number, &again); err == nil && again.Ino == stat.Ino && again.Dev == stat.Dev {
		t.Error("the number was not given back after the last use")
	}
}
