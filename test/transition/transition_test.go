package transition

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/placement"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
	"github.com/troupe-storage/troupe/test/s3client"
)

// inlineBytes is the inline limit of these nodes: small, so that files are cheap.
const inlineBytes = 2 << 10

// waitTime bounds every wait of this suite.
const waitTime = 2 * time.Minute

// house is a node whose set of mountpaths changes.
type house struct {
	*testing.T
	dir     string
	data    []string // what it is started with
	node    *supervisors.Node
	control client.Control
	close   func()
	s3      *s3client.Client
	log     *logrus.Logger
}

func newHouse(t *testing.T, mountpaths int) *house {
	t.Helper()
	h := &house{T: t, dir: t.TempDir(), log: quiet()}
	for i := range mountpaths {
		h.data = append(h.data, h.path(i))
	}
	h.start()
	t.Cleanup(h.stop)
	if err := h.s3.CreateBucket(context.Background(), bucket); err != nil {
		t.Fatal(err)
	}
	return h
}

// quiet is a log that is shown when TROUPE_LOG is set.
func quiet() *logrus.Logger {
	log := logrus.New()
	if !testing.Verbose() || os.Getenv("TROUPE_LOG") == "" {
		log.SetOutput(io.Discard)
	}
	return log
}

func (h *house) path(i int) string { return filepath.Join(h.dir, "d"+strconv.Itoa(i)) }

func (h *house) start() {
	h.Helper()
	node, err := supervisors.Start(supervisors.Config{
		Native: "127.0.0.1:0", S3: "127.0.0.1:0", MemoryBytes: 256 << 20, MinPartBytes: 1, InlineBytes: inlineBytes, Log: h.log,
		Data: h.data, Faults: faults.New(faults.Options{}),
	})
	if err != nil {
		h.Fatal(err)
	}
	keys := sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey}
	connection, err := client.New(client.Config{Endpoint: "http://" + node.Native(), Patience: -1, Credentials: keys})
	if err != nil {
		h.Fatal(err)
	}
	h.node, h.control, h.close = node, client.Control{Connection: connection}, connection.Close
	h.s3 = s3client.New(node.S3(), keys)
}

func (h *house) stop() {
	h.Helper()
	if h.node == nil {
		return
	}
	h.s3.Close()
	h.close()
	if err := h.node.Stop(); err != nil {
		h.Errorf("the node did not stop cleanly: %v", err)
	}
	h.node = nil
}

// change adds or removes a mountpath and returns the job that moves.
func (h *house) change(action string, i int) string {
	h.Helper()
	m, err := h.try(storage.Action{Action: action, Path: h.path(i)})
	if err != nil {
		h.Fatalf("%s %s: %v", action, h.path(i), err)
	}
	return m.Job
}

func (h *house) try(action storage.Action) (storage.Mountpath, error) {
	return storage.Client{Control: h.control}.Do(context.Background(), action)
}

// look returns a job as it is.
func (h *house) look(id string) (job api.Job) {
	h.Helper()
	if err := h.control.Get(context.Background(), api.JobsPath+"/"+id, nil, &job); err != nil {
		h.Fatal(err)
	}
	return job
}

// job waits for the end of a job.
func (h *house) job(id string) api.Job {
	h.Helper()
	var job api.Job
	for began := time.Now(); time.Since(began) < waitTime; {
		query := url.Values{"wait": {"10s"}}
		if err := h.control.Get(context.Background(), api.JobsPath+"/"+id, query, &job); err != nil {
			h.Fatal(err)
		}
		if job.State == "finished" || job.State == "failed" || job.State == "stopped" {
			return job
		}
	}
	h.Fatalf("job %s has not ended: %+v", id, job)
	return job
}

func (h *house) finished(id string) api.Job {
	h.Helper()
	job := h.job(id)
	if job.State != "finished" {
		h.Fatalf("job %s is %s: %+v", id, job.State, job)
	}
	return job
}

