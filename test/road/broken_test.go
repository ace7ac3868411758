package road

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/s3client"
)

// When all nodes have stopped, nothing of the road is left running.
func TestMain(m *testing.M) {
	code := m.Run()
	end := time.Now().Add(patience)
	for code == 0 {
		stacks := make([]byte, 1<<22)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if !bytes.Contains(stacks, []byte("httpedge/intra.")) {
			break
		}
		if time.Now().After(end) {
			fmt.Fprintf(os.Stderr, "goroutines of the road are left:\n%s\n", stacks)
			code = 1
		}
		<-time.After(20 * time.Millisecond)
	}
	os.Exit(code)
}

// A node at another version of the map refuses and changes nothing; once both have
// the same, the request is repeated by itself, small or large.
func TestAnotherMapRefuses(t *testing.T) {
	w := newWorld(t, 2)
	ctx := context.Background()
	at, owner := w.members[0], w.members[1]
	name := w.foreign(at, owner)
	for i, size := range []int{10, 1 << 20} {
		version := uint64(2 * (i + 1))
		owner.nodes.Store(w.set(owner.id, version, nil))
		body := payload(7, size)
		answer, err := at.s3.Put(ctx, bucketName, name, body)
		if err != nil || answer.Status != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
			t.Fatalf("%d bytes at another map: %v %+v", size, err, answer)
		}
		if answer, err := owner.s3.Get(ctx, bucketName, name); err != nil || answer.Status != http.StatusNotFound {
			t.Fatalf("what was refused was done: %v %+v", err, answer)
		}
		if _, err := at.s3.List(ctx, bucketName, "", 10); err == nil {
			t.Fatal("a page was made under two maps")
		}
		replaced := make(chan struct{})
		stale := *at.nodes.Load()
		stale.Replaced = replaced
		at.nodes.Store(&stale)
		result := make(chan error, 1)
		go func() {
			answer, err := at.s3.Put(ctx, bucketName, name, body)
			if err == nil {
				err = answer.Err()
			}
			result <- err
		}()
		replaced <- struct{}{} // it has been refused, and waits for a newer map
		at.nodes.Store(w.set(at.id, version, nil))
		close(replaced)
		if err := <-result; err != nil {
			t.Fatalf("%d bytes, with the map following: %v", size, err)
		}
		answer, err = owner.s3.Delete(ctx, bucketName, name)
		must(t, answer, err)
	}
	w.quiet()
}

// A client that goes away in the middle of its upload leaves nothing: no object, no
// memory held at either node. The same with one that goes away while it is answered.
func TestClientGoesAway(t *testing.T) {
	w := newWorld(t, 2)
	ctx := context.Background()
	at, owner := w.members[0], w.members[1]
	name := w.foreign(at, owner)
	for _, framing := range []string{
		"Content-Length: 4194304\r\n\r\n%s", "Transfer-Encoding: chunked\r\n\r\n400000\r\n%s",
		"Transfer-Encoding: chunked\r\n\r\n100000\r\n%s\r\n", // and no further chunk
	} {
		head, _, err := at.s3.Head(s3client.Request{Method: "PUT", Bucket: bucketName, Key: name})
		if err != nil {
			t.Fatal(err)
		}
		connection, err := net.Dial("tcp", at.S3())
		if err != nil {
			t.Fatal(err)
		}
		body := bytes.Repeat([]byte("x"), 1<<20)
		if _, err := io.WriteString(connection, head+fmt.Sprintf(framing, body)); err != nil {
			t.Fatal(err)
		}
		if err := connection.Close(); err != nil {
			t.Fatal(err)
		}
		w.quiet()
		if answer, err := owner.s3.Get(ctx, bucketName, name); err != nil || answer.Status != http.StatusNotFound {
			t.Fatalf("half an upload became an object: %v %+v", err, answer)
		}
	}
	w.cutBetweenChunks(owner, at, name)
	answer, err := at.s3.Put(ctx, bucketName, name, payload(1, 24<<20))
	must(t, answer, err)
	response, err := at.s3.Send(ctx, s3client.Request{Method: "GET", Bucket: bucketName, Key: name})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, response.Body, 100<<10); err != nil {
		t.Fatal(err)
	}
	at.s3.Close()
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	w.quiet()
}

