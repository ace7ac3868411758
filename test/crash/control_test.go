package crash

import (
	"testing"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

// Negative control: with one kind of sync turned into a lie, the test of power
// cuts finds that something acknowledged is lost. A test that finds nothing then
// would find nothing ever.
func TestPowerCutsFindLyingSyncs(t *testing.T) {
	const histories = 60
	for _, lie := range []struct {
		name string
		rule disk.Rule
	}{
		{"the work file of an object or a part", disk.Rule{Calls: []disk.Call{disk.CallSync, disk.CallSyncData}, Path: ".troupe/work/*", Lose: true}},
		{"the directory that received the name", disk.Rule{Calls: []disk.Call{disk.CallSyncDir}, Path: "photos", Lose: true}},
		{"every directory of objects", disk.Rule{Calls: []disk.Call{disk.CallSyncDir}, Path: "photos/**", Lose: true}},
		{"the directory above", disk.Rule{Calls: []disk.Call{disk.CallSyncDir}, Path: ".", Lose: true}},
		{"the directory of parts", disk.Rule{Calls: []disk.Call{disk.CallSyncDir}, Path: ".troupe/parts/**", Lose: true}},
		{"the trash", disk.Rule{Calls: []disk.Call{disk.CallSyncDir}, Path: ".troupe/trash", Lose: true}},
		{"the log of the index", disk.Rule{Calls: []disk.Call{disk.CallSync, disk.CallSyncData}, Path: ".troupe/index/*.log", Lose: true}},
		{"the checkpoint of relaxed writes", disk.Rule{Calls: []disk.Call{disk.CallSyncAll}, Lose: true}},
	} {
		t.Run(lie.name, func(t *testing.T) {
			c := newChecker(t)
			c.faulty, c.lose, c.sparse = true, lie.rule, 3
			for seed := uint64(1); seed <= histories && c.violations.Load() == 0; seed++ {
				c.run(seed)
			}
			c.finish()
			if c.hits == 0 {
				t.Fatal("no sync was lost: the control controls nothing")
			}
			if c.violations.Load() == 0 {
				t.Fatalf("%d syncs were lost, and nobody noticed in %s", c.hits, c.summary())
			}
			t.Logf("%d syncs lost; found after %d states: %.300s", c.hits, c.states.Load(), *c.first.Load())
		})
	}
}

// Negative control: where a sync fails and says that it did not, the judge of every
// error once finds what was acknowledged and is gone. One that finds nothing then
// would find nothing ever.
func TestEveryErrorOnceFindsLies(t *testing.T) {
	const histories = 60
	for _, lie := range []disk.Rule{
		{Calls: []disk.Call{disk.CallSync, disk.CallSyncData}, Path: ".troupe/work/*", Lose: true},
		{Calls: []disk.Call{disk.CallSync, disk.CallSyncData}, Path: ".troupe/index/*.log", Lose: true},
	} {
		t.Run(lie.Path, func(t *testing.T) {
			r := newFaultRun(t)
			var found error
			for seed := uint64(1); seed <= histories && found == nil; seed++ {
				_, found = r.playOnce(seed, func(faulty *disk.Faulty) func() uint64 {
					added, err := faulty.Add(lie)
					if err != nil {
						t.Fatal(err)
					}
					return added.Hits
				})
			}
			if found == nil {
				t.Fatalf("syncs of %s were lost, and nobody noticed in %d histories", lie.Path, histories)
			}
			t.Logf("found: %.300v", found)
		})
	}
}
