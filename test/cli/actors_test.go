package cli

import (
	"fmt"
	"testing"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/test/process"
)

// Restarts are a counter that Prometheus can take rates of: when the parent of an
// actor that was made anew is killed, and its children are new ones, it does not fall.
func TestCounterOfRestartsNeverFalls(t *testing.T) {
	c := start(t)
	const counter = "troupe_actors_restarts_total"
	// Waits for the listener, which a kill of what it is below ends, too.
	restarts := func(what string, least float64) (value float64) {
		t.Helper()
		err := c.node.Await(t.Context(), what, func(m process.Metrics) (ok bool) {
			value, ok = m[counter]
			return ok && value >= least
		})
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	before := restarts("a counter of restarts", 0)
	const parent, lane = "node/mountpaths/d1", "node/mountpaths/d1/w4"
	for step, address := range []string{lane, lane, parent, "node/mountpaths", "node"} {
		c.want(0, "actors", "kill", address)
		before = restarts(fmt.Sprintf("step %d: after a kill of %s, more than %v restarts", step, address, before), before+1)
	}
	// Of the lane's own two kills nothing is left but the counter.
	for _, a := range document[api.Actors](t, c.want(0, "actors", lane, "--json").out).Actors {
		if a.Restarts != 0 {
			t.Errorf("%s has %d restarts: it outlived its parent, and this test shows nothing", a.Address, a.Restarts)
		}
	}
}
