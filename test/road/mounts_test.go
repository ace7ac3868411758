package road

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath"
	"github.com/troupe-storage/troupe/objects"
)

// settled waits until the set of mountpaths of a node is steady, of so many, and keys with
// protection are placed by its mount map.
func (w *workload) settled(m *member, count int) {
	w.t.Helper()
	for end := time.Now().Add(patience); ; {
		roster := m.Roster()
		if roster.Transition == nil && roster.Placing() != nil && len(roster.Mountpaths) == count {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("seed %d: node %s: transition %+v, %d mountpaths, placed by the mount map: %v", w.seed, m.id, roster.Transition, len(roster.Mountpaths), roster.Placing() != nil)
		}
		w.enough(1)
	}
}

// Mountpaths are added to and removed from nodes whose keys have copies, while clients write
// and read them: protected keys are placed by the mount map, by the document while they
// move, and by the next mount map then. Nobody is refused anything, each key is one
// register, and all nodes of a key have the same in the end, where that map places it.
func TestCopiesWhileMountpathsComeAndGo(t *testing.T) {
	w := newWorkload(t, 2)
	epochs := make(map[*member]uint64)
	w.run(6, func(random *rand.Rand) {
		for range raced(2) {
			m := w.members[random.IntN(len(w.members))]
			w.settled(m, 2)
			before := m.Roster().Mountpaths
			supervisor := m.System().PID("node/" + mountpath.Name)
			w.enough(40)
			added := filepath.Join(t.TempDir(), "added")
			add := &messages.AddMountpath{Path: added, Reply: messages.NewReply[messages.MountpathStatus]()}
			m.System().Root().Send(supervisor, add)
			if _, err := add.Reply.Wait("test.add", patience); err != nil {
				t.Fatalf("seed %d: %v", w.seed, err)
			}
			w.settled(m, 3)
			w.enough(40)
			remove := &messages.RemoveMountpath{Path: before[random.IntN(2)].Path, Reply: messages.NewReply[messages.MountpathStatus]()}
			m.System().Root().Send(supervisor, remove)
			if _, err := remove.Reply.Wait("test.remove", patience); err != nil {
				t.Fatalf("seed %d: %v", w.seed, err)
			}
			w.settled(m, 2)
			epochs[m]++
		}
		w.enough(40)
	})
	w.judge()
	// A key may move at another node while that stores what this one has: the outcome is
	// unknown until the next look, though no disk has failed. Few are.
	unknown, all := 0, 0
	for kind, n := range w.told {
		if all += n; strings.HasSuffix(kind, "unknown") {
			unknown += n
		}
	}
	if unknown*20 > all {
		t.Errorf("seed %d: the outcome of %d of %d is unknown, and no disk has failed", w.seed, unknown, all)
	}
	w.settleAll()
	w.agrees(w.doc)
	for m := range epochs {
		m.held(t, w.doc, w)
	}
	w.quiet()
}

// held fails unless the mount map of a node places each protected key, and where the node
// has it.
func (m *member) held(t *testing.T, doc *objects.BucketDoc, w *workload) {
	t.Helper()
	roster, nodes := m.Roster(), m.nodes.Load()
	for i := range w.keys {
		digest := objects.Key{Bucket: doc.Bucket, Name: w.name(i)}.Digest()
		holders := nodes.Holders(messages.Placing(doc, digest))
		view, epoch := roster.Hold(holders, digest)
		if holders != 1 || view == nil || epoch.Map == 0 {
			t.Errorf("node %s, %s: %d holders, at %v, mount epoch %v", m.id, w.name(i), holders, view, epoch)
		}
		if path := m.Gateway().Location(doc, w.name(i)); view != nil && path != view.Path {
			t.Errorf("node %s, %s: it is said to be at %s, and is held at %s", m.id, w.name(i), path, view.Path)
		}
	}
}
