package road

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/s3client"
)

// Clients upload in parts through all nodes while nodes are taken for dead and return:
// what is complete is what was sent, nothing that was acknowledged is gone, and in the end
// no node has a part that is not an object's.
func TestUploadsUnderAMapThatChanges(t *testing.T) {
	for copies := 2; copies <= 3; copies++ {
		t.Run(fmt.Sprint("copies=", copies), func(t *testing.T) {
			w := newWorkload(t, copies)
			stop := make(chan struct{})
			clients := make([]*uploader, 4)
			var working sync.WaitGroup
			for i := range clients {
				clients[i] = &uploader{workload: w, name: fmt.Sprint("u", i), random: rand.New(rand.NewPCG(w.seed, uint64(i)))}
				working.Go(func() { clients[i].work(stop) })
			}
			random := rand.New(rand.NewPCG(w.seed, 1<<32))
			m := w.keys0()
			pause := func() { <-time.After(time.Duration(random.IntN(60)) * time.Millisecond) } // between accidents: chance, not waiting
			for range raced(8) {
				pause()
				victim := w.members[random.IntN(len(w.members))]
				m = becomes(t, m, victim.id, smap.Down)
				for _, i := range random.Perm(len(w.members)) {
					if x := w.members[i]; x != victim || random.IntN(2) == 0 {
						w.adoptAt(x, m)
					}
				}
				pause()
				m = becomes(t, m, victim.id, smap.Recovering)
				w.adopt(m)
				w.awaitMap(m)
				w.caughtUp(victim, m)
				m = becomes(t, m, victim.id, smap.Up)
				w.adopt(m)
				w.awaitMap(m)
			}
			close(stop)
			working.Wait()
			done, aborted := 0, 0
			for _, c := range clients {
				if c.failure != nil {
					t.Fatalf("seed %d: %s: %v", w.seed, c.name, c.failure)
				}
				done, aborted = done+c.done, aborted+c.aborted
			}
			t.Logf("seed %d: %d completed, %d aborted", w.seed, done, aborted)
			if done == 0 {
				t.Fatalf("seed %d: the test says nothing", w.seed)
			}
			w.abortAll()
			w.agrees(w.doc)
			for _, x := range w.members {
				count := 0
				for _, c := range clients {
					charge := chargeOf(t, x, w.doc, c.name)
					if !acks(charge.AckSet, x.id) {
						continue
					}
					if record, _ := shows(t, x, w.doc, c.name); record != nil && !record.Deleted {
						count += record.PartCount
					}
				}
				w.files(x, count)
			}
			w.quiet()
		})
	}
}

// abortAll aborts what is listed: uploads whose beginning had no known outcome. All nodes
// list the same.
func (w *workload) abortAll() {
	w.t.Helper()
	var first []s3client.Upload
	for i, x := range w.members {
		all, err := x.s3.Uploads(w.t.Context(), w.doc.Name)
		if err != nil || i > 0 && !slices.Equal(all, first) {
			w.t.Fatalf("seed %d: %s lists %v, %v; want %v", w.seed, x.id, all, err, first)
		}
		first = all
	}
	for _, u := range first {
		answer, err := w.members[0].s3.Abort(w.t.Context(), w.doc.Name, u.Key, u.UploadID)
		must(w.t, answer, err)
	}
	for _, x := range w.members {
		if all, err := x.s3.Uploads(w.t.Context(), w.doc.Name); err != nil || len(all) != 0 {
			w.t.Fatalf("seed %d: %s lists %v, %v", w.seed, x.id, all, err)
		}
	}
}

// caughtUp has a node catch up, again while others act on other maps.
func (w *workload) caughtUp(victim *member, m *smap.Smap) {
	w.t.Helper()
	for end := time.Now().Add(patience); ; <-time.After(20 * time.Millisecond) {
		err := victim.Gateway().CatchUp(context.Background(), m)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("seed %d: %s does not catch up: %v", w.seed, victim.id, err)
		}
	}
}

// uploader is a client that writes one key by uploads, one after the other.
type uploader struct {
	*workload
	name          string
	random        *rand.Rand
	content       string // of the object, as acknowledged last
	done, aborted int
	failure       error
}

