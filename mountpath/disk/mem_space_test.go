package disk_test

import (
	"bytes"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

// A full filesystem refuses bytes and files, keeps what it has, and has room
// again when something is removed or cut.
func TestMemIsFull(t *testing.T) {
	mem := disk.NewMem(1)
	used := func() uint64 {
		space, err := mem.Space()
		must(t, err)
		return space.TotalBytes - space.FreeBytes
	}
	empty := used()
	mem.SetSpace(empty+10*4096, 4)
	file := create(t, mem, "f", make([]byte, 8*4096))
	n, err := file.WriteAt(bytes.Repeat([]byte("x"), 4*4096), 8*4096)
	want(t, "a write of which a part fits", err, syscall.ENOSPC)
	if n != 2*4096 || len(contentOf(t, mem, "f")) != 10*4096 {
		t.Errorf("%d bytes of it were written, the file has %d", n, len(contentOf(t, mem, "f")))
	}
	if _, err := file.WriteAt(make([]byte, 10*4096), 0); err != nil {
		t.Errorf("writing over what is there: %v", err)
	}
	want(t, "a directory", mem.Mkdir("d", 0o700), syscall.ENOSPC)
	want(t, "a reservation", file.Preallocate(10*4096, 1), syscall.ENOSPC)
	must(t, file.Truncate(5*4096))
	must(t, file.Preallocate(5*4096, 5*4096))
	want(t, "beside the reservation", createFull(mem, "g", make([]byte, 1)), syscall.ENOSPC)
	_, err = file.WriteAt(make([]byte, 5*4096), 5*4096)
	want(t, "into the reservation", err, nil)

	// Files: the root, f, g and one more.
	must(t, openError(mem, "h", os.O_RDWR|os.O_CREATE))
	want(t, "a fifth file", openError(mem, "i", os.O_RDWR|os.O_CREATE), syscall.ENOSPC)
	want(t, "a fifth file, a directory", mem.Mkdir("i", 0o700), syscall.ENOSPC)
	must(t, mem.Link("h", "i")) // takes neither
	must(t, mem.Remove("i"))

	// What is open stays until it is closed.
	must(t, mem.Remove("f"))
	if used() != empty+10*4096 {
		t.Errorf("%d bytes used while the removed file is open", used()-empty)
	}
	must(t, file.Close())
	for _, path := range []string{"g", "h"} {
		must(t, mem.Remove(path))
	}
	if used() != empty {
		t.Errorf("%d bytes used when all is removed", used()-empty)
	}
	if space, _ := mem.Space(); space.FreeFiles != 3 {
		t.Errorf("%+v", space)
	}
	if after, _ := mem.Crash(disk.CrashPolicy{SyncedOnly: true}).Space(); after.TotalBytes != empty+10*4096 || after.FreeFiles != 3 {
		t.Errorf("after a crash: %+v", after)
	}
}

// Attributes are full where ext4's are; no other filesystem holds less.
func TestMemAttributesAreFull(t *testing.T) {
	mem := disk.NewMem(1)
	file := create(t, mem, "f", nil)
	must(t, file.SetAttr("a", make([]byte, 3000)))
	must(t, file.SetAttr("b", make([]byte, 998)))
	want(t, "one byte more", file.SetAttr("b", make([]byte, 999)), syscall.ENOSPC)
	must(t, file.SetAttr("a", make([]byte, 10)))
	must(t, file.SetAttr("b", make([]byte, 3000)))
	if space, _ := mem.Space(); space.FreeBytes == 0 {
		t.Error("ENOSPC of an attribute means that the filesystem is full")
	}
}

// createFull makes a file and returns what refused.
func createFull(fs disk.FS, path string, content []byte) error {
	file, err := fs.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if _, err = file.WriteAt(content, 0); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}

// A read-only filesystem refuses every change with EROFS and lets everything be
// read; a sync that cannot write what is dirty says so.
func TestMemIsReadOnly(t *testing.T) {
	mem := disk.NewMem(1)
	must(t, mem.Mkdir("d", 0o700))
	must(t, mem.Mkdir("empty", 0o700))
	clean := create(t, mem, "clean", []byte("x"))
	must(t, mem.SyncAll())
	dirty := create(t, mem, "d/dirty", []byte("y"))
	dir, err := mem.OpenDir("d")
	must(t, err)
	mem.SetReadOnly(true)
	_, writing := clean.WriteAt([]byte("z"), 0)
	_, locking := mem.Lock("lock")
	for what, err := range map[string]error{
		"create": openError(mem, "f", os.O_RDWR|os.O_CREATE), "open to write": openError(mem, "clean", os.O_WRONLY),
		"cut at opening": openError(mem, "clean", os.O_TRUNC), "link": mem.Link("clean", "link"), "rename": mem.Rename("clean", "f"),
		"remove": mem.Remove("clean"), "rmdir": mem.RemoveDir("empty"), "mkdir": mem.Mkdir("f", 0o700), "write": writing, "lock": locking,
		"truncate": clean.Truncate(0), "setattr": clean.SetAttr("a", nil), "preallocate": clean.Preallocate(0, 1),
		"receive": dir.Receive("clean", "f"), "sync of what is dirty": dirty.Sync(), "syncdata of what is dirty": dirty.SyncData(),
		"syncdir of what is dirty": dir.Sync(), "sync all": mem.SyncAll(),
	} {
		want(t, what, err, syscall.EROFS)
	}
	if got := contentOf(t, mem, "clean"); string(got) != "x" {
		t.Errorf("it reads %q", got)
	}
	must(t, clean.Sync())
	must(t, mem.SyncDir("empty"))
	if space, err := mem.Space(); err != nil || !space.ReadOnly {
		t.Errorf("%+v, %v", space, err)
	}
	if _, err := mem.Crash(disk.CrashPolicy{SyncedOnly: true}).Stat("d/dirty"); err == nil {
		t.Error("a sync that failed made something durable")
	}
	mem.SetReadOnly(false)
	must(t, dirty.Sync())
	must(t, dir.Sync())
	if got := contentOf(t, mem.Crash(disk.CrashPolicy{SyncedOnly: true}), "d/dirty"); string(got) != "y" {
		t.Errorf("writable again, synced: %q", got)
	}
}

// Birth times tell two files apart even if a clock stands still, and survive.
func TestMemTimes(t *testing.T) {
	mem := disk.NewMem(1)
	noon := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	mem.SetClock(func() time.Time { return noon })
	must(t, create(t, mem, "a", nil).Close())
	must(t, create(t, mem, "b", nil).Close())
	must(t, mem.SyncAll())
	a, err := mem.Stat("a")
	must(t, err)
	b, err := mem.Stat("b")
	must(t, err)
	if a.Birth == b.Birth || a.Inode == b.Inode || !a.Modified.Equal(noon) {
		t.Errorf("%+v, %+v", a, b)
	}
	after, err := mem.Crash(disk.CrashPolicy{}).Stat("a")
	if err != nil || after.Birth != a.Birth || after.Inode != a.Inode {
		t.Errorf("%+v became %+v, %v", a, after, err)
	}
}

// Equal seeds list in equal order, others in another: code that counts on an
// order is found out.
func TestMemOrder(t *testing.T) {
	order := func(seed uint64) (names string) {
		mem := disk.NewMem(seed)
		for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			must(t, create(t, mem, name, nil).Close())
		}
		must(t, mem.ReadDir("", func(entry disk.Entry) bool {
			names += entry.Name
			return true
		}))
		return names
	}
	first, again, other := order(1), order(1), order(2)
	if first != again || first == other {
		t.Errorf("orders %s, %s and %s", first, again, other)
	}
}

// A lock does not outlive a power cut.
func TestMemLockEndsWithACrash(t *testing.T) {
	mem := disk.NewMem(1)
	_, err := mem.Lock("lock")
	must(t, err)
	must(t, mem.SyncDir(""))
	after := mem.Crash(disk.CrashPolicy{SyncedOnly: true})
	_, err = after.Lock("lock")
	must(t, err)
	_, err = mem.Lock("lock")
	want(t, "where the power stayed on", err, disk.ErrLocked)
}
