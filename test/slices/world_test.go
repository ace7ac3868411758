// Package slices asks one node for slices of another, over mutual TLS and loopback: the
// road's end at both nodes, and the store under the one that is asked.
package slices

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/OneOfOne/xxhash"
	"github.com/sirupsen/logrus"
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/httpedge/intra"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/erasure"
	"github.com/troupe-storage/troupe/objects/slab"
)

const name = "2026/11/cat.jpg"

// world is two nodes: n1 asks, and n2 has a store.
type world struct {
	testing.TB
	*keeper
	road        *intra.Road
	node        *messages.NodeView
	bucket      *objects.BucketDoc
	slabs       *slab.Pool   // of both
	cut         atomic.Int64 // bytes that a connection of n1 sends before it breaks off; 0: all
	dials       atomic.Int64 // connections made
	last        atomic.Value // *connection, the last made
	used        atomic.Value // *connection, the last that sent something
	generations *objects.Sequencer
	ended       chan struct{} // told each time a question has been answered, if there is room
}

// options are what tests change of a world.
type options struct {
	keeps bool          // n2 knows questions about slices
	stall time.Duration // of n2; zero: the default
	dir   string        // of n2's store; empty: in memory
}

func newWorld(t testing.TB, o options) *world {
	t.Helper()
	w := &world{TB: t, generations: objects.NewSequencer(2, 1), bucket: &objects.BucketDoc{Bucket: objects.Bucket{Name: "photos", ID: objects.BucketID{7}}, Version: 7}, ended: make(chan struct{}, 64)}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	must(err)
	shown := []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: private}}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: shown, ClientAuth: tls.RequireAnyClientCert})
	must(err)
	w.slabs, err = slab.NewPool(16)
	must(err)

	var fs disk.FS = disk.NewMem(1)
	if o.dir != "" {
		fs, err = disk.NewLinux(o.dir)
		must(err)
	}
	shared := index.NewShared(8<<20, 1)
	must(store.Format(fs, layout.Format{Version: layout.FormatVersion, ClusterID: "c", NodeID: "n2", MountpathID: "m", IndexFormat: "pebble 24", Created: time.Unix(1, 0).UTC()}))
	kept, err := store.Open(store.Options{
		FS: fs, Shared: shared, Generations: objects.NewSequencer(1, 1), MemTableBytes: index.MinMemTableBytes, Lifetime: new(store.Lifetime), BootID: "boot", Now: time.Now,
	})
	must(err)
	w.keeper = &keeper{store: kept, chunk: 64 << 10}

	buckets, nodes := new(atomic.Pointer[messages.BucketSet]), new(atomic.Pointer[messages.NodeSet])
	buckets.Store(messages.NewBucketSet([]*messages.BucketView{{Doc: w.bucket}}))
	nodes.Store(&messages.NodeSet{Self: "n2"})
	log := logrus.New()
	log.SetOutput(io.Discard)
	config := intra.ServerConfig{
		Gateway: gateway.New(gateway.Config{Buckets: buckets, Nodes: nodes, Slabs: w.slabs}), Peer: func(tls.ConnectionState) (string, error) { return "n1", nil },
		Clock: clock.NewSystem(), StallTime: o.stall, Log: logrus.NewEntry(log),
	}
	if o.keeps {
		config.Slices = w.keeper
	}
	server := intra.NewServer(config)
	edge := &fasthttp.Server{StreamRequestBody: true, MaxRequestBodySize: 1 << 40, ReadBufferSize: 32 << 10, Handler: func(ctx *fasthttp.RequestCtx) {
		server.Handle(ctx)
		select {
		case w.ended <- struct{}{}:
		default:
		}
	}}
	served := make(chan error, 1)
	go func() { served <- edge.Serve(listener) }()
	w.road = intra.NewRoad(intra.Config{
		Dial: w.dial, Clock: clock.NewSystem(), Slabs: w.slabs,
		TLS: func(string) *tls.Config { return &tls.Config{Certificates: shown, InsecureSkipVerify: true} }, // who answers is not what is tested
	})
	w.node = &messages.NodeView{ID: "n2", Intra: listener.Addr().String()}
	t.Cleanup(func() {
		w.road.Close()
		if err := errors.Join(edge.Shutdown(), <-served); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if err := errors.Join(kept.Close(), w.slabs.Close()); err != nil { // of a window that nobody released, too
			t.Error(err)
		}
		shared.Close()
	})
	return w
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.dials.Add(1)
	c := &connection{Conn: raw, world: w}
	w.last.Store(c)
	return c, nil
}

