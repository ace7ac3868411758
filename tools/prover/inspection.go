package prover

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Finding is something that must not be.
type Finding struct {
	Verdict verdict `json:"verdict"`
	Cell    string  `json:"what"` // a key, or an upload or a part of one
	Text    string  `json:"text"`
}

// readers is how many objects are read at a time.
const readers = 6

// pageKeys is how many keys a page of an inspection's listing has: few, so that pages
// have seams.
const pageKeys = 17

// inspection looks at everything that a node has, and says what it finds.
type inspection struct {
	client s3.Client // repeats nothing
	until  time.Time // until then what fails and may pass is asked again

	mu       sync.Mutex
	found    map[string]*value
	settled  map[string]bool // cells of which there is nothing more to say
	findings []Finding
}

// patience is how long the keys of a node that has just started may be busy, all together:
// it settles what the crash has left half done.
const patience = 20 * time.Second

// again asks again while the node says that it is busy.
func (x *inspection) again(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		failure := client.AsFailure(err)
		if failure == nil || failure.Status != http.StatusServiceUnavailable || time.Now().After(x.until) {
			return err
		}
		if leaveAlone(ctx) != nil {
			return err
		}
	}
}

// busyPause is how long what is busy is left alone.
const busyPause = 50 * time.Millisecond

