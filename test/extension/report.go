package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
)

// reportParameters are what a report is asked for.
type reportParameters struct {
	Bucket string `json:"bucket"`
	Prefix string `json:"prefix,omitempty"`
	Into   string `json:"into"` // name of the object that the report becomes
}

// reportVersion is the version of the checkpoint.
const reportVersion = 1

// reportState is the checkpoint: where the report is, and its pages so far, which
// are objects of their own until the end. It stays small however long the report is.
type reportState struct {
	After string `json:"after"`
	Pages int    `json:"pages"`
}

// reportKind describes a job that reads every object of a bucket and writes their
// SHA-256 sums into an object, as sha256sum would.
func reportKind() xaction.Kind {
	return xaction.Kind{
		Name: "checksum-report", Summary: "Writes the SHA-256 of every object of a bucket into an object.",
		Scope: xaction.OncePerBucket, Pausable: true, Resumable: true,
		Check: func(raw json.RawMessage) (xaction.Target, error) {
			var p reportParameters
			if err := xaction.Decode(raw, &p); err != nil {
				return xaction.Target{}, err
			}
			if p.Into == "" {
				return xaction.Target{}, errors.New("into: the name of the report's object is needed")
			}
			return xaction.Target{Bucket: p.Bucket}, nil
		},
		Run: report,
	}
}

// pageObjects is how many objects a page of the report has: what is done twice if
// the node is killed.
const pageObjects = 50

func report(r *xaction.Run) error {
	var p reportParameters
	if err := r.Parameters(&p); err != nil {
		return err
	}
	bucket, err := r.Objects().Bucket(p.Bucket)
	if err != nil {
		return err
	}
	w := &reporter{run: r, parameters: p, bucket: bucket.Bucket}
	if _, err := r.Restore(&w.state); err != nil {
		return err
	}
	for more := true; more; {
		if more, err = w.page(); err != nil {
			return err
		}
	}
	return w.join()
}

// reporter is one run of a report.
type reporter struct {
	run        *xaction.Run
	parameters reportParameters
	bucket     objects.Bucket
	state      reportState
}

func (w *reporter) key(name string) objects.Key { return objects.Key{Bucket: w.bucket, Name: name} }

func (w *reporter) pageName(n int) string { return fmt.Sprintf("%s.page%d", w.parameters.Into, n) }

// page writes the sums of the next objects, and then says in the checkpoint that
// it did: a run that is killed in between writes the same page again.
func (w *reporter) page() (more bool, err error) {
	r := w.run
	page, err := r.Objects().List(r.Context(), messages.ListObjects{
		Bucket: w.bucket, Prefix: w.parameters.Prefix, After: w.state.After, Limit: pageObjects,
	})
	if err != nil {
		return false, err
	}
	var lines bytes.Buffer
	next := w.state
	for _, entry := range page.Entries {
		if err := r.Turn(); err != nil { // here it pauses, stops, and keeps its rate
			return false, err
		}
		next.After = entry.Name
		if w.isOurs(entry.Name) {
			continue
		}
		sum, size, err := w.sum(entry.Name)
		if err != nil {
			r.Failed(entry.Name, err) // one object that cannot be read does not end the job
			continue
		}
		fmt.Fprintf(&lines, "%s  %s\n", sum, entry.Name)
		r.Did(xaction.Amount{Objects: 1, Bytes: size})
	}
	next.Pages++
	_, err = r.Objects().Put(r.Context(), w.key(w.pageName(next.Pages)), putOf(&lines, "text/plain"))
	if err != nil {
		return false, err
	}
	w.state = next
	return page.More, errors.Join(r.Checkpoint(reportVersion, w.state), r.Sync())
}

// isOurs reports whether an object is the report or a page of it.
func (w *reporter) isOurs(name string) bool {
	for n := 1; n <= w.state.Pages+1; n++ {
		if name == w.pageName(n) {
			return true
		}
	}
	return name == w.parameters.Into
}

// sum reads an object.
func (w *reporter) sum(name string) (sum string, size int64, err error) {
	_, body, err := w.run.Objects().Open(w.run.Context(), w.key(name))
	if err != nil {
		return "", 0, err
	}
	hash := sha256.New()
	size, err = io.Copy(hash, body)
	return hex.EncodeToString(hash.Sum(nil)), size, errors.Join(err, body.Close())
}

// join makes the pages the report, and removes them.
func (w *reporter) join() error {
	r := w.run
	var whole bytes.Buffer
	for n := 1; n <= w.state.Pages; n++ {
		_, body, err := r.Objects().Open(r.Context(), w.key(w.pageName(n)))
		if err != nil {
			return err
		}
		_, err = io.Copy(&whole, body)
		if err := errors.Join(err, body.Close()); err != nil {
			return err
		}
	}
	if _, err := r.Objects().Put(r.Context(), w.key(w.parameters.Into), putOf(&whole, "text/plain")); err != nil {
		return err
	}
	for n := 1; n <= w.state.Pages; n++ {
		if err := r.Objects().Delete(r.Context(), w.key(w.pageName(n)), objects.Conditions{}); err != nil {
			return err
		}
	}
	return nil
}

// eachObject lists a bucket page by page.
func eachObject(ctx context.Context, from xaction.Objects, bucket objects.Bucket, prefix string, visit func(name string, meta *objects.Meta) error) error {
	request := messages.ListObjects{Bucket: bucket, Prefix: prefix, Limit: 1000}
	for {
		page, err := from.List(ctx, request)
		if err != nil {
			return err
		}
		for _, entry := range page.Entries {
			if err := visit(entry.Name, entry.Meta); err != nil {
				return err
			}
			request.After = entry.Name
		}
		if !page.More {
			return nil
		}
	}
}

// putOf is an object of unknown size.
func putOf(body io.Reader, contentType string) xaction.Put {
	return xaction.Put{Body: body, Size: -1, Draft: objects.Draft{Headers: objects.Headers{ContentType: contentType}}}
}

// fallKind describes a job that fails as a bug in it would: to see what that costs.
func fallKind() xaction.Kind {
	return xaction.Kind{Name: "fall", Summary: "Panics.", Run: func(*xaction.Run) error { panic("it fell") }}
}
