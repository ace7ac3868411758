package loader

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// presence is what a worker knows about a key of its own.
type presence uint8

const (
	unknown presence = iota // never touched, or a request about it failed
	present
	absent
)

// worker owns one connection and asks for one thing at a time until the run
// ends. Its fields belong to its goroutine; the run reads them afterwards.
type worker struct {
	run      *run
	number   uint64 // 0 ≤ number < connections
	random   *rand.Rand
	keys     chooser
	connect  connection
	requests requestBuilder
	turn     uint64     // operations so far, for the order of its own keys
	known    []presence // by key number / connections; nil: keys are shared, and are there
	token    string     // where the listing goes on; empty: at its start
	lastKey  string     // the greatest key of the listing so far
	gaveUp   error      // why the worker ended before the run did

	figures  [operations]*figures
	failures failures
	stretch  stretch

	name   []byte   // scratch: the key of the current request
	pieces [][]byte // scratch: what to write
	parts  []byte   // scratch: the list of parts of an upload
	etag   string   // of the last step of an upload
	check  checker
	page   collector
	pause  *time.Timer
}

// outcome is how one operation ended.
type outcome struct {
	code    string // empty: done
	example string // what happened, in words; only with a code
	bytes   int64
	entries uint64
	class   string // from the receipt
	broken  bool   // the connection cannot be used again
}

// newWorker returns worker number i of a run.
func newWorker(r *run, i int) *worker {
	w := &worker{
		run:      r,
		number:   uint64(i),
		random:   rand.New(rand.NewPCG(r.load.Keys.Seed, uint64(i))),
		requests: requestBuilder{target: r.target, signer: r.signer},
		connect:  connection{address: r.target.address, stall: r.load.Stall, tls: r.target.tls, reader: newReader(nil)},
		check:    checker{payloads: r.payloads},
		stretch:  stretch{timeline: r.timeline, number: -1},
	}
	count := r.load.Keys.Count
	if r.load.partitioned() {
		count /= uint64(r.load.Connections)
		w.known = make([]presence, count)
		if r.load.Stored {
			for i := range w.known {
				w.known[i] = present
			}
		}
	}
	w.keys = r.load.Keys.newChooser(w.random, count)
	for o := range w.figures {
		if r.load.Mix.Has(Operation(o)) {
			w.figures[o] = newFigures()
		}
	}
	return w
}

// work asks until the run has ended.
func (w *worker) work(ctx context.Context) {
	defer w.stretch.flush()
	defer w.connect.drop()
	for {
		turn, due, ok := w.run.next(w)
		if !ok {
			return
		}
		o := w.run.load.Mix.pick(w.random)
		if err := w.connect.connect(ctx); err != nil {
			if ctx.Err() == nil { // an operation that never began is not counted when the run is cut short
				w.fail(o, codeConnect, err.Error())
				w.gaveUp = err
			}
			return
		}
		began := time.Now()
		end := w.perform(ctx, o, turn, began)
		if end.broken {
			w.connect.drop()
		}
		if end.code != "" {
			w.fail(o, end.code, end.example)
			continue
		}
		f := w.figures[o]
		f.done++
		f.bytes += end.bytes
		f.entries += end.entries
		if !due.IsZero() {
			began = due
		}
		now := time.Now()
		took := now.Sub(began)
		f.took(took)
		w.stretch.done(now.Sub(w.run.began), took, end.bytes)
		if end.class != "" {
			w.run.sawClass(end.class)
		}
	}
}

// fail counts an operation that failed.
func (w *worker) fail(o Operation, code, example string) {
	const longest = 300
	w.figures[o].failed++
	w.stretch.failed(time.Since(w.run.began))
	w.failures.note(code, o.String()+": "+example[:min(len(example), longest)], 1)
	w.run.failed()
}

