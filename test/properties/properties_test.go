// Package properties runs whole nodes in the test's own process and looks at what
// settings do that no S3 client asks for: the properties of a bucket, the native
// listener, and which directories a start accepts.
package properties

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/test/s3client"
)

// node is a node of the test with a client.
type node struct {
	t *testing.T
	*supervisors.Node
	s3 *s3client.Client
}

func start(t *testing.T, data ...string) *node {
	t.Helper()
	n, err := try(data...)
	if err != nil {
		t.Fatal(err)
	}
	x := &node{t: t, Node: n, s3: s3client.New(n.S3(), sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey})}
	t.Cleanup(x.stop)
	return x
}

func try(data ...string) (*supervisors.Node, error) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return supervisors.Start(supervisors.Config{Data: data, Native: "127.0.0.1:0", S3: "127.0.0.1:0", MemoryBytes: 128 << 20, LimitHeap: func(int64) {}, Log: log})
}

func (n *node) stop() {
	if n.Node == nil {
		return
	}
	n.s3.Close()
	if err := n.Stop(); err != nil {
		n.t.Errorf("the node did not stop cleanly: %v", err)
	}
	n.Node = nil
}

func (n *node) bucket(name string) {
	n.t.Helper()
	if err := n.s3.CreateBucket(context.Background(), name); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) put(bucket, key string, body []byte) *s3client.Answer {
	n.t.Helper()
	a, err := n.s3.Put(context.Background(), bucket, key, body)
	if err == nil {
		err = a.Err()
	}
	if err != nil {
		n.t.Fatalf("PUT %s/%s: %v", bucket, key, err)
	}
	return a
}

// get sends a GET, of a range unless it is empty. A body that is cut is an error.
func (n *node) get(bucket, key, byteRange string) (*s3client.Answer, error) {
	r := s3client.Request{Method: http.MethodGet, Bucket: bucket, Key: key}
	if byteRange != "" {
		r.Header = []objects.Pair{{Name: "Range", Value: byteRange}}
	}
	return n.s3.Do(context.Background(), r)
}

