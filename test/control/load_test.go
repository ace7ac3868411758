package control_test

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // S3's ETag
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/model"
	"github.com/troupe-storage/troupe/test/s3client"
)

const (
	clients = 8
	// keysEach is how many keys a client has: few, so that they are overwritten.
	keysEach = 12
	// repeatPause is what a client waits before it goes on after a mishap.
	repeatPause = 5 * time.Millisecond
)

// load is clients that write, read, delete, list and upload, each its own keys,
// and know what every key must hold.
type load struct {
	world *world
	model *model.Model
	began time.Time
	seed  uint64

	ctx    context.Context
	cancel context.CancelFunc
	ended  sync.WaitGroup
	number atomic.Uint64 // of payloads

	mu       sync.Mutex
	done     map[operation]int // that were answered for good
	changed  chan struct{}     // closed when done changes
	mishaps  []mishap
	failures []string
}

func newLoad(w *world, seed uint64) *load {
	l := &load{world: w, model: model.New(), began: time.Now(), seed: seed, done: make(map[operation]int), changed: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	for n := range clients {
		l.ended.Go(func() { (&customer{load: l, number: n, random: rand.New(rand.NewPCG(seed, uint64(n)))}).run() })
	}
	return l
}

func (l *load) now() time.Duration { return time.Since(l.began) }

// some waits until clients have done so many more operations of every kind.
func (l *load) some(n int) {
	l.world.Helper()
	before := l.counts()
	over := time.After(patience)
	for {
		l.mu.Lock()
		changed, enough := l.changed, true
		for _, o := range []operation{write, upload, read, list} {
			enough = enough && l.done[o] >= before[o]+n
		}
		l.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-changed:
		case <-over:
			l.world.Fatalf("clients have not done %d of every operation within %s: %v, before %v", n, patience, l.counts(), before)
		}
	}
}

func (l *load) counts() map[operation]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := make(map[operation]int)
	for o, n := range l.done {
		counts[o] = n
	}
	return counts
}

// take returns the mishaps since it was called last, and reports what was worse.
func (l *load) take() []mishap {
	l.world.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.failures[:min(len(l.failures), 5)] {
		l.world.Errorf("seed %d: %s", l.seed, f)
	}
	mishaps := l.mishaps
	l.mishaps, l.failures = nil, nil
	return mishaps
}

// end ends the load, and compares what is stored with the model.
func (l *load) end() {
	l.world.Helper()
	l.cancel()
	l.ended.Wait()
	l.take()
	l.verify()
}

// verify compares what is stored with the model.
func (l *load) verify() {
	l.world.Helper()
	found := make(map[model.Cell]*model.Value)
	listed := make(map[string]bool)
	all, err := l.world.client.List(context.Background(), bucket, "", 100)
	if err != nil {
		l.world.Errorf("the listing at the end: %v", err)
	}
	for _, o := range all {
		listed[o.Key] = true
	}
	for _, cell := range l.model.Cells() {
		value, err := l.fetch(cell.Name)
		if err != nil {
			l.world.Errorf("seed %d: %s: %v", l.seed, cell, err)
			continue
		}
		found[cell] = value
		if listed[cell.Name] != (value != nil) {
			l.world.Errorf("seed %d: %s: it is listed: %t; it is there: %t", l.seed, cell, listed[cell.Name], value != nil)
		}
	}
	for _, v := range l.model.Freeze(func() {}).Check(found) {
		l.world.Errorf("seed %d: %v", l.seed, v)
	}
}

// fetch reads an object; nil: there is none.
func (l *load) fetch(name string) (*model.Value, error) {
	answer, err := l.world.client.Get(context.Background(), bucket, name)
	switch {
	case err != nil:
		return nil, err
	case answer.Status == http.StatusNotFound:
		return nil, nil
	case !answer.OK():
		return nil, answer.Err()
	}
	return valueOf(answer.Body, answer.ETag()), nil
}

