package gateway

import (
	"errors"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

// zeros is a payload file in memory.
type zeros struct{}

// ReadAt implements messages.PayloadFile.
func (zeros) ReadAt(room []byte, _ int64) (int, error) { return len(room), nil }
func (zeros) Close() error                             { return nil }
func (zeros) Sent(int64)                               {}
func (zeros) OS() *os.File                             { return nil }

// A body that may go around the disk costs what one costs that may not, as long as the disk
// gives all of it.
func TestHealthyBodyCostsNothing(t *testing.T) {
	slabs, err := slab.NewPool(4)
	if err != nil {
		t.Fatal(err)
	}
	const size = 3 * slab.Bytes
	cost := func(g *Gateway) float64 {
		return testing.AllocsPerRun(200, func() {
			o := &Object{
				Meta: &objects.Meta{Where: objects.File, Size: size + 1}, slabs: slabs, gateway: g,
				opened: &messages.ObjectOpened{File: zeros{}},
			}
			b := newBody(o, nil, false, 0, size)
			if n, err := b.WriteTo(io.Discard); n != size || err != nil {
				t.Fatalf("%d bytes: %v", n, err)
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
	if with, without := cost(new(Gateway)), cost(nil); with != without {
		t.Fatalf("%v allocations, and %v where it may not go around", with, without)
	}
}

// Only what speaks against this node's own disk has a read go around it.
func TestGoesAround(t *testing.T) {
	own := func(kind errs.Kind, cause error) error { return errs.E("op", &ownFailure{errs.E("op", kind, cause)}) }
	for _, c := range []struct {
		err  error
		want bool
	}{
		{own(errs.IO, syscall.EIO), true},
		{own(errs.Corrupt, errors.New("xxhash")), true},
		{own(errs.Offline, &messages.MountpathAway{State: messages.MountpathMissing}), true},
		{own(errs.Offline, errUnknown), true},
		{own(errs.Busy, messages.ErrNoAnswer), true},
		{own(errs.Busy, objects.ErrOutcomeUnknown), true},
		{own(errs.Busy, errors.New("no slab")), false},
		{own(errs.Invalid, errors.New("name")), false},
		{own(errs.Offline, &messages.NodeAway{Node: "n"}), false},
		{own(errs.Busy, &messages.MapDiffers{Node: "n"}), false},
		{own(errs.Offline, &messages.Quarantined{}), false},
		{errs.E("op", errs.Offline, errors.New("a node did not confirm")), false},
		{errs.E("op", errs.NotFound, objects.ErrNoSuchKey), false},
	} {
		if got := goesAround(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}

// Without a free slab a body from other nodes fails before its answer begins, as Busy, and
// nobody is asked.
func TestBeginWithoutSlab(t *testing.T) {
	slabs, err := slab.NewPool(1)
	if err != nil {
		t.Fatal(err)
	}
	window, err := slabs.Lease(1)
	if err != nil {
		t.Fatal(err)
	}
	defer window.Release()
	o := &Object{Meta: &objects.Meta{Where: objects.File, Size: slab.Bytes + 1}, slabs: slabs} // it has no detour to ask
	if err := o.begin(); !errs.Is(errs.Busy, err) {
		t.Fatal(err)
	}
}