// cutBetweenChunks sends, as a node, an upload in chunks and goes away before the last
// of them: what came is not the object. TLS says the same then as for a body that has
// ended.
func (w *world) cutBetweenChunks(owner, by *member, name string) {
	w.t.Helper()
	head, _, err := owner.s3.Head(s3client.Request{Method: "PUT", Bucket: bucketName, Key: name})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, last := range []string{"", "0\r\n\r\n"} {
		connection, err := tls.Dial("tcp", owner.Intra(), w.identity(by.id).Client(owner.id))
		if err != nil {
			w.t.Fatal(err)
		}
		_, err = fmt.Fprintf(connection, "%sX-Troupe-Relay-Edge: s3\r\nX-Troupe-Relay-Client: 1.2.3.4:5\r\nX-Troupe-Relay-Map: 1\r\n"+
			"X-Troupe-Relay-Epoch: 1/0\r\nTransfer-Encoding: chunked\r\n\r\n30000\r\n%s\r\n%s", head, bytes.Repeat([]byte("x"), 0x30000), last)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := connection.CloseWrite(); err != nil {
			w.t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, connection) // until the node has done with it
		_ = connection.Close()                 // likewise
		w.quiet()
		answer, err := owner.s3.Get(context.Background(), bucketName, name)
		if err != nil || (answer.Status == http.StatusOK) != (last != "") {
			w.t.Fatalf("an upload that ended with %q: %v %d", last, err, answer.Status)
		}
	}
}

// A node that was stopped is named, whether the map knows it or not: 503, never 404 and
// never half a list. Keys of the others are served.
func TestStoppedNodeIsNamed(t *testing.T) {
	w := newWorld(t, 2)
	ctx := context.Background()
	at, owner := w.members[0], w.members[1]
	lost, kept := w.foreign(at, owner), w.foreign(owner, at)
	for _, name := range []string{lost, kept} {
		answer, err := at.s3.Put(ctx, bucketName, name, []byte("x"))
		must(t, answer, err)
	}
	stale := at.nodes.Load()
	owner.stop(t)
	for _, set := range []*messages.NodeSet{stale, w.set(at.id, 1, nil)} {
		at.nodes.Store(set)
		for _, r := range []s3client.Request{
			{Method: "GET", Bucket: bucketName, Key: lost},
			{Method: "PUT", Bucket: bucketName, Key: lost, Body: []byte("y")},
			{Method: "PUT", Bucket: bucketName, Key: lost, Body: payload(1, 1<<20)},
			{Method: "DELETE", Bucket: bucketName, Key: lost},
			{Method: "GET", Bucket: bucketName, Query: "list-type=2"},
			{Method: "GET", Bucket: bucketName, Query: "uploads="},
			{Method: "PUT", Bucket: bucketName, Key: kept, Header: []objects.Pair{{Name: "x-amz-copy-source", Value: bucketName + "/" + lost}}},
		} {
			answer, err := at.s3.Do(ctx, r)
			if err != nil || answer.Status != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" || !bytes.Contains(answer.Body, []byte(owner.id)) {
				t.Errorf("%s %s?%s: %v %d %s", r.Method, r.Key, r.Query, err, answer.Status, answer.Body)
			}
		}
		answer, err := at.s3.Get(ctx, bucketName, kept)
		must(t, answer, err)
	}
	w.quiet()
}

// fake puts something else at a node's address, which has the node's certificate.
func (w *world) fake(of *member, serve func(net.Conn, *bufio.Reader)) {
	w.t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = socket.Close() })
	config := w.identity(of.id).Server()
	go func() {
		for {
			connection, err := socket.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				secured := tls.Server(connection, config)
				serve(secured, bufio.NewReader(secured))
				_ = secured.Close() // the test looks at the other end
			}()
		}
	}()
	for _, m := range w.members {
		set := *m.nodes.Load()
		set.Nodes = append([]messages.NodeView(nil), set.Nodes...)
		set.Find(of.id).Intra = socket.Addr().String()
		m.nodes.Store(&set)
	}
}

