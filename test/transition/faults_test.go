package transition

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/supervisors/faults"
	"github.com/troupe-storage/troupe/test/s3client"
)

// inject breaks something for the time of a test.
func (h *house) inject(f faults.Fault) *faults.Injected {
	h.Helper()
	f.Expiry, f.Reason = waitTime, h.Name()
	injected, err := h.node.Faults().Inject(f)
	if err != nil {
		h.Fatal(err)
	}
	return injected
}

func (h *house) reached(f *faults.Injected) {
	h.Helper()
	select {
	case <-f.Reached():
	case <-time.After(waitTime):
		h.Fatal("nothing met the fault")
	}
}

// await looks until something is so; each look is an atomic read.
func (h *house) await(what string, is func() bool) {
	h.Helper()
	for began := time.Now(); !is(); runtime.Gosched() {
		if time.Since(began) > waitTime {
			h.Fatalf("it has not come to be that %s", what)
		}
	}
}

// large is a payload that is a file.
func large(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 10*inlineBytes) }

func (h *house) status(name string) int {
	h.Helper()
	answer, err := h.s3.Get(context.Background(), bucket, name)
	if err != nil {
		h.Fatal(err)
	}
	return answer.Status
}

// What is deleted while a copy of it is on its way to its owner stays deleted: the
// copy was opened before the delete, and would be committed after it.
func TestDeleteWhileCopied(t *testing.T) {
	h := newHouse(t, 1)
	var names []string
	for i := range 24 {
		names = append(names, fmt.Sprint("o", i))
		if answer, err := h.s3.Put(context.Background(), bucket, names[i], large(i)); err != nil || !answer.OK() {
			t.Fatal(err)
		}
	}
	stall := h.inject(faults.Fault{Disk: &faults.Disk{Mountpath: "d1", Path: ".troupe/work/*", Calls: []string{"write"}, Do: faults.Stall}})
	job := h.change(storage.Add, 1)
	h.reached(stall)
	for _, name := range names {
		answer, err := h.s3.Delete(context.Background(), bucket, name)
		if err != nil || !answer.OK() {
			t.Fatalf("DELETE %s: %v", name, err)
		}
	}
	stall.Clear()
	h.finished(job)
	for _, name := range names {
		if status := h.status(name); status != http.StatusNotFound {
			t.Errorf("%s was deleted, and is answered %d", name, status)
		}
	}
	h.shares(nil)
}

// A write that a former mountpath is in the middle of when the set changes comes
// before every write at the owner's, however long it hangs: what reads say once both
// are acknowledged is what they say when the key has moved. Were owners written to at
// once, the older write could take the greater generation and win by being moved.
func TestWriteUnderWayWhenTheSetChanges(t *testing.T) {
	h := newHouse(t, 1)
	b := h.bucket(h.path(0))
	stall := h.inject(faults.Fault{Disk: &faults.Disk{Mountpath: "d0", Path: ".troupe/work/*", Calls: []string{"receive"}, Do: faults.Stall}})
	name := func(i int) string { return fmt.Sprint("o", i) }
	const count = 24
	var first, second sync.WaitGroup
	var mu sync.Mutex
	acknowledged := make(map[int][]byte) // the first byte of each body
	put := func(i int, body []byte) {
		answer, err := h.s3.Put(context.Background(), bucket, name(i), body)
		if err == nil && answer.OK() {
			mu.Lock()
			acknowledged[i] = append(acknowledged[i], body[0])
			mu.Unlock()
		}
	}
	for i := range count {
		first.Go(func() { put(i, large(1)) })
	}
	h.reached(stall)
	changed := make(chan string, 1)
	go func() {
		m, err := h.try(storage.Action{Action: storage.Add, Path: h.path(1)})
		if err != nil {
			t.Error(err)
		}
		changed <- m.Job
	}()
	for h.node.Roster().Transition == nil { // each look is an atomic read
		if len(changed) > 0 {
			t.Fatal("the set changed although a write of before has not ended")
		}
	}
	moving := 0
	roster := h.node.Roster()
	for i := range count {
		if roster.Former((objects.Key{Bucket: b, Name: name(i)}).Digest()) != nil {
			moving++
			second.Go(func() { put(i, []byte{2}) })
		}
	}
	if moving < 3 {
		t.Fatalf("only %d keys move", moving)
	}
	select {
	case <-roster.Transition.Ready:
		t.Error("owners are written to although a write at a former mountpath has not ended")
	case id := <-changed:
		t.Errorf("job %s moves although a write at a former mountpath has not ended", id)
	default:
	}
	stall.Clear()
	first.Wait()
	second.Wait()
	read := func() (found []string) {
		for i := range count {
			answer, err := h.s3.Get(context.Background(), bucket, name(i))
			if err != nil {
				t.Fatal(err)
			}
			if len(acknowledged[i]) > 0 && (!answer.OK() || !bytes.Contains(acknowledged[i], answer.Body[:1])) {
				t.Errorf("%s is %d, acknowledged were %v", name(i), answer.Status, acknowledged[i])
			}
			found = append(found, fmt.Sprint(answer.Status, " ", len(answer.Body)))
		}
		return found
	}
	before := read()
	h.finished(<-changed)
	for i, after := range read() {
		if after != before[i] {
			t.Errorf("%s was %s before it moved, and is %s", name(i), before[i], after)
		}
	}
}

