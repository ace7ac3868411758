package jobs

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
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

// mountpaths returns the ids of the node's mountpaths.
func (n *node) mountpaths(t *testing.T) []string {
	t.Helper()
	list, err := storage.Client{Control: n.control}.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range list {
		ids = append(ids, m.ID)
	}
	return ids
}

func move(t *testing.T, placement ...string) json.RawMessage {
	t.Helper()
	parameters, err := json.Marshal(map[string]any{"placement": placement})
	if err != nil {
		t.Fatal(err)
	}
	return parameters
}

// Every object leaves one of three mountpaths, with a stop of the node in the
// middle, and comes back when it belongs there again: with its bytes, its times and
// all that came with it; uploads under way go on. In between, what belongs to the
// empty mountpath is not found, which shows that it has left.
func TestObjectsMoveAwayAndBack(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	c := n.s3(t)
	if err := c.CreateBucket(t.Context(), "photos"); err != nil {
		t.Fatal(err)
	}
	want := make(map[string]stored)
	const objectsEach = 40
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

	ids := n.mountpaths(t)
	_, err := n.post(t, api.JobsPath, api.StartJob{Kind: "move", Parameters: move(t, ids[0], "nobody")})
	if status(err) != http.StatusBadRequest {
		t.Errorf("a move to a mountpath that is not there: %v", err)
	}
	job, err := n.post(t, api.JobsPath, api.StartJob{Kind: "move", Parameters: move(t, ids[0], ids[1]), Rate: &api.JobRate{Objects: 40}})
	if err != nil {
		t.Fatal(err)
	}
	for n.get(t, job.ID, 0).Progress.Objects < 8 { // each look is a request
		if n.get(t, job.ID, 0).State != "running" {
			t.Fatalf("the move ended before it was interrupted: %+v", n.get(t, job.ID, 0))
		}
	}
	n.stop(t)
	n = start(t, dir)
	c = n.s3(t)
	away := n.get(t, job.ID, waitTime)
	wantState(t, away, "finished")
	if away.Runs != 2 || away.Progress.Errors != 0 || away.Progress.Objects < 20 {
		t.Errorf("moved as %+v", away)
	}
	gone := 0
	for name := range want {
		answer, err := c.Get(t.Context(), "photos", name)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Status == http.StatusNotFound {
			gone++
		}
	}
	if gone < 20 {
		t.Errorf("only %d objects of %d left the mountpath", gone, len(want))
	}

	back := n.get(t, n.begin(t, "move", string(move(t, ids...))).ID, waitTime)
	wantState(t, back, "finished")
	if int(back.Progress.Objects) < gone {
		t.Errorf("%d objects left, and %d things came back", gone, back.Progress.Objects)
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
	// Nothing is left to move: the same again does nothing.
	again := n.get(t, n.begin(t, "move", string(move(t, ids...))).ID, waitTime)
	wantState(t, again, "finished")
	if again.Progress.Objects != 0 {
		t.Errorf("%d things were moved again", again.Progress.Objects)
	}
}
