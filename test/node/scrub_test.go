package node

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/scrub"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// scrubbed returns what the node says of its scrubbers, added up, once that holds.
func (w *ward) scrubbed(what string, holds func(*scrub.Mountpath) bool) scrub.Mountpath {
	w.Helper()
	var sum scrub.Mountpath
	w.await(what, func() bool {
		status, err := scrub.Client{Control: w.control}.Status(w.Context())
		if err != nil {
			w.Fatal(err)
		}
		sum = scrub.Mountpath{Phase: "resting"}
		for _, m := range status.Mountpaths {
			if sum.Payloads, sum.Bytes, sum.Skipped = sum.Payloads+m.Payloads, sum.Bytes+m.Bytes, sum.Skipped+m.Skipped; m.Phase != "resting" {
				sum.Phase = m.Phase
			}
			sum.Unrepairable, sum.Found = sum.Unrepairable+m.Unrepairable, sum.Found+m.Found
			sum.Findings, sum.Skips = append(sum.Findings, m.Findings...), append(sum.Skips, m.Skips...)
		}
		return holds(&sum)
	})
	return sum
}

func rests(m *scrub.Mountpath) bool { return m.Phase == "resting" && m.Payloads > 0 }

// flipping flips a bit of each read of an object's file.
func flipping(key string) faults.Fault {
	return faults.Fault{Disk: &faults.Disk{Path: "victims/" + key, Do: faults.FlipBits}}
}

// What a disk gives back with a flipped bit is found without anybody's reading it, is never given out from
// then on, over a restart, and is put aside; everything else is verified. With scrubbing off
// nobody hears of it.
func TestScrubberFindsFlippedBits(t *testing.T) {
	dir := t.TempDir()
	w := newWard(t, dir, func(c *supervisors.Config) { c.Faults = deskWith(t, flipping("bad")) })
	w.c.bucket(t, "victims")
	body := bytes.Repeat([]byte("scrub"), 20_000)
	for _, key := range []string{"a", "bad", "c"} {
		if err := w.c.put("victims", key, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.c.put("victims", "small", []byte("small")); err != nil {
		t.Fatal(err)
	}
	found := w.scrubbed("finding that is put aside", func(m *scrub.Mountpath) bool {
		return rests(m) && m.Unrepairable == 1 && m.Findings[0].Path != ""
	})
	if f := found.Findings[0]; f.Bucket != "victims" || f.Key != "bad" || found.Payloads != 3 || found.Skipped != 0 || found.Found != 1 {
		t.Errorf("%+v", found)
	}
	refused := func() {
		t.Helper()
		if code, text := status(func() error { _, err := w.c.get("victims", "bad"); return err }()); code != http.StatusInternalServerError {
			t.Errorf("%d %s", code, text)
		}
		for _, key := range []string{"a", "c"} {
			if got, err := w.c.get("victims", key); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%s: %v", key, err)
			}
		}
	}
	refused()
	w.close()

	w = newWard(t, dir, nil) // the disk is well again
	refused()
	if err := w.c.put("victims", "bad", body); err != nil {
		t.Fatal(err)
	}
	if got, err := w.c.get("victims", "bad"); err != nil || !bytes.Equal(got, body) {
		t.Error(err)
	}
	w.scrubbed("end of the finding", func(m *scrub.Mountpath) bool { return m.Unrepairable == 0 })
	w.close()

	w = newWard(t, t.TempDir(), func(c *supervisors.Config) {
		c.Faults, c.ScrubDays = deskWith(t, flipping("bad")), -1
	})
	defer w.close()
	w.c.bucket(t, "victims")
	if err := w.c.put("victims", "bad", body); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	w.await("time in which a scrubber would have found it", func() bool { return time.Since(began) > 7*time.Second })
	if off := w.scrubbed("status", func(*scrub.Mountpath) bool { return true }); off.Phase != "off" || off.Found != 0 || off.Payloads != 0 {
		t.Errorf("%+v", off)
	}
	w.node.Faults().ClearAll()
	if got, err := w.c.get("victims", "bad"); err != nil || !bytes.Equal(got, body) {
		t.Errorf("with scrubbing off: %v", err)
	}
}

// A payload on which the scrubber panics costs it that payload, which is named and not
// taken for verified; a scrubber that is suspended does nothing, and one that is killed goes on.
func TestScrubberIsPoisonedSuspendedAndKilled(t *testing.T) {
	w := newWard(t, t.TempDir(), func(c *supervisors.Config) {
		c.Faults = deskWith(t, faults.Fault{Messages: &faults.Messages{Actor: "node/mountpaths/*/scrubber", Message: "mountpath.scrubStep", About: "victims/bad", Do: faults.Panic}})
	})
	defer w.close()
	scrubbers := []string{"node/mountpaths/d0/scrubber", "node/mountpaths/d1/scrubber"}
	for _, one := range scrubbers {
		if _, err := w.control.ControlActor(t.Context(), one, "suspend"); err != nil {
			t.Fatal(err)
		}
	}
	w.c.bucket(t, "victims")
	body := bytes.Repeat([]byte("scrub"), 20_000)
	for _, key := range []string{"a", "bad", "c", "d", "e"} {
		if err := w.c.put("victims", key, body); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	w.await("time in which a scrubber would have begun", func() bool { return time.Since(began) > 7*time.Second })
	if idle := w.scrubbed("status", func(*scrub.Mountpath) bool { return true }); idle.Payloads != 0 {
		t.Errorf("suspended, it verified: %+v", idle)
	}
	for _, one := range scrubbers {
		if _, err := w.control.ControlActor(t.Context(), one, "kill"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.control.ControlActor(t.Context(), one, "resume"); err != nil && !strings.Contains(err.Error(), "not suspended") {
			t.Fatal(err)
		}
	}
	all := w.scrubbed("cycle that ends", rests)
	if all.Payloads != 4 || all.Skipped != 1 || len(all.Skips) != 1 || all.Skips[0].Key != "bad" || all.Found != 0 {
		t.Errorf("%+v", all)
	}
	if q := w.quarantined("victims/bad", "scrub"); q.Panics != 3 {
		t.Errorf("%+v", q)
	}
	if got, err := w.c.get("victims", "bad"); err != nil || !bytes.Equal(got, body) {
		t.Errorf("it cannot be read: %v", err)
	}
}
