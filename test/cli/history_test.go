package cli

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/api/history"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/process"
)

// What became of an object is shown with the request of each change, the newest first,
// also after it was deleted, after its bucket was destroyed, and after the node was killed;
// a name that never was is not found, and what is off is not recorded.
func TestHistory(t *testing.T) {
	c := start(t)
	ctx := context.Background()
	c.want(0, "mb", "troupe://photos")
	const name = "2026/a cat & a dog.jpg"
	answer, err := c.client.Put(ctx, "photos", name, []byte("meow"), objects.Pair{Name: "x-amz-meta-camera", Value: "a box"})
	if err != nil || !answer.OK() {
		t.Fatal(err, answer)
	}
	put := answer.Header.Get("x-amz-request-id")
	receipt := answer.Header.Get("X-Troupe-Receipt")
	c.want(0, "cp", "troupe://photos/"+name, "troupe://photos/copy")
	c.want(0, "rm", "troupe://photos/"+name)
	if err := c.node.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}

	shown := c.want(0, "history", "photos/"+name).out
	contains(t, shown, "GENERATION", put, "put", "deleted", "request", "troupe", c.node.Mountpaths[0][:len(filepath.Dir(c.node.Mountpaths[0]))])
	if strings.Index(shown, "deleted") > strings.Index(shown, "put") {
		t.Errorf("the newest is not first:\n%s", shown)
	}
	if strings.Contains(shown, "BUCKET") {
		t.Errorf("there is one bucket:\n%s", shown)
	}
	all := document[history.Answer](t, c.want(0, "history", "--json", "troupe://photos/"+name).out)
	if len(all.Entries) != 2 || all.Key != name || all.More {
		t.Fatalf("%+v", all)
	}
	deleted, first := all.Entries[0], all.Entries[1]
	if first.What != "put" || first.Cause != "request" || first.Request != put || first.Size != 4 || first.Principal == "" || first.Node == "" || first.Mountpath == "" {
		t.Errorf("the first: %+v", first)
	}
	contains(t, receipt, "generation="+first.Generation, "xxhash="+first.XXHash)
	if deleted.What != "deleted" || deleted.Request == put || deleted.Request == "" || deleted.Path != first.Path {
		t.Errorf("the delete: %+v", deleted)
	}
	one := document[history.Answer](t, c.want(0, "history", "--json", "--limit", "1", "photos/"+name).out)
	if len(one.Entries) != 1 || one.Entries[0] != deleted || !one.More {
		t.Errorf("with a limit: %+v", one)
	}
	if copied := document[history.Answer](t, c.want(0, "history", "--json", "photos/copy").out); len(copied.Entries) != 1 || copied.Entries[0].Cause != "copy" {
		t.Errorf("a copy: %+v", copied)
	}
	contains(t, c.want(3, "history", "photos/never").err, "nothing is recorded")
	c.want(2, "history", "photos")
	c.want(2, "history", "--limit", "0", "photos/copy")

	// A destroyed bucket, by its name and by its id.
	c.want(0, "rb", "--force", "troupe://photos")
	for _, bucket := range []string{"photos", first.BucketID} {
		gone := document[history.Answer](t, c.want(0, "history", "--json", bucket+"/copy").out)
		if len(gone.Entries) != 2 {
			t.Errorf("%s: %+v", bucket, gone)
		}
	}
	c.want(0, "mb", "troupe://photos")
	if err := os.WriteFile(filepath.Join(c.dir, "f"), []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	c.want(0, "cp", "f", "troupe://photos/copy")
	both := document[history.Answer](t, c.want(0, "history", "--json", "photos/copy").out)
	if len(both.Entries) != 3 || both.Entries[0].BucketID == both.Entries[1].BucketID {
		t.Errorf("the old and the new bucket: %+v", both)
	}
	contains(t, c.want(0, "history", "photos/copy").out, "BUCKET ID", both.Entries[0].BucketID, both.Entries[1].BucketID)
}

// A request through the native API has an id as well, which its answer names and the
// history has.
func TestHistoryOfTheNativeAPI(t *testing.T) {
	c := start(t)
	c.want(0, "mb", "troupe://photos")
	for _, of := range []struct{ method, body string }{{http.MethodPut, "meow"}, {http.MethodDelete, ""}} {
		request, err := http.NewRequestWithContext(t.Context(), of.method, "http://"+c.node.Native+"/v1/objects/photos/a", strings.NewReader(of.body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil || answer.StatusCode != http.StatusOK || answer.Body.Close() != nil {
			t.Fatal(err, answer)
		}
		id := answer.Header.Get("X-Amz-Request-Id")
		all := document[history.Answer](t, c.want(0, "history", "--json", "photos/a").out)
		if newest := all.Entries[0]; len(id) != 16 || newest.Request != id || newest.Cause != "request" || newest.Principal != "" {
			t.Errorf("%s of request %q: %+v", of.method, id, newest)
		}
	}
}

// A mountpath that cannot be asked is named, and the exit code says so; with the history
// off nothing is recorded.
func TestHistoryOfADisabledMountpathAndOff(t *testing.T) {
	c := startWith(t, process.Config{Mountpaths: 2, Args: []string{"--history", "off"}})
	c.want(0, "mb", "troupe://photos")
	if answer, err := c.client.Put(context.Background(), "photos", "a", []byte("meow")); err != nil || !answer.OK() {
		t.Fatal(err, answer)
	}
	contains(t, c.want(3, "history", "photos/a").err, "nothing is recorded")
	c.want(0, "storage", "disable", c.node.Mountpaths[1])
	said := c.want(5, "history", "--json", "photos/a")
	contains(t, said.err, c.node.Mountpaths[1], "may have more")
	if all := document[history.Answer](t, said.out); len(all.Unanswered) != 1 || all.Unanswered[0].Mountpath != c.node.Mountpaths[1] {
		t.Errorf("%+v", all)
	}
}