// Whatever step of a change fails once, the change goes on and ends right; a lane,
// an importer, a supervisor that panics costs nothing but time.
func TestFaultAtEachStep(t *testing.T) {
	lane := func(message string, do faults.MessageEffect) faults.Fault {
		return faults.Fault{Messages: &faults.Messages{Actor: "node/mountpaths/**", Message: message, Do: do}, When: faults.When{After: 2, Count: 3}}
	}
	for name, fault := range map[string]faults.Fault{
		"import refused":           lane("messages.ImportObject", faults.Refuse),
		"commit panics":            lane("mountpath.commitImport", faults.Panic),
		"removal panics":           lane("messages.RemoveMoved", faults.Panic),
		"upload's removal refused": lane("messages.RemoveMovedUpload", faults.Refuse),
		"pass refused":             lane("messages.Pass", faults.Refuse),
		"work files fail":          {Disk: &faults.Disk{Mountpath: "d2", Path: ".troupe/work/*", Calls: []string{"write"}, Do: faults.Fail}, When: faults.When{After: 3, Count: 2}},
		"finish refused": {Messages: &faults.Messages{Actor: "node/mountpaths", Message: "messages.FinishTransition", Do: faults.Refuse},
			When: faults.When{Count: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, 2)
			h.workload(seedOf(t), func(hist *history) {
				hist.faulty.Store(fault.Disk != nil)
				injected := h.inject(fault)
				defer injected.Clear()
				job := h.change(storage.Add, 2)
				for try := 0; h.job(job).State == "failed" && try < 5; try++ {
					if err := h.control.Post(context.Background(), api.JobsPath+"/"+job, nil, api.JobAction{Action: api.JobStart}, nil); err != nil {
						t.Log(err)
					}
				}
				h.finished(job)
			})
		})
	}
}

// A large upload, or a part, that ends at a former mountpath after the set has changed
// is brought to where its key belongs by then, also when where it ended has left.
// Without the seal of write lanes, it would be acknowledged and lost.
func TestUploadThatEndsAfterTheSetChanged(t *testing.T) {
	for _, action := range []string{storage.Add, storage.Remove} {
		t.Run(action, func(t *testing.T) {
			h := newHouse(t, 2)
			ctx := context.Background()
			const count = 16
			name := func(i int) string { return fmt.Sprint("o", i) }
			ids := make(map[int]string) // of multipart uploads
			for i := 0; i < count; i += 4 {
				id, answer, err := h.s3.CreateUpload(ctx, bucket, name(i))
				if err != nil || !answer.OK() {
					t.Fatal(err)
				}
				ids[i] = id
			}
			hang := h.inject(faults.Fault{Messages: &faults.Messages{Actor: "node/mountpaths/*/t*", Message: "messages.FinishUpload", Do: faults.Hang}})
			var uploads sync.WaitGroup
			for i := range count {
				uploads.Go(func() {
					if id := ids[i]; id != "" {
						answer, err := h.s3.PutPart(ctx, bucket, name(i), id, 1, large(i))
						if err != nil || !answer.OK() {
							t.Errorf("part of %s: %v, %v", name(i), answer, err)
							return
						}
						answer, err = h.s3.Complete(ctx, bucket, name(i), id, []s3client.Part{{Number: 1, ETag: answer.ETag()}})
						if err != nil || !answer.OK() {
							t.Errorf("complete %s: %v, %v", name(i), answer, err)
						}
						return
					}
					if answer, err := h.s3.Put(ctx, bucket, name(i), large(i)); err != nil || !answer.OK() {
						t.Errorf("PUT %s: %v, %v", name(i), answer, err)
					}
				})
			}
			h.await("every upload is at its end", func() bool { return hang.Hits() == count })
			changing := h.change(action, map[string]int{storage.Add: 2, storage.Remove: 0}[action])
			if action == storage.Add { // the other one waits for its uploads
				h.finished(changing)
			} else {
				h.await("the set has changed", func() bool { return h.node.Roster().Transition == nil })
			}
			hang.Clear()
			uploads.Wait()
			h.finished(changing)
			var stored []string
			for i := range count {
				answer, err := h.s3.Get(ctx, bucket, name(i))
				if err != nil || !answer.OK() || !bytes.Equal(answer.Body, large(i)) {
					t.Errorf("GET %s: %v, %v", name(i), answer, err)
				}
				stored = append(stored, name(i))
			}
			h.shares(stored)
			for i := range 3 {
				if left, err := filepath.Glob(filepath.Join(h.path(i), ".troupe/work/*")); err != nil || len(left) > 0 && action == storage.Remove && i == 0 {
					t.Errorf("left of uploads: %v, %v", left, err)
				}
			}
		})
	}
}
