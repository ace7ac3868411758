package node

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// A key on which every attempt panics to settle an interrupted write costs no other key
// anything: neither its lane, which would begin with it again and again, nor the node at
// its next start. Mended and released, it is settled: whole, before or after the write.
func TestPoisonThatCannotBeSettled(t *testing.T) {
	defer leaves(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	w := newWard(t, dir, nil)
	w.c.bucket(t, "photos")
	w.c.bucket(t, "victims")
	before, after := largeVersion(1<<61), largeVersion(1<<62)
	if err := w.c.put("victims", "bad", before); err != nil {
		t.Fatal(err)
	}
	w.load = newLoad(w.c)
	w.load.some(t, 50)
	settling := faults.Fault{Disk: &faults.Disk{Calls: []string{"getattr"}, Path: "victims/bad", Do: faults.Crash}}
	fault := inject(t, w.node, settling)
	once := inject(t, w.node, panicsOnce("syncdir", "victims"))
	if code, body := status(w.c.put("victims", "bad", after)); code != http.StatusServiceUnavailable || once.Hits() != 1 {
		t.Fatalf("%d %s, %d panics", code, body, once.Hits())
	}
	q := w.quarantined("victims/bad", "settle")
	if q.Message != "settle" || q.Panics != 3 || !strings.Contains(q.Actor, "/w") {
		t.Errorf("%+v", q)
	}
	hits := fault.Hits()
	w.load.some(t, 200)
	w.load.report(t, "other keys")
	if now := fault.Hits(); now != hits {
		t.Errorf("it was tried %d more times to settle it", now-hits)
	}
	refused := func() {
		t.Helper()
		w.await("reason", func() bool { // its lane has heard of it
			_, body := status(w.c.put("victims", "bad", after))
			return strings.Contains(body, q.ID)
		})
		_, err := w.c.get("victims", "bad")
		for access, err := range map[string]error{"write": w.c.put("victims", "bad", after), "read": err, "delete": w.c.delete("victims", "bad")} {
			if code, body := status(err); code != http.StatusServiceUnavailable || !strings.Contains(body, "key victims/bad (settle) is quarantined") || !strings.Contains(body, q.ID) {
				t.Errorf("a %s: %d %s", access, code, body)
			}
		}
		if _, err := w.c.get("victims", "another"); !errors.Is(err, errNone) {
			t.Errorf("another key: %v", err)
		}
	}
	refused()
	w.load.verify(t, w.c)
	w.close()

	w = newWard(t, dir, func(config *supervisors.Config) { config.Faults = deskWith(t, settling) })
	refused()
	if hits := w.node.Faults().List()[0].Hits; hits != 1 {
		t.Errorf("it was tried %d times to settle it, want once, when the mountpath was opened", hits)
	}
	w.node.Faults().ClearAll()
	w.release(q.ID)
	var got uint64
	w.await("settled key", func() bool {
		body, err := w.c.get("victims", "bad")
		if err == nil {
			got, err = versionOf(body)
		}
		return err == nil
	})
	if !slices.Contains([]uint64{mustVersion(t, before), mustVersion(t, after)}, got) {
		t.Errorf("it holds version %d", got)
	}
	if err := w.c.put("victims", "bad", version(7)); err != nil {
		t.Error(err)
	}
	w.close()
}

// A write that panics in the middle, again and again, is refused; what was there before
// it can be read and deleted, since settling what it left has not panicked.
func TestPoisonedWriteLeavesWhatIsThere(t *testing.T) {
	defer leaves(t, goleak.IgnoreCurrent())
	w := newWard(t, t.TempDir(), nil)
	w.c.bucket(t, "victims")
	if err := w.c.put("victims", "bad", largeVersion(1<<61)); err != nil {
		t.Fatal(err)
	}
	fault := inject(t, w.node, faults.Fault{Disk: &faults.Disk{Calls: []string{"receive"}, Path: "victims/bad", Do: faults.Crash}})
	for range 3 {
		if code, body := status(w.c.put("victims", "bad", largeVersion(1<<62))); code != http.StatusServiceUnavailable || strings.Contains(body, "quarantined") {
			t.Fatalf("%d %s", code, body)
		}
	}
	if fault.Hits() != 3 {
		t.Fatalf("%d of 3 writes panicked", fault.Hits())
	}
	q := w.quarantined("victims/bad", "write")
	var read []byte
	w.await("settled key", func() (settled bool) {
		var err error
		read, err = w.c.get("victims", "bad")
		return err == nil
	})
	if n, err := versionOf(read); err != nil || n != mustVersion(t, largeVersion(1<<61)) {
		t.Errorf("version %d, %v", n, err)
	}
	if code, body := status(w.c.put("victims", "bad", version(1))); code != http.StatusServiceUnavailable || !strings.Contains(body, q.ID) {
		t.Errorf("a write: %d %s", code, body)
	}
	if err := w.c.delete("victims", "bad"); err != nil {
		t.Errorf("deleted: %v", err)
	}
	w.close()
}

func mustVersion(t *testing.T, body []byte) uint64 {
	t.Helper()
	n, err := versionOf(body)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
