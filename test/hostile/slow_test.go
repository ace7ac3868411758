package hostile_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/s3client"
)

// Slow clients: how many of each kind, at one byte a second.
const (
	slowOfEach = 40
	pace       = time.Second
)

// dribble sends text, a byte at a time, until the node has enough of it or the
// text ends; then it says nothing more. It returns when the node answers or
// hangs up.
func (w *wire) dribble(text string) (answer *s3client.Answer, took time.Duration) {
	begin := time.Now()
	ended := make(chan struct{})
	go func() {
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for i := range len(text) {
			if _, err := io.WriteString(w.conn, text[i:i+1]); err != nil {
				return
			}
			select {
			case <-ended:
				return
			case <-tick.C:
			}
		}
	}()
	answer = w.answer("PUT")
	close(ended)
	return answer, time.Since(begin)
}

// Slow heads, slow bodies and bodies that stop hold a connection for a while and
// then are told to go; nobody else waits for them, and nothing of them stays.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	small, large := strings.Repeat("x", 1000), strings.Repeat("x", 1<<20)
	uploadID, answer, err := a.client.CreateUpload(t.Context(), bucket, "slow/part")
	a.ok("creation", "slow/part", a.answered(answer, err))
	kinds := map[string]struct{ begin, slowly string }{
		"slow head":        {"", "GET / HTTP/1.1\r\nX-Slow: " + small},
		"silent":           {"", ""},
		"slow small body":  {a.head(s3client.Request{Method: "PUT", Key: "slow/small"}, "Content-Length: 1000"), small},
		"slow large body":  {a.head(s3client.Request{Method: "PUT", Key: "slow/large"}, "Content-Length: 1048576") + large[:100<<10], large[100<<10:]},
		"slow chunked":     {a.head(s3client.Request{Method: "PUT", Key: "slow/chunked"}, "Transfer-Encoding: chunked") + "400\r\n", small},
		"body that stops":  {a.head(s3client.Request{Method: "PUT", Key: "slow/stops"}, "Content-Length: 1048576") + large[:500<<10], ""},
		"body that is not": {a.head(s3client.Request{Method: "PUT", Key: "slow/none"}, "Content-Length: 100"), ""},
		"slow part": {a.head(s3client.Request{Method: "PUT", Key: "slow/part", Query: s3client.Query("partNumber", "1", "uploadId", uploadID)},
			"Content-Length: 1048576") + large[:9000], large},
		"slow document": {a.head(s3client.Request{Method: "POST", Query: "delete="}, "Content-Length: 1000", "Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg=="), small},
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	slowest := map[string]time.Duration{}
	for name, kind := range kinds {
		for range slowOfEach {
			w := a.dial()
			// "silent" is bounded by the time for idle connections, the longest of all.
			if err := w.conn.SetDeadline(time.Now().Add(2 * wireTime)); err != nil {
				t.Fatal(err)
			}
			group.Go(func() {
				defer w.hangUp()
				w.send(kind.begin)
				answer, took := w.dribble(kind.slowly)
				if answer != nil && (answer.Status != 400 && answer.Status != 408 || answer.Code != "RequestTimeout") {
					t.Errorf("%s: %d %s: %.300s", name, answer.Status, answer.Code, answer.Body)
				}
				mu.Lock()
				slowest[name] = max(slowest[name], took)
				mu.Unlock()
			})
		}
	}
	group.Wait()
	a.ok("abort", "slow/part", a.answered(a.client.Abort(t.Context(), bucket, "slow/part", uploadID)))
	a.holds()
	var told []string
	for name, took := range slowest {
		told = append(told, fmt.Sprintf("%s %.1f s", name, took.Seconds()))
	}
	t.Logf("%d connections; sent away after: %s", slowOfEach*len(kinds), strings.Join(told, ", "))
	a.end()
}