// awaitSteady waits until no mountpath joins or leaves, and returns them.
func (h *house) awaitSteady() []storage.Mountpath {
	h.Helper()
	for began := time.Now(); time.Since(began) < waitTime; {
		list, err := storage.Client{Control: h.control}.List(context.Background())
		if err != nil {
			h.Fatal(err)
		}
		job := ""
		for _, m := range list {
			if m.State == "joining" || m.State == "leaving" {
				job = "unknown"
			}
			if m.Job != "" {
				job = m.Job
			}
		}
		switch job {
		case "":
			return list
		case "unknown": // each look is a request
		default: // one that was stopped is followed by another
			if ended := h.job(job); ended.State == "failed" {
				h.Fatalf("job %s has failed: %+v", job, ended)
			}
		}
	}
	h.Fatal("the set of mountpaths goes on changing")
	return nil
}

// shares checks that every mountpath has the keys that HRW gives it, and no others.
func (h *house) shares(want []string) {
	h.Helper()
	list := h.awaitSteady()
	var digests []uint64
	for _, m := range list {
		digests = append(digests, objects.DigestID(m.ID))
	}
	b := h.bucket(list[0].Path)
	total := 0
	for i, m := range list {
		for _, name := range h.held(m.Path, b) {
			total++
			key := objects.Key{Bucket: b, Name: name}
			if owner := placement.Highest(digests, key.Digest()); owner != i {
				h.Errorf("%s is on %s, and belongs to %s", name, m.Path, list[owner].Path)
			}
		}
	}
	if total != len(want) {
		h.Errorf("the mountpaths have %d objects in all, want %d", total, len(want))
	}
}

// bucket reads the bucket's id from its document.
func (h *house) bucket(path string) objects.Bucket {
	h.Helper()
	names, err := filepath.Glob(filepath.Join(path, ".troupe/documents/buckets/*.json"))
	if err != nil || len(names) != 1 {
		h.Fatalf("documents of buckets on %s: %v, %v", path, names, err)
	}
	content, err := os.ReadFile(names[0])
	if err != nil {
		h.Fatal(err)
	}
	var doc objects.BucketDoc
	if err := json.Unmarshal(content, &doc); err != nil {
		h.Fatal(err)
	}
	return doc.Bucket
}

// held returns the names that one mountpath has, asked by itself.
func (h *house) held(path string, b objects.Bucket) []string {
	h.Helper()
	view := h.node.Roster().Mountpaths
	for _, v := range view {
		if v.Path != path {
			continue
		}
		m := &messages.ListObjects{Bucket: b, Limit: 10_000, Reply: messages.NewReply[*messages.ObjectPage]()}
		h.node.System().Root().Send(v.Readers[0], m)
		page, err := m.Reply.Wait("test.held", waitTime)
		if err != nil {
			h.Fatal(err)
		}
		var names []string
		for _, e := range page.Entries {
			names = append(names, e.Name)
		}
		return names
	}
	h.Fatalf("the roster has no %s", path)
	return nil
}

// isLeft checks that a directory holds nothing of the node's but its format.
func (h *house) isLeft(i int) {
	h.Helper()
	err := filepath.WalkDir(h.path(i), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch rest, _ := filepath.Rel(h.path(i), path); rest {
		case ".", ".troupe", ".troupe/format.json":
		default:
			h.Errorf("%s is left of a mountpath that was removed", rest)
		}
		return nil
	})
	if err != nil {
		h.Error(err)
	}
}

// workload runs a history while the set changes, and judges it afterwards.
func (h *house) workload(seed uint64, during func(hist *history)) {
	h.Helper()
	hist := newHistory(seed)
	hist.client.Store(h.s3)
	if err := fill(hist); err != nil {
		h.Fatal(err)
	}
	stop := make(chan struct{})
	var working sync.WaitGroup
	for worker := range 8 {
		working.Go(func() { hist.run(worker, stop) })
	}
	func() {
		defer working.Wait()
		defer close(stop)
		during(hist)
		select {
		case <-hist.enough:
		case <-time.After(waitTime):
			h.Errorf("seed %d: the history does too little to prove anything", seed)
		}
	}()
	h.awaitSteady()
	found := hist.check()
	for _, v := range hist.model.Freeze(func() {}).Check(found) {
		h.Errorf("seed %d: %v", seed, v)
	}
	for _, err := range hist.failures {
		h.Error(err)
	}
	var names []string
	for c := range found {
		names = append(names, c.Name)
	}
	h.shares(names)
	h.Logf("seed %d: %d writes, %d reads, %d lists, %d answers of 503 or none", seed, hist.writes.Load(), hist.reads.Load(), hist.lists.Load(), hist.busy.Load())
}

