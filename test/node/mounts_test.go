package node

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// mapped waits until the node serves a mount map that says of a disk what is wanted.
func (s *shelter) mapped(d int, state string) storage.Mountpath {
	s.Helper()
	patience := time.After(markedWithin)
	for {
		roster := s.node.Roster()
		if m := s.mountpath(d); m.MountState == state {
			return m
		}
		var replaced <-chan struct{}
		if roster.Mounts != nil {
			replaced = roster.Mounts.Replaced
		}
		select {
		case <-replaced:
		case <-patience:
			s.Fatalf("disk %d: %+v, want it %q in the mount map", d, s.mountpath(d), state)
		}
	}
}

// The mount map says which disks are in use: one that is taken out of use is down in it,
// one that is back is up, over restarts; and each change is a version.
func TestMountMapFollowsTheDisks(t *testing.T) {
	s := newShelter(t, 3)
	if m := s.mapped(1, "up"); m.MountVersion != 1 {
		t.Errorf("a new node's: %+v", m)
	}
	if _, err := s.c.storage.Do(t.Context(), storage.Action{Action: storage.Disable, Path: s.path(1)}); err != nil {
		t.Fatal(err)
	}
	if m := s.mapped(1, "down"); m.MountVersion != 2 {
		t.Errorf("disabled: %+v", m)
	}
	if m := s.mountpath(0); m.MountState != "up" || m.MountVersion != 2 {
		t.Errorf("another one: %+v", m)
	}
	s.close()
	s.open()
	if m := s.mapped(1, "down"); m.MountVersion != 2 || m.State != string(messages.MountpathDisabled) {
		t.Errorf("after a restart: %+v", m)
	}
	if _, err := s.c.storage.Do(t.Context(), storage.Action{Action: storage.Enable, Path: s.path(1)}); err != nil {
		t.Fatal(err)
	}
	if m := s.mapped(1, "up"); m.MountVersion != 4 { // by way of recovering
		t.Errorf("enabled: %+v", m)
	}
	s.whole()
	s.close()
}

// A start serves the map only with more than half of the disks that it calls up, or with
// one that stayed when the other left.
func TestMountMapAtAStart(t *testing.T) {
	s := newShelter(t, 2)
	if _, err := s.c.storage.Do(t.Context(), storage.Action{Action: storage.Disable, Path: s.path(1)}); err != nil {
		t.Fatal(err)
	}
	s.mapped(1, "down")
	s.close()

	unmounted := func(d int, without func()) {
		t.Helper()
		elsewhere := s.path(d) + ".elsewhere"
		if err := os.Rename(s.path(d), elsewhere); err != nil {
			t.Fatal(err)
		}
		s.open()
		without()
		s.close()
		if err := os.Remove(s.path(d)); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(elsewhere, s.path(d)); err != nil {
			t.Fatal(err)
		}
	}
	unmounted(0, func() { // the one that left is alone
		if m := s.mountpath(1); m.State != "ok" || m.MountState != "" || m.MountVersion != 0 || s.node.Roster().Mounts != nil {
			t.Errorf("the one that left serves a map: %+v", m)
		}
	})
	unmounted(1, func() { // the one that stayed is alone
		if m := s.mountpath(0); m.MountState != "up" || m.MountVersion != 2 {
			t.Errorf("the one that stayed: %+v", m)
		}
	})
}

// A mountpath that is added is in the map, and placed.
func TestMountMapFollowsTheSet(t *testing.T) {
	s := newShelter(t, 2)
	if _, err := s.c.storage.Do(t.Context(), storage.Action{Action: storage.Add, Path: s.path(2)}); err != nil {
		t.Fatal(err)
	}
	s.mapped(2, "up")
	if placement := s.node.Roster().Mounts.Map.Placement(); len(placement) != 3 {
		t.Errorf("placed on %v", placement)
	}
	s.close()
}

