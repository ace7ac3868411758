package crash

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// soakPlan is a long test in slices. Its state file holds two numbers: the next
// history and how much is done; it is removed when all is done.
type soakPlan struct {
	file  string
	total int
	slice int
	// run is the process that does one slice, from a history on; it prints
	// "next history N" at its end.
	run func(first uint64, n int) *exec.Cmd
}

// soakTime is how long one run of make soak goes on before it leaves the rest to
// the next: a slice takes minutes, two tests of this package share a run, and a run
// is ended after two hours.
const soakTime = 50 * time.Minute

// soak runs slices until all is done, one fails, or the time is up.
func soak(t *testing.T, p soakPlan) {
	first, done := uint64(1), 0
	if state, err := os.ReadFile(p.file); err == nil {
		if _, err := fmt.Sscan(string(state), &first, &done); err != nil {
			t.Fatalf("%s: %v", p.file, err)
		}
	}
	began := time.Now()
	for done < p.total && time.Since(began) < soakTime {
		out, err := p.run(first, p.slice).CombinedOutput()
		if err != nil {
			t.Fatalf("from history %d: %v\n%s", first, err, out)
		}
		_, next, ok := strings.Cut(string(out), "next history ")
		if !ok {
			t.Fatalf("the slice does not say where it ended:\n%s", out)
		}
		if _, err := fmt.Sscan(next, &first); err != nil {
			t.Fatal(err)
		}
		done += p.slice
		if err := os.MkdirAll(filepath.Dir(p.file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p.file, []byte(fmt.Sprintln(first, done)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d done, next history %d", done, p.total, first)
	if done >= p.total {
		if err := os.Remove(p.file); err != nil {
			t.Fatal(err)
		}
	}
}
