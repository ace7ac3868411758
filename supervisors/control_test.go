package supervisors

import (
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// controlTime bounds what these tests wait for.
const controlTime = 30 * time.Second

func controlNode(t *testing.T, extensions ...actors.Spec) *Node {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	node, err := Start(Config{
		Data: []string{filepath.Join(t.TempDir(), "d0")}, Native: "127.0.0.1:0", S3: "127.0.0.1:0", MemoryBytes: 128 << 20, Log: log,
		Extensions: []Extension{{Actors: func(Host) []actors.Spec { return extensions }}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Stop(); err != nil {
			t.Error(err)
		}
	})
	return node
}

func act(node *Node, address string, action messages.ActorAction) (messages.ActorState, error) {
	m := &messages.ControlActor{Address: address, Action: action, Reply: messages.NewReply[messages.ActorState]()}
	node.System().Root().Send(node.System().PID("node/control"), m)
	return m.Reply.Wait("test", controlTime)
}

// Control works by message: it lists, shows, and acts on any actor, on what it
// stands below, and on itself.
func TestControlByMessage(t *testing.T) {
	extension := actors.Spec{Name: "mine", Kind: "extension", New: func() actor.Actor {
		return actor.ReceiveFunc(func(actor.Context) {})
	}}
	node := controlNode(t, extension)
	list := &messages.ListActors{Pattern: "node/mountpaths/d0/w*", Reply: messages.NewReply[[]messages.ActorState]()}
	node.System().Root().Send(node.System().PID("node/control"), list)
	lanes, err := list.Reply.Wait("test", controlTime)
	if err != nil || len(lanes) != 16 || lanes[0].Address != "node/mountpaths/d0/w0" || lanes[15].Address != "node/mountpaths/d0/w15" || lanes[0].Kind != "write lane" {
		t.Errorf("%v, %+v", err, lanes)
	}
	for _, address := range []string{"node/mountpaths/d0/w3", "node/mine", "node/control", "node"} {
		for _, action := range []messages.ActorAction{messages.RestartActor, messages.KillActor} {
			state, err := act(node, address, action)
			if err != nil || state.Address != address || state.Status != messages.ActorRunning {
				t.Errorf("%s %s: %v, %+v", action, address, err, state)
			}
		}
		show := &messages.GetActor{Address: address, Reply: messages.NewReply[messages.ActorState]()}
		node.System().Root().Send(node.System().PID("node/control"), show)
		state, err := show.Reply.Wait("test", controlTime)
		if err != nil || state.LastCause != actors.CauseKill {
			t.Errorf("%s: %v, %+v", address, err, state)
		}
	}
	// The node has every child again that it had, extensions too.
	for _, address := range []string{"node/mountpaths/d0/w15", "node/buckets", "node/xactions", "node/edges/native", "node/edges/s3", "node/mine", "node/control"} {
		if err := node.System().Await(controlTime, address); err != nil {
			t.Error(err)
		}
	}
	if _, err := act(node, "node/nobody", messages.KillActor); !errs.Is(errs.NotFound, err) {
		t.Errorf("%v", err)
	}
	if _, err := act(node, "node", "tickle"); !errs.Is(errs.Invalid, err) {
		t.Errorf("%v", err)
	}
}
