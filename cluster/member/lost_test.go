package member_test

import (
	"testing"
	"time"

	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/objects/smap"
)

// A node that lost a mountpath leaves what serves, and is back when it has caught up; the
// leader is no exception.
func TestLostMountpath(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		leader := w.leader()
		for _, id := range []smap.NodeID{w.anyBut(leader), leader} {
			before := w.smapOf(id).Version()
			w.nodes[id].lack.Store(&member.Lack{Why: "a disk is gone", Lost: true})
			w.wait("it leaves, and is back", func() bool {
				return w.agree("a up, b up, c up") && w.nodes[id].lacks().Why == "" && w.smapOf(id).Version() > before
			})
			if got := sinceOf(t, w.smapOf(id), id); got <= before+1 {
				t.Errorf("%s is up since version %d: it has not left after version %d", id, got, before)
			}
			if version := w.smapOf(id).Version(); version != before+2 {
				t.Errorf("%d versions of the map for one node that left and came back", version-before)
			}
		}
	})
}

// What is only away has a node leave, too, for as long as it is; but not while another
// node does not serve: keys of both would have nobody that serves.
func TestMountpathAway(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		b, c := w.nodes["b"], w.nodes["c"]
		b.lack.Store(&member.Lack{Why: "a disk is away"})
		w.wait("it leaves", func() bool { return w.agree("a up, b recovering, c up") })
		c.lack.Store(&member.Lack{Why: "a disk is away"})
		w.pass(20*time.Second, "the other stays, and nothing changes", func() bool { return w.agree("a up, b recovering, c up") })
		b.lack.Store(nil)
		w.wait("the first is back, and the other leaves", func() bool { return w.agree("a up, b up, c recovering") })
		b.lack.Store(&member.Lack{Why: "a disk is gone", Lost: true})
		b.behind.Store(true)
		w.wait("what is gone is no matter of choice", func() bool { return w.agree("a up, b recovering, c recovering") })
	})
}
