package crash

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects/smap"
)

// The power goes at every operation by which documents with versions of the mount map are
// written to four disks: whichever disks a start finds then, what it serves is what was
// published at the cut, or comes after it; and the next start, on other disks, goes on
// from there.
func TestPowerCutsOfMountMaps(t *testing.T) {
	cuts, served, refused, err := cutMountMaps(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d cuts; %d starts served a map, %d had too few disks", cuts, served, refused)
	if cuts < 200 || served < cuts || refused < cuts {
		t.Errorf("%d cuts, %d served, %d refused: too tame", cuts, served, refused)
	}
}

// Negative control: with one kind of sync of the documents turned into a lie, a version
// that was published is gone after a cut.
func TestPowerCutsOfMountMapsFindLyingSyncs(t *testing.T) {
	for _, lie := range []disk.Rule{
		{Calls: []disk.Call{disk.CallSync, disk.CallSyncData}, Path: ".troupe/documents/*", Lose: true},
		{Calls: []disk.Call{disk.CallSyncDir}, Path: ".troupe/documents", Lose: true},
	} {
		if _, _, _, err := cutMountMaps(t, &lie); err == nil {
			t.Errorf("%v of %s was lost, and nobody noticed", lie.Calls, lie.Path)
		} else {
			t.Logf("found: %.200v", err)
		}
	}
}

// mountDisks is the disks of a node with documents only.
type mountDisks []disk.FS

func (d mountDisks) shelves(which int) (all []embedded.Shelf) {
	for i, fs := range d {
		if which&(1<<i) != 0 {
			all = append(all, store.Shelf{FS: fs, Name: fmt.Sprintf("/d%d", i), MountpathID: fmt.Sprintf("d%d", i)})
		}
	}
	return all
}

// start starts the node on some of the disks, by bits.
func (d mountDisks) start(which int) (*embedded.Documents, error) {
	documents, err := embedded.Open(d.shelves(which))
	if err != nil {
		return nil, err
	}
	mountpaths := documents.Node().Mountpaths
	if documents.Node().Version == 0 {
		for i := range d {
			mountpaths = append(mountpaths, embedded.Mountpath{ID: fmt.Sprintf("d%d", i), Path: fmt.Sprintf("/d%d", i)})
		}
	}
	_, err = documents.Begin(d.shelves(which), mountpaths)
	return documents, err
}

// mountCut is what a power cut left of the disks, and what was published then: an index
// into the line.
type mountCut struct {
	left      []*disk.Mem
	published int
	where     string
}

// cutMountMaps publishes a line of versions with the power going at each operation, and
// judges each cut. A lie is injected into all disks.
func cutMountMaps(t *testing.T, lie *disk.Rule) (count, served, refused int, violation error) {
	t.Helper()
	const disks, all = 4, 1<<4 - 1
	var node mountDisks
	var mems []*disk.Mem
	for i := range disks {
		mem := disk.NewMem(uint64(i + 1))
		faulty := disk.NewFaulty(mem)
		mems, node = append(mems, mem), append(node, faulty)
		if err := format(faulty); err != nil {
			t.Fatal(err)
		}
		if lie != nil {
			if _, err := faulty.Add(*lie); err != nil {
				t.Fatal(err)
			}
		}
	}
	documents, err := node.start(all)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := documents.Mounts()
	line := []*smap.Smap{first}
	chance := rand.New(rand.NewPCG(16, 1))
	var mu sync.Mutex
	var cuts []*mountCut
	published := 0
	for i, mem := range mems {
		mem.OnOperation(func(o disk.Operation) {
			if !o.Call.Changes() {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, policy := range []disk.CrashPolicy{{SyncedOnly: true}, {Random: chance}} {
				cut := &mountCut{published: published, where: fmt.Sprintf("version %d published, disk %d: %s, synced only %t", line[published].Version(), i, o, policy.SyncedOnly)}
				for _, mem := range mems {
					cut.left = append(cut.left, mem.Crash(policy))
				}
				cuts = append(cuts, cut)
			}
		})
	}
	put := func(id smap.NodeID, state smap.State) {
		t.Helper()
		last := line[len(line)-1]
		entry, _ := last.Node(id)
		next, err := last.Change().SetState(id, entry.Since, state).Done()
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		line = append(line, next)
		mu.Unlock()
		if err := documents.PutMounts(next); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		published = len(line) - 1
		mu.Unlock()
	}
	put("d3", smap.Down)
	put("d2", smap.Down)
	if err := documents.Attach(node.shelves(1 << 3)[0], "/d3"); err != nil {
		t.Fatal(err)
	}
	put("d3", smap.Recovering)
	put("d0", smap.Down)
	put("d3", smap.Up)
	put("d1", smap.Down)
	for _, mem := range mems {
		mem.OnOperation(nil)
	}

	for _, cut := range cuts {
		for which := 1; which <= all; which++ {
			is, err := cut.judge(line, which, 1+chance.IntN(all))
			if err != nil {
				return len(cuts), served, refused, fmt.Errorf("%s, then a start with disks %04b: %w", cut.where, which, err)
			}
			if is {
				served++
			} else {
				refused++
			}
		}
	}
	return len(cuts), served, refused, nil
}

// judge starts the node on what is left of some disks, and then on others, and reports
// whether the first start served a map.
func (c *mountCut) judge(line []*smap.Smap, which, others int) (served bool, err error) {
	var node mountDisks
	for _, left := range c.left {
		node = append(node, left.Crash(disk.CrashPolicy{SyncedOnly: true}))
	}
	known := line[c.published:]
	for _, disks := range []int{which, others} {
		documents, err := node.start(disks)
		if err != nil {
			return served, err
		}
		_, m := documents.Mounts()
		if m == nil {
			continue
		}
		served = served || disks == which
		if known = from(known, m); known == nil {
			return served, fmt.Errorf("a start with disks %04b serves version %d (%s), which does not come after what was published", disks, m.Version(), m.Hash())
		}
	}
	return served, nil
}

// from returns what of a line comes after a map, and the map; nil: it is neither of the
// line, nor of it with mountpaths down that a start missed.
func from(line []*smap.Smap, m *smap.Smap) []*smap.Smap {
	for i, known := range line {
		if known.Hash() == m.Hash() {
			return line[i:]
		}
		without := known
		for _, node := range known.Nodes() {
			is, _ := m.Node(node.ID)
			if node.State.Away() || !is.State.Away() {
				continue
			}
			var err error
			if without, err = without.Change().SetState(node.ID, node.Since, smap.Down).Done(); err != nil {
				return nil
			}
			if without.Hash() == m.Hash() {
				return []*smap.Smap{m}
			}
		}
	}
	return nil
}
