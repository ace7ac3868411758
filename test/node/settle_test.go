package node

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-storage/troupe/supervisors/faults"
)

// A write that fails, or whose lane panics, between its rename and its commit keeps
// its key busy only until the key's lane has settled it: soon, and without a
// restart of the node. The key then holds that write, whole.
func TestFailedWritesAreSettledSoon(t *testing.T) {
	defer leaves(t, goleak.IgnoreCurrent())
	node := start(t, t.TempDir(), 2, withDesk)
	c := newClient(node)
	c.bucket(t, "victims")
	for i, effect := range []faults.DiskEffect{faults.Fail, faults.Crash} {
		key := string(rune('a' + i))
		if err := c.put("victims", key, largeVersion(1)); err != nil {
			t.Fatal(err)
		}
		fault := inject(t, node, faults.Fault{
			Disk: &faults.Disk{Calls: []string{"syncdir"}, Path: "victims", Do: effect}, When: faults.When{Count: 1},
		})
		next := largeVersion(1 << 40)
		err := c.put("victims", key, next)
		var f *failure
		if !errors.As(err, &f) || f.status != http.StatusServiceUnavailable {
			t.Errorf("%s: the write was answered with: %v", key, err)
		}
		fault.Clear()
		if fault.Hits() != 1 {
			t.Errorf("%s: %d operations were hit", key, fault.Hits())
		}
		got := eventually(t, 10*time.Second, func() ([]byte, error) { return c.get("victims", key) })
		if etagOf(got) != etagOf(next) {
			t.Errorf("%s holds %d bytes that are not the write whose file has the name", key, len(got))
		}
		if err := c.put("victims", key, version(3)); err != nil {
			t.Errorf("%s: a write afterwards: %v", key, err)
		}
	}
	c.close()
	stop(t, node)
}

// eventually repeats a request while it is answered with what may be repeated, at
// most so long, and returns what it is answered then.
func eventually[T any](t *testing.T, within time.Duration, do func() (T, error)) T {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	over := time.After(within)
	for {
		value, err := do()
		if err == nil {
			return value
		}
		if !retryable(err) {
			t.Fatal(err)
		}
		select {
		case <-look.C:
		case <-over:
			t.Fatalf("still after %s: %v", within, err)
		}
	}
}
