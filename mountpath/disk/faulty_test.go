package disk_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

func add(t *testing.T, fs *disk.Faulty, rule disk.Rule) *disk.Fault {
	t.Helper()
	fault, err := fs.Add(rule)
	must(t, err)
	return fault
}

// every does each operation once on a fresh FS and returns its error.
func every(t *testing.T, fs disk.FS, file disk.File, dir disk.Dir) map[disk.Call]error {
	errs := make(map[disk.Call]error)
	errs[disk.CallOpen] = openError(fs, "d/f", disk.ReadOnly)
	errs[disk.CallCreate] = openError(fs, "d/new", os.O_RDWR|os.O_CREATE)
	opened, err := fs.OpenDir("d")
	if err == nil {
		err = opened.Close()
	}
	errs[disk.CallOpenDir] = err
	errs[disk.CallLink] = fs.Link("d/f", "d/link")
	errs[disk.CallRename] = fs.Rename("d/old", "d/renamed")
	errs[disk.CallRemove] = fs.Remove("d/remove")
	errs[disk.CallMkdir] = fs.Mkdir("d/made", 0o700)
	errs[disk.CallRemoveDir] = fs.RemoveDir("d/empty")
	_, errs[disk.CallStat] = fs.Stat("d/f")
	errs[disk.CallReadDir] = fs.ReadDir("d", func(disk.Entry) bool { return true })
	_, errs[disk.CallGetAttr] = fs.GetAttr("d/f", "a")
	_, errs[disk.CallSpace] = fs.Space()
	lock, err := fs.Lock("d/lock")
	errs[disk.CallLock] = err
	errs[disk.CallClose] = nil
	if err == nil {
		errs[disk.CallClose] = lock.Close()
	}
	_, errs[disk.CallRead] = file.ReadAt(make([]byte, 1), 0)
	_, errs[disk.CallWrite] = file.WriteAt(make([]byte, 1), 0)
	errs[disk.CallTruncate] = file.Truncate(10)
	errs[disk.CallSync] = file.Sync()
	errs[disk.CallSyncData] = file.SyncData()
	errs[disk.CallPreallocate] = file.Preallocate(0, 1)
	errs[disk.CallWriteback] = file.StartWriteback(0, 1)
	errs[disk.CallAdvise] = file.Advise(disk.Random)
	errs[disk.CallSetAttr] = file.SetAttr("a", nil)
	errs[disk.CallReceive] = dir.Receive("d/receive", "received")
	errs[disk.CallSyncDir] = dir.Sync()
	errs[disk.CallSyncAll] = fs.SyncAll()
	return errs
}

// fixture is a Faulty over Mem on which every operation can succeed.
func fixture(t *testing.T) (*disk.Faulty, disk.File, disk.Dir) {
	mem := disk.NewMem(1)
	must(t, mem.Mkdir("d", 0o700))
	must(t, mem.Mkdir("d/empty", 0o700))
	for _, path := range []string{"d/f", "d/old", "d/remove", "d/receive"} {
		file := create(t, mem, path, []byte("content"))
		must(t, file.SetAttr("a", nil))
	}
	must(t, mem.SyncAll())
	fs := disk.NewFaulty(mem)
	file, err := fs.OpenFile("d/f", os.O_RDWR, 0)
	must(t, err)
	dir, err := fs.OpenDir("d")
	must(t, err)
	return fs, file, dir
}

