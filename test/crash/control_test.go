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
