package conformance_test

import (
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/backend"
	"github.com/troupe-storage/troupe/backend/conformance"
	"github.com/troupe-storage/troupe/backend/faulty"
	"github.com/troupe-storage/troupe/backend/memory"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// broken is a store with one thing wrong.
type broken struct {
	backend.Store
	wrong string
}

func (b *broken) Head(ctx context.Context, name string) (backend.Object, error) {
	o, err := b.Store.Head(ctx, name)
	switch b.wrong {
	case "what is absent is empty":
		err = nil
	case "its kind of failure is lost":
		if err != nil {
			err = io.ErrUnexpectedEOF
		}
	case "a HEAD has another version":
		o.Version += "x"
	case "sums are not told":
		o.Sums = nil
	case "user metadata is lost":
		o.User = nil
	}
	return o, err
}

func (b *broken) Open(ctx context.Context, name string, r backend.Read) (backend.Object, io.ReadCloser, error) {
	switch b.wrong {
	case "versions are ignored":
		r.Version = ""
	case "the offset is ignored":
		r.Offset = 0
	case "the length is ignored":
		r.Length = -1
	case "contexts are ignored":
		ctx = context.WithoutCancel(ctx)
	case "a range behind the end is empty":
		if o, err := b.Store.Head(ctx, name); err == nil && r.Offset > o.Size {
			return o, io.NopCloser(strings.NewReader("")), nil
		}
	}
	o, body, err := b.Store.Open(ctx, name, r)
	if b.wrong == "bodies stay open" && err == nil {
		body = io.NopCloser(body)
	}
	return o, body, err
}

func (b *broken) List(ctx context.Context, r backend.ListRequest) (backend.Page, error) {
	if b.wrong == "delimiters are ignored" {
		r.Delimiter = ""
	}
	p, err := b.Store.List(ctx, r)
	switch b.wrong {
	case "the next page leaves one out":
		p.Last += "~"
	case "a page says that it is the last":
		p.More = false
	case "pages have more than was asked for":
		if p.More {
			r.Limit++
			p, err = b.Store.List(ctx, r)
		}
	}
	return p, err
}

func (b *broken) Put(ctx context.Context, name string, p backend.Put, body io.ReaderAt, size int64) (backend.Object, error) {
	switch b.wrong {
	case "conditions are ignored":
		p.If = nil
	case "wrong sums are taken":
		p.Sums = nil
	case "names are folded":
		name = strings.ToLower(name)
	}
	return b.Store.Put(ctx, name, p, body, size)
}

func (b *broken) Delete(ctx context.Context, name string) error {
	if b.wrong == "nothing is deleted" {
		return ctx.Err()
	}
	if b.wrong == "what is absent cannot be deleted" {
		if _, err := b.Store.Head(ctx, name); err != nil {
			return err
		}
	}
	return b.Store.Delete(ctx, name)
}

// TestBroken is run by TestEachFaultIsNoticed, in a process of its own.
func TestBroken(t *testing.T) {
	wrong := os.Getenv("TROUPE_BROKEN")
	if wrong == "" {
		return
	}
	conformance.Run(t, conformance.Fixture{New: func(*testing.T) conformance.Bucket {
		s := memory.New("photos", clock.NewSystem())
		body := map[string]faulty.BodyTrouble{
			"bodies end early": {Kind: faulty.Ends, At: 1000}, "a bit is flipped": {Kind: faulty.Flip, At: 1}, "bodies break off": {Kind: faulty.Cut, At: 1000},
		}[wrong]
		trouble := faulty.Trouble{Body: body}
		if wrong == "writes are not told" {
			trouble.Lost = errs.E("test", errs.Offline)
		}
		return conformance.Bucket{
			Store:  &broken{faulty.Wrap(s, clock.NewSystem(), func(faulty.Does, string) faulty.Trouble { return trouble }), wrong},
			Bodies: func() int { return s.Counts().Bodies },
		}
	}})
}

// A store that does one thing wrong fails the suite, in the case that is about it; as it
// is, it passes.
func TestEachFaultIsNoticed(t *testing.T) {
	for wrong, in := range map[string]string{
		"nothing": "", "what is absent is empty": "absent", "its kind of failure is lost": "absent", "a HEAD has another version": "versions", "sums are not told": "writes",
		"user metadata is lost": "writes", "versions are ignored": "versions", "the offset is ignored": "ranges", "the length is ignored": "ranges", "contexts are ignored": "canceled",
		"a range behind the end is empty": "ranges", "bodies stay open": "sizes", "delimiters are ignored": "delimiters", "the next page leaves one out": "pages",
		"a page says that it is the last": "pages", "pages have more than was asked for": "pages", "conditions are ignored": "conditions", "wrong sums are taken": "writes",
		"names are folded": "names", "nothing is deleted": "writes", "what is absent cannot be deleted": "writes", "bodies end early": "sizes", "a bit is flipped": "sizes",
		"bodies break off": "sizes", "writes are not told": "names",
	} {
		t.Run(wrong, func(t *testing.T) {
			t.Parallel()
			run := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestBroken$", "-test.v") //nolint:gosec // this test itself
			run.Env = append(os.Environ(), "TROUPE_BROKEN="+wrong)
			out, err := run.CombinedOutput()
			if in == "" {
				if err != nil {
					t.Errorf("%v\n%s", err, out)
				}
				return
			}
			if failed := "--- FAIL: TestBroken/" + in + " "; err == nil || !strings.Contains(string(out), failed) {
				t.Errorf("%v, and the case %q has not failed\n%s", err, in, out)
			}
		})
	}
}
