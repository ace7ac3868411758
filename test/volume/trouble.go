package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The requests that freeze a filesystem and let it go on. (Linux, fs/ioctl.c,
// include/uapi/linux/fs.h: _IOWR('X', 119, int), _IOWR('X', 120, int))
const (
	freeze = 3<<30 | 4<<16 | 'X'<<8 | 119
	thaw   = 3<<30 | 4<<16 | 'X'<<8 | 120
)

// Freeze makes the disk hang: every call that changes something sleeps, and no signal
// wakes it, until Thaw, or until so much time has passed. What ends it then is a
// process of its own, so that it also ends if the caller does.
func (v *Volume) Freeze(atMost time.Duration) error {
	dir, err := os.Open(v.Path)
	if err != nil {
		return fmt.Errorf("volume.Freeze: %w", err)
	}
	guard := exec.Command("sh", "-c", "sleep "+strconv.FormatFloat(atMost.Seconds(), 'f', 3, 64)+"; exec fsfreeze --unfreeze \"$0\"", v.Path)
	if err := guard.Start(); err != nil {
		return errors.Join(fmt.Errorf("volume.Freeze: %w", err), dir.Close())
	}
	if err := unix.IoctlSetInt(int(dir.Fd()), freeze, 0); err != nil {
		return errors.Join(fmt.Errorf("volume.Freeze: %w", err), endGuard(guard), dir.Close())
	}
	v.frozen, v.guard = dir, guard
	return nil
}

// Thaw ends Freeze; it does nothing if the volume is not frozen.
func (v *Volume) Thaw() error {
	if v.frozen == nil {
		return nil
	}
	err := unix.IoctlSetInt(int(v.frozen.Fd()), thaw, 0)
	if errors.Is(err, unix.EINVAL) {
		err = errors.New("it was thawed already: the time that it was given had passed")
	}
	err = errors.Join(err, endGuard(v.guard), v.frozen.Close())
	v.frozen, v.guard = nil, nil
	if err != nil {
		return fmt.Errorf("volume.Thaw: %w", err)
	}
	return nil
}

// endGuard ends a guard that is not needed any more.
func endGuard(guard *exec.Cmd) error {
	if err := guard.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	var exit *exec.ExitError
	if err := guard.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

// throttles are the files that say how many bytes a second a device may read and
// write, for everybody: those of the root group of control groups, version 1.
func throttles() []string {
	const dir = "/sys/fs/cgroup/blkio/"
	return []string{dir + "blkio.throttle.read_bps_device", dir + "blkio.throttle.write_bps_device"}
}

// CheckThrottle returns nil if Throttle works here, else ErrMissing with what is
// missing.
func CheckThrottle() error {
	for _, file := range throttles() {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("%w: no block throttle for all: %w", ErrMissing, err)
		}
	}
	return nil
}

// Throttle makes the device below slow: so many bytes a second for reads and as many
// for writes; 0: as fast as it is. Writes through the page cache feel it when they
// are synced.
func (v *Volume) Throttle(bytesPerSecond int64) error {
	device, err := v.device()
	if err != nil {
		return fmt.Errorf("volume.Throttle: %w", err)
	}
	var stat unix.Stat_t
	if err := unix.Stat(device, &stat); err != nil {
		return fmt.Errorf("volume.Throttle: %w", err)
	}
	line := fmt.Sprintf("%d:%d %d", unix.Major(stat.Rdev), unix.Minor(stat.Rdev), bytesPerSecond)
	for _, file := range throttles() {
		if err := os.WriteFile(file, []byte(line), 0); err != nil {
			return fmt.Errorf("volume.Throttle: %w", err)
		}
	}
	v.throttled = bytesPerSecond > 0
	return nil
}

// Break makes the device below fail with EIO whatever is read or written of it, as a
// disk does that died, until Repair. What the filesystem has in memory it still
// serves. The loop device is told that it ends after its first sector.
func (v *Volume) Break() error {
	if err := v.limit(512); err != nil {
		return fmt.Errorf("volume.Break: %w", err)
	}
	return nil
}

// Repair ends Break. The filesystem has noticed, and needs Mend.
func (v *Volume) Repair() error {
	if err := v.limit(0); err != nil {
		return fmt.Errorf("volume.Repair: %w", err)
	}
	return nil
}

// limit makes the loop device end after so many bytes; 0: with its file.
func (v *Volume) limit(bytes uint64) error {
	path, err := v.device()
	if err != nil {
		return err
	}
	device, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer device.Close()
	info, err := unix.IoctlLoopGetStatus64(int(device.Fd()))
	if err != nil {
		return err
	}
	info.Sizelimit = bytes
	return unix.IoctlLoopSetStatus64(int(device.Fd()), info)
}

// Forget takes what is clean of the volume's files out of the page cache, so that
// whoever reads them reads the disk.
func (v *Volume) Forget() error {
	err := filepath.WalkDir(v.Path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return gone(err)
		}
		file, err := os.Open(path)
		if err != nil {
			return gone(err)
		}
		defer file.Close()
		return unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
	if err != nil {
		return fmt.Errorf("volume.Forget: %w", err)
	}
	return nil
}

// gone makes no error of a file that somebody removed meanwhile.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
