package node

import (
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

// A node that stops leaves nothing behind: no goroutine, no slab, no open file of
// its own, with and without requests, and it can be started again on what it left.
func TestNodeLeavesNothing(t *testing.T) {
	defer leaves(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	for round := range 3 {
		node := start(t, dir, 2, nil)
		if round > 0 {
			c := newClient(node)
			if round == 1 {
				c.bucket(t, "photos")
			}
			for number := range uint64(40) {
				body := version(number)
				name := "k" + strconv.FormatUint(number, 10)
				if err := c.put("photos", name, body); err != nil {
					t.Fatal(err)
				}
				got, err := c.get("photos", name)
				if err != nil {
					t.Fatal(err)
				}
				if v, err := versionOf(got); err != nil || v != number {
					t.Fatalf("version %d, %v", v, err)
				}
				if number%3 == 0 {
					if err := c.delete("photos", name); err != nil {
						t.Fatal(err)
					}
				}
			}
			// Requests that their clients give up: the node must still stop cleanly.
			if _, _, err := c.do("GET", "/photos", "list-type=2", nil); err != nil {
				t.Fatal(err)
			}
			c.close()
		}
		slabsComeBack(t, node)
		stop(t, node)
	}
}
