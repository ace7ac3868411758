package allocation

import (
	"runtime"
	"testing"
)

// recorder is a test that fails, without failing the one that watches it.
type recorder struct{ failed bool }

func (*recorder) Helper()                 {}
func (r *recorder) Fatalf(string, ...any) { r.failed = true }

// The bound can fail: a parser that believes a length in its input breaks it, and one
// that takes memory in proportion does not.
func TestCheckFindsATrustingParser(t *testing.T) {
	for _, c := range []struct {
		allocates int
		fails     bool
	}{{1 << 20, true}, {Factor * 10, false}, {0, false}} {
		r := new(recorder)
		Check(r, 10, 4<<10, func() { runtime.KeepAlive(make([]byte, c.allocates)) })
		if r.failed != c.fails {
			t.Errorf("%d bytes for 10: failed %t", c.allocates, r.failed)
		}
	}
}
