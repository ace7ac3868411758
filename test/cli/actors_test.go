package cli

import (
	"testing"

	"github.com/troupe-storage/troupe/api"
)

// Restarts are a counter that Prometheus can take rates of: when the parent of an
// actor that was made anew is killed, and its children are new ones, it does not fall.
func TestCounterOfRestartsNeverFalls(t *testing.T) {
	c := start(t)
	const counter = "troupe_actors_restarts_total"
	restarts := func() float64 {
		t.Helper()
		metrics, err := c.node.Metrics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		value, ok := metrics[counter]
		if !ok {
			t.Fatalf("no %s in %v", counter, metrics.Own())
		}
		return value
	}
	before := restarts()
	const parent, lane = "node/mountpaths/d1", "node/mountpaths/d1/w4"
	for step, address := range []string{lane, lane, parent, "node/mountpaths", "node"} {
		c.want(0, "actors", "kill", address)
		now := restarts()
		if now < before+1 {
			t.Errorf("step %d: after a kill of %s it is %v, and was %v", step, address, now, before)
		}
		before = now
	}
	// Of the lane's own two kills nothing is left but the counter.
	for _, a := range document[api.Actors](t, c.want(0, "actors", lane, "--json").out).Actors {
		if a.Restarts != 0 {
			t.Errorf("%s has %d restarts: it outlived its parent, and this test shows nothing", a.Address, a.Restarts)
		}
	}
}