func (c *uploader) work(stop <-chan struct{}) {
	for c.failure == nil {
		select {
		case <-stop:
			return
		default:
		}
		c.failure = c.one()
	}
}

// again repeats a request through any node until it is answered with anything but 503.
func (c *uploader) again(do func(*s3client.Client) (*s3client.Answer, error)) (answer *s3client.Answer, unknown bool, err error) {
	for end := time.Now().Add(patience); ; {
		answer, err = do(c.members[c.random.IntN(len(c.members))].s3)
		if err == nil && answer.Status != http.StatusServiceUnavailable {
			return answer, unknown, nil
		}
		unknown = true
		if time.Now().After(end) {
			return answer, unknown, fmt.Errorf("for %s: %v, %+v %s", patience, err, answer, answer.Body)
		}
	}
}

// one does an upload from its beginning to its end.
func (c *uploader) one() error {
	ctx := context.Background()
	answer, _, err := c.again(func(s *s3client.Client) (*s3client.Answer, error) {
		_, answer, err := s.CreateUpload(ctx, c.doc.Name, c.name)
		return answer, err
	})
	if err != nil || !answer.OK() {
		return fmt.Errorf("create: %v %+v", err, answer)
	}
	id, err := s3client.UploadID(answer)
	if err != nil {
		return err
	}
	var parts []s3client.Part
	var content strings.Builder
	for number := 1; number <= 1+c.random.IntN(4); number++ {
		body := payload(c.random.Uint64(), 1+c.random.IntN(100<<10))
		answer, _, err := c.again(func(s *s3client.Client) (*s3client.Answer, error) {
			return s.PutPart(ctx, c.doc.Name, c.name, id, number, body)
		})
		if err != nil || !answer.OK() {
			return fmt.Errorf("part %d of %s: %v %+v %s", number, id, err, answer, answer.Body)
		}
		parts = append(parts, s3client.Part{Number: number, ETag: answer.ETag()})
		content.Write(body)
	}
	if c.random.IntN(3) == 0 {
		answer, unknown, err := c.again(func(s *s3client.Client) (*s3client.Answer, error) { return s.Abort(ctx, c.doc.Name, c.name, id) })
		if err != nil || !answer.OK() && !(unknown && answer.Code == "NoSuchUpload") {
			return fmt.Errorf("abort of %s: %v %+v", id, err, answer)
		}
		c.aborted++
		return c.read()
	}
	answer, _, err = c.again(func(s *s3client.Client) (*s3client.Answer, error) {
		return s.Complete(ctx, c.doc.Name, c.name, id, parts)
	})
	if err != nil || !answer.OK() {
		return fmt.Errorf("complete of %s: %v %+v %s\n%s", id, err, answer, answer.Body, c.whereIs(id))
	}
	c.done++
	c.content = content.String()
	return c.read()
}

// whereIs says what each node has of the key and of one of its uploads.
func (c *uploader) whereIs(id string) string {
	var b strings.Builder
	for _, x := range c.members {
		charge, err := x.Gateway().Charge(c.doc, c.name)
		if err != nil {
			fmt.Fprintf(&b, "%s: %v\n", x.id, err)
			continue
		}
		kept, err := x.Gateway().Show(c.doc, c.name, charge.Epoch, false)
		upload, uploadErr := x.Gateway().ShowUpload(c.doc, c.name, charge.Epoch, id)
		fmt.Fprintf(&b, "%s: under %v, in charge %s, acknowledging %v: record %+v, %v; upload %v with %d parts, became %v, %v\n",
			x.id, charge.Epoch, charge.Node.ID, charge.AckSet, kept.Record, err, upload.Upload != nil, len(upload.Parts), upload.Became != nil, uploadErr)
	}
	return b.String()
}

// read fails unless the object is what was acknowledged last.
func (c *uploader) read() error {
	answer, _, err := c.again(func(s *s3client.Client) (*s3client.Answer, error) {
		return s.Get(context.Background(), c.doc.Name, c.name)
	})
	switch {
	case err != nil:
		return err
	case c.content == "" && answer.Status == http.StatusNotFound, answer.OK() && string(answer.Body) == c.content:
		return nil
	}
	return fmt.Errorf("read %d bytes with status %d, want %d bytes", len(answer.Body), answer.Status, len(c.content))
}
