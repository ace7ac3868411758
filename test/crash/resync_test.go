package crash

import (
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
)

// A sync of everything that failed is not made good by the next one, which says that it
// succeeded: what the first could not write the system calls written. A relaxed write is
// durable after a checkpoint all the same, in the process that saw the failure and in one
// that came after it.
func TestSyncThatFailedIsNotMadeGoodByTheNext(t *testing.T) {
	for name, restart := range map[string]bool{"the same process": false, "another one": true} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "plain")
			b.boot = "before"
			b.must(b.restart())
			written := newPayload(1, 5000, objects.Draft{Class: objects.Relaxed})
			b.must(b.begin(written)())
			failure, err := b.faulty.Add(disk.Rule{Match: func(o disk.Operation) bool { return o.Call == disk.CallSyncAll }, Times: 1, Err: syscall.EIO})
			b.must(err)
			// The last thing that a process does is a checkpoint, too.
			end := b.store.Checkpoint
			if restart {
				end = b.store.Close
			}
			if err := end(); err == nil || failure.Hits() != 1 {
				t.Fatalf("a checkpoint without a sync: %v", err)
			}
			if restart {
				b.must(b.open())
			}
			b.must(b.store.Checkpoint())
			left := b.mem.Crash(disk.CrashPolicy{SyncedOnly: true})
			m := &machine{fs: left, shared: b.shared, inline: b.inline, start: b.start + 1, boot: "after"}
			b.must(m.open())
			value, err := readObject(m.store, b.key)
			if err != nil || value == nil {
				t.Fatalf("after a power cut: %v, %v", value, err)
			}
			b.must(m.store.Close())
		})
	}
}

// A payload that is damaged when it is to be written again is told of, and keeps the
// others from a checkpoint no longer than one that is whole.
func TestDamagedPayloadHoldsUpNoCheckpoint(t *testing.T) {
	for name, damage := range map[string]func(disk.File) error{
		"shorter":    func(f disk.File) error { return f.Truncate(100) },
		"other byte": func(f disk.File) error { _, err := f.WriteAt([]byte("?"), 7); return err },
		"attribute":  func(f disk.File) error { return f.SetAttr(layout.AttributeName, []byte("?")) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "plain")
			var told []store.Event
			b.onEvent = func(e store.Event) { told = append(told, e) }
			b.must(b.restart())
			b.must(b.begin(newPayload(1, 5000, objects.Draft{Class: objects.Relaxed}))())
			path, _ := layout.NaturalPath(b.key.Bucket, b.key.Name)
			file, err := b.mem.OpenFile(path, os.O_RDWR, 0)
			b.must(err)
			b.must(damage(file))
			b.must(file.Close())
			_, err = b.faulty.Add(disk.Rule{Match: func(o disk.Operation) bool { return o.Call == disk.CallSyncAll }, Times: 1, Err: syscall.EIO})
			b.must(err)
			if b.store.Checkpoint() == nil {
				t.Fatal("a checkpoint without a sync")
			}
			b.must(b.store.Checkpoint())
			damaged := slices.ContainsFunc(told, func(e store.Event) bool { return e.Kind == store.Damaged && e.Key == b.key })
			if damaged != (name != "attribute") { // without it the file is not known for the payload
				t.Errorf("told: %v", told)
			}
		})
	}
}
