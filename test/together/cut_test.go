package together

import (
	"net/http"
	"testing"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/process/nodes"
)

func copySource(name string) []objects.Pair {
	return []objects.Pair{{Name: "x-amz-copy-source", Value: "/" + bucket + "/" + name}}
}

// A node that is cut off from the others and from Consul, though clients go on to reach
// it, answers with nothing old: what it is not in charge of is 503 there, and what it is
// in charge of is 503 at the others. Two that do not reach each other cost one of them its
// state, and nobody anything wrong. When links are back, all is served everywhere. Links
// are those of network namespaces: root.
func TestCutOff(t *testing.T) {
	const each = 8
	network := nodes.NetworkForTest(t, 3)
	w := newWorld(t, nodes.Config{Network: network})
	ctx := t.Context()
	names, err := w.Spread(ctx, bucket, each)
	w.must(err)
	for owner := range names {
		for _, name := range names[owner] {
			if answer, err := w.s3[owner].Put(ctx, bucket, name, []byte(name)); err != nil || !answer.OK() {
				t.Fatalf("%s: %v %+v", name, err, answer)
			}
		}
	}
	l := w.startLoad(bucket, 4, 48)
	l.More(200)
	const alone = 2
	w.must(network.CutOff(alone))
	w.must(w.AwaitStates(ctx, "up up down"))
	for at := range w.Nodes {
		for owner := range names {
			for _, name := range names[owner] {
				status, body := w.get(at, name)
				switch {
				case (at == alone) != (owner == alone) && status != http.StatusServiceUnavailable:
					t.Errorf("%s of node %d at node %d, with the link between them cut: %d %s", name, owner, at, status, body)
				case at != alone && owner != alone && (status != http.StatusOK || body != name):
					t.Errorf("%s of node %d at node %d: %d %s", name, owner, at, status, body)
				}
			}
		}
	}
	if answer, err := w.s3[alone].Do(ctx, request("PUT", "made-alone")); err != nil || answer.Status != http.StatusServiceUnavailable {
		t.Errorf("a bucket at the node that is cut off: %v %+v", err, answer)
	}
	l.More(100)
	w.must(network.Join(alone))
	w.must(w.AwaitStates(ctx, "up up up"))
	l.More(200)

	w.must(network.Cut(0, 1)) // both reach the third, and Consul
	w.must(w.AwaitMap(ctx, "one of two that do not reach each other is down", w.oneDown))
	l.More(100)
	w.must(network.Mend(0, 1))
	w.must(w.AwaitStates(ctx, "up up up"))
	l.More(200)
	l.Judge()
	for at := range w.Nodes {
		for _, of := range names {
			for _, name := range of {
				if status, body := w.get(at, name); status != http.StatusOK || body != name {
					t.Errorf("joined: %s at node %d: %d %s", name, at, status, body)
				}
			}
		}
	}
}
