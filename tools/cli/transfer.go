package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/tools/terminal"
)

// transferOp is what a task does.
type transferOp string

const (
	opUpload    transferOp = "upload"
	opDownload  transferOp = "download"
	opCopy      transferOp = "copy"
	opDirectory transferOp = "directory" // a local directory is made
	opDelete    transferOp = "delete"
)

// task is one thing to be done.
type task struct {
	op   transferOp
	from address
	to   address
	into target // of a download or directory
	size int64  // as far as is known; -1: not at all
	etag string // of a remote source, where it is known; empty: it is not
	same bool   // the target is the same already: nothing is to be done
	mark bool   // of an upload: from is an empty directory, and to its marker
}

// transferred is the JSON line of a task.
type transferred struct {
	Op      transferOp `json:"op"`
	Source  string     `json:"source,omitempty"`
	Target  string     `json:"target"`
	Status  string     `json:"status"` // "done", "skipped", "planned", "failed"
	Bytes   int64      `json:"bytes"`
	ETag    string     `json:"etag,omitempty"`
	Receipt string     `json:"receipt,omitempty"`
	Error   string     `json:"error,omitempty"`
}

// summary is the last JSON line of cp, mv and sync.
type summary struct {
	Op      string  `json:"op"` // "summary"
	Done    int64   `json:"done"`
	Skipped int64   `json:"skipped"`
	Failed  int64   `json:"failed"`
	Left    int64   `json:"left"`
	Deleted int64   `json:"deleted"`
	Bytes   int64   `json:"bytes"`
	Resumed int64   `json:"resumed_bytes"` // of Bytes, those that an earlier attempt had moved
	Seconds float64 `json:"seconds"`
}

// transfers moves objects, several at a time. Its tasks run side by side.
type transfers struct {
	session *Session
	s3      s3.Client
	transferOptions
	stateDirectory string
	resume         string        // what to do about what is left
	requests       chan struct{} // places for requests

	bars *bars // nil: none are shown

	mutex     sync.Mutex
	began     time.Time
	found     int64 // tasks so far
	done      int64
	skipped   int64
	failed    int64
	deleted   int64
	first     error
	held      []error // failures that were not told yet
	bytes     atomic.Int64
	resumed   atomic.Int64
	resumable atomic.Int64 // uploads and downloads in parts under way
}

// newTransfers makes the engine of a command.
func newTransfers(s *Session, o transferOptions) (*transfers, error) {
	c, err := s.S3()
	if err != nil {
		return nil, err
	}
	t := &transfers{
		session: s, s3: c, transferOptions: o, requests: make(chan struct{}, o.parallel), began: time.Now(),
		stateDirectory: stateDirectory(s.Program),
		resume:         "run the same command again: large files go on from the parts that are there; --skip-same leaves out files that are done",
	}
	if !s.options.quiet && !s.Out.JSON && !o.dryRun && !o.plain && terminal.Is(s.Out.note) {
		t.bars = newBars(s.Out)
	}
	return t, nil
}

// requested does something in one of the places for requests.
func requested[T any](ctx context.Context, t *transfers, do func() (T, error)) (T, error) {
	select {
	case t.requests <- struct{}{}:
		defer func() { <-t.requests }()
		return do()
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// tasksAhead is how many tasks are found before they are begun, so that totals
// are known early: 16 MiB of memory at most, with the longest keys.
const tasksAhead = 8192

// run does tasks as they are found. An error that was found with a task counts
// as one that failed, unless it is final: then nothing more is begun.
func (t *transfers) run(ctx context.Context, tasks iter.Seq2[task, error]) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ahead := make(chan task, tasksAhead)
	go func() {
		defer close(ahead)
		for k, err := range tasks {
			if err != nil {
				t.note(k, transferred{}, err)
				if isFinal(err) {
					cancel(err)
					return
				}
				continue
			}
			t.mutex.Lock()
			t.found++
			t.mutex.Unlock()
			if t.bars != nil && !k.same {
				t.bars.foundOne(max(k.size, 0))
			}
			select {
			case ahead <- k:
			case <-ctx.Done():
				return
			}
		}
	}()
	workers := newCrew(t.parallel)
	for k := range ahead {
		if ctx.Err() != nil {
			continue // the finder ends
		}
		workers.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			line, err := t.do(ctx, k)
			if err != nil && ctx.Err() != nil && !errors.Is(err, errDiffers) {
				return nil // it was cut short: it is left, not failed
			}
			t.note(k, line, err)
			if isFinal(err) {
				cancel(err)
			}
			return nil
		})
	}
	workers.Wait() //nolint:errcheck // none returns an error
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return nil
}