// A node that answers garbage, half an answer or nothing costs its clients a 503 and
// nobody memory; where it may have carried out a request, the client is told.
func TestBrokenNode(t *testing.T) {
	w := newWorld(t, 2)
	ctx := context.Background()
	at, owner := w.members[0], w.members[1]
	name := w.foreign(at, owner)
	readHead := func(r *bufio.Reader) (expects bool) {
		for {
			line, err := r.ReadString('\n')
			if err != nil || line == "\r\n" {
				return expects
			}
			expects = expects || strings.HasPrefix(line, "Expect:")
		}
	}
	for what, answer := range map[string]string{
		"nothing":           "",
		"garbage":           "\x15\x03\x01 garbage\r\n\r\n",
		"no status":         "HTTP/1.1 xyz\r\n\r\n",
		"no length":         "HTTP/1.1 200 OK\r\n\r\nabc",
		"half a head":       "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX-",
		"interim only":      strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100),
		"an endless head":   "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 100<<10) + "\r\n\r\n",
		"a refusal without": "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
	} {
		w.fake(owner, func(c net.Conn, r *bufio.Reader) {
			if readHead(r) {
				if _, err := io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
					return
				}
				if _, err := io.CopyN(io.Discard, r, 200<<10); err != nil {
					return
				}
			}
			_, _ = io.WriteString(c, answer) // whether it arrives is the test's
		})
		for _, request := range []s3client.Request{
			{Method: "GET", Bucket: bucketName, Key: name},
			{Method: "DELETE", Bucket: bucketName, Key: name},
			{Method: "PUT", Bucket: bucketName, Key: name, Body: []byte("small")},
			{Method: "PUT", Bucket: bucketName, Key: name, Body: payload(3, 2<<20)},
			{Method: "GET", Bucket: bucketName},
		} {
			got, err := at.s3.Do(ctx, request)
			if err != nil || got.Status != http.StatusServiceUnavailable {
				t.Errorf("%s: %s %d bytes: %v %+v", what, request.Method, len(request.Body), err, got)
				continue
			}
			unknown := bytes.Contains(got.Body, []byte("outcome is unknown"))
			if unknown != (request.Method != "GET") {
				t.Errorf("%s: %s %d bytes: %s", what, request.Method, len(request.Body), got.Body)
			}
		}
	}
	w.fake(owner, func(c net.Conn, r *bufio.Reader) { // half a body
		readHead(r)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("x", 500_000)) // likewise
	})
	if got, err := at.s3.Get(ctx, bucketName, name); err == nil {
		t.Errorf("half an answer looks whole: %d bytes", len(got.Body))
	}
	w.quiet()
}

// A node that answers an upload before it has come ends it, and the client reads the
// answer though it has not sent all.
func TestEarlyAnswer(t *testing.T) {
	w := newWorld(t, 2)
	at, owner := w.members[0], w.members[1]
	name := w.foreign(at, owner)
	head, _, err := at.s3.Head(s3client.Request{Method: "PUT", Bucket: bucketName, Key: name, Payload: sigv4.Unsigned})
	if err != nil {
		t.Fatal(err)
	}
	w.fake(owner, func(c net.Conn, r *bufio.Reader) {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, request.Body, 100); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 4\r\n\r\nfull") // likewise
		_, _ = io.Copy(io.Discard, r)                                                                  // until it is closed
	})
	connection, err := net.Dial("tcp", at.S3())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	// The client sends a slab and a bit, and waits.
	if _, err := io.WriteString(connection, head+"Content-Length: 10000000\r\n\r\n"+strings.Repeat("x", 200<<10)); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusInsufficientStorage || string(body) != "full" {
		t.Errorf("%d %q %v", response.StatusCode, body, err)
	}
	w.quiet()
}

