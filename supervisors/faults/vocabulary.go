package faults

import (
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/errs"
)

// lastErrno is the highest errno that Linux gives a name.
const lastErrno = unix.EHWPOISON

// What operations fail with where a fault names nothing else.
const (
	defaultErrno  = syscall.EIO
	fullErrno     = syscall.ENOSPC
	readOnlyErrno = syscall.EROFS
)

// errnoOf returns the errno of a name ("EIO"); 0 for no name.
func errnoOf(name string) (syscall.Errno, bool) {
	if name == "" {
		return 0, true
	}
	for e := syscall.Errno(1); e <= lastErrno; e++ {
		if unix.ErrnoName(e) == name {
			return e, true
		}
	}
	return 0, false
}

// kindOf returns the kind of an error by its word; Busy for none.
func kindOf(word string) (errs.Kind, bool) {
	if word == "" {
		return errs.Busy, true
	}
	for k := errs.Internal; k <= errs.IO; k++ {
		if k.String() == word {
			return k, true
		}
	}
	return errs.Internal, false
}

// calls are the operations that an effect is about; none: all of them. False for
// an effect that there is none of.
func (e DiskEffect) calls() ([]disk.Call, bool) {
	switch e {
	case Fail, FailAfterwards, Slow, Stall, Crash:
		return nil, true
	case ShortWrite, TornWrite:
		return []disk.Call{disk.CallWrite}, true
	case LoseSync:
		return []disk.Call{disk.CallSync, disk.CallSyncData, disk.CallSyncDir, disk.CallSyncAll}, true
	case FlipBits:
		return []disk.Call{disk.CallRead}, true
	case Full:
		return []disk.Call{disk.CallCreate, disk.CallLink, disk.CallMkdir, disk.CallWrite, disk.CallPreallocate, disk.CallSetAttr}, true
	case ReadOnly:
		return []disk.Call{
			disk.CallCreate, disk.CallLink, disk.CallRename, disk.CallReceive, disk.CallRemove, disk.CallRemoveDir,
			disk.CallMkdir, disk.CallWrite, disk.CallTruncate, disk.CallPreallocate, disk.CallSetAttr,
		}, true
	}
	return nil, false
}

// calls are the operations that the fault names.
func (d *Disk) calls() ([]disk.Call, error) {
	var calls []disk.Call
	for _, word := range d.Calls {
		call, ok := disk.ParseCall(word)
		if !ok {
			return nil, fmt.Errorf("there is no operation %q", word)
		}
		calls = append(calls, call)
	}
	return calls, nil
}

func contains(all, some []disk.Call) bool {
	return !slices.ContainsFunc(some, func(c disk.Call) bool { return !slices.Contains(all, c) })
}
