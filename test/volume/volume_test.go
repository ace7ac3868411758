package volume_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/volume"
)

func newVolume(t *testing.T, config volume.Config) *volume.Volume {
	t.Helper()
	if err := volume.Check(config.Kind); err != nil {
		process.Missing(t, "%v", err)
	}
	config.Dir = t.TempDir()
	v, err := volume.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

// A power cut that lost nothing would prove nothing about those who survive it:
// what was synced stays, what was not goes, and meanwhile every call fails.
func TestCutLosesWhatIsNotSynced(t *testing.T) {
	for _, kind := range []volume.Kind{volume.Ext4, volume.XFS} {
		t.Run(string(kind), func(t *testing.T) {
			v := newVolume(t, volume.Config{Kind: kind, Bytes: 512 << 20})
			synced, lost := filepath.Join(v.Path, "synced"), filepath.Join(v.Path, "lost")
			must(t, writeSynced(synced))
			must(t, write(lost))
			must(t, v.Cut())
			if err := write(filepath.Join(v.Path, "late")); !errors.Is(err, syscall.EIO) {
				t.Errorf("a write without power: %v", err)
			}
			must(t, v.Mend())
			if got, err := os.ReadFile(synced); err != nil || string(got) != "content" {
				t.Errorf("what was synced: %q, %v", got, err)
			}
			if got, err := os.ReadFile(lost); err == nil && len(got) > 0 {
				t.Errorf("what was not synced is there: %q", got)
			}
		})
	}
}

// A filesystem that fails turns read-only: reads go on.
func TestFailMakesReadOnly(t *testing.T) {
	v := newVolume(t, volume.Config{Kind: volume.Ext4, Bytes: 64 << 20})
	file := filepath.Join(v.Path, "file")
	must(t, writeSynced(file))
	must(t, v.Fail())
	if err := write(filepath.Join(v.Path, "late")); !errors.Is(err, syscall.EROFS) {
		t.Errorf("a write: %v", err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "content" {
		t.Errorf("a read: %q, %v", got, err)
	}
}

// Sizes and inodes are bounded as asked.
func TestTmpfsIsBounded(t *testing.T) {
	v := newVolume(t, volume.Config{Kind: volume.Tmpfs, Bytes: 8 << 20, Files: 10})
	bytes, files, err := v.Free()
	if err != nil || bytes > 8<<20 || files > 10 {
		t.Errorf("free: %d bytes, %d files, %v", bytes, files, err)
	}
	for i := range 20 {
		err = write(filepath.Join(v.Path, string(rune('a'+i))))
		if err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("twenty files where there are ten inodes: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write writes a file and leaves it to the kernel when it reaches the disk.
func write(path string) error { return os.WriteFile(path, []byte("content"), 0o600) }

// writeSynced writes a file and syncs it and its directory.
func writeSynced(path string) error {
	if err := write(path); err != nil {
		return err
	}
	for _, name := range []string{path, filepath.Dir(path)} {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(file.Sync(), file.Close()); err != nil {
			return err
		}
	}
	return nil
}
