package membership

import (
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/s3client"
)

// remove destroys a bucket over S3, and returns the status and the code.
func (n *node) remove(t *testing.T, bucket string) (status int, code string) {
	t.Helper()
	answer, err := n.client().Do(t.Context(), s3client.Request{Method: http.MethodDelete, Bucket: bucket})
	if answer == nil {
		t.Fatal(err)
	}
	return answer.Status, string(answer.Body)
}

// put stores an object.
func (n *node) put(t *testing.T, bucket, key string, payload []byte) {
	t.Helper()
	answer, err := n.client().Put(t.Context(), bucket, key, payload)
	if err == nil {
		err = answer.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// files counts what lies below a bucket's name on a node's mountpaths.
func (n *node) files(t *testing.T, bucket string) (count int) {
	t.Helper()
	for _, dir := range n.config.Data {
		err := filepath.WalkDir(filepath.Join(dir, bucket), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				count++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return count
}

// A bucket is destroyed through any node if no node has an object in it, and then it is
// gone at all of them and its name is free; with what is in it, over the native API, its
// files go from every disk. A node that was away brings nothing back.
func TestBucketsAreDestroyed(t *testing.T) {
	w := three(t)
	one, two, three := w.nodes["one"], w.nodes["two"], w.nodes["three"]
	one.create(t, "photos", http.StatusOK)
	large := []byte(strings.Repeat("0123456789abcdef", 1<<16)) // a file of its own
	for i := range 12 {
		two.put(t, "photos", fmt.Sprint("k", i), large)
	}
	for name, n := range w.nodes {
		if status, body := n.remove(t, "photos"); status != http.StatusConflict || !strings.Contains(body, "BucketNotEmpty") {
			t.Errorf("%s destroys what is not empty: %d %s", name, status, body)
		}
	}
	for i := range 12 {
		if _, err := three.client().Delete(t.Context(), "photos", fmt.Sprint("k", i)); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 2 { // and again, with another bucket of the name
		if status, body := two.remove(t, "photos"); status != http.StatusNoContent {
			t.Fatalf("round %d: %d %s", round, status, body)
		}
		for _, n := range w.nodes {
			n.has(t, "photos", false)
		}
		three.create(t, "photos", http.StatusOK)
		for _, n := range w.nodes {
			n.has(t, "photos", true)
		}
	}

	for i := range 12 {
		one.put(t, "photos", fmt.Sprint("k", i), large)
	}
	if one.files(t, "photos")+two.files(t, "photos")+three.files(t, "photos") != 12 {
		t.Fatal("control: there are no files to remove")
	}
	id := three.Cluster().Self
	w.stop("three")
	w.wait("three is down", func(v *messages.ClusterView) bool { n, _ := v.Map.Node(id); return n.State == smap.Down })
	if status, body := one.remove(t, "photos"); status != http.StatusServiceUnavailable {
		t.Errorf("whether it is empty cannot be told: %d %s", status, body)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+one.Native()+"/v1/buckets/photos", strings.NewReader(`{"action":"destroy-bck"}`))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("destroying with all that is in it: %s", answer.Status)
	}
	one.has(t, "photos", false)
	two.has(t, "photos", false)
	one.create(t, "photos", http.StatusServiceUnavailable) // three still has data of that name
	w.start("three")
	w.until("nothing is left of it", func() bool {
		return one.files(t, "photos")+two.files(t, "photos")+three.files(t, "photos") == 0
	})
	w.wait("three is back", func(v *messages.ClusterView) bool { return states(v) == "up up up, 3 own keys" })
	w.until("the name is free", func() bool { return one.client().CreateBucket(t.Context(), "photos") == nil })
	for name, n := range w.nodes {
		if list, err := n.client().List(t.Context(), "photos", "", 100); err != nil || len(list) != 0 {
			t.Errorf("%s lists %v, %v", name, list, err)
		}
	}

	// Without Consul nobody can tell whether a bucket that this node does not know exists.
	if err := w.server.Kill(); err != nil {
		t.Fatal(err)
	}
	w.wait("all know that Consul is away", func(v *messages.ClusterView) bool { return v.Unconfirmed != "" })
	for name, want := range map[string]int{"photos": http.StatusNotFound, "nobody": http.StatusServiceUnavailable} {
		answer, err := two.client().Get(t.Context(), name, "absent")
		if err != nil {
			t.Fatal(err)
		}
		if answer.Status != want || want == http.StatusServiceUnavailable && !strings.Contains(string(answer.Body), "cannot tell whether it exists") {
			t.Errorf("an object of the bucket %s: %d %s", name, answer.Status, answer.Body)
		}
	}
}
