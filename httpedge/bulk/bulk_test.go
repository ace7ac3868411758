package bulk

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-storage/troupe/objects/slab"
)

// configs are those of two that trust each other.
func configs(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"node"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	server = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}, DynamicRecordSizingDisabled: true}
	return server, &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: "node", DynamicRecordSizingDisabled: true}
}

// sockets are the two ends of a TCP connection.
func sockets(t testing.TB) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if near, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}

// counted counts the calls of a connection.
type counted struct {
	net.Conn
	reads, writes int
	fail          error // of the next write, of which half is done
}

func (c *counted) Read(p []byte) (int, error) { c.reads++; return c.Conn.Read(p) }

func (c *counted) Write(p []byte) (int, error) {
	c.writes++
	if err := c.fail; err != nil {
		c.fail = nil
		n, _ := c.Conn.Write(p[:len(p)/2])
		return n, err
	}
	return c.Conn.Write(p)
}

// pair is a connection whose client counts what it asks of the system.
func pair(t testing.TB) (client, server *Conn, calls *counted, buffers *Buffers) {
	t.Helper()
	near, far := sockets(t)
	toServer, toClient := configs(t)
	calls, buffers = &counted{Conn: near}, NewBuffers()
	return Client(calls, toClient, buffers), Server(far, toServer, buffers), calls, buffers
}

// Whatever is written in whatever pieces arrives in whatever pieces it is read, in both
// directions at once.
func TestEverythingArrives(t *testing.T) {
	client, server, _, _ := pair(t)
	sent := make([]byte, 5<<20)
	_, _ = rand.Read(sent)
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	write := func(to *Conn, chance *mathrand.Rand) error {
		for at := 0; at < len(sent); {
			n := min(len(sent)-at, []int{1, 100, recordBytes, recordBytes + 1, batchBytes, 1 << 20}[chance.IntN(6)])
			if wrote, err := to.Write(sent[at : at+n]); err != nil || wrote != n {
				return errors.Join(err, io.ErrShortWrite)
			}
			at += n
		}
		return nil
	}
	read := func(from *Conn, chance *mathrand.Rand) error {
		for at := 0; at < len(sent); {
			room := make([]byte, []int{1, 5, 517, 32 << 10, 1 << 20}[chance.IntN(5)])
			n, err := from.Read(room)
			if err != nil {
				return err
			}
			if !bytes.Equal(room[:n], sent[at:at+n]) {
				return errors.New("something else arrives")
			}
			at += n
		}
		return nil
	}
	ended := make(chan error, 4)
	for i, end := range []*Conn{client, server} {
		go func() { ended <- write(end, mathrand.New(mathrand.NewPCG(seed, uint64(i)))) }()
		go func() { ended <- read(end, mathrand.New(mathrand.NewPCG(seed, uint64(2+i)))) }()
	}
	for range 4 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// A MiB is few calls of the system, and not one for each record.
func TestCallsAreFew(t *testing.T) {
	client, server, calls, _ := pair(t)
	payload := make([]byte, 1<<20)
	go func() {
		for range 2 {
			if _, err := io.CopyN(io.Discard, server, int64(len(payload))); err != nil {
				return // the client's end fails, too
			}
		}
	}()
	if _, err := client.Write(payload); err != nil { // the first one shakes hands
		t.Fatal(err)
	}
	calls.writes = 0
	if _, err := client.Write(payload); err != nil {
		t.Fatal(err)
	}
	if most := len(payload)/batchBytes + 2; calls.writes > most {
		t.Errorf("%d writes, at most %d are needed", calls.writes, most)
	}
}

// A connection whose write failed half way takes no more: what was written is not known.
func TestFailedWritesLast(t *testing.T) {
	client, server, calls, _ := pair(t)
	go func() { _, _ = io.Copy(io.Discard, server) }()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	calls.fail = os.ErrDeadlineExceeded
	if _, err := client.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write that failed below: %v", err)
	}
	for _, size := range []int{1, 1 << 20} {
		if _, err := client.Write(make([]byte, size)); err == nil {
			t.Errorf("%d bytes are written after it", size)
		}
	}
}

