package volume_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/volume"
)

// patience ends a wait that should have ended long ago.
const patience = time.Minute

// A frozen volume keeps who writes waiting and lets who reads read, until it thaws,
// and thaws by itself when its time has passed.
func TestFreezeHangs(t *testing.T) {
	for name, atMost := range map[string]time.Duration{"thawed": patience, "by itself": time.Second} {
		t.Run(name, func(t *testing.T) {
			v := newVolume(t, volume.Config{Kind: volume.Ext4, Bytes: 64 << 20})
			file := filepath.Join(v.Path, "file")
			must(t, writeSynced(file))
			must(t, v.Freeze(atMost))
			began := time.Now()
			written := make(chan error, 1)
			go func() { written <- write(filepath.Join(v.Path, "late")) }()
			if got, err := os.ReadFile(file); err != nil || string(got) != "content" {
				t.Errorf("a read of a frozen volume: %q, %v", got, err)
			}
			if atMost == patience {
				if len(written) > 0 {
					t.Errorf("a write on a frozen volume was done: %v", <-written)
				}
				must(t, v.Thaw())
				must(t, <-written)
				must(t, v.Thaw())
				return
			}
			must(t, <-written)
			if took := time.Since(began); took < atMost/2 {
				t.Errorf("a write on a frozen volume took %s", took)
			}
			if err := v.Thaw(); err == nil {
				t.Error("a volume that thawed by itself was still frozen")
			}
		})
	}
}

// A throttled volume is as slow as it is told to be, and as fast as before afterwards.
func TestThrottleIsSlow(t *testing.T) {
	if err := volume.CheckThrottle(); err != nil {
		process.Missing(t, "%v", err)
	}
	v := newVolume(t, volume.Config{Kind: volume.Ext4, Bytes: 64 << 20})
	write := func(name string) time.Duration {
		began := time.Now()
		file, err := os.Create(filepath.Join(v.Path, name))
		must(t, err)
		_, err = file.Write(make([]byte, 1<<20))
		must(t, err)
		must(t, file.Sync())
		must(t, file.Close())
		return time.Since(began)
	}
	must(t, v.Throttle(512<<10))
	if took := write("slow"); took < time.Second {
		t.Errorf("1 MiB at 512 KiB/s took %s", took)
	}
	must(t, v.Throttle(0))
	began := time.Now()
	for range 16 {
		write("quick")
	}
	if took := time.Since(began); took > 16*time.Second {
		t.Errorf("16 MiB without a throttle took %s", took)
	}
}

// The device of a broken volume fails reads and writes; what was synced before is
// there after its repair.
func TestBreakFailsTheDevice(t *testing.T) {
	v := newVolume(t, volume.Config{Kind: volume.Ext4, Bytes: 64 << 20})
	file := filepath.Join(v.Path, "file")
	must(t, writeSynced(file))
	must(t, v.Forget())
	opened, err := os.Open(file) // while its inode can be read
	must(t, err)
	must(t, v.Break())
	if _, err := opened.Read(make([]byte, 10)); !errors.Is(err, syscall.EIO) {
		t.Errorf("a read of a broken volume: %v", err)
	}
	must(t, opened.Close())
	if err := writeSynced(filepath.Join(v.Path, "late")); !errors.Is(err, syscall.EIO) && !errors.Is(err, unix.EROFS) {
		t.Errorf("a write on a broken volume: %v", err)
	}
	must(t, v.Repair())
	must(t, v.Mend())
	if got, err := os.ReadFile(file); err != nil || string(got) != "content" {
		t.Errorf("what was synced: %q, %v", got, err)
	}
}