// A fault of one kind breaks operations of that kind and no others; a new kind
// of operation cannot be forgotten here.
func TestFaultHitsItsKindOnly(t *testing.T) {
	fs, file, dir := fixture(t)
	calls := every(t, fs, file, dir)
	for call, err := range calls {
		if err != nil {
			t.Errorf("without a fault, %v: %v", call, err)
		}
	}
	for call := disk.Call(1); call.String() != "unknown"; call++ {
		if _, ok := calls[call]; !ok {
			t.Errorf("%v is not tried", call)
		}
		if parsed, ok := disk.ParseCall(call.String()); !ok || parsed != call {
			t.Errorf("%v parses as %v", call, parsed)
		}
	}
	for broken := range calls {
		fs, file, dir := fixture(t)
		fault := add(t, fs, disk.Rule{Calls: []disk.Call{broken}, Path: "d/**", Err: syscall.EIO})
		if broken == disk.CallSpace || broken == disk.CallSyncAll { // of no path
			fault.Remove()
			fault = add(t, fs, disk.Rule{Calls: []disk.Call{broken}, Err: syscall.EIO})
		}
		for call, err := range every(t, fs, file, dir) {
			if hit := errors.Is(err, syscall.EIO); hit != (call == broken) && call != disk.CallOpenDir && call != disk.CallClose && call != disk.CallOpen && call != disk.CallCreate {
				t.Errorf("with a fault of %v, %v: %v", broken, call, err)
			}
		}
		if fault.Hits() == 0 {
			t.Errorf("the fault of %v hit nothing", broken)
		}
	}
}

// After and Times say which of the operations that match are hit.
func TestFaultCounts(t *testing.T) {
	fs, file, _ := fixture(t)
	fault := add(t, fs, disk.Rule{Calls: []disk.Call{disk.CallSync}, After: 2, Times: 3, Err: syscall.EIO})
	var got []bool
	for range 7 {
		got = append(got, file.Sync() != nil)
	}
	if expected := []bool{false, false, true, true, true, false, false}; !slices.Equal(got, expected) || fault.Hits() != 3 {
		t.Errorf("failures %v, want %v; %d hits", got, expected, fault.Hits())
	}
}

// A pattern is over the whole path; "/**" takes the tree; of two paths either
// matches; Match decides as well.
func TestFaultPaths(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		hit           bool
	}{
		{"", "a/b", true}, {"a/b", "a/b", true}, {"a/b", "a/c", false}, {"a/*", "a/b", true}, {"a/*", "a/b/c", false}, {"*", "a/b", false},
		{"a/**", "a", true}, {"a/**", "a/b/c", true}, {"a/**", "ab/c", false}, {"*/index/**", "m/index/1.log", true}, {"a/[bc]", "a/c", true},
	} {
		fs := disk.NewFaulty(disk.NewMem(1))
		add(t, fs, disk.Rule{Path: c.pattern, Err: syscall.EIO})
		if _, err := fs.Stat(c.path); errors.Is(err, syscall.EIO) != c.hit {
			t.Errorf("pattern %q, path %q: %v", c.pattern, c.path, err)
		}
		if err := fs.Rename("some/other", c.path); errors.Is(err, syscall.EIO) != c.hit {
			t.Errorf("pattern %q, rename to %q: %v", c.pattern, c.path, err)
		}
	}
	fs, file, _ := fixture(t)
	add(t, fs, disk.Rule{Match: func(operation disk.Operation) bool { return operation.Offset >= 100 }, Err: syscall.EIO})
	_, near := file.WriteAt([]byte("x"), 0)
	_, far := file.WriteAt([]byte("x"), 100)
	if near != nil || !errors.Is(far, syscall.EIO) {
		t.Errorf("near: %v, far: %v", near, far)
	}
	for _, rule := range []disk.Rule{{Path: "a["}, {Path: "a[/**"}, {Calls: []disk.Call{0}}, {Calls: []disk.Call{200}}, {Bytes: -1}} {
		if _, err := fs.Add(rule); !errors.Is(err, disk.ErrRule) {
			t.Errorf("rule %+v: %v", rule, err)
		}
	}
}

// A fault ends when it is removed, and all when they are cleared.
func TestFaultRemove(t *testing.T) {
	fs, file, _ := fixture(t)
	first := add(t, fs, disk.Rule{Calls: []disk.Call{disk.CallSync}, Err: syscall.EIO})
	second := add(t, fs, disk.Rule{Calls: []disk.Call{disk.CallSync}, Err: syscall.EROFS})
	want(t, "two faults: the first's error", file.Sync(), syscall.EIO)
	first.Remove()
	want(t, "the second alone", file.Sync(), syscall.EROFS)
	fs.Clear()
	must(t, file.Sync())
	if first.Hits() != 1 || second.Hits() != 2 {
		t.Errorf("hits %d and %d", first.Hits(), second.Hits())
	}
}