// What a release before mount maps left is served as it was, gets a map placed as its
// document says, and is refused by that release from then on: its format is of the next
// version before the map is written.
func TestUpgradeMakesAMountMap(t *testing.T) {
	s := newShelter(t, 3)
	s.close()
	for d := range s.disks {
		formatFile, document := filepath.Join(s.path(d), layout.FormatFile), filepath.Join(s.path(d), layout.DocumentsDir, "node.json")
		content, err := os.ReadFile(formatFile)
		if err != nil {
			t.Fatal(err)
		}
		format, err := layout.DecodeFormat(content)
		if err != nil || format.Version != layout.FormatVersion {
			t.Fatalf("%+v, %v", format, err)
		}
		format.Version = 1
		if content, err = layout.EncodeFormat(format); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(formatFile, content, 0o644); err != nil {
			t.Fatal(err)
		}
		var node map[string]any
		if content, err = os.ReadFile(document); err == nil {
			err = json.Unmarshal(content, &node)
		}
		if err != nil || node["mounts"] == nil {
			t.Fatalf("%s: %v", content, err)
		}
		delete(node, "mounts")
		if content, err = json.Marshal(node); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(document, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.open()
	for d := range s.disks {
		if m := s.mountpath(d); m.MountState != "up" || m.MountVersion != 1 {
			t.Errorf("%+v", m)
		}
		content, err := os.ReadFile(filepath.Join(s.path(d), layout.FormatFile))
		if err != nil {
			t.Fatal(err)
		}
		if format, err := layout.DecodeFormat(content); err != nil || format.Version != 2 {
			t.Errorf("its format: %+v, %v", format, err)
		}
	}
	s.whole()
	s.close()
}

// A disk whose format cannot be raised to the next version is away, and the node starts
// with the others.
func TestUpgradeWithADiskThatFails(t *testing.T) {
	s := newShelter(t, 4)
	s.close()
	for d := range s.disks {
		name := filepath.Join(s.path(d), layout.FormatFile)
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		format, err := layout.DecodeFormat(content)
		if err != nil {
			t.Fatal(err)
		}
		format.Version = 1
		if content, err = layout.EncodeFormat(format); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	desk := faults.New(faults.Options{})
	_, err := desk.Inject(faults.Fault{Disk: &faults.Disk{Mountpath: "d1", Path: layout.FormatFile + ".next", Do: faults.Fail}, Expiry: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	s.node = start(t, s.dir, s.disks, func(config *supervisors.Config) { config.Faults = desk })
	s.connect()
	for d := range s.disks {
		if m := s.mountpath(d); (m.State == "ok") != (d != 1) {
			t.Errorf("%+v", m)
		}
	}
	s.close()
}

// Most disks fail together: the others are too few to publish a map without them. The node
// starts all the same once they are well, serves a map, and has everything.
func TestStartAfterMostDisksFailed(t *testing.T) {
	s := newShelter(t, 5)
	for d := 2; d < 5; d++ {
		s.breaks(d, faults.Disk{Do: faults.Fail})
	}
	for d := 2; d < 5; d++ {
		s.becomes(d, markedWithin, string(messages.MountpathDisabled))
	}
	s.coming(0, 3)
	s.close()
	s.open()
	for d := range 5 {
		s.becomes(d, markedWithin, string(messages.MountpathOK))
		s.mapped(d, "up")
	}
	s.whole()
	s.close()
}

// coming waits until the document on a disk has a version of the mount map that is not
// published and calls so many disks down.
func (s *shelter) coming(d, down int) {
	s.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	patience := time.After(markedWithin)
	for {
		content, err := os.ReadFile(filepath.Join(s.path(d), layout.DocumentsDir, "node.json"))
		var doc embedded.Node
		if err = cmp.Or(err, json.Unmarshal(content, &doc)); err != nil {
			s.Fatal(err)
		}
		if doc.Coming != nil {
			away := 0
			for _, node := range doc.Coming.Map.Nodes() {
				if node.State.Away() {
					away++
				}
			}
			if away == down {
				return
			}
		}
		select {
		case <-look.C:
		case <-patience:
			s.Fatalf("disk %d has %s", d, content)
		}
	}
}