// A connection that rests holds no buffer, whatever went over it before.
func TestRestingConnectionsHoldNothing(t *testing.T) {
	client, server, _, buffers := pair(t)
	read := make(chan error)
	room := make([]byte, 1<<20)
	go func() {
		_, err := io.ReadFull(server, room)
		read <- err
		_, err = server.Read(room) // it waits
		read <- err
	}()
	if _, err := client.Write(make([]byte, len(room))); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != io.EOF {
		t.Fatal(err)
	}
	if n := buffers.taken.Load(); n != 0 {
		t.Errorf("what rests holds %d buffers", n)
	}
}

// A connection that is closed in the midst of a body gives its buffers back, and one
// that gets no buffer does without.
func TestBuffersAreBounded(t *testing.T) {
	client, server, _, buffers := pair(t)
	var all []*[batchBytes]byte
	for room := buffers.take(); room != nil; room = buffers.take() {
		all = append(all, room)
	}
	if len(all) != maxBuffers {
		t.Errorf("%d buffers are given out, want %d", len(all), maxBuffers)
	}
	wrote := make(chan error)
	write := func() {
		_, err := client.Write(make([]byte, 2<<20))
		wrote <- err
	}
	go write()
	if _, err := io.CopyN(io.Discard, server, 2<<20); err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	for _, room := range all {
		buffers.give(room)
	}
	go write() // nobody reads all of it
	if _, err := io.CopyN(io.Discard, server, recordBytes); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(server.Abort(), client.Abort()); err != nil {
		t.Fatal(err)
	}
	<-wrote // it failed, or all of it was on its way
	if n := buffers.taken.Load(); n != 0 {
		t.Errorf("closed connections hold %d buffers", n)
	}
}

// cpu is the processor time of this process, in nanoseconds.
func cpu(b *testing.B) int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now); err != nil {
		b.Fatal(err)
	}
	return now.Nano()
}

// What a MiB costs over TLS in processor time, slab by slab, on both sides together: the median of
// rounds of 50, each way in turn.
//
//	go test ./httpedge/bulk -run '^$' -bench . -benchtime 20x
func BenchmarkMiB(b *testing.B) {
	type way struct {
		name        string
		write, read net.Conn
	}
	var ways []way
	toServer, toClient := configs(b)
	add := func(name string, client, server func(net.Conn) net.Conn) {
		near, far := sockets(b)
		ways = append(ways, way{name, client(near), server(far)})
	}
	same := func(c net.Conn) net.Conn { return c }
	add("clear", same, same)
	add("tls", func(c net.Conn) net.Conn { return tls.Client(c, toClient) }, func(c net.Conn) net.Conn { return tls.Server(c, toServer) })
	buffers := NewBuffers()
	bulkClient, bulkServer := func(c net.Conn) net.Conn { return Client(c, toClient, buffers) }, func(c net.Conn) net.Conn { return Server(c, toServer, buffers) }
	add("bulk", bulkClient, bulkServer)
	costs := make([][]int64, len(ways))
	payload := make([]byte, 1<<20)
	room := make([]byte, 1<<20)
	once := func(w way) {
		read := make(chan error)
		go func() {
			var err error
			for at := 0; at < len(payload) && err == nil; at += slab.Bytes {
				_, err = io.ReadFull(w.read, room[:slab.Bytes])
			}
			read <- err
		}()
		for at := 0; at < len(payload); at += slab.Bytes {
			if _, err := w.write.Write(payload[:slab.Bytes]); err != nil {
				b.Fatal(err)
			}
		}
		if err := <-read; err != nil {
			b.Fatal(err)
		}
	}
	for _, w := range ways {
		once(w)
	}
	b.ResetTimer()
	for range b.N {
		for i, w := range ways {
			before := cpu(b)
			for range 50 {
				once(w)
			}
			costs[i] = append(costs[i], (cpu(b)-before)/50)
		}
	}
	for i, w := range ways {
		slices.Sort(costs[i])
		b.ReportMetric(float64(costs[i][len(costs[i])/2])/1e3, w.name+"-µs")
	}
	b.ReportMetric(0, "ns/op")
}