// native sends a request to the native listener.
func (n *node) native(method, path, body string) (status int, answer string) {
	n.t.Helper()
	request, err := http.NewRequest(method, "http://"+n.Native()+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

func (n *node) setProps(bucket, props string) {
	n.t.Helper()
	if status, answer := n.native(http.MethodPatch, "/v1/buckets/"+bucket, `{"action":"set-bprops","value":{"troupe":`+props+`}}`); status != 200 {
		n.t.Fatalf("set-bprops %s: %d %s", props, status, answer)
	}
}

func dirs(t *testing.T, n int) []string {
	t.Helper()
	root := t.TempDir()
	var list []string
	for i := range n {
		list = append(list, filepath.Join(root, fmt.Sprint("d", i)))
	}
	return list
}

// A bucket's properties decide the class that a receipt names and the form of
// the entity tags, and they outlive a start.
func TestPropertiesDecideClassAndETag(t *testing.T) {
	data := dirs(t, 3)
	n := start(t, data...)
	n.bucket("props")
	small, large := []byte("hello"), bytes.Repeat([]byte("x"), 300_000)
	if a := n.put("props", "a", small); !strings.Contains(a.Header.Get("X-Troupe-Receipt"), "class=synced") || a.ETag() != "5d41402abc4b2a76b9719d911017c592" {
		t.Errorf("by default: ETag %s, receipt %s", a.ETag(), a.Header.Get("X-Troupe-Receipt"))
	}
	n.setProps("props", `{"durability":"relaxed","etag":"fast"}`)
	check := func() {
		t.Helper()
		for key, body := range map[string][]byte{"small": small, "large": large} {
			a := n.put("props", key, body)
			if !strings.Contains(a.Header.Get("X-Troupe-Receipt"), "class=relaxed") || len(a.ETag()) == 32 {
				t.Errorf("%s: ETag %s, receipt %s", key, a.ETag(), a.Header.Get("X-Troupe-Receipt"))
			}
			if b, err := n.get("props", key, ""); err != nil || !bytes.Equal(b.Body, body) || b.ETag() != a.ETag() {
				t.Errorf("%s: read back %d bytes, ETag %s, %v", key, len(b.Body), b.ETag(), err)
			}
		}
	}
	check()
	n.stop()
	n = start(t, data...)
	check()
	for _, wrong := range []string{`{"durability":"eventual"}`, `{"etag":"sha1"}`, `7`} {
		if status, answer := n.native(http.MethodPatch, "/v1/buckets/props", `{"action":"set-bprops","value":{"troupe":`+wrong+`}}`); status != 400 {
			t.Errorf("%s: %d %s", wrong, status, answer)
		}
	}
	if status, answer := n.native(http.MethodPatch, "/v1/buckets/none", `{"action":"set-bprops","value":{}}`); status != 404 {
		t.Errorf("a bucket that is not there: %d %s", status, answer)
	}
}

// A flipped byte of a payload file is not served where the bucket wants reads
// verified, whole or by range; without that the kernel sends what is there, which
// shows that the check can fail.
func TestVerifiedReadsDoNotServeAFlippedByte(t *testing.T) {
	data := dirs(t, 1)
	n := start(t, data...)
	n.bucket("flip")
	body := bytes.Repeat([]byte("0123456789abcdef"), 40_000)
	n.put("flip", "k", body)
	path := filepath.Join(data[0], "flip", "k")
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatalf("a large object is not a plain file under its own name: %v", err)
	}
	if _, err := file.WriteAt([]byte{'X'}, 300_000); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if a, err := n.get("flip", "k", ""); err != nil || len(a.Body) != len(body) {
		t.Errorf("unverified: %d bytes, %v", len(a.Body), err)
	}
	n.setProps("flip", `{"validate_warm_get":true}`)
	for _, byteRange := range []string{"", "bytes=0-99", "bytes=299999-300001"} {
		if a, err := n.get("flip", "k", byteRange); err == nil && a.OK() {
			t.Errorf("verified, %q: %d bytes of a damaged payload were served", byteRange, len(a.Body))
		}
	}
	n.put("flip", "k", body)
	for _, byteRange := range []string{"", "bytes=299999-300001"} {
		if a, err := n.get("flip", "k", byteRange); err != nil || !a.OK() {
			t.Errorf("written again, %q: %v", byteRange, err)
		}
	}
}

// The native listener tells health, readiness and metrics, speaks S3 under /s3,
// and refuses the rest in AIStore's form.
func TestNativeListener(t *testing.T) {
	n := start(t, dirs(t, 2)...)
	if status, _ := n.native(http.MethodGet, "/v1/health?readiness=true", ""); status != 200 {
		t.Errorf("readiness: %d", status)
	}
	if status, text := n.native(http.MethodGet, "/metrics", ""); status != 200 || !strings.Contains(text, "troupe_slabs_in_use 0") || strings.Count(text, "troupe_mountpath_free_bytes{") != 2 {
		t.Errorf("metrics: %d %.200s", status, text)
	}
	if status, text := n.native(http.MethodGet, "/v1/nothing", ""); status != 400 || !strings.Contains(text, `"status":400`) {
		t.Errorf("an unknown path: %d %s", status, text)
	}
	if status, _ := n.native(http.MethodPost, "/v1/health", ""); status != 405 {
		t.Errorf("another method: %d", status)
	}
	if status, text := n.native(http.MethodGet, "/s3/", ""); status != 403 || !strings.Contains(text, "<Code>AccessDenied</Code>") {
		t.Errorf("unsigned S3: %d %s", status, text)
	}
}

// A directory that is not the node's is refused with the reason and left as it is.
func TestStartRefusesOthersDirectories(t *testing.T) {
	mine, other := dirs(t, 2), dirs(t, 1)
	start(t, mine...).stop()
	start(t, other...).stop()
	foreign := filepath.Join(t.TempDir(), "foreign")
	if err := os.MkdirAll(foreign, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(foreign, "letter.txt"), []byte("dear"), 0o644); err != nil {
		t.Fatal(err)
	}
	running := start(t, other...)
	for what, c := range map[string]struct {
		data []string
		want string
	}{
		"another node's":         {append([]string{mine[0]}, other...), "belongs to node"},
		"someone else's":         {[]string{foreign}, "letter.txt"},
		"given twice":            {[]string{mine[0], mine[0]}, "given twice"},
		"one in the other":       {[]string{mine[0], filepath.Join(mine[0], "below")}, "one in the other"},
		"in use by another node": {other, "in use"},
	} {
		n, err := try(c.data...)
		if err == nil {
			t.Errorf("%s: the node started", what)
			_ = n.Stop() // the test has failed already
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; does not say %q", what, err, c.want)
		}
	}
	running.stop()
	if entries, err := os.ReadDir(foreign); err != nil || len(entries) != 1 {
		t.Errorf("the foreign directory was changed: %v, %v", entries, err)
	}
	start(t, mine...).stop() // nothing of the attempts stays
}

// A mountpath whose disk is not mounted costs its own keys and nothing else, and
// comes back with its disk.
func TestAMissingMountpathCostsItsOwnKeys(t *testing.T) {
	data := dirs(t, 3)
	n := start(t, data...)
	n.bucket("part")
	body := []byte("hello")
	for i := range 60 {
		n.put("part", fmt.Sprint("k", i), body)
	}
	n.stop()
	away := data[1] + ".away"
	if err := os.Rename(data[1], away); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(data[1], 0o755); err != nil {
		t.Fatal(err)
	}
	n = start(t, data...)
	served, offline := 0, 0
	for i := range 60 {
		a, err := n.get("part", fmt.Sprint("k", i), "")
		switch {
		case err == nil && a.OK() && bytes.Equal(a.Body, body):
			served++
		case err == nil && a.Status == 503:
			offline++
		default:
			t.Errorf("k%d: %d %s, %v", i, a.Status, a.Code, err)
		}
	}
	if served == 0 || offline == 0 {
		t.Errorf("%d keys served, %d offline", served, offline)
	}
	if _, err := n.s3.List(context.Background(), "part", "", 1000); err == nil {
		t.Error("a listing left out the keys of the missing mountpath")
	}
	n.stop()
	if entries, err := os.ReadDir(data[1]); err != nil || len(entries) != 0 {
		t.Fatalf("the empty directory was written to: %v, %v", entries, err)
	}
	if err := os.Remove(data[1]); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, data[1]); err != nil {
		t.Fatal(err)
	}
	n = start(t, data...)
	if names, err := n.s3.List(context.Background(), "part", "", 1000); err != nil || len(names) != 60 {
		t.Errorf("with the disk back: %d keys, %v", len(names), err)
	}
}