// final is an error after which nothing else can succeed.
type final struct{ error }

func (f *final) Unwrap() error { return f.error }

// isFinal reports whether every other task would fail the same way.
func isFinal(err error) bool {
	var marked *final
	switch {
	case err == nil:
		return false
	case client.WrongServer(err):
		return true
	case errors.As(err, &marked), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EROFS):
		return true
	}
	switch client.Code(err) {
	case "NoSuchBucket", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "InvalidBucketName":
		return true
	}
	switch errs.KindOf(err) {
	case errs.Offline, errs.Busy, errs.NoSpace:
		// The server's patience was tried for minutes. A local lock is one file's matter.
		return client.AsFailure(err) != nil || errs.Is(errs.Offline, err)
	}
	return false
}

// do does one task.
func (t *transfers) do(ctx context.Context, k task) (line transferred, err error) {
	line = transferred{Op: k.op, Source: k.from.String(), Target: k.to.String(), Status: "done", Bytes: max(k.size, 0)}
	switch {
	case k.same:
		line.Status = "skipped"
		return line, nil
	case t.dryRun:
		line.Status = "planned"
		return line, nil
	}
	m := &meter{}
	var bar *bar
	if t.bars != nil {
		m.moved = t.bars.moved
		if k.size >= t.threshold {
			bar = t.bars.begin(k)
			m.moved = func(n int64) { t.bars.moved(n); bar.moved(n) }
		}
		defer func() { t.bars.end(bar, err == nil, m.bytes.Load(), max(k.size, 0)) }()
	}
	var written s3.Written
	switch k.op {
	case opUpload:
		if k.mark {
			written, err = t.s3.Put(ctx, s3.Put{Bucket: k.to.bucket, Key: k.to.key, Attributes: s3.Attributes{ContentType: "application/x-directory"}})
		} else {
			written, err = t.uploadFile(ctx, k.from.local, k.to.bucket, k.to.key, m)
		}
	case opDownload:
		var o *s3.Object
		if o, err = t.downloadFile(ctx, k.from, k.into, k.size, m); err == nil {
			written.ETag = o.ETag
		}
	case opCopy:
		written, err = t.copyObject(ctx, k.from, k.to, k.size, k.etag, m)
	case opDirectory:
		if err = k.into.root.MkdirAll(k.into.name, 0o777); err != nil {
			err = targetError(k.into, err)
		}
	}
	if err == nil && t.move {
		err = t.removeSource(ctx, k, written.ETag)
	}
	line.ETag, line.Receipt = written.ETag, written.Receipt
	if line.Bytes = m.bytes.Load(); err == nil {
		t.bytes.Add(line.Bytes)
	}
	return line, err
}

// removeSource ends a move: the source goes, unless it is another one meanwhile.
func (t *transfers) removeSource(ctx context.Context, k task, etag string) error {
	if k.op == opDirectory {
		return t.s3.Delete(ctx, k.from.bucket, k.from.key)
	}
	if !k.from.remote {
		if err := os.Remove(k.from.local); err != nil {
			return localError(k.from.local, err)
		}
		return nil
	}
	if k.op == opCopy {
		etag = k.etag
	}
	if o, err := t.s3.Head(ctx, k.from.bucket, k.from.key); err != nil || o.ETag != etag {
		if err == nil {
			err = errs.E("move", k.from.String(), errs.Conflict, errors.New("it was written to meanwhile; the copy is the older version, the source stays"))
		}
		return err
	}
	return t.s3.Delete(ctx, k.from.bucket, k.from.key)
}