func seedOf(t *testing.T) uint64 {
	if text := os.Getenv("TROUPE_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return seed
	}
	return rand.Uint64() % 1e6
}

// Mountpaths come and go one after the other while eight clients write, read and
// list: nothing is lost, stale or missing at any time, and at the end everything is
// where it belongs. TROUPE_SEED replays.
func TestSetChangesUnderLoad(t *testing.T) {
	h := newHouse(t, 2)
	h.workload(seedOf(t), func(*history) {
		h.finished(h.change(storage.Add, 2))
		h.finished(h.change(storage.Remove, 0))
		h.isLeft(0)
		h.finished(h.change(storage.Add, 3))
		h.finished(h.change(storage.Remove, 2))
		h.isLeft(2)
	})
}

// A change is turned round in the middle: what joined leaves, with what was written
// to it meanwhile; and the other way round.
func TestSetTurnsRound(t *testing.T) {
	h := newHouse(t, 2)
	h.workload(seedOf(t), func(*history) {
		h.change(storage.Add, 2)
		h.finished(h.change(storage.Remove, 2))
		h.isLeft(2)
		h.change(storage.Remove, 0)
		h.finished(h.change(storage.Add, 0))
	})
}

// A stop and start of the node in the middle of a change costs nothing: the change
// goes on from the documents.
func TestRestartInTheMiddle(t *testing.T) {
	h := newHouse(t, 2)
	h.data = append(h.data, h.path(2))
	h.workload(seedOf(t), func(hist *history) {
		for _, action := range []string{storage.Add, storage.Remove} {
			h.change(action, 2)
			h.stop()
			h.start()
			hist.client.Store(h.s3)
			h.awaitSteady()
		}
		h.isLeft(2)
	})
}

// A directory that is new to a node with buckets joins it at its start; one that has
// left is not used again by itself.
func TestDirectoryAtStart(t *testing.T) {
	h := newHouse(t, 1)
	h.workload(1, func(hist *history) {
		h.stop()
		h.data = append(h.data, h.path(1))
		h.start()
		hist.client.Store(h.s3)
		if list := h.awaitSteady(); len(list) != 2 {
			h.Errorf("%d mountpaths after a start with a new directory", len(list))
		}
		h.finished(h.change(storage.Remove, 1))
		h.stop()
		h.start() // it still is among the directories given
		hist.client.Store(h.s3)
		if list := h.awaitSteady(); len(list) != 1 {
			h.Errorf("%d mountpaths after a start with one that had left", len(list))
		}
		h.isLeft(1)
		h.finished(h.change(storage.Add, 1))
	})
}

// statusOf is the status of the answer that an error comes from; 0: of none.
func statusOf(err error) int {
	var f *client.Failure
	if errors.As(err, &f) {
		return f.Status
	}
	return 0
}

// One change at a time; the last mountpath stays; a directory that cannot be one is
// refused and nothing has changed.
func TestRefusals(t *testing.T) {
	h := newHouse(t, 1)
	foreign := filepath.Join(h.dir, "foreign")
	if err := os.MkdirAll(filepath.Join(foreign, "somebody"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		action storage.Action
		want   int
	}{
		{storage.Action{Action: storage.Remove, Path: h.path(0)}, http.StatusConflict},
		{storage.Action{Action: storage.Remove, Path: h.path(7)}, http.StatusNotFound},
		{storage.Action{Action: storage.Add, Path: h.path(0)}, http.StatusConflict},
		{storage.Action{Action: storage.Add, Path: filepath.Join(h.path(0), "below")}, http.StatusBadRequest},
		{storage.Action{Action: storage.Add, Path: foreign}, http.StatusBadRequest},
	} {
		if _, err := h.try(c.action); statusOf(err) != c.want {
			t.Errorf("%s %s: %v, want status %d", c.action.Action, c.action.Path, err, c.want)
		}
	}
	if list := h.awaitSteady(); len(list) != 1 {
		t.Errorf("%d mountpaths afterwards", len(list))
	}
}
