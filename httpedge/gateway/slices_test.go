package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/erasure"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

var slicedForm = erasure.Form{Data: 3, Parity: 2, CellBytes: 256}

// slicedBench is a payload in 3+2 at five nodes, of which each can be away, hang, or give
// something else from some byte on.
type slicedBench struct {
	*testing.T
	*slicedPayload
	body  []byte
	files [][]byte

	bodies sync.WaitGroup // bodies that are not closed
	mu     sync.Mutex
	opened map[string]int // how often each node was asked
	away   map[string]bool
	hang   map[string]chan struct{}                     // until it is closed, nothing comes from a byte on
	from   map[string]int64                             // that byte
	change map[string]func(io.ReadCloser) io.ReadCloser // of what it gives
}

func newSlicedBench(t *testing.T, size int) *slicedBench {
	t.Helper()
	b := &slicedBench{
		T: t, body: make([]byte, size), opened: make(map[string]int), away: make(map[string]bool),
		hang: make(map[string]chan struct{}), from: make(map[string]int64), change: make(map[string]func(io.ReadCloser) io.ReadCloser),
	}
	chaos := rand.NewChaCha8([32]byte{byte(size)})
	_, _ = chaos.Read(b.body) // it cannot fail
	payload := objects.Generation{Map: 1, Seq: 9}
	var codecs erasure.Codecs
	codec, err := codecs.For(slicedForm)
	b.must(err)
	stripes, err := codec.NewStripes(1, make([]byte, slicedForm.Slices()*slicedForm.CellBytes))
	b.must(err)
	rooms := make([]bytes.Buffer, slicedForm.Slices())
	sinks := &erasure.Sinks{Need: len(rooms)}
	for i := range rooms {
		sinks.Writers = append(sinks.Writers, io.Writer(&rooms[i]))
	}
	_, err = codec.NewEncoder(payload, int64(size)).Copy(context.Background(), stripes[0], bytes.NewReader(b.body), sinks)
	b.must(err)
	slabs, err := slab.NewPool(64)
	b.must(err)
	t.Cleanup(func() {
		b.bodies.Wait()
		b.must(slabs.Close()) // nothing may be leased
	})
	b.slicedPayload = &slicedPayload{
		key: objects.Key{Bucket: objects.Bucket{Name: "photos"}, Name: "cat"}, codec: codec, slabs: slabs, clock: clock.System{}, open: b.give,
		record: &objects.Meta{Payload: payload, Size: int64(size), XXHash: xxhash.Checksum64(b.body), Where: objects.Slices},
	}
	for i := range rooms {
		b.files = append(b.files, rooms[i].Bytes())
		b.givers = append(b.givers, []sliceGiver{{ID: fmt.Sprint("n", i)}})
	}
	return b
}

func (b *slicedBench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// give is what nodes answer.
func (b *slicedBench) give(at sliceGiver, w *SliceWanted) (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opened[at.ID]++
	if b.away[at.ID] {
		return nil, &messages.NodeAway{Node: at.ID, Reason: "it is down"}
	}
	file := b.files[w.Index]
	if w.Payload != b.record.Payload || w.Offset < 0 || w.Length < 1 || w.Offset+w.Length > int64(len(file)) {
		return nil, errs.E("give", errs.Invalid, objects.ErrInvalidRange)
	}
	var body io.ReadCloser = io.NopCloser(bytes.NewReader(file[w.Offset : w.Offset+w.Length]))
	if hang := b.hang[at.ID]; hang != nil {
		body = &hanging{ReadCloser: body, until: hang, left: max(0, b.from[at.ID]-w.Offset)}
	}
	if change := b.change[at.ID]; change != nil {
		body = change(body)
	}
	b.bodies.Add(1)
	return &closing{ReadCloser: body, ended: b.bodies.Done}, nil
}

// closing tells of its Close.
type closing struct {
	io.ReadCloser
	ended func()
}

// Close implements io.Closer.
func (c *closing) Close() error {
	c.ended()
	return c.ReadCloser.Close()
}

// hanging gives so many bytes, and then nothing until a channel is closed.
type hanging struct {
	io.ReadCloser
	until chan struct{}
	left  int64
}

// Read implements io.Reader.
func (h *hanging) Read(p []byte) (int, error) {
	if h.left == 0 {
		<-h.until
		return h.ReadCloser.Read(p)
	}
	n, err := h.ReadCloser.Read(p[:min(int64(len(p)), h.left)])
	h.left -= int64(n)
	return n, err
}

// flipped changes a byte at an offset of what a node gives.
type flipped struct {
	io.ReadCloser
	at int64
}

// Read implements io.Reader.
func (f *flipped) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if f.at >= 0 && f.at < int64(n) {
		p[f.at] ^= 4
	}
	f.at -= int64(n)
	return n, err
}

