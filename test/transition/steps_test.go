package transition

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// The supervisor of mountpaths fails on the news of what its workers did, or misses
// it: the change goes on all the same. Without results that are told until they are
// heard, the set would stay half changed until the node is started anew.
func TestSupervisorMissesResults(t *testing.T) {
	missResults(t, map[faults.MessageEffect][]uint64{faults.Panic: {0, 3}, faults.Drop: {1}})
}

// TestSupervisorMissesResultsSoak is TestSupervisorMissesResults with every result of
// a change.
func TestSupervisorMissesResultsSoak(t *testing.T) {
	every := []uint64{0, 1, 2, 3, 4, 5, 6}
	missResults(t, map[faults.MessageEffect][]uint64{faults.Panic: every, faults.Drop: every})
}

// missResults changes the set while the supervisor misses the result after so many.
func missResults(t *testing.T, lost map[faults.MessageEffect][]uint64) {
	for do, afters := range lost {
		for _, after := range afters {
			t.Run(fmt.Sprint(do, " after ", after), func(t *testing.T) {
				h := newHouse(t, 2)
				names := h.fillSome(30)
				fault := faults.Fault{Messages: &faults.Messages{Actor: "node/mountpaths", Message: "mountpath.worked", Do: do},
					When: faults.When{After: after, Count: 1}}
				hit := 0
				for _, change := range []string{storage.Add, storage.Remove} {
					injected := h.inject(fault)
					h.change(change, 2)
					h.awaitSteady()
					select {
					case <-injected.Reached():
						hit++
					default:
					}
					injected.Clear()
					h.shares(names)
				}
				if hit == 0 {
					t.Error("nothing met the fault")
				}
				h.isLeft(2)
			})
		}
	}
}

// What the job asks for, or the answer to it, is lost: it asks again, and the change
// ends. Without that it would wait for ever, or for hours.
func TestJobMissesAnswers(t *testing.T) {
	for _, do := range []faults.MessageEffect{faults.Drop, faults.DropReply} {
		for _, message := range []string{"ImportObject", "RemoveMoved", "FinishTransition", "TallyTransition"} {
			t.Run(fmt.Sprint(do, " of ", message), func(t *testing.T) {
				h := newHouse(t, 1)
				names := h.fillSome(40)
				lost := h.inject(faults.Fault{Messages: &faults.Messages{Actor: "node/mountpaths/**", Message: "messages." + message, Do: do}, When: faults.When{Count: 1}})
				if message == "FinishTransition" || message == "TallyTransition" {
					lost.Clear()
					lost = h.inject(faults.Fault{Messages: &faults.Messages{Actor: "node/mountpaths", Message: "messages." + message, Do: do}, When: faults.When{Count: 1}})
				}
				job := h.change(storage.Add, 1)
				h.reached(lost)
				for looks := 1; ; looks++ { // each is a request
					if now := h.look(job); !now.Active() {
						break
					}
					if looks%100 == 0 { // nothing else is under way by now: the job waits
						h.inject(faults.Fault{Clock: &faults.Clock{Jump: time.Minute}}).Clear()
					}
				}
				h.finished(job)
				h.shares(names)
			})
		}
	}
}

// A job that somebody stopped, or that failed, is begun anew by asking for the same
// change once more; what turns the change round is asked for by the opposite.
func TestAskedOnceMore(t *testing.T) {
	h := newHouse(t, 2)
	names := h.fillSome(60)
	for _, action := range []string{storage.Add, storage.Remove} {
		held := h.inject(faults.Fault{Messages: &faults.Messages{Actor: "node/mountpaths/*", Message: "messages.ImportObject", Do: faults.Refuse}})
		job := h.change(action, 2)
		h.reached(held)
		h.stopJob(job)
		held.Clear()
		again := h.change(action, 2)
		if again == job || again == "" {
			t.Errorf("%s: job %q after job %s was stopped", action, again, job)
		}
		h.finished(again)
		h.shares(names)
	}
	h.isLeft(2)
}

// A mountpath that leaves is not wiped on anybody's word: as long as something is on
// it, the change does not end.
func TestNotWipedWhileItHoldsSomething(t *testing.T) {
	h := newHouse(t, 2)
	names := h.fillSome(60)
	held := h.inject(faults.Fault{Messages: &faults.Messages{Actor: "node/mountpaths/*", Message: "messages.ImportObject", Do: faults.Hang}})
	job := h.change(storage.Remove, 0)
	h.reached(held)
	finish := &messages.FinishTransition{To: h.node.Roster().Transition.To, Reply: messages.NewReply[struct{}]()}
	h.node.System().Root().Send(h.node.System().PID("node/mountpaths"), finish)
	if _, err := finish.Reply.Wait("test.finish", waitTime); !errs.Is(errs.Busy, err) {
		t.Errorf("the change ended with objects on what leaves: %v", err)
	}
	if h.node.Roster().Transition == nil {
		t.Fatal("the change has ended")
	}
	held.Clear()
	h.finished(job)
	h.shares(names)
	h.isLeft(0)
}

