package index

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/errs"
)

const logFiles = ".troupe/index/*.log"

var syncs = []disk.Call{disk.CallSync, disk.CallSyncData}

// add begins a fault.
func add(t testing.TB, f *disk.Faulty, rule disk.Rule) *disk.Fault {
	t.Helper()
	fault, err := f.Add(rule)
	if err != nil {
		t.Fatal(err)
	}
	return fault
}

func put(x *Index, key, value string) error {
	b := x.NewBatch()
	b.Set([]byte(key), []byte(value))
	return x.Commit(b, []byte(key))
}

func mustPut(t testing.TB, x *Index, key, value string) {
	t.Helper()
	if err := put(x, key, value); err != nil {
		t.Fatal(err)
	}
}

func mustGet(t testing.TB, x *Index, key, want string) {
	t.Helper()
	v, err := x.Get([]byte(key))
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	if string(v.Bytes) != want {
		t.Fatalf("%s: %q, want %q", key, v.Bytes, want)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}

// A log that cannot be written or synced kills its index and nothing else:
// commits are told that the outcome is unknown, reads go on, keys in flight stay
// unsettled, another index does not notice, and a reopened one has what was
// acknowledged.
func TestDeath(t *testing.T) {
	for _, call := range []disk.Call{disk.CallSyncData, disk.CallWrite} {
		t.Run(call.String(), func(t *testing.T) {
			mem := disk.NewMem(1)
			faulty := disk.NewFaulty(mem)
			events := make(chan Event, 100)
			x := mustOpen(t, faulty, func(o *Options) { o.OnEvent = func(e Event) { events <- e } })
			other := mustOpen(t, disk.NewMem(2), func(o *Options) { o.Node = x.options.Node })
			for i := range 100 {
				mustPut(t, x, fmt.Sprint("acknowledged", i), "1")
			}
			fault := add(t, faulty, disk.Rule{Calls: []disk.Call{call}, Path: logFiles, Err: syscall.EIO})

			// Many lanes are in it when it happens, and all come back.
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					if err := put(x, fmt.Sprint("lost", i), "1"); err == nil || !errs.Is(errs.Busy, err) && !errs.Is(errs.Offline, err) {
						t.Errorf("commit %d: %v", i, err)
					} else if errs.Is(errs.Busy, err) && (!isUnknown(err) || !errors.Is(err, syscall.EIO)) {
						t.Errorf("commit %d: %v", i, err)
					}
				})
			}
			wg.Wait()
			<-x.Dead()
			if !errors.Is(x.Err(), syscall.EIO) || fault.Hits() == 0 {
				t.Fatal(x.Err(), fault.Hits())
			}
			if e := <-events; e.Kind != Died || !errors.Is(e.Err, syscall.EIO) {
				t.Fatalf("%+v", e)
			}
			if err := put(x, "late", "1"); !errs.Is(errs.Offline, err) {
				t.Fatal(err)
			}
			for i := range 100 {
				mustGet(t, x, fmt.Sprint("acknowledged", i), "1")
				if waited, err := x.Settled(fmt.Append(nil, "acknowledged", i), time.Hour); waited || err != nil {
					t.Fatal(waited, err)
				}
			}
			unsettled := 0
			for i := range 20 {
				_, err := x.Settled(fmt.Append(nil, "lost", i), time.Hour)
				if err != nil && (!errs.Is(errs.Busy, err) || !isUnknown(err)) {
					t.Fatal(err)
				}
				if err != nil {
					unsettled++
				}
			}
			if unsettled == 0 {
				t.Fatal("every key of a dead index is settled")
			}
			for _, err := range []error{x.Flush(), x.Compact([]byte("a"), []byte("z")), x.Close()} {
				if !errs.Is(errs.Offline, err) || !errors.Is(err, syscall.EIO) {
					t.Fatal(err)
				}
			}
			mustPut(t, other, "a", "1")
			mustGet(t, other, "a", "1")
			if err := other.Close(); err != nil {
				t.Fatal(err)
			}

			faulty.Clear()
			var r Reopener
			y, err := r.Reopen(x, x.options)
			if err != nil {
				t.Fatal(err)
			}
			if r.Left() != MaxReopenings-1 {
				t.Fatal(r.Left())
			}
			for i := range 100 {
				mustGet(t, y, fmt.Sprint("acknowledged", i), "1")
			}
			for i := range 2000 { // enough to rotate logs and flush, beside the dead one
				mustPut(t, y, fmt.Sprint("new", i), strings.Repeat("n", 500))
			}
			if err := y.Close(); err != nil {
				t.Fatal(err)
			}
			if err := mustOpen(t, mem).Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// An index is reopened when no call of the dead one can reach the disk any
// more, not before, and not more often than it is allowed to.
func TestReopenWaitsForCalls(t *testing.T) {
	faulty := disk.NewFaulty(disk.NewMem(1))
	x := mustOpen(t, faulty, func(o *Options) { o.Deadline = 300 * time.Millisecond })
	mustPut(t, x, "acknowledged", "1")
	var r Reopener
	if _, err := r.Reopen(x, x.options); !errs.Is(errs.Exists, err) {
		t.Fatal(err)
	}
	gate := disk.NewGate()
	fault := add(t, faulty, disk.Rule{Calls: syncs, Path: logFiles, Wait: gate.Wait})
	b := x.NewBatch()
	b.Set([]byte("hung"), []byte("1"))
	pending := x.CommitAsync(b, []byte("hung"))
	<-gate.Reached()
	x.instance.die(syscall.EIO)
	if err := pending.Wait(); !isUnknown(err) {
		t.Fatal(err)
	}
	if _, err := r.Reopen(x, x.options); !errs.Is(errs.Busy, err) || r.Left() != MaxReopenings {
		t.Fatal(err, r.Left())
	}
	fault.Remove()
	gate.Open()
	for range MaxReopenings {
		y, err := r.Reopen(x, x.options)
		if err != nil {
			t.Fatal(err)
		}
		mustGet(t, y, "acknowledged", "1")
		y.instance.die(syscall.EIO)
		x = y
	}
	if _, err := r.Reopen(x, x.options); !errs.Is(errs.Offline, err) {
		t.Fatal(err)
	}
}

// A record is not used before its commit returned: while the sync hangs, Pebble
// shows it, and Settled and Scan do not let it out. Other keys are not held up.
func TestUnsyncedIsNotShown(t *testing.T) {
	faulty := disk.NewFaulty(disk.NewMem(1))
	x := mustOpen(t, faulty, func(o *Options) { o.Deadline = 200 * time.Millisecond })
	mustPut(t, x, "old", "1")
	gate := disk.NewGate()
	fault := add(t, faulty, disk.Rule{Calls: syncs, Path: logFiles, Wait: gate.Wait})
	b := x.NewBatch()
	b.Set([]byte("new"), []byte("2"))
	pending := x.CommitAsync(b, []byte("new"))
	<-gate.Reached()
	for {
		v, err := x.Get([]byte("new"))
		if err == nil {
			v.Close()
			break // Pebble shows it: that is what this is about
		}
		if !errs.Is(errs.NotFound, err) {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	if waited, err := x.Settled([]byte("new"), time.Millisecond); waited || !errs.Is(errs.Busy, err) {
		t.Fatal(waited, err)
	}
	if _, err := x.Scan(nil, nil); !errs.Is(errs.Busy, err) {
		t.Fatal(err)
	}
	mustGet(t, x, "old", "1")
	if waited, err := x.Settled([]byte("old"), time.Hour); waited || err != nil {
		t.Fatal(waited, err)
	}
	fault.Remove()
	gate.Open()
	if err := pending.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Settled([]byte("new"), time.Hour); err != nil {
		t.Fatal(err)
	}
	s, err := x.Scan(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Next() || string(s.Key()) != "new" {
		t.Fatal(s.Err())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	x.options.Deadline = 20 * time.Second
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

// When flushes do not keep up, the write gate closes and reads go on; when they
// do again, it opens, and no commit is lost.
func TestStall(t *testing.T) {
	faulty := disk.NewFaulty(disk.NewMem(1))
	events := make(chan Event, 1000)
	x := mustOpen(t, faulty, func(o *Options) { o.OnEvent = func(e Event) { events <- e } })
	gate := disk.NewGate()
	fault := add(t, faulty, disk.Rule{Calls: []disk.Call{disk.CallCreate}, Path: ".troupe/index/*.sst", Wait: gate.Wait})
	var pending []*Pending
	value := strings.Repeat("v", 1000)
	for i := 0; !x.Stalled(); i++ {
		b := x.NewBatch()
		b.Set(fmt.Appendf(nil, "%06d", i), []byte(value))
		pending = append(pending, x.CommitAsync(b))
		if i%100 == 99 {
			runtime.Gosched()
		}
	}
	if e := <-events; e.Kind != Stalled || e.Reason == "" {
		t.Fatalf("%+v", e)
	}
	mustGet(t, x, "000000", value)
	fault.Remove()
	gate.Open()
	full := 0
	for i, p := range pending {
		if err := p.Wait(); errors.Is(err, errQueueFull) {
			full++
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		mustGet(t, x, fmt.Sprintf("%06d", i), value)
	}
	t.Logf("%d commits, %d refused because the queue was full", len(pending), full)
	for e := range events {
		if e.Kind == Unstalled {
			break
		}
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

// A flush that fails is tried again; nothing dies of it. Of blobs that holds for
// want of room only: Pebble panics when one cannot be finished.
func TestFailedFlushIsRetried(t *testing.T) {
	tests := []struct {
		file string
		call disk.Call
		err  syscall.Errno
		dies bool
	}{
		{"*.sst", disk.CallCreate, syscall.EIO, false},
		{"*.sst", disk.CallWrite, syscall.ENOSPC, false},
		{"*.sst", disk.CallSyncData, syscall.EIO, false},
		{"*.blob", disk.CallCreate, syscall.EIO, false},
		{"*.blob", disk.CallWrite, syscall.ENOSPC, false},
		{"*.blob", disk.CallWrite, syscall.EIO, true},
		{"*.blob", disk.CallSyncData, syscall.EIO, true},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.file, test.call), func(t *testing.T) {
			faulty := disk.NewFaulty(disk.NewMem(1))
			events := make(chan Event, 1000)
			x := mustOpen(t, faulty, func(o *Options) { o.OnEvent = func(e Event) { events <- e } })
			fault := add(t, faulty, disk.Rule{
				Calls: []disk.Call{test.call}, Path: ".troupe/index/" + test.file, Times: 2, Err: test.err,
			})
			mustPut(t, x, "key", strings.Repeat("v", 3000))
			err := x.Flush()
			mustGet(t, x, "key", strings.Repeat("v", 3000))
			e := <-events
			if !errors.Is(e.Err, test.err) {
				t.Fatalf("%+v", e)
			}
			if test.dies {
				if !errs.Is(errs.Offline, err) || e.Kind != Died {
					t.Fatalf("%v, %+v", err, e)
				}
				return
			}
			if err != nil || e.Kind != BackgroundFailed || fault.Hits() != 2 {
				t.Fatalf("%v, %+v, %d faults", err, e, fault.Hits())
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
