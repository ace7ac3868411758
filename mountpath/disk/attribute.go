package disk

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
	"golang.org/x/sys/unix"
)

// attributePrefix is the namespace of extended attributes that ordinary users
// may set; the FS adds it and callers never see it.
const attributePrefix = "user."

// attributeBytes is the largest attribute that Troupe sets. ext4 keeps all
// attributes of a file in one block of 4 KiB less its headers.
const attributeBytes = 3 << 10

// getAttr returns the extended attribute of an open file, in memory of its own.
func getAttr(number int, name string) ([]byte, error) {
	var small [4096]byte // no attribute on ext4 is larger
	buffer := small[:]
	for {
		var length int
		err := retry(func() (err error) {
			length, err = unix.Fgetxattr(number, attributePrefix+name, buffer)
			return err
		})
		if err == nil {
			return append(make([]byte, 0, length), buffer[:length]...), nil
		}
		// The kernel says ERANGE for a name that is too long, too.
		if err != unix.ERANGE || len(attributePrefix)+len(name) > maxNameBytes || len(buffer) > len(small) {
			return nil, err
		}
		buffer = make([]byte, maxAttributeBytes)
	}
}

// maxAttributeBytes is XATTR_SIZE_MAX: the kernel takes no larger value on any
// filesystem.
const maxAttributeBytes = 64 << 10

// CheckAttributes reports whether files here can carry the attributes that
// Troupe sets: it sets one on a file without a name (with a name, for a moment,
// where the filesystem knows no other) and reads it back. The error is Invalid
// where the filesystem has no user attributes, and says what to do.
func (l *Linux) CheckAttributes() error {
	const op errs.Op = "disk.CheckAttributes"
	number, err := l.open(".", unix.O_TMPFILE|unix.O_RDWR, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) {
		name := ".troupe-attributes-" + strconv.FormatInt(time.Now().UnixNano(), 36)
		number, err = l.open(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
		if err == nil {
			if err = l.Remove(name); err != nil {
				err = abandon(number, err)
			}
		}
	}
	if err != nil {
		return errs.E(op, l.path, errs.IO, err)
	}
	err = checkAttributes(number)
	if closing := closeDescriptor(number); err == nil {
		err = closing
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EOPNOTSUPP):
		return errs.E(op, l.path, errs.Invalid, fmt.Errorf("the filesystem has no user attributes "+
			"(extended attributes in the namespace %q); use ext4, XFS or Btrfs, or mount with user_xattr: %w",
			attributePrefix, err))
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.E2BIG), errors.Is(err, syscall.ERANGE):
		return errs.E(op, l.path, errs.Invalid, fmt.Errorf("the filesystem is full, or its user attributes "+
			"hold less than the %d bytes that are needed (ext4 with blocks below 4 KiB): %w", attributeBytes, err))
	default:
		return errs.E(op, l.path, errs.IO, err)
	}
}

func checkAttributes(number int) error {
	const name = "troupe.check"
	want := bytes.Repeat([]byte{0xa5}, attributeBytes)
	if err := retry(func() error { return unix.Fsetxattr(number, attributePrefix+name, want, 0) }); err != nil {
		return err
	}
	got, err := getAttr(number, name)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("the attribute that was set holds %d bytes of %d, or other ones", len(got), len(want))
	}
	return nil
}
