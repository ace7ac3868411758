package store

import (
	"testing"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

// The reserve is the smaller of a size and a share; below it a mountpath is full, and
// below half of it exhausted.
func TestReserve(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		reserve Reserve
		total   uint64
		want    uint64
	}{
		{DefaultReserve(), 1000 * gib, gib},
		{DefaultReserve(), 10 * gib, 10 * gib / 50},
		{Reserve{Bytes: 7 * gib}, 10 * gib, 7 * gib},
		{Reserve{Percent: 10}, 1000 * gib, 100 * gib},
		{Reserve{Bytes: 7 * gib, Percent: 10}, 20 * gib, 2 * gib},
	} {
		if got := c.reserve.of(c.total); got != c.want {
			t.Errorf("%+v of %d: %d, want %d", c.reserve, c.total, got, c.want)
		}
	}
	for _, c := range []struct {
		space disk.Space
		want  Fullness
	}{
		{disk.Space{TotalBytes: 100 * gib, FreeBytes: 4 * gib, TotalFiles: 1e6, FreeFiles: 1000}, Roomy},
		{disk.Space{TotalBytes: 100 * gib, FreeBytes: 4*gib - 1, TotalFiles: 1e6, FreeFiles: 1e6}, Full},
		{disk.Space{TotalBytes: 100 * gib, FreeBytes: 2*gib - 1, TotalFiles: 1e6, FreeFiles: 1e6}, Exhausted},
		{disk.Space{TotalBytes: 100 * gib, FreeBytes: 50 * gib, TotalFiles: 1e6, FreeFiles: 999}, Full},
		{disk.Space{TotalBytes: 100 * gib, FreeBytes: 50 * gib, TotalFiles: 1e6, FreeFiles: 499}, Exhausted},
		{disk.Space{TotalBytes: 100 * gib, FreeBytes: 50 * gib}, Roomy}, // no table of inodes
	} {
		if got := fullnessOf(c.space, 4*gib); got != c.want {
			t.Errorf("%+v is %s, want %s", c.space, got, c.want)
		}
	}
}
