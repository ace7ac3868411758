package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Only what the operating system says against the disk counts against it.
func TestWhatSpeaksAgainstADisk(t *testing.T) {
	for _, c := range []struct {
		err  error
		want EventKind
	}{
		{nil, ""},
		{&os.PathError{Op: "write", Path: "x", Err: syscall.EIO}, DiskError},
		{errs.E("store.Append", errs.IO, &os.PathError{Op: "sync", Path: "x", Err: syscall.EREMOTEIO}), DiskError},
		{errors.Join(errors.New("first"), syscall.EUCLEAN), DiskError},
		{&os.PathError{Op: "create", Path: "x", Err: syscall.EROFS}, DiskReadOnly},
		{&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, ""},
		{syscall.EDQUOT, ""}, {fs.ErrNotExist, ""}, {syscall.ENOENT, ""}, {syscall.EMFILE, ""}, {syscall.ENOMEM, ""}, {syscall.E2BIG, ""},
		{errs.E("store.makeRoom", errs.NoSpace, errors.New("the mountpath is full but for what is being written")), ""},
		{errs.E("store.Seal", errs.Internal, errors.New("3 bytes were digested, 4 written")), ""},
		{fmt.Errorf("outside: %w", errs.E("index.Commit", errs.Busy)), ""},
	} {
		var got EventKind
		s := &Store{onEvent: func(e Event) { got = e.Kind }}
		s.diskError(objects.Key{}, c.err)
		if got != c.want {
			t.Errorf("%v counts as %q, want %q", c.err, got, c.want)
		}
	}
}
