package plan

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/s3client"
)

// A node that was away while clients wrote, overwrote and deleted catches up: afterwards
// it has what was acknowledged meanwhile and nothing else, which shows when the other
// owners are away.
func TestReturn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.found("a", "b", "c")
	w.create(2)
	want := w.fill(5, 150)
	w.same("before", want)
	w.stop("b")
	down := func(name string) bool {
		for _, n := range w.running() {
			if entry, _ := n.Cluster().Map.Node(w.nodes[name].id); entry.State != "down" {
				return false
			}
		}
		return true
	}
	w.wait("b is down", func() bool { return down("b") })
	r := rand.New(rand.NewPCG(5, 2))
	for i := range 90 {
		key := fmt.Sprintf("d%d/object-%04d", i%7, i) // of those that are there
		n := w.running()[i%2]
		switch {
		case i%3 == 0:
			w.accepted("deleting "+key, func() (*s3client.Answer, error) { return n.s3.Delete(t.Context(), bucket, key) })
			delete(want, key)
			continue
		case i%3 == 1:
			key = fmt.Sprintf("new/object-%04d", i)
		}
		body := payload(r)
		w.accepted("putting "+key, func() (*s3client.Answer, error) { return n.s3.Put(t.Context(), bucket, key, body) })
		want[key] = sum(body)
	}
	w.same("while it is away", want)
	w.start("b")
	w.wait("b is back", func() bool { return w.placed("a", "b", "c") })
	w.same("when it is back", want)
	for _, other := range []string{"a", "c"} {
		w.stop(other)
		w.wait(other+" is down", func() bool { return down(other) })
		w.same("without "+other, want)
		w.start(other)
		w.wait(other+" is back", func() bool { return w.placed("a", "b", "c") })
	}
	w.same("at the end", want)
	w.wait("nothing is left over", func() bool { return w.settledDown(2) })
}

// withheld is a provider that does not show buckets, until it is released.
type withheld struct {
	cluster.Provider
	released chan struct{}
}

// List implements cluster.Documents.
func (p *withheld) List(ctx context.Context, prefix string, q cluster.Query) ([]cluster.Document, uint64, error) {
	if strings.HasSuffix(prefix, "/buckets/") {
		select {
		case <-p.released:
		default:
			return nil, 0, errs.E("withheld.List", prefix, errs.Offline)
		}
	}
	return p.Provider.List(ctx, prefix, q)
}

// A node that returns does not serve before it knows the buckets that were made while it
// was away: it would say that objects are not there which it has not fetched.
func TestReturnKnowsBuckets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.found("a", "b", "c")
	w.stop("b")
	state := func() smap.State {
		entry, _ := w.nodes["a"].Cluster().Map.Node(w.nodes["b"].id)
		return entry.State
	}
	w.wait("b is down", func() bool { return state() == smap.Down })
	w.create(2)
	want := w.fill(6, 40)
	released := make(chan struct{})
	w.between = map[string]func(cluster.Provider) cluster.Provider{
		"b": func(p cluster.Provider) cluster.Provider { return &withheld{p, released} },
	}
	w.start("b")
	w.wait("b tries to catch up", func() bool {
		if state() == smap.Up {
			t.Fatal("b is up, and does not know the bucket")
		}
		return w.behind.Load()
	})
	close(released)
	w.wait("b is back", func() bool { return w.placed("a", "b", "c") })
	for _, other := range []string{"a", "c"} {
		w.stop(other)
		w.wait(other+" is down", func() bool {
			entry, _ := w.nodes["b"].Cluster().Map.Node(w.nodes[other].id)
			return entry.State == smap.Down
		})
		w.same("without "+other, want)
		w.start(other)
		w.wait(other+" is back", func() bool { return w.placed("a", "b", "c") })
	}
}
