package member_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// protected is what buckets of two copies ask for.
func protected() member.Rule {
	return member.Rule{SwitchRule: smap.SwitchRule{Spare: 1, Slack: 1}, Copies: 2, Buckets: []member.Protection{{Doc: &objects.BucketDoc{Bucket: objects.Bucket{Name: "photos"}}, Copies: 2}}}
}

// A node that stays down is given up, where other nodes have all of its keys: not before
// its time, and only if there are enough others. It is in the map no more then.
func TestGivenUp(t *testing.T) {
	run(t, func(w *world) {
		w.giveUp, w.rule = 5*time.Minute, protected
		w.filled("a", "b", "c", "d")
		w.walks(64)
		dead := w.anyBut(w.leader())
		w.nodes[dead].kill()
		down := func() bool { return strings.Contains(w.states(w.leader()), string(dead)+" down") }
		w.wait("it is down", down)
		w.pass(w.giveUp-time.Second, "it is expected back", down)
		var rest []smap.NodeID
		for _, id := range w.order {
			if id != dead {
				rest = append(rest, id)
			}
		}
		w.wait("the others own all keys, and it is gone", func() bool {
			_, in := w.smapOf(rest[0]).Node(dead)
			return !in && w.placed(rest...)
		})

		// Of the three that are left two are enough for two copies; when two are down none is.
		w.nodes[rest[0]].kill()
		w.nodes[rest[1]].kill()
		last := rest[2]
		w.pass(4*w.giveUp, "nobody is given up", func() bool { return len(w.smapOf(last).Nodes()) == 3 && !planned(w.smapOf(last)) })
	})
}

// What has one copy is never given up by itself. By request it is, once the node cannot be
// answering any more, and never one that serves.
func TestLossIsAccepted(t *testing.T) {
	run(t, func(w *world) {
		w.giveUp = 5 * time.Minute
		w.rule = func() member.Rule {
			return member.Rule{Copies: 1, Buckets: []member.Protection{{Doc: &objects.BucketDoc{Bucket: objects.Bucket{Name: "photos"}}, Copies: 1}}}
		}
		w.filled("a", "b", "c")
		w.walks(64)
		leader := w.leader()
		dead := w.anyBut(leader)
		ask := func(r member.Request) (outcome member.Outcome, err error) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				outcome, err = w.nodes[leader].member.Request(t.Context(), r)
			}()
			w.wait("an answer", func() bool {
				select {
				case <-done:
					return true
				default:
					return false
				}
			})
			return outcome, err
		}
		remove := member.Request{Kind: member.RequestRemove, Node: dead, AcceptLoss: true}
		if _, err := ask(remove); !errs.Is(errs.Conflict, err) {
			t.Fatalf("a node that serves: %v", err)
		}
		w.nodes[dead].kill()
		down := func() bool { return strings.Contains(w.states(leader), string(dead)+" down") }
		w.wait("it is down", down)
		w.let(5 * time.Second) // others have told that they know
		if _, err := ask(remove); !errs.Is(errs.Busy, err) || !strings.Contains(err.Error(), "ask again in") {
			t.Fatalf("at once: %v", err)
		}
		w.pass(2*w.giveUp, "it is expected back", down)
		if _, err := ask(member.Request{Kind: member.RequestRemove, Node: dead}); !errs.Is(errs.Conflict, err) {
			t.Fatalf("without the loss: %v", err)
		}
		dry := remove
		dry.Dry = true
		outcome, err := ask(dry)
		if err != nil || !strings.Contains(outcome.Text, "photos (copies: 1)") || len(outcome.Placement) != 2 || planned(w.smapOf(leader)) {
			t.Fatalf("what would be lost: %+v, %v", outcome, err)
		}
		if _, err := ask(remove); err != nil {
			t.Fatal(err)
		}
		w.wait("the others own all keys, and it is gone", func() bool {
			_, in := w.smapOf(leader).Node(dead)
			return !in && w.placed(outcome.Placement...)
		})
		if _, err := ask(member.Request{Kind: member.RequestDrain, Node: leader, AcceptLoss: true}); !errs.Is(errs.Invalid, err) {
			t.Errorf("drained with a loss: %v", errors.Unwrap(err))
		}
	})
}