// A bucket that is made anew under its old name has nothing of the old one, and
// keeps what it gets over starts: the old one's removal never touches it.
func TestABucketMadeAnewKeepsWhatItGets(t *testing.T) {
	data := dirs(t, 2)
	n := start(t, data...)
	large := bytes.Repeat([]byte("y"), 200_000)
	for round := range 3 {
		n.bucket("again")
		if a, err := n.get("again", "k", ""); err != nil || a.Status != 404 {
			t.Fatalf("round %d: a new bucket has k: %d, %v", round, a.Status, err)
		}
		n.put("again", "k", large)
		n.stop()
		n = start(t, data...)
		if a, err := n.get("again", "k", ""); err != nil || !bytes.Equal(a.Body, large) {
			t.Fatalf("round %d: after a start: %d bytes, %v", round, len(a.Body), err)
		}
		if a, err := n.s3.Do(context.Background(), s3client.Request{Method: http.MethodDelete, Bucket: "again"}); err != nil || a.Code != "BucketNotEmpty" {
			t.Fatalf("round %d: deleting a bucket with an object: %d %s, %v", round, a.Status, a.Code, err)
		}
		if a, err := n.s3.Delete(context.Background(), "again", "k"); err != nil || !a.OK() {
			t.Fatal(err, a)
		}
		if a, err := n.s3.Do(context.Background(), s3client.Request{Method: http.MethodDelete, Bucket: "again"}); err != nil || !a.OK() {
			t.Fatal(err, a)
		}
	}
}
