package cli

import (
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process"
)

// Uploads that nobody has ended are found with what they take, and aborted: those
// of one key, or of all below one, and no others. Objects stay.
func TestUploadsThatHaveNotEnded(t *testing.T) {
	c := start(t)
	c.want(0, "mb", "bucket")
	c.put("bucket", "a/object", []byte("stays"))
	const each = 5 << 20
	begun := func(key string, parts int) (id string) {
		t.Helper()
		id, answer, err := c.client.CreateUpload(t.Context(), "bucket", key)
		for n := 0; err == nil && n < parts; n++ {
			if err = answer.Err(); err == nil {
				answer, err = c.client.PutPart(t.Context(), "bucket", key, id, n+1, noise(uint64(n), each))
			}
		}
		if err == nil {
			err = answer.Err()
		}
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first, second := begun("a/one & <1>", 2), begun("a/one & <1>", 0)
	begun("ab", 1)
	begun("z", 1)
	type upload struct {
		Bucket, Key, Upload string
		Initiated           time.Time
		Parts               int
		Bytes               int64
	}
	list := func(prefix string) []upload {
		t.Helper()
		return lines[upload](t, c.want(0, "ls", "--uploads", "--json", "troupe://bucket/"+prefix).out)
	}
	all := list("")
	if len(all) != 4 || all[0].Key != "a/one & <1>" || all[2].Key != "ab" || all[3].Key != "z" || all[0].Initiated.IsZero() || all[0].Bucket != "bucket" {
		t.Fatalf("%+v", all)
	}
	for _, u := range all[:2] {
		if u.Upload == first && (u.Parts != 2 || u.Bytes != 2*each) || u.Upload == second && u.Parts+int(u.Bytes) != 0 || u.Upload != first && u.Upload != second {
			t.Errorf("%+v", u)
		}
	}
	contains(t, c.want(0, "ls", "--uploads", "-H", "troupe://bucket/z").out, "5.00 MiB  z (1 part)")
	contains(t, c.want(0, "rm", "--uploads", "-r", "--dry-run", "troupe://bucket/a").out, "would abort the upload of troupe://bucket/a/one & <1>")
	if left := list(""); len(left) != 4 {
		t.Errorf("a dry run aborted: %+v", left)
	}
	c.want(0, "rm", "--uploads", "troupe://bucket/a") // a key's own, of which there are none
	type gone struct{ Op, Bucket, Key, Upload, Status string }
	if g := lines[gone](t, c.want(0, "rm", "--uploads", "-r", "--json", "troupe://bucket/a").out); len(g) != 2 || g[0].Op != "abort" || g[0].Status != "done" || g[0].Key != "a/one & <1>" {
		t.Errorf("%+v", g)
	}
	if left := list(""); len(left) != 2 || left[0].Key != "ab" {
		t.Errorf("left: %+v", left)
	}
	c.want(0, "rm", "--uploads", "troupe://bucket/ab")
	c.want(0, "rm", "--uploads", "-r", "troupe://bucket")
	if left := list(""); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
	if got := string(c.object("bucket", "a/object")); got != "stays" {
		t.Errorf("the object is %q", got)
	}
	c.want(2, "ls", "--uploads")
	err := c.node.Await(t.Context(), "the room of the parts", func(m process.Metrics) bool { return m.Sum("troupe_reclaimable_bytes") == 0 })
	if err != nil {
		t.Error(err)
	}
}
