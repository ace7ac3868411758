package prover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// The shape of a load. Inline payloads end at 32 KiB, which is what nodes are started with: a
// third of the payloads is well below, a third at the limit, a third above.
const (
	workers       = 6
	keysPerWorker = 6 // and as many below each
	inlineLimit   = 32 << 10
	mostSmall     = 8 << 10
	mostLarge     = 256 << 10
	mostPart      = 96 << 10
	openUploads   = 2 // of one worker at a time
	mostParts     = 3
)

// loadPatience is how long a load goes on though nothing is acknowledged: as long as a node
// may take to start.
const loadPatience = readyPatience

// bucket is the one that loads work in.
const bucket = "prove"

// mark is the name of the user metadata that says which write an object is of.
const mark = "mark"

// load is a number of workers that keep a node busy with writes.
type load struct {
	client   s3.Client // repeats nothing: every request has one outcome
	history  *history
	seed     uint64
	relaxed  bool         // the class of the bucket
	position func() int64 // where the journal is now

	patience     time.Duration // how long nothing may be acknowledged
	acknowledged atomic.Int64
	answered     atomic.Int64 // when something was acknowledged last, in ns since 1970
	over         atomic.Bool  // workers are to end
	workers      []*worker
	mu           sync.Mutex
	findings     []Finding // what a node that nothing was done to answered and must not
}

// newLoad makes a load for a round. Its workers do the same in the same order for the same
// seed and round, as far as the node answers the same.
func newLoad(seed uint64, round int, h *history, relaxed bool, position func() int64) *load {
	l := &load{history: h, seed: seed, relaxed: relaxed, position: position, patience: loadPatience}
	for i := range workers {
		w := &worker{load: l, number: uint64(round)<<40 | uint64(i)<<32, random: rand.New(rand.NewPCG(seed, uint64(round)<<8|uint64(i)))}
		for k := range keysPerWorker {
			name := fmt.Sprintf("w%d/k%02d", i, k)
			w.keys = append(w.keys, name, name+"/below")
		}
		l.workers = append(l.workers, w)
	}
	return l
}

// run lets the workers work on a node. Who gets the answer with which so many more
// are acknowledged calls reached; workers end when over is set, the node does not
// answer any more, or nothing is acknowledged any more, or ctx ends.
func (l *load) run(ctx context.Context, on s3.Client, acks int64, reached func()) {
	l.client = on
	l.over.Store(false)
	l.answered.Store(time.Now().UnixNano())
	goal := l.acknowledged.Load() + acks
	var once sync.Once
	var group sync.WaitGroup
	for _, w := range l.workers {
		group.Go(func() {
			for ctx.Err() == nil && !l.over.Load() && !l.isStuck() {
				w.busy = false
				if err := w.step(ctx); err != nil {
					return
				}
				if w.busy && leaveAlone(ctx) != nil {
					return
				}
				if l.acknowledged.Load() >= goal {
					once.Do(reached)
				}
			}
		})
	}
	group.Wait()
}

// isStuck reports whether nothing was acknowledged for too long: a node whose disk is full
// answers everything, and takes no write.
func (l *load) isStuck() bool { return time.Since(time.Unix(0, l.answered.Load())) > l.patience }

// attributes are what a write says beside its bytes.
func attributes(number uint64) s3.Attributes {
	return s3.Attributes{User: []objects.Pair{{Name: mark, Value: strconv.FormatUint(number, 16)}}}
}

// find notes an answer that must not be.
func (l *load) find(cell, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.findings = append(l.findings, Finding{Verdict: wrong, Cell: readable(cell), Text: fmt.Sprintf(format, args...)})
}

// taken returns what was found since it was asked last.
func (l *load) taken() []Finding {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.findings
	l.findings = nil
	return all
}

// worker is the only one who writes its keys.
type worker struct {
	load    *load
	random  *rand.Rand
	number  uint64 // of the write last begun
	keys    []string
	uploads []*upload
	busy    bool // the node could not do the last request, and goes on
}

// errGone says that the node does not answer any more.
var errGone = errors.New("the node is gone")

// next returns the number of the next write.
func (w *worker) next() uint64 {
	w.number++
	return w.number
}

func (w *worker) key() string { return w.keys[w.random.IntN(len(w.keys))] }

// size draws the size of a payload: small, at the inline limit, or large.
func (w *worker) size() int {
	switch w.random.IntN(3) {
	case 0:
		return w.random.IntN(mostSmall)
	case 1:
		return inlineLimit - 2 + w.random.IntN(5)
	}
	return inlineLimit + w.random.IntN(mostLarge-inlineLimit)
}

// step does one request.
func (w *worker) step(ctx context.Context) error {
	switch n := w.random.IntN(100); {
	case n < 40:
		return w.put(ctx, w.key(), false)
	case n < 48:
		return w.put(ctx, w.key(), true)
	case n < 63:
		return w.delete(ctx, w.key())
	case n < 72:
		return w.copy(ctx, w.key(), w.key())
	case n < 92:
		return w.multipart(ctx)
	}
	return w.get(ctx, w.key())
}

// begin says that a cell may change.
func (w *worker) begin(cell string, v *value) *entry {
	return w.load.history.begin(cell, v, w.load.position())
}

