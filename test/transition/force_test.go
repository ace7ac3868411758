package transition

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// fillSome puts objects of both kinds and returns their names.
func (h *house) fillSome(count int) (names []string) {
	h.Helper()
	for i := range count {
		names = append(names, fmt.Sprintf("o%03d", i))
		body := []byte{byte(i)}
		if i%3 == 0 {
			body = large(i)
		}
		if answer, err := h.s3.Put(context.Background(), bucket, names[i], body); err != nil || !answer.OK() {
			h.Fatalf("PUT %s: %v, %v", names[i], answer, err)
		}
	}
	return names
}

// heldElsewhere returns the names that the mountpaths other than one have.
func (h *house) heldElsewhere(but int) map[string]bool {
	h.Helper()
	names := make(map[string]bool)
	for _, v := range h.node.Roster().Mountpaths {
		if v.Path == h.path(but) || v.Offline != "" {
			continue
		}
		for _, name := range h.held(v.Path, h.bucket(v.Path)) {
			names[name] = true
		}
	}
	return names
}

// kept checks that at least those names are found, and that all of them can be written.
func (h *house) kept(all []string, want map[string]bool) {
	h.Helper()
	for _, name := range all {
		status := h.status(name)
		if status != http.StatusOK && (want[name] || status != http.StatusNotFound) {
			h.Errorf("%s is answered %d, is kept: %v", name, status, want[name])
		}
	}
	h.fillSome(len(all))
	h.shares(all)
}

// stopJob stops a job and waits for its end.
func (h *house) stopJob(job string) {
	h.Helper()
	if err := h.control.Post(context.Background(), api.JobsPath+"/"+job, nil, api.JobAction{Action: api.JobStop}, nil); err != nil {
		h.Fatal(err)
	}
	if state := h.job(job).State; state != "stopped" {
		h.Fatalf("job %s is %s", job, state)
	}
}

func (h *house) must(action storage.Action) storage.Mountpath {
	h.Helper()
	m, err := h.try(action)
	if err != nil {
		h.Fatalf("%s %s: %v", action.Action, action.Path, err)
	}
	return m
}

// A mountpath that cannot be read is removed by force only, and costs what only it
// had; what is on it stays for who wants it, also over a restart, and it is not taken
// for a new one before that is gone.
func TestRemoveByForce(t *testing.T) {
	h := newHouse(t, 3)
	names := h.fillSome(90)
	kept := h.heldElsewhere(1)
	h.must(storage.Action{Action: storage.Disable, Path: h.path(1)})
	if _, err := h.try(storage.Action{Action: storage.Remove, Path: h.path(1)}); statusOf(err) != http.StatusServiceUnavailable {
		t.Errorf("without force: %v", err)
	}
	m := h.must(storage.Action{Action: storage.Remove, Path: h.path(1), Force: true})
	t.Log(m.Reason)
	if len(kept) == 0 || len(kept) == len(names) {
		t.Fatalf("%d of %d objects were elsewhere: nothing is proved", len(kept), len(names))
	}
	h.kept(names, kept)
	before := files(t, h.path(1))
	h.stop()
	h.start() // it still is among the directories given
	h.shares(names)
	if _, err := h.try(storage.Action{Action: storage.Add, Path: h.path(1)}); statusOf(err) != http.StatusBadRequest {
		t.Errorf("it was added with what is on it: %v", err)
	}
	if after := files(t, h.path(1)); !slices.Equal(before, after) {
		t.Errorf("what was on it was\n%v, and is\n%v", before, after)
	}
	for _, e := range []string{".troupe", bucket} {
		if err := os.RemoveAll(filepath.Join(h.path(1), e)); err != nil {
			t.Fatal(err)
		}
	}
	h.finished(h.change(storage.Add, 1))
	h.shares(names)
}

// files are the names of the files below a directory.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A mountpath dies while the set changes: the one that joins, the one that leaves, or
// a third one. Without it the job waits; removed by force, it no longer holds up the
// change, which goes on among the others or has ended, also after a restart.
func TestForceWhileTheSetChanges(t *testing.T) {
	for _, c := range []struct {
		name   string
		action string
		moves  int // the mountpath that joins or leaves
		dies   int
		left   int // mountpaths in the end
		// restarts says whether the node is started anew before it is removed.
		restarts []bool
	}{
		{"what joins", storage.Add, 3, 3, 3, []bool{false, true}},
		{"what leaves", storage.Remove, 0, 0, 2, []bool{true}},
		{"a source", storage.Add, 3, 1, 3, []bool{false}},
		{"a destination", storage.Remove, 0, 1, 1, []bool{true}},
	} {
		for _, restart := range c.restarts {
			t.Run(fmt.Sprint(c.name, ", restart ", restart), func(t *testing.T) {
				h := newHouse(t, 3)
				names := h.fillSome(90)
				moving := faults.Fault{Messages: &faults.Messages{Actor: "node/mountpaths/*", Message: "messages.ImportObject", Do: faults.Refuse}}
				half := moving
				half.When.After = 10
				held := h.inject(half)
				job := h.change(c.action, c.moves)
				h.reached(held)
				h.stopJob(job) // what was on its way has arrived
				h.must(storage.Action{Action: storage.Disable, Path: h.path(c.dies)})
				held.Clear()
				kept := h.heldElsewhere(c.dies)
				if restart {
					h.data = append(h.data[:3:3], h.path(3))
					if c.action == storage.Remove {
						h.data = h.data[:3]
					}
					h.stop()
					h.start()
				}
				h.must(storage.Action{Action: storage.Remove, Path: h.path(c.dies), Force: true})
				if list := h.awaitSteady(); len(list) != c.left {
					t.Fatalf("%d mountpaths in the end, want %d: %+v", len(list), c.left, list)
				}
				h.kept(names, kept)
			})
		}
	}
}
