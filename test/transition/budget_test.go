package transition

import (
	"runtime/debug"
	"testing"

	"github.com/troupe-storage/troupe/api/storage"
)

// Memory is divided anew as soon as a mountpath comes or goes: what the memtables of
// its index take is the heap's no more, as after a start with it, and is again when it
// has gone.
func TestMemoryIsDividedAnew(t *testing.T) {
	heap := func() int64 { return debug.SetMemoryLimit(-1) } // of this process, which has one node
	h := newHouse(t, 1)
	alone := heap()
	h.finished(h.change(storage.Add, 1))
	h.awaitSteady()
	both := heap()
	if both >= alone {
		t.Errorf("the heap's limit is %d MiB with one mountpath, %d with two", alone>>20, both>>20)
	}
	h.stop()
	h.data = append(h.data, h.path(1))
	h.start()
	if started := heap(); started != both {
		t.Errorf("the heap's limit is %d MiB after a mountpath was added, %d after a start with it", both>>20, started>>20)
	}
	h.must(storage.Action{Action: storage.Disable, Path: h.path(1)})
	h.await("it is enabled", func() bool { // once its calls have ended
		_, err := h.try(storage.Action{Action: storage.Enable, Path: h.path(1)})
		return err == nil
	})
	if again := heap(); again != both {
		t.Errorf("the heap's limit is %d MiB after a mountpath was enabled again, %d before", again>>20, both>>20)
	}
	h.finished(h.change(storage.Remove, 1))
	h.awaitSteady()
	if left := heap(); left != alone {
		t.Errorf("the heap's limit is %d MiB after a mountpath was removed, %d without it", left>>20, alone>>20)
	}
}
