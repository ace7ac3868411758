package s3api

import (
	"testing"
)

// A put object comes back byte for byte, with the headers that it was put with,
// spelled as S3 spells them.
func TestPutGetHeadDelete(t *testing.T) {
	e := newEdge(t)
	r := e.put("photos/cat.jpg", "meow", "Content-Type: image/jpeg", "x-amz-meta-Owner: Ann", "Cache-Control: no-cache")
	r.wantHeader("ETag", `"4a4be40c96ac6314e91d93f38043a634"`)
	r.wantHeader("X-Troupe-Receipt", "class=synced; disks=1; nodes=1; generation=1-7-2; xxhash=4d8c9f8a5f9d2ea2")
	t.Log(r.raw)
	r = e.do(get, "/b/photos/cat.jpg", "").want(200).wantBody("meow")
	t.Log(r.raw)
	r = e.do(head, "/b/photos/cat.jpg", "").want(200).wantBody("")
	t.Log(r.raw)
	e.do(remove, "/b/photos/cat.jpg", "").want(204)
	e.do(get, "/b/photos/cat.jpg", "").wantError(404, "NoSuchKey")
	t.Log(e.do(get, "/b?list-type=2", "").want(200).body)
}
