package member_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// share changes settings at a node: an empty value takes a name out.
func (w *world) share(at smap.NodeID, values map[string]string) {
	w.t.Helper()
	change := make(map[string]*string)
	for name, value := range values {
		if change[name] = nil; value != "" {
			change[name] = &value
		}
	}
	if _, err := w.nodes[at].member.ChangeSettings(w.t.Context(), change); err != nil {
		w.t.Errorf("%s: %v", at, err)
	}
}

// follow waits until all nodes that run follow the same settings.
func (w *world) follow(what, want string) {
	w.t.Helper()
	w.wait(what, func() bool {
		for _, id := range w.order {
			if n := w.nodes[id]; n.system != nil && fmt.Sprint(n.settings.Load().Values) != want {
				return false
			}
		}
		return true
	})
}

// What one node is told to share all follow, and changes made by several nodes at a time
// are all kept. A node that starts while nobody can be asked follows what it knew.
func TestSettings(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		w.follow("nothing is shared", "map[]")
		w.share("a", map[string]string{"color": "blue", "size": "7"})
		if got := fmt.Sprint(w.nodes["a"].settings.Load().Values); got != "map[color:blue size:7]" {
			w.t.Errorf("when the call is over, its own node follows %s", got)
		}
		w.follow("all follow what a was told", "map[color:blue size:7]")
		w.share("b", map[string]string{"color": ""})
		w.follow("all know that it was taken out", "map[size:7]")

		var changes sync.WaitGroup
		for _, id := range w.order {
			changes.Go(func() { w.share(id, map[string]string{string(id): "is here"}) })
		}
		changes.Wait()
		all := "map[a:is here b:is here c:is here size:7]"
		w.follow("what three nodes changed at the same time is kept", all)
		version := w.nodes["a"].member.Settings().Version
		w.share("c", map[string]string{"size": "7"})
		if now := w.nodes["c"].member.Settings().Version; now != version {
			w.t.Errorf("a change to what is so already made version %d of %d", now, version)
		}

		w.wait("it is on b's disks", func() bool {
			saved, err := w.nodes["b"].archive.Load()
			return err == nil && fmt.Sprint(saved.Settings.Values) == all
		})
		away := func(is bool) {
			for _, id := range w.order {
				w.nodes[id].provider.Faults().Cut(is)
			}
		}
		w.nodes["b"].kill()
		w.start("b")
		away(true)
		w.follow("b follows what it knew", all)
		if _, err := w.nodes["b"].member.ChangeSettings(w.t.Context(), map[string]*string{"size": nil}); !errs.Is(errs.Offline, err) {
			w.t.Errorf("changed while nobody can agree: %v", err)
		}
		away(false)
		w.share("b", map[string]string{"size": ""})
		w.follow("all follow again", "map[a:is here b:is here c:is here]")
	})
}

// Settings that the provider has lost are written again, and none of an older version is
// followed.
func TestSettingsAreRestored(t *testing.T) {
	run(t, func(w *world) {
		w.found("a", "b", "c")
		w.share("a", map[string]string{"color": "blue"})
		w.follow("all follow", "map[color:blue]")
		w.memory.Wipe()
		w.wait("they are there again", func() bool { return w.document(w.t, w.keys().Config()).Exists() })
		w.share("c", map[string]string{"size": "7"})
		w.follow("both count", "map[color:blue size:7]")

		p := w.memory.Provider()
		defer func() { check(w.t, p.Close()) }()
		old := `{"version":1,"settings":{"color":"old"}}`
		must(w.t, cluster.NewStore(p, cluster.Pace{}).Put(w.t.Context(), w.document(w.t, w.keys().Config()), []byte(old)))
		w.wait("what is older is replaced", func() bool { return string(w.document(w.t, w.keys().Config()).Value) != old })
		w.follow("and was not followed", "map[color:blue size:7]")

		large := make([]byte, member.MaxSettingsBytes)
		for i := range large {
			large[i] = 'x'
		}
		text := string(large)
		if _, err := w.nodes["a"].member.ChangeSettings(w.t.Context(), map[string]*string{"large": &text}); !errs.Is(errs.Invalid, err) {
			w.t.Errorf("settings without bound: %v", err)
		}
	})
}