// perform asks for one thing and judges the answer.
func (w *worker) perform(ctx context.Context, o Operation, turn uint64, now time.Time) outcome {
	if o == List {
		return w.list(now)
	}
	index := w.keys.choose(turn)
	var known *presence
	if w.known != nil {
		own := w.keys.choose(w.turn)
		w.turn++
		known = &w.known[own]
		index = own*uint64(w.run.load.Connections) + w.number
	}
	index += w.run.load.Keys.First
	digest := w.run.load.Keys.digest(index)
	var size int64
	if o != Delete {
		size = w.run.load.Sizes.of(digest)
	}
	w.name = w.run.load.Keys.appendName(w.name[:0], index)
	slice := slice{length: size}
	if o == Range {
		slice.length = min(size, w.run.load.RangeBytes)
		slice.offset = w.random.Int64N(size - slice.length + 1)
	}
	w.pieces = w.pieces[:0]
	switch head := w.head(o, slice, now); {
	case o == Multipart: // makes its requests itself
	case o == Put && size <= copyBytes:
		head = w.run.payloads.append(head, digest, size)
		w.requests.head = head // keep what it grew to
		w.pieces = append(w.pieces, head)
	case o == Put:
		w.pieces = w.run.payloads.appendPieces(append(w.pieces, head), digest, size)
	default:
		w.pieces = append(w.pieces, head)
	}
	expected := unknown
	if known != nil {
		expected = *known
		if o.stores() || o == Delete {
			*known = unknown // until it is known
		}
	}
	var end outcome
	if o == Multipart {
		end = w.multipart(ctx, digest, size, now)
	} else {
		end = w.exchange(wanted{o, digest, slice, expected}, now)
	}
	if known != nil && end.code == "" {
		switch o {
		case Put, Multipart:
			*known = present
		case Delete:
			*known = absent
		}
	}
	return end
}

// head builds the head of a request that is an operation by itself.
func (w *worker) head(o Operation, slice slice, now time.Time) []byte {
	if o == Multipart {
		return nil
	}
	return w.requests.object(o, w.name, slice, now)
}

// wanted is what a request asks for, and what the answer is judged by.
type wanted struct {
	operation Operation
	digest    uint64 // of the key: the content follows from it
	slice     slice
	expected  presence
}

// ask writes the request in w.pieces and reads the head of the answer. The outcome
// is a failure, or says whether the connection is broken.
func (w *worker) ask(now time.Time) (response, outcome) {
	sendErr := w.connect.send(w.pieces, now)
	if sendErr != nil {
		// A server that refuses a body may answer and close before it has read all.
		w.connect.hurry(time.Now())
	}
	answer, err := w.connect.reader.head()
	switch {
	case err != nil && sendErr != nil:
		return answer, w.lost(sendErr)
	case err != nil:
		return answer, w.lost(err)
	}
	answer.close = answer.close || sendErr != nil
	return answer, outcome{}
}

// exchange writes the request in w.pieces, reads the answer and judges it.
func (w *worker) exchange(want wanted, now time.Time) outcome {
	answer, end := w.ask(now)
	if end.code != "" {
		return end
	}
	end = w.judge(want, answer)
	end.broken = end.broken || answer.close
	return end
}

// judge reads what follows the head and decides whether the operation was done.
func (w *worker) judge(want wanted, answer response) outcome {
	o := want.operation
	success := 200
	if o == Range {
		success = 206
	}
	switch {
	case answer.status == 404 && (o.reads() || o == Head) && w.known != nil && want.expected != present:
		return w.drain(o, answer) // it is not there, as it should be
	case o == Delete && (answer.status == 204 || answer.status == 200):
		return w.drain(o, answer)
	case o == Range && answer.status == 200:
		end := w.drain(o, answer)
		if end.code != "" {
			return end
		}
		return w.fault(codeRange, "the server answers with the whole object")
	case answer.status != success || o == Delete:
		return w.refused(o, answer)
	}
	switch o {
	case Put:
		end := w.drain(o, answer)
		end.bytes, end.class = want.slice.length, answer.class
		return end
	case Head:
		if want.expected == absent {
			return w.fault(codePresent, "it was deleted, and HEAD finds it")
		}
		if answer.length != want.slice.length {
			return w.fault(codeLength, fmt.Sprintf("%d bytes, put with %d", answer.length, want.slice.length))
		}
		return outcome{}
	}
	var sink bodySink = discard{}
	if w.run.load.Verify {
		w.check.digest, w.check.at, w.check.differs = want.digest, want.slice.offset, false
		sink = &w.check
	}
	length, err := w.connect.reader.body(answer, sink)
	switch {
	case err != nil:
		return w.lost(err)
	case want.expected == absent:
		return w.fault(codePresent, fmt.Sprintf("it was deleted, and %s returns it", o))
	case length != want.slice.length && o == Range:
		return w.fault(codeRange, fmt.Sprintf("%d bytes, asked for %d from %d on", length, want.slice.length, want.slice.offset))
	case length != want.slice.length:
		return w.fault(codeLength, fmt.Sprintf("%d bytes, put with %d", length, want.slice.length))
	case w.run.load.Verify && w.check.differs:
		return w.fault(codeContent, fmt.Sprintf("seed %d, %d bytes from %d on", w.run.load.Keys.Seed, length, want.slice.offset))
	}
	return outcome{bytes: length}
}

