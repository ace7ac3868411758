package index

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/errs"
)

// openBelow returns the files below a directory that this process has open.
func openBelow(t *testing.T, dir string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, link := range links {
		// One that was closed meanwhile is not open.
		if name, err := os.Readlink(link); err == nil && strings.HasPrefix(name, dir+"/") {
			open = append(open, name)
		}
	}
	return open
}

// onLinux returns a directory, and its filesystem with what goes wrong in it.
func onLinux(t *testing.T) (dir string, faulty *disk.Faulty) {
	t.Helper()
	dir = t.TempDir()
	linux, err := disk.NewLinux(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := linux.Close(); err != nil {
			t.Error(err)
		}
	})
	return dir, disk.NewFaulty(linux)
}

// A dead index that is closed has nothing open below its directory and no lock, so
// that the filesystem can be unmounted; whoever reads it then is refused, also by a
// scan that was open; and another filesystem object opens it again.
func TestDeadIndexLetsItsDirectoryGo(t *testing.T) {
	dir, faulty := onLinux(t)
	x := mustOpen(t, faulty)
	for i := range 100 {
		mustPut(t, x, fmt.Sprintf("key%03d", i), strings.Repeat("v", 2000)) // values in blobs
		if i%20 == 19 {
			if err := x.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustGet(t, x, "key000", strings.Repeat("v", 2000))
	s, err := x.Scan(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Next() {
		t.Fatal(s.Err())
	}
	fault := add(t, faulty, disk.Rule{Calls: syncs, Path: logFiles, Err: syscall.EIO})
	if err := put(x, "lost", "1"); !isUnknown(err) {
		t.Fatal(err)
	}
	fault.Remove()
	held := openBelow(t, dir)
	for _, kind := range []string{".log", ".sst", ".blob", "LOCK", "MANIFEST-"} { // the control
		if !slices.ContainsFunc(held, func(name string) bool { return strings.Contains(name, kind) }) {
			t.Fatalf("no %s is open before it is closed: %v", kind, held)
		}
	}
	if err := x.Close(); !errs.Is(errs.Offline, err) {
		t.Fatal(err)
	}
	if held := openBelow(t, dir); !x.Released() || len(held) > 0 {
		t.Fatalf("released %v, open: %v", x.Released(), held)
	}
	if _, err := x.Get([]byte("key000")); !errs.Is(errs.Offline, err) {
		t.Fatal(err)
	}
	for s.Next() { // what it has in memory
		if _, err := s.Value(); err != nil {
			break
		}
	}
	if err := s.Close(); err != nil && !errs.Is(errs.Offline, err) {
		t.Fatal(err)
	}

	again, err := disk.NewLinux(dir)
	if err != nil {
		t.Fatal(err)
	}
	options := x.options
	options.FS = again
	y, err := new(Reopener).Reopen(x, options)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		mustGet(t, y, fmt.Sprintf("key%03d", i), strings.Repeat("v", 2000))
	}
	if err := y.Close(); err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if held := openBelow(t, dir); len(held) > 0 {
		t.Fatalf("a closed index has open: %v", held)
	}
}

// While a call of a dead index is under way, its lock is not free and its files are
// open: the call may still reach the disk. When it has come back, they are not.
func TestDeadIndexWaitsForItsCalls(t *testing.T) {
	dir, faulty := onLinux(t)
	x := mustOpen(t, faulty)
	gate := disk.NewGate()
	add(t, faulty, disk.Rule{Calls: syncs, Path: logFiles, Times: 1, Wait: gate.Wait, Err: syscall.EIO})
	b := x.NewBatch()
	b.Set([]byte("key"), []byte("1"))
	pending := x.CommitAsync(b, []byte("key"))
	<-gate.Reached()
	x.instance.die(syscall.EIO)
	if err := pending.Wait(); !isUnknown(err) {
		t.Fatal(err)
	}
	x.options.Deadline = 200 * time.Millisecond
	if err := x.Close(); !errs.Is(errs.Offline, err) {
		t.Fatal(err)
	}
	if held := openBelow(t, dir); x.Released() || len(held) == 0 {
		t.Fatalf("released %v, open: %v", x.Released(), held)
	}
	if _, err := openAt(t, faulty); !errs.Is(errs.Busy, err) {
		t.Fatal(err)
	}
	gate.Open()
	<-x.adapter.released
	if held := openBelow(t, dir); len(held) > 0 {
		t.Fatalf("open: %v", held)
	}
	if err := mustOpen(t, faulty).Close(); err != nil {
		t.Fatal(err)
	}
}
