package hostile_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/troupe-storage/troupe/test/s3client"
)

// vanishing is how many clients of each kind vanish: in all, far more than the
// goroutines that a node may keep.
const vanishing = 40

// Clients that vanish in the middle of a PUT, a part or a GET, by a close or by
// a reset, leave nothing half there, nothing half replaced, and nothing held.
func TestClientsThatVanish(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	old := bytes.Repeat([]byte("old"), 300<<10)
	a.ok("put", "replaced", a.put("replaced", old))
	uploadID, answer, err := a.client.CreateUpload(t.Context(), bucket, "upload")
	a.ok("creation", "upload", a.answered(answer, err))
	part := a.answered(a.client.PutPart(t.Context(), bucket, "upload", uploadID, 1, old))
	a.ok("part", "upload", part)

	large := strings.Repeat("x", 1<<20)
	put := func(key string, lines ...string) string {
		return a.head(s3client.Request{Method: "PUT", Key: key}, lines...)
	}
	partHead := a.head(s3client.Request{Method: "PUT", Key: "upload", Query: s3client.Query("partNumber", "1", "uploadId", uploadID)}, "Content-Length: 1048576")
	begun := map[string]func(w *wire, n int){
		"head only":   func(w *wire, n int) { w.send(put(fmt.Sprint("v/head", n), "Content-Length: 1048576")) },
		"half a head": func(w *wire, n int) { w.send(put(fmt.Sprint("v/half", n))[:40]) },
		"small, cut":  func(w *wire, n int) { w.send(put(fmt.Sprint("v/small", n), "Content-Length: 20000") + large[:19999]) },
		"large, cut": func(w *wire, n int) {
			w.send(put(fmt.Sprint("v/large", n), "Content-Length: 1048576") + large[:1<<20-1])
		},
		"chunked, cut": func(w *wire, n int) {
			w.send(put(fmt.Sprint("v/chunked", n), "Transfer-Encoding: chunked") + "80000\r\n" + large[:400<<10])
		},
		"no last chunk": func(w *wire, n int) {
			w.send(put(fmt.Sprint("v/last", n), "Transfer-Encoding: chunked") + "80000\r\n" + large[:512<<10] + "\r\n")
		},
		"overwrite, cut":  func(w *wire, _ int) { w.send(put("replaced", "Content-Length: 1048576") + large[:900<<10]) },
		"small overwrite": func(w *wire, _ int) { w.send(put("replaced", "Content-Length: 1000") + large[:999]) },
		"part, cut":       func(w *wire, _ int) { w.send(partHead + large[:900<<10]) },
		"get, not read":   func(w *wire, _ int) { w.send(a.head(s3client.Request{Method: "GET", Key: "replaced"})) },
		"get, half read": func(w *wire, _ int) {
			w.send(a.head(s3client.Request{Method: "GET", Key: "replaced"}))
			if _, err := w.reader.Discard(100 << 10); err != nil {
				t.Errorf("get: %v", err)
			}
		},
		"hundred gets, not read": func(w *wire, _ int) {
			w.send(strings.Repeat(a.head(s3client.Request{Method: "GET", Key: "replaced"}), 100))
		},
	}
	var group sync.WaitGroup
	for _, begin := range begun {
		for n := range vanishing {
			group.Go(func() {
				w := a.dial()
				begin(w, n)
				if n%2 == 0 {
					w.vanish()
				} else {
					w.hangUp()
				}
			})
		}
	}
	group.Wait()
	a.dismiss()
	a.settled()
	a.holds("replaced")
	if answer := a.get("replaced"); !bytes.Equal(answer.Body, old) {
		t.Errorf("what a vanished client overwrote holds %d bytes, want %d", len(answer.Body), len(old))
	}
	// The part that was there is still there: the upload completes with it.
	a.ok("completion", "upload", a.answered(a.client.Complete(t.Context(), bucket, "upload", uploadID, []s3client.Part{{Number: 1, ETag: part.ETag()}})))
	if answer := a.get("upload"); !bytes.Equal(answer.Body, old) {
		t.Errorf("the upload holds %d bytes, want %d", len(answer.Body), len(old))
	}
	a.end()
}
