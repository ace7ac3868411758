package errs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
)

type thing struct{}

func (thing) String() string { return "photos/cat.jpg" }

// An error reads as a sentence: operation, thing, kind, cause, nothing twice.
func TestErrorText(t *testing.T) {
	corrupt := E("store.read", Corrupt, errors.New("xxhash 1, want 2"))
	for want, err := range map[string]error{
		"writer.Commit: photos/cat.jpg: corrupt: xxhash 1": E("writer.Commit", thing{}, Corrupt, errors.New("xxhash 1")),
		"a: busy": E("a", Busy),
		"a: x: store.read: corrupt: xxhash 1, want 2":   E("a", "x", corrupt),
		"a: i/o: store.read: corrupt: xxhash 1, want 2": E("a", IO, corrupt),
		"a: internal: EOF":                                     E("a", io.EOF),
		"a: store.read: corrupt: xxhash 1, want 2":             Wrap("a", corrupt),
		"a: canceled: context canceled":                        E("a", context.Canceled),
		"not found":                                            E("", NotFound),
		"a: x: wrapped: store.read: corrupt: xxhash 1, want 2": E("a", "x", fmt.Errorf("wrapped: %w", corrupt)),
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
	if got := Kind(200).String(); got != "kind 200" {
		t.Errorf("an unknown kind is %q", got)
	}
}

// The outermost kind is what a caller is told; a cause keeps its own.
func TestKindOf(t *testing.T) {
	inner := E("b", NotFound, io.EOF)
	for _, c := range []struct {
		err  error
		want Kind
	}{
		{nil, Internal}, {io.EOF, Internal}, {inner, NotFound}, {E("a", inner), NotFound}, {E("a", Busy, inner), Busy},
		{E("a", Internal, inner), Internal}, {fmt.Errorf("x: %w", inner), NotFound}, {errors.Join(io.EOF, inner), NotFound},
		{context.Canceled, Canceled}, {fmt.Errorf("x: %w", context.DeadlineExceeded), Canceled}, {E("a", nil), Internal},
	} {
		if got := KindOf(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
	if !errors.Is(E("a", E("b", io.EOF)), io.EOF) {
		t.Error("the cause is lost")
	}
	if Is(Internal, nil) || !Is(NotFound, inner) || Is(Busy, inner) {
		t.Error("Is tells wrongly")
	}
	if Wrap("a", nil) != nil {
		t.Error("nothing became an error")
	}
}

// An argument that E does not know is a fault of the program, found at once.
func TestUnknownArgumentPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an int was taken")
		}
	}()
	_ = E("a", 42)
}

// Every kind has a name of its own: logs and tests compare them.
func TestKindsHaveNames(t *testing.T) {
	seen := make(map[string]bool)
	for k := Internal; k <= IO; k++ {
		if name := k.String(); name == "" || seen[name] {
			t.Errorf("kind %d is called %q", k, name)
		} else {
			seen[name] = true
		}
	}
}
