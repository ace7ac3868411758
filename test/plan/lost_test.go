package plan

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/actors/xaction/rebalance"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// A disk dies under load, with two copies of everything: the node leaves what serves, and
// no key is said to be absent; the disk is given up, the node fetches from the others what
// was on it, and is up again. Then it has all of its keys: each other node may go.
func TestLostMountpath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.desks = map[string]*faults.Desk{"b": faults.New(faults.Options{})}
	w.found("a", "b", "c")
	w.create(2)
	want := w.fill(7, 120)
	b := w.nodes["b"]
	entry := func(at, of string) smap.Node {
		node, _ := w.nodes[at].Cluster().Map.Node(w.nodes[of].id)
		return node
	}
	load := w.begin(7, 3)
	load.more(30)
	w.silent.Store(true)  // what is on the disk is refused until the map says that b does not serve
	w.failing.Store(true) // and what it was about to read fails
	if _, err := b.Faults().Inject(faults.Fault{Disk: &faults.Disk{Mountpath: "d1", Do: faults.Fail}, Expiry: time.Hour}); err != nil {
		t.Fatal(err)
	}
	w.wait("b leaves", func() bool { return entry("a", "b").State == smap.Recovering })
	left := entry("a", "b").Since
	w.giveUpMountpath("b", b.config.Data[1])
	w.wait("b is up", func() bool {
		return w.placed("a", "b", "c") && len(b.Roster().Lost) == 0 && entry("a", "b").Since > left
	})
	w.failing.Store(false)
	load.more(30)
	load.end(want)
	w.same("when it is up", want)
	for _, other := range []string{"a", "c"} {
		w.stop(other)
		w.wait(other+" is down", func() bool { return entry("b", other).State == smap.Down })
		w.same("without "+other, want)
		if other == "c" {
			break
		}
		w.start(other)
		w.wait(other+" is back", func() bool { return w.placed("a", "b", "c") })
	}
}

// A node that a plan gives keys to loses a disk with what was copied to it. The walks that
// copied it count no more: nothing is lost with that disk, since its sources are still there,
// although the bucket has one copy.
func TestNextOwnerLosesMountpath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.found("a", "b")
	w.create(1)
	want := w.fill(12, 200)
	maps.Copy(want, w.fillFirstRun(60)) // no slot goes over before b is held
	release := w.holdPlans()
	w.start("c")
	w.wait("a plan begins", func() bool { return w.plan("a") != nil && w.plan("b") != nil })
	goOn := w.pausePlan("b") // no slot goes over before both have walked it
	release()
	w.wait("a has copied all of its part", func() bool {
		for _, node := range w.plan("b").Nodes {
			if node.Node == w.nodes["a"].id {
				return node.Slots == smap.Slots
			}
		}
		return false
	})
	c := w.nodes["c"]
	lost := w.filesBelow(c.config.Data[1])
	if len(lost) == 0 {
		t.Error("control: nothing will be lost")
	}
	m := &messages.DisableMountpath{Path: c.config.Data[1], Reply: messages.NewReply[messages.MountpathStatus]()}
	c.System().Root().Send(c.System().PID("node/"+mountpath.Name), m)
	if _, err := m.Reply.Wait("test.disable", patience); err != nil {
		t.Fatal(err)
	}
	w.wait("the plan waits for it", func() bool { return strings.Contains(w.plan("a").Waits, string(c.id)) })
	w.giveUpMountpath("c", c.config.Data[1])
	goOn()
	w.wait("c owns its part", func() bool { return w.placed("a", "b", "c") })
	w.same("after it", want)
	again := w.filesBelow(c.config.Data[0])
	for _, file := range lost {
		if !slices.Contains(again, file) {
			t.Errorf("%s was c's, and is not any more", file)
		}
	}
}

// giveUpMountpath has a node give up a mountpath that cannot be read.
func (w *world) giveUpMountpath(name, dir string) {
	w.t.Helper()
	system := w.nodes[name].System()
	w.wait("the mountpath is given up", func() bool {
		m := &messages.RemoveMountpath{Path: dir, Force: true, Reply: messages.NewReply[messages.MountpathStatus]()}
		system.Root().Send(system.PID("node/"+mountpath.Name), m)
		_, err := m.Reply.Wait("test.remove", patience)
		if err != nil && !errs.Is(errs.Busy, err) {
			w.t.Fatal(err)
		}
		return err == nil
	})
}

// pausePlan has a node copy nothing for the plan under way until it may go on.
func (w *world) pausePlan(name string) (goOn func()) {
	w.t.Helper()
	system := w.nodes[name].System()
	jobs := system.PID("node/" + xaction.Name)
	var active []*messages.Job
	w.wait("the job has begun", func() bool {
		m := &messages.ListJobs{Kind: rebalance.Name, Active: true, Reply: messages.NewReply[[]*messages.Job]()}
		system.Root().Send(jobs, m)
		var err error
		if active, err = m.Reply.Wait("test.jobs", patience); err != nil {
			w.t.Fatal(err)
		}
		return len(active) == 1
	})
	pause := &messages.PauseJob{ID: active[0].ID, Reply: messages.NewReply[*messages.Job]()}
	system.Root().Send(jobs, pause)
	if _, err := pause.Reply.Wait("test.pause", patience); err != nil {
		w.t.Fatal(err)
	}
	return func() {
		w.t.Helper()
		resume := &messages.ResumeJob{ID: active[0].ID, Reply: messages.NewReply[*messages.Job]()}
		system.Root().Send(jobs, resume)
		if _, err := resume.Reply.Wait("test.resume", patience); err != nil {
			w.t.Fatal(err)
		}
	}
}

// more waits until so many writes more were acknowledged.
func (l *load) more(count int64) {
	l.t.Helper()
	until := l.writes.Load() + count
	l.world.wait("clients go on", func() bool { return l.stop.Load() || l.writes.Load() >= until })
}