// end notes what came of a request that changes cells together. relaxed: its receipt
// named that class. The error says that the worker cannot go on.
func (w *worker) end(what string, err error, relaxed bool, entries ...*entry) error {
	position := w.load.position()
	failure := client.AsFailure(err)
	switch {
	case err == nil:
		w.load.history.end(acknowledged, position, relaxed, entries...)
		w.load.acknowledged.Add(1)
		w.load.answered.Store(time.Now().UnixNano())
		return nil
	case failure == nil:
		return errGone // nobody knows: the entries stay in doubt
	case failure.Status < http.StatusBadRequest || failure.Status >= http.StatusInternalServerError:
		w.busy = true
		return nil // likewise, but the node goes on
	}
	w.load.history.end(refused, position, false, entries...)
	w.load.find(what, "it was refused: %v", err)
	return nil
}

// isRelaxed reads a receipt, and finds one that does not say what was written. digest 0:
// it is not known.
func (w *worker) isRelaxed(key string, receipt string, digest uint64) bool {
	class, sum := objects.Durability(""), ""
	for field := range strings.SplitSeq(receipt, ";") {
		switch name, text, _ := strings.Cut(strings.TrimSpace(field), "="); name {
		case "class":
			class = objects.Durability(text)
		case "xxhash":
			sum = text
		}
	}
	if class != objects.Synced && !(class == objects.Relaxed && w.load.relaxed) {
		w.load.find(key, "the receipt %q does not name the class of the bucket", receipt)
	}
	if digest != 0 && sum != fmt.Sprintf("%016x", digest) {
		w.load.find(key, "the receipt %q is of another payload than %016x", receipt, digest)
	}
	return class == objects.Relaxed
}

// put writes an object; if absent, only where there is none.
func (w *worker) put(ctx context.Context, key string, ifAbsent bool) error {
	number := w.next()
	body := payload(w.load.seed, number, w.size())
	v := valueOf(number, body)
	current, certain := w.load.history.current(key)
	e := w.begin(key, v)
	written, err := w.load.client.Put(ctx, s3.Put{
		Bucket: bucket, Key: key, Attributes: attributes(number), Body: bodyOf(body), Size: v.Size, IfAbsent: ifAbsent,
	})
	if failure := client.AsFailure(err); ifAbsent && failure != nil && failure.Status == http.StatusPreconditionFailed {
		w.load.history.end(refused, w.load.position(), false, e)
		if certain && current == nil {
			w.load.find(key, "a write on condition that there is none was refused, and there is none")
		}
		return nil
	}
	if err == nil && ifAbsent && certain && current != nil {
		w.load.find(key, "a write on condition that there is none was done, and there is one: %s", current)
	}
	relaxed := false
	if err == nil {
		relaxed = w.isRelaxed(key, written.Receipt, xxhash.Checksum64(body))
		if written.ETag != v.ETag {
			w.load.find(key, "the answer says ETag %s of %s", written.ETag, v)
		}
	}
	return w.end(key, err, relaxed, e)
}

// bodyOf returns a body that can be opened.
func bodyOf(body []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
}

func (w *worker) delete(ctx context.Context, key string) error {
	e := w.begin(key, nil)
	return w.end(key, w.load.client.Delete(ctx, bucket, key), false, e)
}

// copy copies an object whose value is certain. One that was made of parts becomes one
// payload, so that its tag is not known: that is read instead.
func (w *worker) copy(ctx context.Context, from, to string) error {
	v, certain := w.load.history.current(from)
	if !certain || v == nil || from == to || strings.Contains(v.ETag, "-") {
		return w.get(ctx, from)
	}
	e := w.begin(to, v)
	written, err := w.load.client.Copy(ctx, s3.Copy{FromBucket: bucket, FromKey: from, Bucket: bucket, Key: to})
	return w.end(to, err, err == nil && w.isRelaxed(to, written.Receipt, v.Digest), e)
}

// get reads an object: what was acknowledged is there at once.
func (w *worker) get(ctx context.Context, key string) error {
	want, certain := w.load.history.current(key)
	got, err := fetch(ctx, w.load.client, key)
	failure := client.AsFailure(err)
	switch {
	case err != nil && failure == nil && (ctx.Err() != nil || errs.Is(errs.Offline, err)):
		return errGone
	case failure != nil && failure.Status >= http.StatusInternalServerError:
		w.busy = true
		return nil
	case err != nil:
		w.load.find(key, "it cannot be read: %v", err)
	case certain && !got.equal(want):
		w.load.find(key, "it holds %s right after %s was acknowledged", got, want)
	}
	return nil
}

// fetch reads an object; nil if there is none.
func fetch(ctx context.Context, c s3.Client, key string) (*value, error) {
	o, body, err := c.Open(ctx, s3.Get{Bucket: bucket, Key: key})
	if code := client.Code(err); code == "NoSuchKey" || code == "NoSuchBucket" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, errs.E("get", key, errs.Offline, err)
	}
	v := valueOf(markOf(o), content)
	if v.Size != o.Size {
		return nil, errs.E("get", key, errs.Corrupt, fmt.Errorf("%d bytes came, and %d were announced", v.Size, o.Size))
	}
	if !strings.Contains(o.ETag, "-") && o.ETag != v.ETag {
		return nil, errs.E("get", key, errs.Corrupt, fmt.Errorf("its ETag is %s, and that of its bytes %s", o.ETag, v.ETag))
	}
	v.ETag = o.ETag
	return v, nil
}

// markOf returns the number of the write that an object is of; 0: it does not say.
func markOf(o *s3.Object) uint64 {
	for _, p := range o.User {
		if p.Name == mark {
			number, err := strconv.ParseUint(p.Value, 16, 64)
			if err == nil {
				return number
			}
		}
	}
	return 0
}
