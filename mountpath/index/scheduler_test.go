package index

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

// stacks returns the stacks of all goroutines, by number.
func stacks() map[string]string {
	for size := 1 << 20; ; size *= 2 {
		buffer := make([]byte, size)
		n := runtime.Stack(buffer, true)
		if n == size {
			continue
		}
		all := make(map[string]string)
		for stack := range strings.SplitSeq(string(buffer[:n]), "\n\n") {
			number, _, _ := strings.Cut(stack, " [")
			all[number] = stack
		}
		return all
	}
}

// atWork reports whether Pebble is at work in the background, in a goroutine that
// was not there before and is not parked for ever.
func atWork(before map[string]string) bool {
	background := []string{"pebble/v2.(*DB).runPickedCompaction", "pebble/v2.(*DB).maybeCollectTableStats", "(*scheduler).grant("}
	for number, stack := range stacks() {
		if _, old := before[number]; old || strings.Contains(stack, "(*instance).park") {
			continue
		}
		if slices.ContainsFunc(background, func(f string) bool { return strings.Contains(stack, f) }) {
			return true
		}
	}
	return false
}

// A dead instance whose tables cannot be read leaves them alone: its compactions
// and its collector of statistics, which go on trying while it lives, end or park.
// Its readers are not held up: a table that only then can be opened again is read.
func TestDeadInstanceDoesNotSpin(t *testing.T) {
	const tables = 8 // twice what a compaction begins at
	tests := []struct {
		name  string
		begin func(t *testing.T, faulty *disk.Faulty, opened func(*Options)) *Index
	}{
		{"compaction", func(t *testing.T, faulty *disk.Faulty, opened func(*Options)) *Index {
			x := mustOpen(t, faulty, opened)
			fail(t, faulty)
			for i := range tables {
				mustPut(t, x, "key", fmt.Sprint("value", i))
				if err := x.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			return x
		}},
		{"statistics", func(t *testing.T, faulty *disk.Faulty, opened func(*Options)) *Index {
			x := mustOpen(t, faulty)
			mustPut(t, x, "key", fmt.Sprint("value", tables-1))
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			fail(t, faulty)
			return mustOpen(t, faulty, opened)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := stacks()
			faulty := disk.NewFaulty(disk.NewMem(1))
			failed := make(chan error, 1000)
			x := test.begin(t, faulty, func(o *Options) {
				o.OnEvent = func(e Event) {
					select {
					case failed <- e.Err:
					default:
					}
				}
			})
			for range 3 * tables {
				<-failed // the control: while it lives, it is tried again and again
			}
			x.instance.die(syscall.EIO)
			reads := make(chan disk.Operation, 100)
			stop := faulty.Observe(func(o disk.Operation) {
				if strings.HasSuffix(o.Path, ".sst") {
					select {
					case reads <- o:
					default:
					}
				}
			})
			for atWork(before) {
				if len(reads) == cap(reads) {
					t.Fatalf("the dead instance goes on: %d calls of its tables, the last %+v", len(reads), <-reads)
				}
				runtime.Gosched()
			}
			stop()
			t.Logf("%d calls of tables after its death", len(reads))

			faulty.Clear()
			mustGet(t, x, "key", fmt.Sprint("value", tables-1))
			y, err := new(Reopener).Reopen(x, x.options)
			if err != nil {
				t.Fatal(err)
			}
			mustGet(t, y, "key", fmt.Sprint("value", tables-1))
			if err := y.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// fail makes every table one that cannot be opened or read.
func fail(t *testing.T, faulty *disk.Faulty) {
	t.Helper()
	add(t, faulty, disk.Rule{Calls: []disk.Call{disk.CallOpen, disk.CallRead}, Path: ".troupe/index/*.sst", Err: syscall.EIO})
}

// Compactions begin as Pebble allows and no more at a time, what had to wait begins
// when it is allowed, nothing begins on a dead instance, and Unregister leaves no
// goroutine.
func TestScheduler(t *testing.T) {
	noLeaks(t)
	i := newInstance(time.Millisecond, func(error) {})
	s := newScheduler(i)
	db := &compactor{granted: make(chan bool, 10)}
	db.allowed.Store(1)
	s.Register(2, db)
	ok, first := s.TrySchedule()
	if !ok {
		t.Fatal("the first compaction was refused")
	}
	if ok, _ := s.TrySchedule(); ok {
		t.Fatal("one more than allowed")
	}
	db.waiting.Store(2)
	first.Done()
	<-db.granted
	if ok, _ := s.TrySchedule(); ok {
		t.Fatal("one more than allowed")
	}
	db.allowed.Store(2)
	s.UpdateGetAllowedWithoutPermission()
	<-db.granted
	i.die(syscall.EIO)
	<-s.stopped
	db.waiting.Store(1)
	s.Done()
	s.Done()
	if ok, _ := s.TrySchedule(); ok || db.waiting.Load() != 1 {
		t.Fatal("a compaction began on a dead instance")
	}
	s.Unregister()
	if s.running != 0 {
		t.Fatal(s.running)
	}
}

// compactor is a database as the scheduler sees it.
type compactor struct {
	allowed, waiting atomic.Int64
	granted          chan bool
}

func (c *compactor) GetAllowedWithoutPermission() int { return int(c.allowed.Load()) }

func (c *compactor) GetWaitingCompaction() (bool, pebble.WaitingCompaction) {
	return c.waiting.Load() > 0, pebble.WaitingCompaction{}
}

func (c *compactor) Schedule(pebble.CompactionGrantHandle) bool {
	c.waiting.Add(-1)
	c.granted <- true
	return true
}