// list asks for one page and notes where the next begins.
func (w *worker) list(now time.Time) outcome {
	load := &w.run.load
	w.pieces = append(w.pieces[:0], w.requests.list(load.Keys.Prefix, w.token, load.ListKeys, now))
	w.name = append(w.name[:0], "listing"...)
	fresh := w.token == ""
	w.token = "" // begin again after a failure
	if err := w.connect.send(w.pieces, now); err != nil {
		return w.lost(err)
	}
	answer, err := w.connect.reader.head()
	if err != nil {
		return w.lost(err)
	}
	if answer.status != 200 {
		end := w.refused(List, answer)
		end.broken = end.broken || answer.close
		return end
	}
	w.page.kept, w.page.limit = w.page.kept[:0], maxPageBytes
	length, err := w.connect.reader.body(answer, &w.page)
	if err != nil {
		return w.lost(err)
	}
	end := outcome{bytes: length, broken: answer.close}
	p, ok := parsePage(w.page.kept)
	switch {
	case !ok:
		end.code, end.example = codeProtocol, "the page is not a ListBucketResult"
	case !p.ordered || !fresh && p.keys > 0 && p.first <= w.lastKey:
		end.code, end.example = codeListing, fmt.Sprintf("keys out of order between %q and %q", p.first, p.last)
	case p.truncated && (p.keys != load.ListKeys || p.next == ""):
		end.code, end.example = codeListing, fmt.Sprintf("%d keys on a page that is not the last, asked for %d", p.keys, load.ListKeys)
	case p.keys > load.ListKeys:
		end.code, end.example = codeListing, fmt.Sprintf("%d keys on a page, asked for %d", p.keys, load.ListKeys)
	default:
		end.entries = uint64(p.keys)
		w.lastKey = p.last
		if p.truncated {
			w.token = p.next
		}
	}
	return end
}

// drain reads a body that nobody looks at.
func (w *worker) drain(o Operation, answer response) outcome {
	if answer.hasBody(o) {
		if _, err := w.connect.reader.body(answer, discard{}); err != nil {
			return w.lost(err)
		}
	}
	return outcome{}
}

// refused reads the error document of an answer.
func (w *worker) refused(o Operation, answer response) outcome {
	document := collector{limit: maxErrorBytes}
	if answer.hasBody(o) {
		if _, err := w.connect.reader.body(answer, &document); err != nil {
			return w.lost(err)
		}
	}
	code := documentCode(answer.status, document.kept)
	return w.fault(code, strings.TrimSpace(fmt.Sprintf("status %d %s", answer.status, element(document.kept, "Message"))))
}

// fault is an operation that failed on a connection that is whole.
func (w *worker) fault(code, example string) outcome {
	return outcome{code: code, example: fmt.Sprintf("%s: %s", w.name, example)}
}

// lost is an operation whose connection failed.
func (w *worker) lost(err error) outcome {
	return outcome{code: transportCode(err), example: fmt.Sprintf("%s: %v", w.name, err), broken: true}
}