// get reads a range, which is to be what it was.
func (b *slicedBench) get(what string, offset, length int64) {
	b.Helper()
	r, err := b.read("test", offset, length)
	if err != nil {
		b.Fatalf("%s: %d bytes from %d: %v", what, length, offset, err)
	}
	got, err := io.ReadAll(r)
	b.must(r.Close())
	if want := b.body[offset : offset+length]; err != nil || !bytes.Equal(got, want) {
		b.Fatalf("%s: %d bytes from %d: %d came, %v", what, length, offset, len(got), err)
	}
}

// Any d slices give any range, whichever p of the nodes are away; with one more away nothing
// is given, and that is known before an answer begins.
func TestRangesOfSlices(t *testing.T) {
	for _, size := range []int{1, 2, 743, 744, 745, 10_000} {
		b := newSlicedBench(t, size)
		random := rand.New(rand.NewPCG(uint64(size), 1))
		for away := range 1 << slicedForm.Slices() {
			n := 0
			for i := range slicedForm.Slices() {
				b.away[fmt.Sprint("n", i)] = away>>i&1 == 1
				n += away >> i & 1
			}
			if n > slicedForm.Parity {
				r, err := b.read("test", 0, int64(size))
				if size < slicedForm.Data && err == nil { // one slice has all of it
					got, err := io.ReadAll(r)
					if b.must(r.Close()); err != nil || !bytes.Equal(got, b.body) {
						t.Fatalf("with %05b away: %d bytes, %v", away, len(got), err)
					}
				} else if !errors.Is(err, erasure.ErrTooFew) || !errs.Is(errs.Offline, err) || r != nil {
					t.Fatalf("with %05b away: %v", away, err)
				}
				continue
			}
			b.get(fmt.Sprintf("%05b away", away), 0, int64(size))
			for range 10 {
				offset := random.Int64N(int64(size))
				b.get(fmt.Sprintf("%05b away", away), offset, 1+random.Int64N(int64(size)-offset))
			}
		}
	}
}

// With all nodes there, only slices of data are asked for, and only those with bytes of the
// range.
func TestNothingElseIsReadOfSlices(t *testing.T) {
	b := newSlicedBench(t, 10_000)
	b.get("all", 0, 10_000)
	b.get("one byte of the second slice", 300, 1)
	if got := fmt.Sprint(b.opened); got != "map[n0:1 n1:2 n2:1]" {
		t.Errorf("asked were %s", got)
	}
}

