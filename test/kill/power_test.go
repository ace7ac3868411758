package kill

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/soak"
	"github.com/troupe-storage/troupe/test/volume"
)

// volumeBytes is the size of the filesystem whose power is cut; the file behind
// it is sparse. Room enough that the node is never full.
const volumeBytes = 2 << 30

// doubtsWanted and doubtTime say how long the node lives on a disk without
// power before it is killed: it must go on answering, and must not lie.
const (
	doubtsWanted = 30
	doubtTime    = 2 * time.Second
)

// A node whose disk loses power (everything that was not synced is gone, and
// until then every call fails) has what it acknowledged when the power is back.
func TestPowerCut(t *testing.T) {
	for _, kind := range []volume.Kind{volume.Ext4, volume.XFS} {
		t.Run(string(kind), func(t *testing.T) {
			powerCuts(t, kind, seedOf(t), cyclesOf(t, 3))
		})
	}
}

// TestPowerCutExt4Soak is TestPowerCut with 100 cuts of ext4.
func TestPowerCutExt4Soak(t *testing.T) { powerCutSoak(t, volume.Ext4) }

// TestPowerCutXFSSoak is TestPowerCut with 100 cuts of XFS.
func TestPowerCutXFSSoak(t *testing.T) { powerCutSoak(t, volume.XFS) }

func powerCutSoak(t *testing.T, kind volume.Kind) {
	slice := soak.Begin(t, soak.Row{Name: "power-" + string(kind), Unit: "power cuts of " + string(kind), Goal: 100})
	powerCuts(t, kind, slice.Next(), slice).count(slice)
}

func powerCuts(t *testing.T, kind volume.Kind, seed uint64, cycles cycles) *trial {
	if err := volume.Check(kind); err != nil {
		process.Missing(t, "%v", err)
	}
	disk, err := volume.New(volume.Config{Kind: kind, Dir: t.TempDir(), Bytes: volumeBytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := disk.Close(); err != nil {
			t.Error(err)
		}
	})
	// Two mountpaths on one filesystem: both lose power at once.
	trial := newTrial(t, seed, filepath.Join(disk.Path, "a"), filepath.Join(disk.Path, "b"))
	cycle := 0
	for ; cycles.More(); cycle++ {
		killed := make(chan error, 1)
		cut := func() error {
			err := trial.load.Blur(disk.Cut)
			go func() { killed <- trial.killAfterDoubts() }()
			return err
		}
		if err := trial.load.Run(t.Context(), trial.acks(), cut); err != nil {
			trial.fail(cycle, err)
		}
		if err := <-killed; err != nil {
			trial.fail(cycle, err)
		}
		if err := disk.Mend(); err != nil {
			trial.fail(cycle, err)
		}
		trial.restart(cycle)
		if err := trial.load.Compare(t.Context()); err != nil {
			trial.fail(cycle, err)
		}
		cycles.Add(1, seed+1)
	}
	t.Logf("seed %d: %d power cuts of %s, %d operations acknowledged, none lost, %d in doubt; slowest start %s",
		trial.seed, cycle, kind, trial.load.Acknowledged(), trial.load.Doubted(), trial.slowest.Round(time.Millisecond))
	if err := trial.node.Kill(); err != nil { // before the disk goes
		t.Fatal(err)
	}
	return trial
}

// killAfterDoubts lets the node live without power for a moment.
func (t *trial) killAfterDoubts() error {
	goal := t.load.Doubted() + doubtsWanted
	over := time.After(doubtTime)
	probe := time.NewTicker(10 * time.Millisecond)
	defer probe.Stop()
	for t.load.Doubted() < goal {
		select {
		case <-over:
			goal = 0
		case <-probe.C:
		}
	}
	return t.node.Kill()
}
