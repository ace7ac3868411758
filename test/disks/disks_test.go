// Package disks_test takes the disk from under one of a node's four mountpaths while
// clients use all of them: it hangs (fsfreeze), is slow (a throttle of 1 MiB/s), or
// dies below its filesystem (a loop device that fails). The node is the real binary,
// the filesystem ext4 on a loop device; it needs root.
//
// A trial has two parts, before the trouble and during it. Its judge compares every
// answer with what was acknowledged: the other disks may have no error and give no
// wrong answer, the sick one may refuse and must not lie; it must be marked, and come
// back with all that was acknowledged. How long requests of the others take in the two
// parts is compared in the long forms only, over many trials: one alone says little on
// a machine that others use.
//
// Start with trial_test.go, then judge_test.go and load_test.go.
package disks_test

import (
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/soak"
	"github.com/troupe-storage/troupe/test/volume"
)

// A disk that hangs, is slow or dies is marked and harms no other; when the trouble is
// over it is back with all that was acknowledged.
func TestDiskInTrouble(t *testing.T) {
	for _, what := range []trouble{hang(), slow(), death()} {
		t.Run(what.name, func(t *testing.T) { newTrial(t, 1).run(what, 2*time.Second) })
	}
}

// Without trouble, the same trial finds a disk that stays ok and refuses nothing: what
// the others show is the trouble's doing.
func TestWithoutTrouble(t *testing.T) {
	trial := newTrial(t, 1)
	nothing := func(*volume.Volume) error { return nil }
	f := trial.run(trouble{name: "is well", begin: nothing, end: nothing}, 2*time.Second)
	if f.refused > 0 || f.served == 0 {
		t.Errorf("a disk that is well served %d requests and refused %d", f.served, f.refused)
	}
	for _, change := range trial.mountpath().Changes {
		if change.State != "ok" && change.State != "slow" { // slow is what others may make of the machine's own disk
			t.Errorf("a disk that is well was %s: %s", change.State, change.Reason)
		}
	}
}

// part is how long each part of a trial takes whose times are compared.
const part = 8 * time.Second

const (
	// mostPercent is how long requests of other disks may take, of what they take
	// without the trouble.
	mostPercent = 200
	// enough measurements make a median that one bad minute does not move.
	enough = 5
)

// soakTrouble runs trials of one trouble; those of one slice are compared.
func soakTrouble(t *testing.T, row string, what trouble) {
	slice := soak.Begin(t, soak.Row{Name: row, Unit: what.unit, Goal: 20})
	var percents []int64
	for slice.More() {
		t.Run("trial", func(t *testing.T) {
			f := newTrial(t, slice.Next()).run(what, part)
			if f.marked > promised {
				t.Errorf("marked after %s, promised is %s", f.marked, promised)
			}
			slice.Most("ms until it is marked", f.marked.Milliseconds())
			slice.Most("threads more", int64(f.threads))
			slice.Most("KiB more", f.memory>>10)
			slice.Count("requests of the sick disk served", int64(f.served))
			slice.Count("refused", int64(f.refused))
			percents = append(percents, f.percent)
		})
		if !t.Failed() {
			slice.Add(1, slice.Next()+1)
		}
	}
	if len(percents) == 0 {
		return
	}
	measured := len(percents)
	middle := median(percents)
	t.Logf("p99 of the other disks with the trouble, in percent of without: %v, median %d", percents, middle)
	if measured < enough {
		return // too few for a median: only shown
	}
	slice.Most("% of p99 of the others, median of a slice", middle)
	if middle > mostPercent {
		t.Errorf("p99 of the other disks is %d%% of what it is without the trouble, at most %d%% may be (median of %d)", middle, mostPercent, measured)
	}
}

// TestHungDiskSoak is TestDiskInTrouble with a disk that hangs, twenty times, with the
// times of the other disks compared.
func TestHungDiskSoak(t *testing.T) { soakTrouble(t, "hung-disk", hang()) }

// TestSlowDiskSoak is the same with a disk that is slow.
func TestSlowDiskSoak(t *testing.T) { soakTrouble(t, "slow-disk", slow()) }

// TestDeadDeviceSoak is the same with a disk that dies below its filesystem.
func TestDeadDeviceSoak(t *testing.T) { soakTrouble(t, "dead-device", death()) }
