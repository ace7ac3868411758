package kill

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process"
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
func TestSoakPowerCut(t *testing.T) {
	for _, kind := range []volume.Kind{volume.Ext4, volume.XFS} {
		t.Run(string(kind), func(t *testing.T) {
			if err := volume.Check(kind); err != nil {
				process.Missing(t, "%v", err)
			}
			powerCuts(t, kind)
		})
	}
}

func powerCuts(t *testing.T, kind volume.Kind) {
	record := "power-" + string(kind) + ".txt"
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
	trial := newTrial(t, seedOf(t, record), filepath.Join(disk.Path, "a"), filepath.Join(disk.Path, "b"))
	cycles := cyclesOf(t, 3, 100)
	for cycle := range cycles {
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
	}
	trial.keep(record, fmt.Sprintf("seed %d: %d power cuts of %s, %d operations acknowledged, none lost, %d in doubt; slowest start %s",
		trial.seed, cycles, kind, trial.load.Acknowledged(), trial.load.Doubted(), trial.slowest.Round(time.Millisecond)))
	if err := trial.node.Kill(); err != nil { // before the disk goes
		t.Fatal(err)
	}
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
