package native_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A node that died while it destroyed a bucket with its objects goes on where it
// was: the bucket stays gone, and its payloads go. What it died with is a document
// that says "deleting", and here objects of which none is deleted yet.
func TestDestructionIsFinishedAfterACrash(t *testing.T) {
	n := start(t, nil)
	n.bucket("doomed")
	n.bucket("other")
	for i := range 20 {
		n.must("PUT", fmt.Sprintf("/v1/objects/doomed/file/%d", i), payload(50<<10))
		n.must("PUT", fmt.Sprintf("/v1/objects/doomed/small/%d", i), "x")
	}
	n.must("PUT", "/v1/objects/other/file/0", payload(50<<10))
	n.stop()
	changed := 0
	for _, dir := range n.config.Data {
		documents, err := filepath.Glob(filepath.Join(dir, ".troupe", "documents", "buckets", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range documents {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(text, []byte(`"doomed"`)) {
				continue
			}
			next := bytes.Replace(text, []byte(`"live"`), []byte(`"deleting"`), 1)
			if bytes.Equal(next, text) {
				t.Fatalf("%s is not live: %s", name, text)
			}
			if err := os.WriteFile(name, next, 0o644); err != nil {
				t.Fatal(err)
			}
			changed++
		}
	}
	if changed != len(n.config.Data) {
		t.Fatalf("%d documents were changed", changed)
	}
	n.start()
	if a := n.must("GET", "/v1/buckets", ""); strings.Contains(a.body, "doomed") {
		t.Errorf("it is back: %s", a.body)
	}
	// Until it is gone, its name is taken: 503, which clients try again.
	create := call{method: "POST", target: "/v1/buckets/doomed", body: action("create-bck", nil)}
	deadline := time.Now().Add(2 * time.Minute)
	again := time.NewTicker(50 * time.Millisecond) // asked without a pause, a busy node would do nothing else
	defer again.Stop()
	a := n.do(create)
	for ; a.status == 503 && time.Now().Before(deadline); a = n.do(create) {
		<-again.C
	}
	if a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if list := n.list("doomed", nil); len(list.Entries) != 0 {
		t.Errorf("the new bucket has %v", names(list))
	}
	for _, dir := range n.config.Data {
		if left, err := filepath.Glob(filepath.Join(dir, "doomed", "file", "*")); err != nil || len(left) > 0 {
			t.Errorf("payloads kept their names: %v, %v", left, err)
		}
	}
	if a := n.must("GET", "/v1/objects/other/file/0", ""); a.body != payload(50<<10) {
		t.Error("another bucket lost its object")
	}
}
