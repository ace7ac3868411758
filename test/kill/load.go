package kill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/model"
	"github.com/troupe-storage/troupe/test/s3client"
)

// The shape of a load. Inline payloads end at 32 KiB, so that about half of the
// writes go into the index and half into files.
const (
	workers       = 8
	keysPerWorker = 12 // and as many below each
	mostSmall     = 8 << 10
	leastLarge    = 33 << 10
	mostLarge     = 300 << 10
	openUploads   = 3 // of one worker at a time
	mostParts     = 3
)

// Load is a history of operations on one bucket of one node: what was asked, and
// in Model what came of it. Run is called once per cycle, by one goroutine.
type Load struct {
	Client *s3client.Client
	Bucket string
	Model  *model.Model

	seed    uint64
	number  atomic.Uint64 // of the write last begun
	acked   atomic.Int64  // operations acknowledged, over all cycles
	doubted atomic.Int64  // operations that were answered with a failure that leaves it open
	cycles  int
	moment  atomic.Int64 // odd: what is acknowledged now proves nothing; see Blur
	workers []*worker
}

// NewLoad makes a load that does the same in the same order for the same seed,
// as far as the node answers in the same order.
func NewLoad(client *s3client.Client, bucket string, seed uint64) *Load {
	l := &Load{Client: client, Bucket: bucket, Model: model.New(), seed: seed}
	for i := range workers {
		w := &worker{load: l, random: rand.New(rand.NewPCG(seed, uint64(i))), written: make(map[string][]byte), created: make(map[string]objects.Key)}
		for k := range keysPerWorker {
			name := fmt.Sprintf("w%d/k%02d", i, k)
			w.keys = append(w.keys, name, name+"/below")
		}
		l.workers = append(l.workers, w)
	}
	return l
}

// Blur calls a function and takes what is acknowledged by operations that were
// under way meanwhile as doubtful: the function lies to the node, not the node to us.
func (l *Load) Blur(trouble func() error) error {
	l.moment.Add(1)
	defer l.moment.Add(1)
	return trouble()
}

// Acknowledged returns how many operations were acknowledged so far.
func (l *Load) Acknowledged() int64 { return l.acked.Load() }

// Doubted returns how many operations were answered with 500 or 503 so far.
func (l *Load) Doubted() int64 { return l.doubted.Load() }

// Run lets the workers work until the node does not answer any more or ctx
// ends. Trouble is called, by one of the workers, after so many acknowledged
// operations. The error tells an answer that no node may give to such a request.
func (l *Load) Run(ctx context.Context, acks int64, trouble func() error) error {
	var once sync.Once
	var wrong error // of trouble
	goal := l.acked.Load() + acks
	reached := func() {
		if l.acked.Load() >= goal {
			once.Do(func() { wrong = trouble() })
		}
	}
	l.cycles++
	failures := make([]error, len(l.workers))
	var group sync.WaitGroup
	for i, w := range l.workers {
		w.note("cycle %d", l.cycles)
		group.Go(func() { failures[i] = w.run(ctx, reached) })
	}
	group.Wait()
	if l.acked.Load() < goal {
		wrong = fmt.Errorf("the node stopped answering after %d of %d acknowledgements, before the trouble began", l.acked.Load()-goal+acks, acks)
	}
	return errors.Join(append(failures, wrong)...)
}

// worker is the only one who writes its keys.
type worker struct {
	load    *Load
	random  *rand.Rand
	keys    []string
	uploads []upload
	created map[string]objects.Key // every upload ever created, by id
	diary   []string               // what was asked and what came of it, newest last; at most diaryLines
	written map[string][]byte      // parts by upload and tag, for the value of the whole
}

// upload is an upload under way as its worker knows it.
type upload struct {
	key    objects.Key
	id     string
	number uint64 // its mark
}

// errGone says that the node does not answer any more.
var errGone = errors.New("the node is gone")

// run works until the node is gone; reached is called after every acknowledgement.
func (w *worker) run(ctx context.Context, reached func()) error {
	for ctx.Err() == nil {
		err := w.step(ctx)
		if errors.Is(err, errGone) {
			return nil
		}
		if err != nil {
			return err
		}
		reached()
	}
	return nil
}

// step does one operation.
func (w *worker) step(ctx context.Context) error {
	switch n := w.random.IntN(100); {
	case n < 25:
		return w.put(ctx, w.key(), 1+w.random.IntN(mostSmall))
	case n < 45:
		return w.put(ctx, w.key(), leastLarge+w.random.IntN(mostLarge-leastLarge))
	case n < 60:
		return w.delete(ctx, w.key())
	case n < 70:
		return w.copy(ctx, w.key(), w.key())
	case n < 90:
		return w.multipart(ctx)
	default:
		return w.get(ctx, w.key())
	}
}

