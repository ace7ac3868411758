package jobs

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/test/s3client"
)

// content is the bytes of one object; no two have the same.
func content(seed uint64, size int) []byte {
	random := rand.New(rand.NewPCG(seed, 3))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// stored is what a GET must answer.
type stored struct {
	sum  [sha256.Size]byte
	etag string
	// of the headers, those that come from the record
	modified, kind, user string
}

func (n *node) s3(t *testing.T) *s3client.Client {
	c := s3client.New(n.S3(), sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey})
	t.Cleanup(c.Close)
	return c
}

func read(t *testing.T, c *s3client.Client, name string) stored {
	t.Helper()
	answer, err := c.Get(t.Context(), "photos", name)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Err(); err != nil {
		t.Fatalf("GET %s: %v", name, err)
	}
	return stored{
		sum: sha256.Sum256(answer.Body), etag: answer.ETag(),
		modified: answer.Header.Get("Last-Modified"), kind: answer.Header.Get("Content-Type"), user: answer.Header.Get("X-Amz-Meta-Seed"),
	}
}

// change adds or removes a mountpath and returns the job that moves.
func (n *node) change(t *testing.T, action, path string) string {
	t.Helper()
	m, err := storage.Client{Control: n.control}.Do(t.Context(), storage.Action{Action: action, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return m.Job
}

// Every object leaves one of three mountpaths, with a stop of the node in the
// middle, and some come back when it is added again: with their bytes, their times
// and all that came with them; uploads under way go on.
func TestObjectsMoveAwayAndBack(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	c := n.s3(t)
	if err := c.CreateBucket(t.Context(), "photos"); err != nil {
		t.Fatal(err)
	}
	want := make(map[string]stored)
	const objectsEach = 40
	const fewest = 10 // of a mountpath's third of 98, which is 33 give or take 5
	for i := range objectsEach {
		seed := uint64(i)
		for kind, size := range map[string]int{"inline": 100 + i, "file": 20_000 + i} {
			name := fmt.Sprintf("%s/%d", kind, i)
			answer, err := c.Put(t.Context(), "photos", name, content(seed, size),
				objects.Pair{Name: "Content-Type", Value: "kind/" + kind}, objects.Pair{Name: "x-amz-meta-seed", Value: fmt.Sprint(seed)})
			if err != nil || answer.Err() != nil {
				t.Fatal(err, answer.Err())
			}
			want[name] = stored{}
		}
	}
	parts := make(map[string][]s3client.Part)
	uploads := make(map[string]string)
	for i := range 12 {
		name := fmt.Sprintf("parts/%d", i)
		id, _, err := c.CreateUpload(t.Context(), "photos", name)
		if err != nil {
			t.Fatal(err)
		}
		uploads[name] = id
		for number := 1; number <= 3; number++ {
			answer, err := c.PutPart(t.Context(), "photos", name, id, number, content(uint64(1000*i+number), 9000))
			if err != nil || answer.Err() != nil {
				t.Fatal(err, answer.Err())
			}
			parts[name] = append(parts[name], s3client.Part{Number: number, ETag: answer.ETag()})
		}
		if i%2 == 0 { // the others stay under way
			answer, err := c.Complete(t.Context(), "photos", name, id, parts[name])
			if err != nil || answer.Err() != nil {
				t.Fatal(err, answer.Err())
			}
			delete(uploads, name)
			want[name] = stored{}
		}
	}
	for name := range want {
		want[name] = read(t, c, name)
	}

	_, err := n.post(t, api.JobsPath, api.StartJob{Kind: "move", Parameters: json.RawMessage(`{"placement": ["nobody"]}`)})
	if status(err) != http.StatusBadRequest {
		t.Errorf("a move that no change of the set asks for: %v", err)
	}
	last := filepath.Join(dir, "d2")
	id := n.change(t, storage.Remove, last)
	n.stop(t)
	n = start(t, dir)
	c = n.s3(t)
	away := n.get(t, id, waitTime)
	wantState(t, away, "finished")
	if away.Progress.Errors != 0 || away.Progress.Objects < fewest || away.Progress.TotalObjects == 0 {
		t.Errorf("moved as %+v", away)
	}
	for name, w := range want {
		if got := read(t, c, name); got != w {
			t.Errorf("%s moved as %+v, was %+v", name, got, w)
		}
	}
	back := n.get(t, n.change(t, storage.Add, last), waitTime)
	wantState(t, back, "finished")
	if back.Progress.Objects < fewest {
		t.Errorf("%d things went to the mountpath that was added", back.Progress.Objects)
	}
	for name, w := range want {
		if got := read(t, c, name); got != w {
			t.Errorf("%s came back as %+v, was %+v", name, got, w)
		}
	}
	if list, err := c.List(t.Context(), "photos", "", 100); err != nil || len(list) != len(want) {
		t.Errorf("the list has %d objects (%v), want %d", len(list), err, len(want))
	}
	for name, id := range uploads {
		answer, err := c.Complete(t.Context(), "photos", name, id, parts[name])
		if err != nil || answer.Err() != nil {
			t.Errorf("completing %s after its upload moved twice: %v %v", name, err, answer.Err())
			continue
		}
		var whole []byte
		var number int
		if _, err := fmt.Sscanf(name, "parts/%d", &number); err != nil {
			t.Fatal(err)
		}
		for part := 1; part <= 3; part++ {
			whole = append(whole, content(uint64(1000*number+part), 9000)...)
		}
		if got, err := c.Get(t.Context(), "photos", name); err != nil || !bytes.Equal(got.Body, whole) {
			t.Errorf("%s is not what its parts were (%v)", name, err)
		}
	}
}