// FailAt hits exactly the operation of that number: a test can walk through all
// of a scenario's operations.
func TestFaultAtEveryOperation(t *testing.T) {
	scenario := func(fs *disk.Faulty) error {
		file, err := fs.OpenFile("f", os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		_, err = file.WriteAt([]byte("x"), 0)
		return errors.Join(err, file.Sync(), file.Close(), fs.Rename("f", "g"), fs.SyncDir(""))
	}
	fs := disk.NewFaulty(disk.NewMem(1))
	must(t, scenario(fs))
	if fs.Operations() != 6 {
		t.Fatalf("%d operations, want 6", fs.Operations())
	}
	for number := range fs.Operations() {
		fs := disk.NewFaulty(disk.NewMem(1))
		var seen []disk.Operation
		stop := fs.Observe(func(operation disk.Operation) { seen = append(seen, operation) })
		fault := fs.FailAt(number+1, syscall.EIO)
		want(t, "operation "+string(rune('1'+number)), scenario(fs), syscall.EIO)
		if fault.Hits() != 1 {
			t.Errorf("operation %d: %d hits", number+1, fault.Hits())
		}
		for i, operation := range seen {
			if operation.Number != uint64(i+1) {
				t.Errorf("observed %v as number %d", operation, operation.Number)
			}
		}
		before := len(seen)
		stop()
		_ = fs.SyncDir("")
		if len(seen) != before || before == 0 {
			t.Errorf("%d operations observed, and then %d", before, len(seen))
		}
	}
}

// A short write leaves its beginning; Afterwards leaves all of it and still
// fails.
func TestFaultPartial(t *testing.T) {
	fs, file, _ := fixture(t)
	short := add(t, fs, disk.Rule{Calls: []disk.Call{disk.CallWrite}, Err: syscall.ENOSPC, Bytes: 3})
	n, err := file.WriteAt([]byte("XXXXXXX"), 0)
	want(t, "short write", err, syscall.ENOSPC)
	if got := contentOf(t, fs, "d/f"); n != 3 || string(got) != "XXXtent" {
		t.Errorf("%d bytes written, the file holds %q", n, got)
	}
	short.Remove()
	add(t, fs, disk.Rule{Calls: []disk.Call{disk.CallRename, disk.CallWrite, disk.CallOpen}, Err: syscall.EIO, Afterwards: true})
	want(t, "rename", fs.Rename("d/old", "d/renamed"), syscall.EIO)
	if _, err := fs.Stat("d/renamed"); err != nil {
		t.Errorf("a rename that failed afterwards did not happen: %v", err)
	}
	n, err = file.WriteAt([]byte("YYYYYYY"), 0)
	want(t, "write", err, syscall.EIO)
	want(t, "open", openError(fs, "d/f", disk.ReadOnly), syscall.EIO)
	fs.Clear()
	if got := contentOf(t, fs, "d/f"); n != 7 || string(got) != "YYYYYYY" {
		t.Errorf("%d bytes written, the file holds %q", n, got)
	}
}

// A torn write says that it wrote everything, and wrote its beginning.
func TestFaultTears(t *testing.T) {
	fs, file, _ := fixture(t)
	torn := add(t, fs, disk.Rule{Calls: []disk.Call{disk.CallWrite}, Tear: true, Bytes: 3})
	if n, err := file.WriteAt([]byte("XXXXXXX"), 0); n != 7 || err != nil {
		t.Errorf("%d bytes written, %v", n, err)
	}
	if got := contentOf(t, fs, "d/f"); string(got) != "XXXtent" {
		t.Errorf("the file holds %q", got)
	}
	if n, err := file.WriteDirect([][]byte{[]byte("YY"), []byte("YYYYY")}, 0); n != 7 || err != nil {
		t.Errorf("past the page cache: %d bytes written, %v", n, err)
	}
	torn.Remove()
	if got := contentOf(t, fs, "d/f"); string(got) != "YYYtent" {
		t.Errorf("past the page cache: the file holds %q", got)
	}
}

// A filesystem says of its room what a fault makes of it.
func TestFaultOfSpace(t *testing.T) {
	fs, _, _ := fixture(t)
	full := add(t, fs, disk.Rule{Calls: []disk.Call{disk.CallSpace}, Space: func(s *disk.Space) { s.FreeBytes = 7 }})
	if space, err := fs.Space(); err != nil || space.FreeBytes != 7 {
		t.Errorf("%+v, %v", space, err)
	}
	full.Remove()
	if space, err := fs.Space(); err != nil || space.FreeBytes == 7 {
		t.Errorf("without the fault: %+v, %v", space, err)
	}
}

// A gate holds operations until it opens, and only those of its rule.
func TestFaultHangs(t *testing.T) {
	fs, file, _ := fixture(t)
	gate := disk.NewGate()
	add(t, fs, disk.Rule{Calls: []disk.Call{disk.CallSync}, Wait: gate.Wait})
	var group sync.WaitGroup
	var err error
	group.Go(func() { err = file.Sync() })
	<-gate.Reached()
	if _, err := fs.Stat("d/f"); err != nil { // passes by
		t.Error(err)
	}
	gate.Open()
	group.Wait()
	must(t, err)
	must(t, file.Sync()) // an open gate holds nobody
}

func TestFaultPanics(t *testing.T) {
	fs, file, _ := fixture(t)
	add(t, fs, disk.Rule{Calls: []disk.Call{disk.CallWrite}, Panic: "out of the blue"})
	defer func() {
		if got := recover(); got != "out of the blue" {
			t.Errorf("recovered %v", got)
		}
		if got := contentOf(t, fs, "d/f"); string(got) != "content" {
			t.Errorf("the write happened: %q", got)
		}
	}()
	_, _ = file.WriteAt([]byte("x"), 0)
	t.Error("it did not panic")
}

// A fault about reads takes the descriptor away, so that nothing is sent past
// it, and gives it back when it is spent or removed.
func TestFaultReads(t *testing.T) {
	fs := disk.NewFaulty(newLinux(t))
	file := create(t, fs, "f", []byte("content"))
	defer file.Close()
	if file.OS() == nil {
		t.Fatal("without faults there is no descriptor")
	}
	add(t, fs, disk.Rule{Calls: []disk.Call{disk.CallRead}, Path: "other", Err: syscall.EIO})
	add(t, fs, disk.Rule{Calls: []disk.Call{disk.CallSync}, Err: syscall.EIO})
	if file.OS() == nil {
		t.Error("faults about others took the descriptor")
	}
	rot := add(t, fs, disk.Rule{Calls: []disk.Call{disk.CallRead}, Path: "f", Corrupt: func(p []byte, offset int64) { p[0] ^= 1 }})
	if file.OS() != nil {
		t.Error("there is a descriptor past a fault of reads")
	}
	buffer := make([]byte, 7)
	if _, err := file.ReadAt(buffer, 0); err != nil || string(buffer) != "bontent" {
		t.Errorf("read %q, %v", buffer, err)
	}
	rot.Remove()
	add(t, fs, disk.Rule{Calls: []disk.Call{disk.CallRead}, Path: "f", Times: 1, Err: syscall.EIO})
	if file.OS() != nil {
		t.Error("there is a descriptor past a fault of one read")
	}
	_, err := file.ReadAt(buffer, 0)
	want(t, "read", err, syscall.EIO)
	if _, err := file.ReadAt(buffer, 0); err != nil || string(buffer) != "content" {
		t.Errorf("read %q, %v", buffer, err)
	}
	if file.OS() == nil {
		t.Error("a fault that is spent keeps the descriptor")
	}
	if create(t, disk.NewMem(1), "f", nil).OS() != nil {
		t.Error("memory has a descriptor")
	}
}

// crashes returns what crashes leave of the content of d/f, by policy and chance.
func crashes(t *testing.T, mem *disk.Mem, path string) (left []string) {
	for seed := range uint64(50) {
		policy := disk.CrashPolicy{SyncedOnly: seed == 0, Random: rand.New(rand.NewPCG(seed, 0))}
		left = append(left, string(contentOf(t, mem.Crash(policy), path)))
	}
	return left
}

// A sync that failed has lost the bytes: they can be read, a second sync
// succeeds, and they are still not durable. A retry that trusts it loses data.
func TestFailedSyncLosesForGood(t *testing.T) {
	for _, call := range []disk.Call{disk.CallSync, disk.CallSyncData, disk.CallSyncAll} {
		mem := disk.NewMem(1)
		fs := disk.NewFaulty(mem)
		old, lost, rewritten := bytes.Repeat([]byte("o"), 4096), bytes.Repeat([]byte("l"), 4096), bytes.Repeat([]byte("r"), 4096)
		file := create(t, fs, "f", slices.Concat(old, old, old))
		must(t, fs.SyncAll())
		sync := func() error {
			switch call {
			case disk.CallSync:
				return file.Sync()
			case disk.CallSyncData:
				return file.SyncData()
			}
			return fs.SyncAll()
		}

		_, err := file.WriteAt(slices.Concat(lost, lost), 0)
		must(t, err)
		_, err = file.WriteAt(lost, 3*4096) // beyond what was synced
		must(t, err)
		add(t, fs, disk.Rule{Calls: []disk.Call{call}, Times: 1, Err: syscall.EIO})
		want(t, "the first sync", sync(), syscall.EIO)
		if got := contentOf(t, mem, "f"); !bytes.Equal(got, slices.Concat(lost, lost, old, lost)) {
			t.Fatalf("%v: after the failure the file reads otherwise", call)
		}
		must(t, sync())
		zeros := make([]byte, 4096)
		for _, left := range crashes(t, mem, "f") {
			if left != string(slices.Concat(old, old, old, zeros)) {
				t.Fatalf("%v: a sync after the failure made lost bytes durable, or lost others", call)
			}
		}

		// Written again they are as good as any.
		_, err = file.WriteAt(rewritten, 4096)
		must(t, err)
		must(t, sync())
		for _, left := range crashes(t, mem, "f") {
			if left != string(slices.Concat(old, rewritten, old, zeros)) {
				t.Fatalf("%v: what was written again and synced is not durable, or more is", call)
			}
		}

		// The control: without the failure all of it had survived.
		_, err = file.WriteAt(lost, 0)
		must(t, err)
		must(t, sync())
		for _, left := range crashes(t, mem, "f") {
			if left[0] != 'l' {
				t.Fatalf("%v: a good sync made nothing durable", call)
			}
		}
	}
}

// A sync that is lost reports success and does nothing: what a crash test must
// notice. The control does the same without the fault.
func TestLostSync(t *testing.T) {
	for _, lose := range []bool{true, false} {
		for _, call := range []disk.Call{disk.CallSync, disk.CallSyncDir, disk.CallSyncAll} {
			mem := disk.NewMem(1)
			fs := disk.NewFaulty(mem)
			if lose {
				add(t, fs, disk.Rule{Calls: []disk.Call{call}, Lose: true})
			}
			file := create(t, fs, "f", []byte("new"))
			if call == disk.CallSyncAll {
				must(t, fs.SyncAll())
			} else {
				must(t, file.Sync())
				must(t, fs.SyncDir(""))
			}
			after := mem.Crash(disk.CrashPolicy{SyncedOnly: true})
			_, err := after.Stat("f")
			survived := err == nil && string(contentOf(t, after, "f")) == "new"
			if survived == lose {
				t.Errorf("%v, lost %t: survived %t", call, lose, survived)
			}
		}
	}
}

// A fault of closing still closes: no descriptor leaks, no lock stays.
func TestFaultOfClose(t *testing.T) {
	fs, file, _ := fixture(t)
	lock, err := fs.Lock("lock")
	must(t, err)
	add(t, fs, disk.Rule{Calls: []disk.Call{disk.CallClose}, Err: syscall.EIO})
	want(t, "close", file.Close(), syscall.EIO)
	want(t, "unlock", lock.Close(), syscall.EIO)
	fs.Clear()
	want(t, "close again", file.Close(), syscall.EBADF)
	lock, err = fs.Lock("lock")
	must(t, err)
	must(t, lock.Close())
}