// Who waits for a node that has fallen silent is told as soon as the cluster knows.
func TestCutNode(t *testing.T) {
	w := newWorld(t, 2)
	at, owner := w.members[0], w.members[1]
	name := w.foreign(at, owner)
	asked := make(chan struct{})
	w.fake(owner, func(_ net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		close(asked)
		_, _ = io.Copy(io.Discard, r) // until it is closed
	})
	result := make(chan *s3client.Answer, 1)
	go func() {
		answer, err := at.s3.Delete(context.Background(), bucketName, name)
		if err != nil {
			answer = &s3client.Answer{Code: err.Error()}
		}
		result <- answer
	}()
	<-asked
	at.CutNode(owner.id)
	if answer := <-result; answer.Status != http.StatusServiceUnavailable || !bytes.Contains(answer.Body, []byte("outcome is unknown")) {
		t.Errorf("%d %s %s", answer.Status, answer.Code, answer.Body)
	}
	w.quiet()
}

// What was relayed is refused by a node that is not in charge, and not sent on again,
// also where both name the same epoch: requests do not go in circles.
func TestRelayedIsNeverRelayedAgain(t *testing.T) {
	w := newWorld(t, 3)
	for i, m := range w.members {
		set := w.set(m.id, 1, nil)
		next := w.members[(i+1)%3].id
		var err error
		if set.Map, err = smap.New("circle", smap.Node{ID: smap.NodeID(next), Digest: 1}); err != nil {
			t.Fatal(err)
		}
		m.nodes.Store(set)
	}
	ctx := context.Background()
	for _, r := range []s3client.Request{
		{Method: "PUT", Bucket: bucketName, Key: "k", Body: []byte("x")},
		{Method: "PUT", Bucket: bucketName, Key: "k", Body: payload(1, 1<<20)},
		{Method: "GET", Bucket: bucketName, Key: "k"},
	} {
		answer, err := w.members[0].s3.Do(ctx, r)
		if err != nil || answer.Status != http.StatusServiceUnavailable || bytes.Contains(answer.Body, []byte("unknown")) {
			t.Errorf("%s: %v %+v", r.Method, err, answer)
		}
	}
	for _, m := range w.members {
		m.nodes.Store(nil)
		if answer, err := m.s3.Get(ctx, bucketName, "k"); err != nil || answer.Status != http.StatusNotFound {
			t.Errorf("%s has what nobody was in charge of: %v %+v", m.id, err, answer)
		}
	}
	w.quiet()
}

// A node that takes no more of an upload slows its client down: the node between holds
// one slab of it and what the kernel keeps, however much there is to come.
func TestSlowNodeSlowsItsClient(t *testing.T) {
	w := newWorld(t, 2)
	at, owner := w.members[0], w.members[1]
	name := w.foreign(at, owner)
	const size, taken = 256 << 20, 1 << 20
	release, took := make(chan struct{}), make(chan struct{})
	w.fake(owner, func(c net.Conn, r *bufio.Reader) {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, request.Body, taken); err != nil {
			return
		}
		close(took)
		<-release
	})
	head, _, err := at.s3.Head(s3client.Request{Method: "PUT", Bucket: bucketName, Key: name, Payload: sigv4.Unsigned})
	if err != nil {
		t.Fatal(err)
	}
	connection, err := net.Dial("tcp", at.S3())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if _, err := fmt.Fprintf(connection, "%sContent-Length: %d\r\n\r\n", head, size); err != nil {
		t.Fatal(err)
	}
	sent, piece := 0, make([]byte, 64<<10)
	for sent < size {
		if err := connection.SetWriteDeadline(time.Now().Add(2 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := connection.Write(piece)
		sent += n
		if err != nil {
			<-took // no more than this is taken
			break
		}
	}
	if sent < taken || sent > size/2 {
		t.Errorf("%d bytes were taken of the client while the node had taken %d", sent, taken)
	}
	if held := at.Slabs().InUse(); held != 1 {
		t.Errorf("%d slabs are held for one upload", held)
	}
	close(release)
	w.quiet()
}