// connection breaks off when it has sent what its world says, or as it says itself.
type connection struct {
	net.Conn
	world  *world
	sent   atomic.Int64
	breaks atomic.Bool // with the next bytes that it is to send
	deaf   atomic.Bool // once the next question has been answered, before it reads the answer
	closed atomic.Bool // it did
}

// Write implements net.Conn.
func (c *connection) Write(b []byte) (int, error) {
	c.world.used.Store(c)
	cut := c.world.cut.Load()
	if sent := c.sent.Add(int64(len(b))); cut > 0 && sent > cut || c.breaks.Load() {
		c.closed.Store(true)
		_ = c.Close() // that it was cut is what is reported
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}

// Read implements net.Conn.
func (c *connection) Read(b []byte) (int, error) {
	if c.deaf.Load() {
		<-c.world.ended
		c.closed.Store(true)
		_ = c.Close() // likewise
		return 0, net.ErrClosed
	}
	return c.Conn.Read(b)
}

// payload is an object as its slices.
type payload struct {
	generation objects.Generation
	body       []byte
	slices     [][]byte
	sealing    *objects.Sealing
}

var form = erasure.Form{Data: 3, Parity: 2, CellBytes: 16 << 10}

// payload returns a new one of so many bytes.
func (w *world) payload(size int) *payload {
	t := w.TB
	t.Helper()
	p := &payload{generation: w.generations.Next(), body: make([]byte, size)}
	if _, err := rand.Read(p.body); err != nil {
		t.Fatal(err)
	}
	var codecs erasure.Codecs
	codec, err := codecs.For(form)
	if err != nil {
		t.Fatal(err)
	}
	stripes, err := codec.NewStripes(1, make([]byte, form.Slices()*form.CellBytes))
	if err != nil {
		t.Fatal(err)
	}
	rooms := make([]bytes.Buffer, form.Slices())
	sinks := &erasure.Sinks{Need: len(rooms)}
	for i := range rooms {
		sinks.Writers = append(sinks.Writers, io.Writer(&rooms[i]))
	}
	made, err := codec.NewEncoder(p.generation, int64(size)).Copy(context.Background(), stripes[0], bytes.NewReader(p.body), sinks)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rooms {
		p.slices = append(p.slices, rooms[i].Bytes())
	}
	p.sealing = &objects.Sealing{
		Size: int64(size), XXHash: xxhash.Checksum64(p.body), ETag: "e", Sums: made.Sums, Modified: time.Unix(7, 0).UTC(),
		Draft: objects.Draft{Headers: objects.Headers{ContentType: "image/jpeg"}},
	}
	return p
}

// stage is a stage of bytes of a slice.
func (p *payload) stage(index uint8, from, to int64, last bool) (*gateway.SliceStage, io.Reader) {
	s := &gateway.SliceStage{Payload: p.generation, Form: form, Index: index, Offset: from, Length: to - from}
	if last {
		s.Last = p.sealing
	}
	if from == to {
		return s, nil
	}
	return s, bytes.NewReader(p.slices[index][from:to])
}

// send stages bytes of a slice at n2.
func (w *world) send(p *payload, index uint8, from, to int64, last bool) (gateway.SliceStaged, error) {
	s, cells := p.stage(index, from, to, last)
	return w.road.StageSlice(w.node, w.bucket, name, s, cells)
}

// all sends a slice in questions of so many bytes.
func (w *world) all(p *payload, index uint8, piece int64) {
	w.Helper()
	size := int64(len(p.slices[index]))
	for from := int64(0); from < size; from += piece {
		to := min(from+piece, size)
		staged, err := w.send(p, index, from, to, to == size)
		if err != nil || staged != (gateway.SliceStaged{Offset: to, Sealed: to == size}) {
			w.Fatalf("%d to %d of %d: %+v, %v", from, to, size, staged, err)
		}
	}
}

// want reads a slice back from n2.
func (w *world) want(p *payload, index uint8) {
	w.Helper()
	size := int64(len(p.slices[index]))
	body, err := w.road.Slice(w.node, w.bucket, name, &gateway.SliceWanted{Payload: p.generation, Index: index, Length: size})
	if err != nil {
		w.Fatal(err)
	}
	got, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil || !bytes.Equal(got, p.slices[index]) {
		w.Fatalf("slice %d came as %d bytes of %d: %v", index, len(got), size, err)
	}
}
