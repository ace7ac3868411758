// Package states waits for what a node says of its mountpaths, for suites that break
// disks.
package states

import (
	"slices"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/storage"
)

// lookEvery is how often a node is asked.
const lookEvery = 20 * time.Millisecond

// Of returns the mountpath at a path.
func Of(t testing.TB, c storage.Client, path string) storage.Mountpath {
	t.Helper()
	all, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(all, func(m storage.Mountpath) bool { return m.Path == path })
	if at < 0 {
		t.Fatalf("no mountpath is at %s: %+v", path, all)
	}
	return all[at]
}

// Await looks until a mountpath is in one of the states, and returns it; within is when
// that is a fault.
func Await(t testing.TB, within time.Duration, look func() storage.Mountpath, wanted ...string) storage.Mountpath {
	t.Helper()
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	over := time.After(within)
	for {
		m := look()
		if slices.Contains(wanted, m.State) {
			return m
		}
		select {
		case <-again.C:
		case <-over:
			t.Fatalf("%s is not %v after %s: %+v", m.Path, wanted, within, m)
		}
	}
}
