// Package hostile_test is the worst clients that we could think of, against the
// real binary: slow ones, vanishing ones, ones that speak no HTTP or too clever
// HTTP, forgers, liars about their bodies, bombs of XML, and names that want to
// leave their bucket. After each of them the node must have said a clear no, hold
// what it held, have given back all that it took (slabs, descriptors, goroutines,
// work files), have touched nothing outside its directories, and have served a
// witness, who did ordinary things all along.
//
// Start with arena_test.go; wire_test.go writes bytes to a connection; the others
// are one kind of client each.
package hostile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
)

// bucket is what the hostile clients write to; witnessBucket is the witness's.
const (
	bucket        = "arena"
	witnessBucket = "witness"
)

// witnessPatience is how long an ordinary request may take beside any hostile
// one. Ordinary is milliseconds; only a hang may fail the test.
const witnessPatience = 10 * time.Second

// TestMain builds the binary once.
func TestMain(m *testing.M) { process.Main(m) }

// arena is a node, a witness beside the hostile client, and the surroundings
// that nobody may touch.
type arena struct {
	*testing.T
	node   *process.Node
	client *s3client.Client // the owner: an ordinary client
	outer  string           // around the node's directories
	calm   process.Metrics  // before the hostile client came

	stop    context.CancelFunc // nil once the witness was dismissed
	witness sync.WaitGroup
	seen    chan testimony
}

// testimony is what the witness saw.
type testimony struct {
	requests int
	slowest  time.Duration
	failures []error
}

