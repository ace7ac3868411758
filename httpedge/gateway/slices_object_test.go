package gateway

import (
	"bytes"
	"io"
	"testing"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

func (b *slicedBench) object() *Object {
	return &Object{Meta: b.record, opened: &messages.ObjectOpened{Meta: b.record}, key: b.key, slabs: b.slabs, sliced: b.slicedPayload}
}

// An object in slices is begun before it is sent, is sent as it is, with a copy and without,
// and gives back what it holds wherever its reader stops.
func TestObjectInSlices(t *testing.T) {
	const size = 10_000
	b := newSlicedBench(t, size)
	o := b.object()
	b.must(o.Begin(100, 9_000))
	asked := b.opened["n0"]
	var sent bytes.Buffer
	body := &slicesBody{slicesReader: slicesReader{object: o, offset: 100, length: 9_000}}
	if n, err := body.WriteTo(&sent); err != nil || n != 9_000 || !bytes.Equal(sent.Bytes(), b.body[100:9_100]) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if b.opened["n0"] != asked {
		t.Error("what was begun was begun again")
	}
	b.must(body.Close())
	b.must(body.Close()) // idempotent

	o = b.object()
	for _, r := range [][2]int64{{0, size}, {5, 1}, {5, 1}, {700, 3_000}} { // one after the other, as who copies parts does
		got, err := io.ReadAll(o.Reader(r[0], r[1]))
		if err != nil || !bytes.Equal(got, b.body[r[0]:r[0]+r[1]]) {
			t.Fatalf("%v: %d bytes, %v", r, len(got), err)
		}
	}
	if _, err := io.ReadFull(o.Reader(0, size), make([]byte, 10)); err != nil { // it stops in the middle
		t.Fatal(err)
	}
	o.Close()

	for _, node := range []string{"n0", "n1", "n2"} {
		b.away[node] = true
	}
	o = b.object()
	defer o.Close()
	if err := o.Begin(0, size); !errs.Is(errs.Offline, err) {
		t.Errorf("with three nodes of five away: %v", err)
	}
	b.must(o.Begin(0, 0)) // of nothing nobody is asked
}
