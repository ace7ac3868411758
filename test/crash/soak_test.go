package crash

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/test/soak"
)

// soakPlan is a long test in batches, each in a process of its own: an index that
// died keeps its memory.
type soakPlan struct {
	row      soak.Row
	batch    int    // cases of one process: a few minutes
	test     string // the short form, which does the work
	variable string // tells it "first,cases"
}

// run does batches until the row's goal or its time is reached.
func (p soakPlan) run(t *testing.T) {
	slice := soak.Begin(t, p.row)
	for slice.More() {
		first, cases := slice.Next(), min(int64(p.batch), slice.Left())
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+p.test+"$", "-test.v")
		child.Env = append(os.Environ(), fmt.Sprintf("%s=%d,%d", p.variable, first, cases))
		out, err := child.CombinedOutput()
		if err != nil {
			slice.Fail(fmt.Sprintf("%s=%d,%d go test ./test/crash -run '^%s$': %v\n%s", p.variable, first, cases, p.test, err, out))
		}
		_, said, ok := strings.Cut(string(out), "next history ")
		var next uint64
		if _, err := fmt.Sscan(said, &next); !ok || err != nil {
			t.Fatalf("the batch does not say where it ended:\n%s", out)
		}
		slice.Add(cases, next)
	}
}
