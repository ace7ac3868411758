package disk_test

import (
	"os"
	"testing"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

// BenchmarkIdleFaulty is what a Faulty without faults costs: a read of 4 KiB from
// the page cache, the cheapest operation that the data path makes, and a write of
// 4 KiB with its sync; bare and behind a Faulty.
func BenchmarkIdleFaulty(b *testing.B) {
	for _, wrap := range []struct {
		name string
		fs   func(disk.FS) disk.FS
	}{
		{"bare", func(fs disk.FS) disk.FS { return fs }},
		{"faulty", func(fs disk.FS) disk.FS { return disk.NewFaulty(fs) }},
	} {
		linux, err := disk.NewLinux(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		file, err := wrap.fs(linux).OpenFile("f", os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			b.Fatal(err)
		}
		p := make([]byte, 4<<10)
		if _, err := file.WriteAt(p, 0); err != nil {
			b.Fatal(err)
		}
		b.Run("read/"+wrap.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := file.ReadAt(p, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("write+sync/"+wrap.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := file.WriteAt(p, 0); err != nil {
					b.Fatal(err)
				}
				if err := file.SyncData(); err != nil {
					b.Fatal(err)
				}
			}
		})
		if err := file.Close(); err != nil {
			b.Error(err)
		}
		if err := linux.Close(); err != nil {
			b.Error(err)
		}
	}
}