// newArena starts a node with a small budget, a bucket, and the witness.
func newArena(t *testing.T) *arena {
	t.Helper()
	a := &arena{T: t, outer: t.TempDir(), seen: make(chan testimony, 1)}
	a.plantSentinels()
	a.node = process.ForTest(t, process.Config{
		Dir: filepath.Join(a.outer, "one", "two", "node"), Args: []string{"--memory", "256MiB", "--min-part", "1"},
	})
	a.client = process.ClientForTest(t, a.node, bucket, witnessBucket)
	a.ok("put", "before", a.put("before", []byte("before")))
	a.client.Close()
	var err error
	if a.calm, err = a.node.Metrics(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a.stop = cancel
	a.witness.Go(func() { a.seen <- a.testify(ctx) })
	return a
}

// testify does ordinary things until ctx ends: small and large, write, read,
// list and delete.
func (a *arena) testify(ctx context.Context) (told testimony) {
	client := s3client.New(a.node.S3, process.Keys())
	defer client.Close()
	large := bytes.Repeat([]byte("witness "), 16<<10)
	try := func(what string, request s3client.Request, want []byte) {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), witnessPatience)
		defer cancel()
		request.Bucket = witnessBucket
		begin := time.Now()
		answer, err := client.Do(limit, request)
		told.slowest = max(told.slowest, time.Since(begin))
		told.requests++
		switch {
		case err != nil:
		case !answer.OK():
			err = answer.Err()
		case want != nil && !bytes.Equal(answer.Body, want):
			err = fmt.Errorf("%d bytes, want %d", len(answer.Body), len(want))
		}
		if err != nil {
			told.failures = append(told.failures, fmt.Errorf("%s: %w", what, err))
		}
	}
	for round := 0; ctx.Err() == nil && len(told.failures) < 5; round++ {
		key := fmt.Sprint("w", round%10)
		body := large
		if round%2 == 0 {
			body = large[:100]
		}
		try("put", s3client.Request{Method: "PUT", Key: key, Body: body}, nil)
		try("get", s3client.Request{Method: "GET", Key: key}, body)
		try("list", s3client.Request{Method: "GET", Query: "list-type=2"}, nil)
		try("delete", s3client.Request{Method: "DELETE", Key: key}, nil)
		select { // ordinary: not as fast as it can
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	return told
}

// dismiss lets the witness tell and go, once the hostile clients have gone.
func (a *arena) dismiss() {
	a.Helper()
	if a.stop == nil {
		return
	}
	a.stop()
	a.stop = nil
	a.witness.Wait()
	told := <-a.seen
	for _, failure := range told.failures {
		a.Errorf("the witness: %v", failure)
	}
	a.Logf("the witness made %d requests, the slowest took %s", told.requests, told.slowest.Round(time.Millisecond))
}

// end ends the test's arena: the witness tells, everything that was taken has
// been given back, and nothing outside was touched.
func (a *arena) end() {
	a.Helper()
	a.dismiss()
	begin := time.Now()
	a.settled()
	settled := time.Since(begin)
	a.ok("get", "before", a.get("before"))
	a.client.Close()
	a.checkSentinels()
	if a.Failed() {
		return
	}
	begin = time.Now()
	if err := a.node.Stop(a.Context()); err != nil {
		a.Error(err)
	}
	a.Logf("everything was given back after %s; the node stopped within %s",
		settled.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
}

// How many descriptors and goroutines more than before are no leak: a listener
// that closes, a flush of the index; and the goroutines that the actors' mailboxes
// keep for their next message, at most 128.
const (
	slack          = 25
	goroutineSlack = 128 + slack
)

// settled waits until nothing is held any more; the witness is gone by then.
func (a *arena) settled() {
	a.Helper()
	a.client.Close()
	err := a.node.Await(a.Context(), "everything is given back", func(m process.Metrics) bool {
		return m["troupe_slabs_in_use"] == 0 && m.Sum("troupe_leases") == 0 && m.Sum("troupe_index_keys_in_flight") == 0 &&
			m["troupe_actors"] <= a.calm["troupe_actors"] && m["troupe_actors_restarts_total"] == a.calm["troupe_actors_restarts_total"] &&
			m.Sum("troupe_mountpath_unsettled_keys") == 0 &&
			m["go_goroutines"] <= a.calm["go_goroutines"]+goroutineSlack && m["process_open_fds"] <= a.calm["process_open_fds"]+slack
	})
	if err != nil {
		a.Errorf("%v\nbefore: %v", err, a.calm.Own())
	}
	files, err := a.node.Files(process.WorkFiles)
	if err != nil || len(files) > 0 {
		a.Errorf("work files are left: %q, %v", files, err)
	}
}

// holds fails unless the bucket holds exactly these keys beside "before".
func (a *arena) holds(want ...string) {
	a.Helper()
	listed, err := a.client.List(a.Context(), bucket, "", 1000)
	if err != nil {
		a.Fatal(err)
	}
	var got []string
	for _, o := range listed {
		got = append(got, o.Key)
	}
	want = slices.Concat(want, []string{"before"}) // a copy: the caller keeps his order
	slices.Sort(want)
	if !slices.Equal(got, want) {
		a.Errorf("the bucket holds %.300q, want %.300q", got, want)
	}
}

func (a *arena) put(key string, body []byte, header ...objects.Pair) *s3client.Answer {
	a.Helper()
	return a.answered(a.client.Put(a.Context(), bucket, key, body, header...))
}

func (a *arena) get(key string) *s3client.Answer {
	a.Helper()
	return a.answered(a.client.Get(a.Context(), bucket, key))
}

func (a *arena) delete(key string) *s3client.Answer {
	a.Helper()
	return a.answered(a.client.Delete(a.Context(), bucket, key))
}

// answered fails the test where the node does not answer an ordinary request.
func (a *arena) answered(answer *s3client.Answer, err error) *s3client.Answer {
	a.Helper()
	if err != nil {
		a.Fatalf("the node does not answer: %v\n%s", err, a.node.Log())
	}
	return answer
}

func (a *arena) ok(what, key string, answer *s3client.Answer) {
	a.Helper()
	if !answer.OK() {
		a.Errorf("%s of %q: %v", what, key, answer.Err())
	}
}

// refused fails unless an answer is a refusal of the client's request, in S3's form.
func (a *arena) refused(what string, answer *s3client.Answer) {
	a.Helper()
	if answer.Status < 400 || answer.Status >= 500 && answer.Status != 501 || answer.Code == "" {
		a.Errorf("%s: %d %q, want a refusal in S3's form: %.300s", what, answer.Status, answer.Code, answer.Body)
	}
}

// sentinel is what lies around the node's directories.
const sentinel = "nobody may touch this\n"

// sentinels are where keys of dots lead to: beside and above the mountpaths.
func (a *arena) sentinels() []string {
	return []string{
		filepath.Join(a.outer, "etc", "passwd"), filepath.Join(a.outer, "one", "etc", "passwd"),
		filepath.Join(a.outer, "one", "two", "etc", "passwd"), filepath.Join(a.outer, "one", "two", "node", "etc", "passwd"),
		filepath.Join(a.outer, "one", "sentinel"), filepath.Join(a.outer, "one", "two", "node", "sentinel"),
	}
}

func (a *arena) plantSentinels() {
	for _, path := range a.sentinels() {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			a.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(sentinel), 0o600); err != nil {
			a.Fatal(err)
		}
	}
}

// checkSentinels fails when anything around the mountpaths is not as it was.
func (a *arena) checkSentinels() {
	a.Helper()
	for _, intrusion := range a.intrusions() {
		a.Error(intrusion)
	}
}

// intrusions are what is not as it was around the mountpaths.
func (a *arena) intrusions() (found []string) {
	a.Helper()
	var files []string
	err := filepath.WalkDir(a.outer, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case slices.Contains(a.node.Mountpaths, path):
			return filepath.SkipDir
		case !entry.IsDir() && path != a.node.LogPath():
			files = append(files, path)
		}
		return nil
	})
	want := a.sentinels()
	slices.Sort(want)
	slices.Sort(files)
	if err != nil || !slices.Equal(files, want) {
		found = append(found, fmt.Sprintf("around the mountpaths there are %q, want %q; %v", files, want, err))
	}
	for _, path := range want {
		if content, err := os.ReadFile(path); err != nil || string(content) != sentinel {
			found = append(found, fmt.Sprintf("%s holds %q, %v", path, content, err))
		}
	}
	for _, mountpath := range a.node.Mountpaths {
		if _, err := os.Stat(filepath.Join(mountpath, ".troupe", "format.json")); err != nil {
			found = append(found, err.Error())
		}
	}
	return found
}

// Negative control: a file beside the mountpaths, one that was changed, and one that
// was removed are each noticed.
func TestSentinelsFindIntruders(t *testing.T) {
	a := newArena(t)
	if found := a.intrusions(); len(found) > 0 {
		t.Fatalf("before anything happened: %q", found)
	}
	beside, changed := filepath.Join(a.outer, "one", "intruder"), a.sentinels()[0]
	for name, do := range map[string]func() error{
		"a file beside": func() error { return os.WriteFile(beside, nil, 0o600) },
		"a change":      func() error { return os.WriteFile(changed, []byte("touched"), 0o600) },
		"a removal":     func() error { return os.Remove(changed) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if len(a.intrusions()) == 0 {
			t.Errorf("%s went unnoticed", name)
		}
		if err := os.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		a.plantSentinels()
	}
}
