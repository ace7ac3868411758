package plan

import (
	"path/filepath"
	"testing"
	"time"

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
	w.wait("the mountpath is given up", func() bool {
		m := &messages.RemoveMountpath{Path: filepath.Join(filepath.Dir(b.config.Data[0]), "d1"), Force: true, Reply: messages.NewReply[messages.MountpathStatus]()}
		b.System().Root().Send(b.System().PID("node/"+mountpath.Name), m)
		_, err := m.Reply.Wait("test.remove", patience)
		if err != nil && !errs.Is(errs.Busy, err) {
			t.Fatal(err)
		}
		return err == nil
	})
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

// more waits until so many writes more were acknowledged.
func (l *load) more(count int64) {
	l.t.Helper()
	until := l.writes.Load() + count
	l.world.wait("clients go on", func() bool { return l.stop.Load() || l.writes.Load() >= until })
}