func (w *worker) key() objects.Key {
	return objects.Key{Bucket: objects.Bucket{Name: w.load.Bucket}, Name: w.keys[w.random.IntN(len(w.keys))]}
}

// diaryLines bounds the diary of a worker.
const diaryLines = 2000

// note adds a line to the diary.
func (w *worker) note(format string, args ...any) {
	if len(w.diary) == diaryLines {
		w.diary = slices.Delete(w.diary, 0, diaryLines/2)
	}
	w.diary = append(w.diary, fmt.Sprintf(format, args...))
}

// History returns what the diaries say of a key, oldest first.
func (l *Load) History(name string) []string {
	var lines []string
	for _, w := range l.workers {
		for _, line := range w.diary {
			if strings.Contains(line+" ", name+" ") || strings.HasPrefix(line, "cycle ") && len(lines) > 0 {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// begin tells the model of an operation.
func (w *worker) begin(changes ...model.Change) *operation {
	return &operation{Operation: w.load.Model.Begin(changes...), began: w.load.moment.Load()}
}

// operation is one under way, and the moment in which it began.
type operation struct {
	*model.Operation
	began int64
}

// end tells the model what came of an operation, and returns why the worker
// cannot go on, if so.
func (w *worker) end(what string, o *operation, answer *s3client.Answer, err error) error {
	if err != nil {
		w.note("%s : no answer: %v", what, err)
	} else {
		w.note("%s : %d %s", what, answer.Status, answer.Code)
	}
	switch {
	case err != nil: // no answer
		o.Doubt()
		return errGone
	case answer.OK() && answer.Code == "" && (o.began%2 == 1 || o.began != w.load.moment.Load()):
		o.Doubt()
		w.load.acked.Add(1)
		return nil
	case answer.OK() && answer.Code == "":
		o.Acknowledge()
		w.load.acked.Add(1)
		return nil
	case answer.Status >= 500 || answer.Code != "" && answer.OK():
		o.Doubt()
		w.load.doubted.Add(1)
		return nil
	default:
		o.Refuse()
		return fmt.Errorf("%s was refused: %w", what, answer.Err())
	}
}

func (w *worker) put(ctx context.Context, key objects.Key, size int) error {
	number := w.load.number.Add(1)
	body, with := payload(number, size), draft(number)
	o := w.begin(model.Change{Cell: model.Object(key), Value: valueOf(body, with)})
	answer, err := w.load.Client.Put(ctx, w.load.Bucket, key.Name, body, objects.Pair{Name: "x-amz-meta-" + mark, Value: with.User[0].Value})
	return w.end(fmt.Sprintf("put of %s , mark %d, %d bytes", key.Name, number, size), o, answer, err)
}

func (w *worker) delete(ctx context.Context, key objects.Key) error {
	o := w.begin(model.Change{Cell: model.Object(key)})
	answer, err := w.load.Client.Delete(ctx, w.load.Bucket, key.Name)
	return w.end("delete of "+key.Name, o, answer, err)
}

// copy copies an object whose value is certain; the copy has its metadata. An
// object that was assembled becomes one payload: its tag is not known, since
// the node need not copy it in parts.
func (w *worker) copy(ctx context.Context, from, to objects.Key) error {
	value, certain := w.load.Model.Current(model.Object(from))
	if !certain || value == nil || from == to || isAssembled(value) {
		return w.get(ctx, from)
	}
	o := w.begin(model.Change{Cell: model.Object(to), Value: value})
	answer, err := w.load.Client.Copy(ctx, w.load.Bucket, from.Name, to.Name)
	return w.end(fmt.Sprintf("copy of %s to %s , %s", from.Name, to.Name, value), o, answer, err)
}

func isAssembled(v *model.Value) bool { return len(v.ETag) > 32 }

// get reads an object; what was acknowledged must be there at once.
func (w *worker) get(ctx context.Context, key objects.Key) error {
	want, certain := w.load.Model.Current(model.Object(key))
	got, err := fetch(ctx, w.load.Client, w.load.Bucket, key.Name)
	if err != nil {
		var told *unexpectedAnswer
		if errors.As(err, &told) && told.answer.Status < 500 {
			return err
		}
		if told != nil {
			w.load.doubted.Add(1)
			return nil
		}
		return errGone
	}
	if certain && !got.Equal(want) {
		return fmt.Errorf("read back: %s holds %s, want %s", key.Name, got, want)
	}
	return nil
}
