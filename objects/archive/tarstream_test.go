package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// A tar that is made while it is read is the one that a Writer makes, however little is
// read at a time; what fails on the way cuts it.
func TestTarStream(t *testing.T) {
	members := []Input{{Name: "empty"}, {Name: "dir/" + strings.Repeat("long", 60), Size: 3}, {Name: "large", Size: 200_001, Mode: 0o600, Modified: time.Unix(1e9, 5)}}
	stream := func(fails error, short int64) *TarStream {
		next := 0
		return NewTarStream(func() (Input, error) {
			if next == len(members) {
				return Input{}, io.EOF
			}
			if next == 2 && fails != nil {
				return Input{}, fails
			}
			in := members[next]
			next++
			in.Body = iotest.HalfReader(strings.NewReader(strings.Repeat("x", int(in.Size-min(short, in.Size)))))
			return in, nil
		})
	}
	var want bytes.Buffer
	w, err := NewWriter(&want, Tar, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range members {
		in.Body = strings.NewReader(strings.Repeat("x", int(in.Size)))
		if err := w.Add(in); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(stream(nil, 0), want.Bytes()); err != nil {
		t.Error(err)
	}
	broken := errors.New("broken")
	for what, s := range map[string]*TarStream{"a member that fails": stream(broken, 0), "a body that is short": stream(nil, 1)} {
		got, err := io.ReadAll(s)
		if err == nil {
			t.Errorf("%s: no error", what)
		}
		reader := tar.NewReader(bytes.NewReader(got))
		for err = nil; err == nil; {
			if _, err = reader.Next(); err == nil {
				_, err = io.Copy(io.Discard, reader)
			}
		}
		if err == io.EOF && bytes.HasSuffix(got, make([]byte, trailerBytes)) {
			t.Errorf("%s: it looks whole", what)
		}
	}
	out := NewTarStream(func() (Input, error) { return Input{Name: "../x"}, nil })
	if _, err := out.Read(make([]byte, 10)); !errs.Is(errs.Invalid, err) {
		t.Errorf("a name that leads out: %v", err)
	}
}

// An index that would be larger than it may be is not made.
func TestIndexIsBounded(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b, Tar, WriterOptions{Index: true})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		if err := w.Add(Input{Name: strings.Repeat("n", n+1), Body: strings.NewReader("")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	stamp := Stamp{Size: int64(b.Len())}
	whole, err := w.Index(stamp)
	if err != nil {
		t.Fatal(err)
	}
	for most, fits := range map[int64]bool{0: true, int64(len(whole)): true, int64(len(whole)) - 50: false} {
		r, err := Open(Tar, bytes.NewReader(b.Bytes()), stamp.Size, Limits{Index: most})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := BuildIndex(r, stamp)
		if fits && (err != nil || !bytes.Equal(raw, whole)) || !fits && !errors.Is(err, ErrLimit) {
			t.Errorf("at most %d: %d bytes of %d: %v", most, len(raw), len(whole), err)
		}
	}
}
