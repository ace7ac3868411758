package together

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"testing"

	"github.com/troupe-storage/troupe/mountpath/offline"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/process/nodes"
)

// 20,000 small objects, put through all nodes in turn, are spread evenly: each node, and
// each mountpath of each, has its share within a tenth. Counted on the directories, once
// the nodes have stopped: no node is asked what it believes. (By chance alone, a mountpath
// is off by a tenth in one run of five thousand.)
func TestBalance(t *testing.T) {
	const objects, writers = 20_000, 24
	w := newWorld(t, nodes.Config{})
	numbers := make(chan int)
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for n := range numbers {
				key := fmt.Sprintf("folder-%d/object-%d", n%100, n)
				if answer, err := w.s3[n%len(w.s3)].Put(t.Context(), bucket, key, []byte(key)); err != nil || !answer.OK() {
					t.Errorf("%s: %v %+v", key, err, answer)
				}
			}
		})
	}
	for n := range objects {
		numbers <- n
	}
	close(numbers)
	writing.Wait()
	listed, err := w.s3[1].List(t.Context(), bucket, "", 1000)
	w.must(err)
	if len(listed) != objects {
		t.Errorf("%d objects are listed, want %d", len(listed), objects)
	}
	disks, all := 0, 0
	for i, n := range w.Nodes {
		w.must(n.Stop(t.Context()))
		has := 0
		for _, m := range w.count(n) {
			t.Logf("node %d: %s: %d", i, m.Mountpath, m.Objects)
			even(t, m.Mountpath, m.Objects, objects/len(w.Nodes)/len(n.Mountpaths))
			has += m.Objects
			disks++
		}
		even(t, fmt.Sprint("node ", i), has, objects/len(w.Nodes))
		all += has
	}
	if disks != 12 || all != objects {
		t.Errorf("%d objects on %d mountpaths, want %d on 12", all, disks, objects)
	}
}

// even fails if a count is not within a tenth of its share.
func even(t *testing.T, what string, got, share int) {
	t.Helper()
	if got*10 < share*9 || got*10 > share*11 {
		t.Errorf("%s has %d objects, want %d within a tenth", what, got, share)
	}
}

// count looks at the mountpaths of a node that does not run.
func (w *world) count(n *nodes.Node) []offline.Checked {
	w.t.Helper()
	args := []string{"storage", "check", "--json"}
	for _, path := range n.Mountpaths {
		args = append(args, "--data", path)
	}
	said, err := exec.CommandContext(w.t.Context(), process.Built(), args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		w.t.Fatalf("storage check: %v: %s\n%s", err, exit.Stderr, said)
	}
	w.must(err)
	var report struct{ Mountpaths []offline.Checked }
	if err := json.Unmarshal(said, &report); err != nil {
		w.t.Fatalf("storage check: %v: %s", err, said)
	}
	return report.Mountpaths
}
