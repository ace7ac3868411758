package transition

import (
	"context"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// A key that is quarantined stays where it is and keeps no other from being moved: the job
// moves them all, and fails with its name. Released, it goes with the next one.
func TestPoisonedKeyStays(t *testing.T) {
	h := newHouse(t, 2)
	names := h.fillSome(60)
	b := h.bucket(h.path(0))
	bad := h.held(h.path(0), b)[0] // the first in the job's order
	fault := h.inject(faults.Fault{Messages: &faults.Messages{Actor: "node/mountpaths/*", Message: "messages.ImportObject", About: b.Name + "/" + bad, Do: faults.Panic}})
	job := h.job(h.change(storage.Remove, 0))
	if job.State != "failed" || !strings.Contains(job.Error, "1 objects or uploads could not be moved") {
		t.Errorf("%s: %s", job.State, job.Error)
	}
	if left := h.held(h.path(0), b); len(left) != 1 || left[0] != bad {
		t.Errorf("%d objects are left: %v", len(left), left)
	}
	list, err := h.control.Quarantines(context.Background())
	if err != nil || len(list) != 1 || list[0].Subject != b.Name+"/"+bad || list[0].Access != "write" || fault.Hits() != 3 {
		t.Fatalf("%d panics: %+v, %v", fault.Hits(), list, err)
	}
	fault.Clear()
	if _, err := h.control.ReleaseQuarantine(context.Background(), list[0].ID); err != nil {
		t.Fatal(err)
	}
	h.finished(h.change(storage.Remove, 0))
	h.shares(names)
	h.isLeft(0)
}