func valueOf(body []byte, etag string) *model.Value {
	return &model.Value{Size: int64(len(body)), Digest: xxhash.Checksum64(body), ETag: etag}
}

func sum(body []byte) []byte {
	s := md5.Sum(body) //nolint:gosec // see the import
	return s[:]
}

// customer is one client.
type customer struct {
	load   *load
	number int
	random *rand.Rand
}

func (c *customer) run() {
	for c.load.ctx.Err() == nil {
		name := fmt.Sprintf("c%d/k%02d", c.number, c.random.IntN(keysEach))
		switch n := c.random.IntN(20); {
		case n < 6:
			c.put(write, name, 1+c.random.IntN(inlineBytes-1))
		case n < 9:
			c.put(upload, name, inlineBytes+1+c.random.IntN(8*inlineBytes))
		case n < 11:
			c.delete(name)
		case n < 12:
			c.multipart(name)
		case n < 14:
			c.list()
		default:
			c.get(name)
		}
	}
}

// payload makes the body of one write.
func (c *customer) payload(size int) []byte {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], c.load.number.Add(1))
	body := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(body) // never fails
	return body
}

// ask makes one request, and notes what came of it. It returns the answer if it
// is one for good, nil after a mishap, and lets the client rest then.
func (c *customer) ask(o operation, name string, do func(ctx context.Context) (*s3client.Answer, error)) *s3client.Answer {
	l := c.load
	began := l.now()
	answer, err := do(context.WithoutCancel(l.ctx)) // one that is under way at the end is answered, too
	at := l.now()
	m := mishap{operation: o, key: name, at: at, took: at - began}
	if name != "" {
		m.mountpath, m.writer, m.reader = l.world.servers(name)
	}
	switch {
	case err != nil:
		m.answer = err.Error()
	case answer.Status == http.StatusServiceUnavailable || answer.OK() && answer.Code != "":
		m.answer = fmt.Sprintf("%d %s: %s", answer.Status, answer.Code, answer.Body)
	case answer.OK() || answer.Status == http.StatusNotFound:
		l.mu.Lock()
		l.done[o]++
		close(l.changed)
		l.changed = make(chan struct{})
		l.mu.Unlock()
		return answer
	default:
		l.fail("%s %s: %v", o, name, answer.Err())
		return nil
	}
	l.mu.Lock()
	l.mishaps = append(l.mishaps, m)
	l.mu.Unlock()
	rest := time.NewTimer(repeatPause)
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-l.ctx.Done():
	}
	return nil
}

func (l *load) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, fmt.Sprintf(format, args...))
}

// settle tells the model what came of a change.
func settle(o *model.Operation, answer *s3client.Answer) {
	if answer == nil {
		o.Doubt()
		return
	}
	o.Acknowledge()
}

func (c *customer) put(o operation, name string, size int) {
	body := c.payload(size)
	etag := hex.EncodeToString(sum(body))
	change := c.load.model.Begin(model.Change{Cell: model.Object(objects.Key{Name: name}), Value: valueOf(body, etag)})
	settle(change, c.ask(o, name, func(ctx context.Context) (*s3client.Answer, error) {
		return c.load.world.client.Put(ctx, bucket, name, body)
	}))
}

func (c *customer) delete(name string) {
	change := c.load.model.Begin(model.Change{Cell: model.Object(objects.Key{Name: name})})
	settle(change, c.ask(write, name, func(ctx context.Context) (*s3client.Answer, error) {
		return c.load.world.client.Delete(ctx, bucket, name)
	}))
}

// get reads an object, which must be what was last acknowledged, if that is certain.
func (c *customer) get(name string) {
	want, certain := c.load.model.Current(model.Object(objects.Key{Name: name}))
	answer := c.ask(read, name, func(ctx context.Context) (*s3client.Answer, error) {
		return c.load.world.client.Get(ctx, bucket, name)
	})
	if answer == nil || !certain {
		return
	}
	var got *model.Value
	if answer.OK() {
		got = valueOf(answer.Body, answer.ETag())
	}
	if !got.Equal(want) {
		c.load.fail("%s holds %s, and must hold %s", name, got, want)
	}
}