// leaveAlone waits for busyPause. The error is that of ctx.
func leaveAlone(ctx context.Context) error {
	pause := time.NewTimer(busyPause)
	defer pause.Stop()
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// inspect looks at all that a history knows and all that the node lists. The error says
// that the node could not be asked.
func inspect(ctx context.Context, c s3.Client, h *history) (*inspection, error) {
	x := &inspection{client: c, until: time.Now().Add(patience), found: make(map[string]*value), settled: make(map[string]bool)}
	var listed map[string]s3.Entry
	err := x.again(ctx, func() error {
		listed = make(map[string]s3.Entry)
		for entry, err := range c.Walk(ctx, s3.Listing{Bucket: bucket, Page: pageKeys}) {
			if client.Code(err) == "NoSuchBucket" {
				break
			}
			if err != nil {
				return err
			}
			listed[entry.Key] = entry
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	uploads := make(map[string]bool)
	keys := make(map[string]bool)
	for _, cell := range h.names() {
		if isObject(cell) {
			keys[cell] = true
			continue
		}
		parts := strings.Split(cell, "\x00")
		uploads[uploadCell(parts[0], parts[1])] = true
	}
	for key := range listed {
		keys[key] = true
	}
	var work []func() error
	for key := range keys {
		entry, is := listed[key]
		work = append(work, func() error { return x.object(ctx, key, entry, is) })
	}
	for cell := range uploads {
		work = append(work, func() error { return x.upload(ctx, cell) })
	}
	return x, sideBySide(work)
}

// sideBySide does all of the work, a few at a time.
func sideBySide(work []func() error) error {
	next := make(chan func() error)
	failures := make([]error, readers)
	var group sync.WaitGroup
	for i := range readers {
		group.Go(func() {
			for do := range next {
				failures[i] = errors.Join(failures[i], do())
			}
		})
	}
	for _, do := range work {
		next <- do
	}
	close(next)
	group.Wait()
	return errors.Join(failures...)
}

// find notes a finding.
func (x *inspection) find(v verdict, cell, format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.findings = append(x.findings, Finding{Verdict: v, Cell: readable(cell), Text: fmt.Sprintf(format, args...)})
}

// cannotRead notes a cell that was refused, or did not come whole.
func (x *inspection) cannotRead(cell string, err error) {
	v := lost
	if client.AsFailure(err) == nil {
		v = torn
	}
	x.find(v, cell, "it cannot be read: %v", err)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.settled[cell] = true
}

// have notes what a cell holds.
func (x *inspection) have(cell string, v *value) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.found[cell] = v
}

// object reads an object and compares what GET, HEAD and the listing say of it.
func (x *inspection) object(ctx context.Context, key string, entry s3.Entry, isListed bool) error {
	var v *value
	err := x.again(ctx, func() (err error) {
		v, err = fetch(ctx, x.client, key)
		return err
	})
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		x.cannotRead(key, err)
		return nil
	}
	x.have(key, v)
	var head *s3.Object
	err = x.again(ctx, func() (err error) {
		head, err = x.client.Head(ctx, bucket, key)
		return err
	})
	if err != nil && !errs.Is(errs.NotFound, err) {
		if ctx.Err() == nil {
			x.find(wrong, key, "HEAD says %v", err)
			return nil
		}
		return err
	}
	switch {
	case (v == nil) != (err != nil):
		x.find(wrong, key, "GET says %s, and HEAD %s", v, thereOrNot(err == nil))
	case (v == nil) == isListed:
		x.find(wrong, key, "GET says %s, and the listing %s", v, thereOrNot(isListed))
	case v == nil:
	case head.Size != v.Size || head.ETag != v.ETag || markOf(head) != v.Mark:
		x.find(wrong, key, "GET says %s, and HEAD %d bytes of write %x, etag %s", v, head.Size, markOf(head), head.ETag)
	case entry.Size != v.Size || entry.ETag != v.ETag:
		x.find(wrong, key, "GET says %s, and the listing %d bytes, etag %s", v, entry.Size, entry.ETag)
	}
	return nil
}

func thereOrNot(is bool) string {
	if is {
		return "that it is there"
	}
	return "that there is none"
}

// upload lists the parts of an upload.
func (x *inspection) upload(ctx context.Context, cell string) error {
	names := strings.Split(cell, "\x00")
	var parts []s3.Part
	err := x.again(ctx, func() (err error) {
		parts, err = x.client.Parts(ctx, bucket, names[0], names[1])
		return err
	})
	switch {
	case errs.Is(errs.NotFound, err):
		return nil
	case err != nil && ctx.Err() == nil:
		x.cannotRead(cell, err)
		return nil
	case err != nil:
		return err
	}
	x.have(cell, &value{})
	for _, p := range parts {
		x.have(partCell(names[0], names[1], p.Number), &value{Size: p.Size, ETag: p.ETag})
	}
	return nil
}

// judge compares what was found with what must be there after a cut. checked is how many
// cells had something acknowledged; undoable how many findings the class relaxed allows.
func (x *inspection) judge(h *history, kind cutKind, at int64) (checked, undoable int) {
	cells := h.names()
	for cell := range x.found {
		cells = append(cells, cell)
	}
	slices.Sort(cells)
	for _, cell := range slices.Compact(cells) {
		found := x.found[cell]
		v, must := h.judge(cell, found, kind, at)
		if must != nil || found != nil {
			checked++
		}
		switch {
		case v == undone:
			undoable++
		case v != kept && !x.settled[cell]:
			x.find(v, cell, "it holds %s, and what was acknowledged is %s", found, must)
		}
	}
	return checked, undoable
}

// triedKey is the object that is written after each cut, and triedBytes its size.
const (
	triedKey   = "after the cut"
	triedBytes = 2 * inlineLimit
)

// tried is what is written to triedKey.
func tried() *value { return valueOf(0, payload(0, 0, triedBytes)) }

// tryWrite writes an object, reads it and deletes it: a node that came back has to take
// writes, too. The error is that of ctx.
func (x *inspection) tryWrite(ctx context.Context) error {
	const key, size = triedKey, triedBytes
	body := payload(0, 0, size)
	var got *value
	err := x.again(ctx, func() error {
		_, err := x.client.Put(ctx, s3.Put{Bucket: bucket, Key: key, Attributes: attributes(0), Body: bodyOf(body), Size: size})
		return err
	})
	if err == nil {
		got, err = fetch(ctx, x.client, key)
	}
	if err == nil {
		err = x.again(ctx, func() error { return x.client.Delete(ctx, bucket, key) })
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		x.find(wrong, key, "a new object cannot be written, read and deleted: %v", err)
	case !got.equal(tried()):
		x.find(wrong, key, "a new object is %s, and %d bytes were written", got, size)
	}
	return nil
}