// note counts a task and tells what became of it.
func (t *transfers) note(k task, line transferred, err error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	out := t.session.Out
	if err != nil {
		t.failed++
		if line.Op == "" {
			t.found++
			line.Op, line.Source, line.Target = k.op, k.from.String(), k.to.String()
		}
		if t.first == nil {
			t.first = err
		}
		if out.JSON {
			line.Status, line.Error = "failed", err.Error()
			out.Line(line, "") //nolint:errcheck // remembered by Output, and told at the end
			return
		}
		if t.found == 1 || isFinal(err) {
			t.held = append(t.held, err) // it may be what the command ends with
			return
		}
		out.Warn("troupe: %s", printable(sentence(err)))
		return
	}
	switch line.Status {
	case "skipped":
		t.skipped++
		if !out.JSON {
			return
		}
	default:
		t.done++
	}
	if t.bars != nil {
		return
	}
	verb := string(line.Op)
	if t.move {
		verb = "move"
	}
	if line.Status == "planned" {
		verb = "would " + verb
	}
	text := fmt.Sprintf("%s %s -> %s", verb, line.Source, line.Target)
	if line.Op == opDirectory {
		text = fmt.Sprintf("%s %s", verb, line.Target)
	}
	out.result(line, text) //nolint:errcheck // remembered by Output, and told at the end
}

// end tells how it all went; cause is what cut it short.
func (t *transfers) end(cause error) error {
	if t.bars != nil {
		t.bars.close()
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	out := t.session.Out
	took := time.Since(t.began)
	left := t.found - t.done - t.skipped - t.failed
	sum := summary{
		Op: "summary", Done: t.done, Skipped: t.skipped, Failed: t.failed, Left: left, Deleted: t.deleted,
		Bytes: t.bytes.Load(), Resumed: t.resumed.Load(), Seconds: took.Seconds(),
	}
	if out.JSON {
		if err := out.Line(sum, ""); err != nil {
			return err
		}
	} else if t.found > 1 || t.done+t.skipped+t.deleted > 0 {
		out.Note("%s", sum.sentence(t.dryRun))
	}
	if out.err != nil {
		return out.err
	}
	err := t.verdict(cause, left)
	for _, held := range t.held {
		if err != held { //nolint:errorlint // the same one
			out.Warn("troupe: %s", printable(sentence(held)))
		}
	}
	return err
}

// verdict is what a command's tasks come to.
func (t *transfers) verdict(cause error, left int64) error {
	switch {
	case cause != nil && errors.Is(cause, errInterrupted):
		text := fmt.Sprintf("%d of %d were done", t.done+t.skipped, t.found)
		if n := t.resumable.Load(); n > 0 {
			text += fmt.Sprintf("; %d in parts can go on where they stopped", n)
		}
		return Advise(fmt.Errorf("%w; %s", errInterrupted, text), "%s", t.resume)
	case cause != nil && t.done == 0 && t.failed <= 1:
		return cause
	case t.failed > 0 && t.found == 1:
		return t.first
	case t.failed > 0 || cause != nil:
		text := t.resume
		if hint := advice(first2(cause, t.first), t.session); hint != "" {
			text = hint + "\n" + text
		}
		return &Partly{Done: int(t.done + t.skipped), Failed: int(t.failed + left), First: first2(cause, t.first), Resume: text}
	}
	return nil
}

// first2 returns the first error that is one.
func first2(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// sentence is the summary for people.
func (s *summary) sentence(dryRun bool) string {
	done := "done"
	if dryRun {
		done = "to do"
	}
	text := fmt.Sprintf("%d %s, %s in %s", s.Done, done, humanBytes(s.Bytes), shortDuration(time.Duration(s.Seconds*float64(time.Second))))
	if dryRun {
		text = fmt.Sprintf("%d %s", s.Done, done)
	} else if s.Seconds > 0 && s.Bytes > s.Resumed {
		text += fmt.Sprintf(" (%s/s)", humanBytes(int64(float64(s.Bytes-s.Resumed)/s.Seconds)))
	}
	for _, part := range []struct {
		n    int64
		what string
	}{{s.Skipped, "the same already"}, {s.Deleted, "deleted"}, {s.Failed, "failed"}, {s.Left, "left"}} {
		if part.n > 0 {
			text += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	if s.Resumed > 0 {
		text += fmt.Sprintf("; %s were there from an earlier attempt", humanBytes(s.Resumed))
	}
	return text
}