// multipart uploads an object in parts. A mishap leaves the upload where it is.
func (c *customer) multipart(name string) {
	client := c.load.world.client
	created := c.ask(pieces, name, func(ctx context.Context) (*s3client.Answer, error) {
		_, answer, err := client.CreateUpload(ctx, bucket, name)
		return answer, err
	})
	if created == nil {
		return
	}
	id, err := s3client.UploadID(created)
	if err != nil {
		c.load.fail("%s: %v", name, err)
		return
	}
	var parts []s3client.Part
	var sums, whole []byte
	for n := 1; n <= 2; n++ {
		body := c.payload(inlineBytes/2 + c.random.IntN(2*inlineBytes))
		if c.ask(pieces, name, func(ctx context.Context) (*s3client.Answer, error) {
			return client.PutPart(ctx, bucket, name, id, n, body)
		}) == nil {
			return
		}
		parts = append(parts, s3client.Part{Number: n, ETag: hex.EncodeToString(sum(body))})
		sums, whole = append(sums, sum(body)...), append(whole, body...)
	}
	if c.random.IntN(3) == 0 {
		c.ask(pieces, name, func(ctx context.Context) (*s3client.Answer, error) { return client.Abort(ctx, bucket, name, id) })
		return
	}
	etag := fmt.Sprintf("%s-%d", hex.EncodeToString(sum(sums)), len(parts))
	change := c.load.model.Begin(model.Change{Cell: model.Object(objects.Key{Name: name}), Value: valueOf(whole, etag)})
	settle(change, c.ask(pieces, name, func(ctx context.Context) (*s3client.Answer, error) {
		return client.Complete(ctx, bucket, name, id, parts)
	}))
}

// list lists the client's own keys, which must be those that are there, as far as
// that is certain.
func (c *customer) list() {
	prefix := fmt.Sprintf("c%d/", c.number)
	want, unsure := make(map[string]bool), make(map[string]bool)
	for n := range keysEach {
		name := fmt.Sprintf("%sk%02d", prefix, n)
		value, certain := c.load.model.Current(model.Object(objects.Key{Name: name}))
		want[name], unsure[name] = value != nil, !certain
	}
	answer := c.ask(list, "", func(ctx context.Context) (*s3client.Answer, error) {
		return c.load.world.client.Do(ctx, s3client.Request{
			Method: "GET", Bucket: bucket, Query: s3client.Query("list-type", "2", "prefix", prefix),
		})
	})
	if answer == nil {
		return
	}
	for name, there := range want {
		if bytes.Contains(answer.Body, []byte("<Key>"+name+"</Key>")) != there && !unsure[name] {
			c.load.fail("a listing: %s is there: %t; it was to be: %t", name, !there, there)
		}
	}
	if strings.Count(string(answer.Body), "<Key>") > len(want) {
		c.load.fail("a listing of more than was written: %.500s", answer.Body)
	}
}

// A load that is told wrong things by the node fails: here, what is stored is
// changed behind its back.
func checkLoadSees(w *world, l *load) {
	w.Helper()
	var victim model.Cell
	for _, cell := range l.model.Cells() {
		if value, certain := l.model.Current(cell); certain && value != nil {
			victim = cell
		}
	}
	if _, err := w.client.Delete(context.Background(), bucket, victim.Name); err != nil {
		w.Fatal(err)
	}
	found := make(map[model.Cell]*model.Value)
	for _, cell := range l.model.Cells() {
		value, err := l.fetch(cell.Name)
		if err != nil {
			w.Fatal(err)
		}
		found[cell] = value
	}
	wrong := l.model.Freeze(func() {}).Check(found)
	if !slices.ContainsFunc(wrong, func(v *model.Violation) bool { return v.Cell == victim }) {
		w.Errorf("%s was deleted behind the model's back, which finds %v", victim, wrong)
	}
}
