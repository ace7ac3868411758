package member_test

import (
	"testing"
	"time"

	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// The lead goes to whom it is given, asked of any node: to each in turn, many times, so
// that luck is no explanation. Who asks for what cannot be is told why.
func TestSetLeader(t *testing.T) {
	run(t, func(w *world) {
		w.filled("a", "b", "c")
		for round := range 5 {
			for i, heir := range []smap.NodeID{"a", "b", "c"} {
				asked := []smap.NodeID{"a", "b", "c"}[(i+round)%3]
				w.want(asked, member.Request{Kind: member.RequestLead, Node: heir, Dry: true}, 0)
				w.want(asked, member.Request{Kind: member.RequestLead, Node: heir}, 0)
				if leader := w.leader(); leader != heir {
					t.Fatalf("round %d: %s leads, and not %s", round, leader, heir)
				}
				if known := w.nodes[asked].view.Load().Leader; known != heir {
					t.Fatalf("round %d: who asked thinks that %s leads, and not %s", round, known, heir)
				}
				if heir != asked {
					continue
				}
				w.want(asked, member.Request{Kind: member.RequestLead, Node: heir}, 0) // it leads already
			}
		}
		w.want("b", member.Request{Kind: member.RequestLead, Node: "z"}, errs.NotFound)
		w.want("b", member.Request{Kind: member.RequestLead}, errs.Invalid)
		w.want("b", member.Request{Kind: member.RequestLead, Node: "c"}, 0)
		w.nodes["a"].kill()
		w.wait("it is down", func() bool { return w.states("c") == "a down, b up, c up" })
		w.want("b", member.Request{Kind: member.RequestLead, Node: "a"}, errs.Conflict)
		w.want("b", member.Request{Kind: member.RequestLead, Node: "b"}, 0)
		w.start("a") // the new leader does its work
		w.wait("it is back", func() bool { return w.agree("a up, b up, c up") })
	})
}

// An heir that dies in the moment when it is to lead leaves the cluster without a
// leader for a moment only: those that stood aside want the lead again.
func TestHeirDies(t *testing.T) {
	run(t, func(w *world) {
		w.filled("a", "b", "c")
		w.want("a", member.Request{Kind: member.RequestLead, Node: "a"}, 0)
		asked := make(chan error, 1)
		go func() {
			_, err := w.nodes["a"].member.Request(t.Context(), member.Request{Kind: member.RequestLead, Node: "b"})
			asked <- err
		}()
		w.wait("b has heard", func() bool {
			status, err := w.nodes["b"].member.Answer(member.Probe{ClusterID: clusterID})
			must(t, err)
			return status.Heir == "b"
		})
		w.nodes["b"].kill()
		took := w.wait("somebody leads and has written it down", func() bool {
			return w.states("a") == "a up, b down, c up" && w.states("c") == "a up, b down, c up"
		})
		if took > time.Minute {
			t.Errorf("it took %s", took)
		}
		<-asked // whatever it says: it is no lie that b was to lead
		w.start("b")
		w.wait("b is back", func() bool { return w.agree("a up, b up, c up") })
	})
}