// What is cut, flipped, late or gone in the middle is had from another slice, and the reader
// sees nothing of it; two such nodes at a time are as many as can be.
func TestSlicesFailInTheMiddle(t *testing.T) {
	const size = 10_000
	faults := map[string]func(*slicedBench, string){
		"cut": func(b *slicedBench, node string) {
			b.change[node] = func(c io.ReadCloser) io.ReadCloser {
				return struct {
					io.Reader
					io.Closer
				}{io.LimitReader(c, 1000), c}
			}
		},
		"flipped": func(b *slicedBench, node string) {
			b.change[node] = func(c io.ReadCloser) io.ReadCloser { return &flipped{c, 1000} }
		},
		"late": func(b *slicedBench, node string) {
			b.hang[node], b.from[node] = make(chan struct{}), 1000
			b.Cleanup(func() { close(b.hang[node]) })
		},
		"late from the start": func(b *slicedBench, node string) {
			b.hang[node] = make(chan struct{})
			b.Cleanup(func() { close(b.hang[node]) })
		},
		"of something else": func(b *slicedBench, node string) {
			b.change[node] = func(c io.ReadCloser) io.ReadCloser { return &zeroed{c} }
		},
	}
	for first, one := range faults {
		for second, two := range faults {
			t.Run(first+" and "+second, func(t *testing.T) {
				t.Parallel()
				b := newSlicedBench(t, size)
				one(b, "n0")
				two(b, "n2")
				b.get("all", 0, size)
				b.get("some", 2500, 5000)
				if b.opened["n3"] == 0 || b.opened["n4"] == 0 {
					t.Errorf("the control: no other slice was needed: %v", b.opened)
				}
			})
		}
	}
}

// zeroed gives nothing but zeros.
type zeroed struct{ io.ReadCloser }

// Read implements io.Reader.
func (z *zeroed) Read(p []byte) (int, error) {
	n, err := z.ReadCloser.Read(p)
	clear(p[:n])
	return n, err
}

// What is late is waited for where there is nothing else.
func TestLateSlicesAreWaitedFor(t *testing.T) {
	b := newSlicedBench(t, 10_000)
	b.away["n3"], b.away["n4"] = true, true
	hang := make(chan struct{})
	b.hang["n1"], b.from["n1"] = hang, 1000
	r, err := b.read("test", 0, 10_000)
	b.must(err)
	defer r.Close()
	read := make(chan error, 1)
	go func() {
		got, err := io.ReadAll(r)
		if err == nil && !bytes.Equal(got, b.body) {
			err = fmt.Errorf("%d other bytes", len(got))
		}
		read <- err
	}()
	for asked := 0; asked == 0; { // the late one was left for parity, which is away
		b.mu.Lock()
		asked = b.opened["n4"]
		b.mu.Unlock()
	}
	close(hang)
	b.must(<-read)
}

// A slice that two nodes have is had from the other one, when the first does not give it.
func TestSliceOfTwoNodes(t *testing.T) {
	b := newSlicedBench(t, 10_000)
	b.givers[0] = append(b.givers[0], &messages.NodeView{ID: "n9"})
	for _, node := range []string{"n0", "n3", "n4"} {
		b.away[node] = true
	}
	b.get("all", 0, 10_000)
	if b.opened["n9"] != 1 {
		t.Errorf("asked were %v", b.opened)
	}
}

// What decodes and is not what the record says is not given out to its end.
func TestSlicesOfAnotherChecksum(t *testing.T) {
	b := newSlicedBench(t, 10_000)
	b.record.XXHash++
	r, err := b.read("test", 0, 10_000)
	b.must(err)
	got, err := io.ReadAll(r)
	b.must(r.Close())
	if !errs.Is(errs.Corrupt, err) || len(got) >= 10_000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	b.get("a part of it, which the cells prove", 1, 9_999)
}

// This node's own slice comes before another node's of the same index, and who cannot be asked
// gives nothing.
func TestGivers(t *testing.T) {
	set := &messages.NodeSet{Self: "a", Nodes: []messages.NodeView{{ID: "a"}, {ID: "b"}, {ID: "c", Away: "it is down"}}}
	member := func(node string, index uint8) objects.Member {
		return objects.Member{Node: objects.NodeDigest(node), Index: index}
	}
	givers := giversOf(&objects.Slicing{Data: 3, Parity: 1, Members: []objects.Member{member("b", 0), member("a", 0), member("b", 1), member("c", 2), member("gone", 3)}}, set)
	var got []string
	for _, list := range givers {
		for _, n := range list {
			if n == nil {
				n = &messages.NodeView{ID: "here"}
			}
			got = append(got, n.ID)
		}
		got = append(got, "|")
	}
	if want := "[here b | b | | |]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}
