package together

import (
	"net/http"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/test/process/nodes"
	"github.com/troupe-storage/troupe/test/s3client"
)

func request(method, bucket string) s3client.Request {
	return s3client.Request{Method: method, Bucket: bucket}
}

// A node that was killed takes the keys with it that it alone has: they are 503 through
// every other node, for reading and writing, and so is a listing that cannot be whole,
// with the node's name; never 404. All other keys are served throughout. When it is back,
// on the same data, all is there.
func TestKilledWithOneCopy(t *testing.T) {
	const each = 12
	w := newWorld(t, nodes.Config{})
	ctx := t.Context()
	names, err := w.Spread(ctx, bucket, each)
	w.must(err)
	for owner := range names {
		for n, name := range names[owner] {
			if answer, err := w.s3[n%3].Put(ctx, bucket, name, []byte(name)); err != nil || !answer.OK() {
				t.Fatalf("%s: %v %+v", name, err, answer)
			}
		}
	}
	l := w.startLoad(bucket, 4, 48)
	l.More(200)
	const dead = 1
	w.must(w.Nodes[dead].Kill())
	look := func(when string) {
		t.Helper()
		for _, at := range []int{0, 2} {
			for owner := range names {
				for _, name := range names[owner] {
					status, body := w.get(at, name)
					switch {
					case owner == dead && status != http.StatusServiceUnavailable:
						t.Errorf("%s: %s, of the node that was killed, at node %d: %d", when, name, at, status)
					case owner != dead && (status != http.StatusOK || body != name):
						t.Errorf("%s: %s, of node %d, at node %d: %d %s", when, name, owner, at, status, body)
					}
				}
			}
			for _, r := range []s3client.Request{
				{Method: "PUT", Bucket: bucket, Key: names[dead][0], Body: []byte("new")},
				{Method: "DELETE", Bucket: bucket, Key: names[dead][1]},
				{Method: "HEAD", Bucket: bucket, Key: names[dead][2]},
				{Method: "GET", Bucket: bucket, Query: "list-type=2"},
				{Method: "PUT", Bucket: bucket, Key: "copy-of-it", Header: copySource(names[dead][3])},
			} {
				answer, err := w.s3[at].Do(ctx, r)
				w.must(err)
				if answer.Status != http.StatusServiceUnavailable {
					t.Errorf("%s: %s %s at node %d: %d %s", when, r.Method, r.Key+r.Query, at, answer.Status, answer.Body)
				}
				if r.Query != "" && !strings.Contains(string(answer.Body), string(w.Nodes[dead].ID)) {
					t.Errorf("%s: the listing at node %d does not name who is missing: %s", when, at, answer.Body)
				}
			}
		}
	}
	look("just killed")
	w.must(w.AwaitStates(ctx, "up down up"))
	look("down")
	l.More(200)
	w.must(w.Nodes[dead].Restart(ctx))
	w.must(w.AwaitStates(ctx, "up up up"))
	l.More(200)
	if l.Trouble() == 0 {
		t.Error("the load met no trouble: it did not ask for keys of the node that was killed")
	}
	l.Judge()
	for at := range w.Nodes {
		for _, of := range names {
			for _, name := range of {
				if status, body := w.get(at, name); status != http.StatusOK || body != name {
					t.Errorf("back: %s at node %d: %d %s", name, at, status, body)
				}
			}
		}
		listed, err := w.s3[at].List(ctx, bucket, "spread/", 7)
		if err != nil || len(listed) != 3*each {
			t.Errorf("back: node %d lists %d of %d: %v", at, len(listed), 3*each, err)
		}
	}
}