// A removal that was asked for before the set changed again is refused: by then what
// it would remove may be the only copy. By the roster of now, it is done.
func TestRemovalOfAnotherEpoch(t *testing.T) {
	h := newHouse(t, 1)
	names := h.fillSome(40)
	b := h.bucket(h.path(0))
	held := h.inject(faults.Fault{Messages: &faults.Messages{Actor: "node/mountpaths/*", Message: "messages.ImportObject", Do: faults.Hang}})
	job := h.change(storage.Add, 1)
	h.reached(held)
	roster := h.node.Roster()
	for _, name := range names {
		key := objects.Key{Bucket: b, Name: name}
		former := roster.Former(key.Digest())
		if former == nil {
			continue
		}
		open := &messages.OpenObject{Key: key, RecordOnly: true, Reply: messages.NewReply[*messages.ObjectOpened]()}
		h.node.System().Root().Send(former.Reader(key.Digest()), open)
		opened, err := open.Reply.Wait("test.open", waitTime)
		if err != nil {
			t.Fatal(err)
		}
		remove := func(epoch uint64) error {
			m := &messages.RemoveMoved{Key: key, Generation: opened.Meta.Generation, Epoch: epoch, Reply: messages.NewReply[struct{}]()}
			h.node.System().Root().Send(former.Writer(key.Digest()), m)
			_, err := m.Reply.Wait("test.remove", waitTime)
			return err
		}
		if err := remove(roster.Epoch - 1); !errs.Is(errs.Busy, err) || h.status(name) != http.StatusOK {
			t.Errorf("%s was removed by an earlier roster: %v", name, err)
		}
		if err := remove(roster.Epoch); err != nil || h.status(name) != http.StatusNotFound {
			t.Errorf("negative control: %s is there still: %v", name, err)
		}
		break
	}
	held.Clear()
	h.finished(job)
}

// An importer that panics at any call of its disk costs a try: the key is free for
// the next one, and nothing of the first is in its way.
func TestImporterPanics(t *testing.T) {
	for _, calls := range []string{"create", "write", "setattr", "sync", "receive"} {
		t.Run(calls, func(t *testing.T) {
			h := newHouse(t, 1)
			names := h.fillSome(30)
			id, answer, err := h.s3.CreateUpload(context.Background(), bucket, "upload")
			if err != nil || !answer.OK() {
				t.Fatal(err)
			}
			for part := range 3 {
				if answer, err := h.s3.PutPart(context.Background(), bucket, "upload", id, part+1, large(part)); err != nil || !answer.OK() {
					t.Fatal(err)
				}
			}
			panics := h.inject(faults.Fault{Disk: &faults.Disk{Mountpath: "d1", Path: ".troupe/work/*", Calls: []string{calls}, Do: faults.Crash}, When: faults.When{Count: 2}}) // a third of one key would put it in quarantine
			job := h.change(storage.Add, 1)
			h.reached(panics)
			h.finished(job)
			h.shares(names)
			if parts, ok, err := h.s3.Parts(context.Background(), bucket, "upload", id); err != nil || !ok || len(parts) != 3 {
				t.Errorf("the upload has %v, %v", parts, err)
			}
			if left, err := filepath.Glob(filepath.Join(h.path(1), ".troupe/work/*")); err != nil || len(left) > 0 {
				t.Errorf("left of imports: %v, %v", left, err)
			}
		})
	}
}

// A directory that is new at a start while the set is being changed waits for its
// turn, and the node starts: one that a kill left formatted and not named is such a one.
func TestDirectoryAtStartWhileTheSetChanges(t *testing.T) {
	h := newHouse(t, 2)
	names := h.fillSome(30)
	held := h.inject(faults.Fault{Messages: &faults.Messages{Actor: "node/mountpaths/*", Message: "messages.ImportObject", Do: faults.Refuse}})
	job := h.change(storage.Remove, 1)
	h.reached(held)
	h.stopJob(job) // so that the node stops with the change under way
	h.stop()
	h.data = append(h.data, h.path(2))
	h.start()
	if list := h.awaitSteady(); len(list) != 1 {
		t.Errorf("%d mountpaths after the change: %+v", len(list), list)
	}
	if left := files(t, h.path(2)); len(left) > 0 {
		t.Errorf("the directory was used before its turn: %q", left)
	}
	h.stop()
	h.start()
	if list := h.awaitSteady(); len(list) != 2 {
		t.Errorf("%d mountpaths in the end: %+v", len(list), list)
	}
	h.shares(names)
}

// A first start that is cut off after it has formatted its directories, before its
// documents were written to most of them, is followed by others: the node is the one
// that the formats name.
func TestFirstStartCutOff(t *testing.T) {
	for written := range 2 { // directories that have the documents
		h := &house{T: t, dir: t.TempDir(), log: quiet()}
		for i := range 3 {
			h.data = append(h.data, h.path(i))
		}
		h.start()
		h.stop()
		for i := written; i < 3; i++ {
			if err := os.RemoveAll(filepath.Join(h.path(i), ".troupe/documents")); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // the second one finds what the first one wrote
			h.start()
			h.stop()
		}
	}
}
