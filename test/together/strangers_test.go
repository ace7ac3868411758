package together

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/cluster/authority"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/process/nodes"
	"github.com/troupe-storage/troupe/test/s3client"
	"github.com/troupe-storage/troupe/test/soak"
)

// Nobody who is no node of the cluster gets anything from the listener that is for nodes,
// however he comes and whatever he asks; and nobody speaks as nodes do at the edges for
// clients. A thousand forged requests leave objects, map and log as they are.
func TestStrangers(t *testing.T) {
	newForger(t, 1).forge(1000)
}

// The same with more, and other seeds each time.
func TestStrangersSoak(t *testing.T) {
	slice := soak.Begin(t, soak.Row{Name: "forged-to-nodes", Unit: "forged requests to node-to-node listeners", Goal: 10_000})
	for slice.More() {
		seed := slice.Next()
		if t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { newForger(t, seed).forge(1000) }) {
			slice.Add(1000, seed+1)
		}
	}
}

// forger makes requests that no node may answer.
type forger struct {
	*world
	random *rand.Rand
	ways   []way
}

// way is how somebody comes to the listener.
type way struct {
	name string
	dial func(address string) (net.Conn, error)
}

const secretKey, secretValue = "what/nobody/may/have", "the payload that is asked for"

func newForger(t *testing.T, seed uint64) *forger {
	t.Helper()
	t.Logf("seed %d", seed)
	f := &forger{world: newWorld(t, nodes.Config{}), random: rand.New(rand.NewPCG(seed, 0))}
	answer, err := f.s3[0].Put(t.Context(), bucket, secretKey, []byte(secretValue))
	if err != nil || !answer.OK() {
		t.Fatalf("%v %+v", err, answer)
	}
	plain := func(address string) (net.Conn, error) { return net.DialTimeout("tcp", address, time.Minute) }
	secured := func(name string, config *tls.Config) way {
		config.InsecureSkipVerify = true // he does not mind who answers
		return way{name, func(address string) (net.Conn, error) {
			return tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", address, config)
		}}
	}
	_, files := process.AuthorityForTest(t)
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	f.must(err)
	f.ways = []way{
		{"no TLS", plain},
		secured("no certificate", &tls.Config{}),
		secured("no certificate, TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}),
		secured("a certificate of somebody's", &tls.Config{Certificates: []tls.Certificate{pair}}),
	}
	// Who knows the id of the cluster and of its nodes, which are no secrets, but not its
	// secret, makes certificates that look like a node's.
	if f.ID == "" {
		t.Fatal("the id of the cluster is not known")
	}
	for name, id := range map[string]string{"of another secret": f.ID, "of another cluster": "0123456789abcdef"} {
		other, err := authority.New(id, []byte("a secret, though not that of the cluster"))
		f.must(err)
		identity, err := other.Identity(string(f.Nodes[1].ID), clock.NewSystem())
		f.must(err)
		config := identity.Client(string(f.Nodes[0].ID))
		config.VerifyConnection = nil
		f.ways = append(f.ways, secured("a node's certificate "+name, config))
	}
	// Nor is one let in who has found what a node threw away.
	own, err := authority.New(f.ID, f.Secret())
	f.must(err)
	identity, err := own.Identity(string(f.Nodes[1].ID), longAgo{})
	f.must(err)
	config := identity.Client(string(f.Nodes[0].ID))
	config.VerifyConnection = nil
	f.ways = append(f.ways, secured("a node's certificate of a year ago", config))
	return f
}

// longAgo is a clock that is a year late.
type longAgo struct{ clock.System }

func (longAgo) Now() time.Time { return time.Now().AddDate(-1, 0, 0) }

// forge sends so many requests, over all ways, and looks what came of them.
func (f *forger) forge(count int) {
	t := f.t
	before, logged := f.mapVersion(), f.logLines()
	begun := time.Now()
	requests := make(chan forged)
	var sending sync.WaitGroup
	for range 8 {
		sending.Go(func() {
			for r := range requests {
				f.send(r)
			}
		})
	}
	for n := range count {
		requests <- f.next(n)
	}
	close(requests)
	sending.Wait()
	seconds := int(time.Since(begun).Seconds()) + 1
	if lines := f.logLines() - logged; lines > 2*seconds {
		t.Errorf("%d forged requests in %d s made nodes log %d lines", count, seconds, lines)
	} else {
		t.Logf("%d forged requests in %d s: %d lines in the logs", count, seconds, lines)
	}
	if after := f.mapVersion(); after != before {
		t.Errorf("the map went from version %d to %d", before, after)
	}
	for at := range f.Nodes {
		if status, body := f.get(at, secretKey); status != http.StatusOK || body != secretValue {
			t.Errorf("afterwards node %d answers %d %q", at, status, body)
		}
		listed, err := f.s3[at].List(t.Context(), bucket, "", 100)
		if err != nil || len(listed) != 1 {
			t.Errorf("afterwards node %d lists %v, %v", at, listed, err)
		}
	}
}

// forged is one request.
type forged struct {
	number int
	edge   string // intra, s3 or native
	at     int
	way    way // to intra
	head   string
	// parts of it, for an edge that asks for a signature
	line   string
	fields []string
	body   string
}

// next makes a request: one of those that nodes make, with fields as nodes send them,
// some of them changed.
func (f *forger) next(number int) forged {
	r := forged{number: number, at: f.random.IntN(len(f.Nodes)), way: f.ways[f.random.IntN(len(f.ways))], edge: "intra"}
	switch f.random.IntN(5) {
	case 0:
		r.edge = "s3"
	case 1:
		r.edge = "native"
	}
	pick := func(of ...string) string { return of[f.random.IntN(len(of))] }
	line := pick(
		"GET /"+bucket+"/"+secretKey, "GET /v1/objects/"+bucket+"/"+secretKey, "PUT /"+bucket+"/forged", "PUT /v1/objects/"+bucket+"/forged",
		"DELETE /"+bucket+"/"+secretKey, "GET /"+bucket+"?list-type=2", "POST /question/list", "POST /question/deletes", "POST /v1/cluster/probe", "POST /question/store", "POST /question/record",
		"GET /v1/buckets", "POST /"+bucket+"?delete",
	)
	if r.edge != "intra" { // there, the fields mean nothing but for keys
		line = pick("GET", "PUT", "DELETE", "HEAD") + " " + pick("/", "/v1/objects/", "/s3/") + bucket + "/" + secretKey
	}
	fields := []string{"Host: " + pick("x", "127.0.0.1", f.Nodes[r.at].S3)}
	relayed := []string{
		"X-Troupe-Relay-Edge: " + pick("s3", "native"), "X-Troupe-Relay-Scheme: " + pick("http", "https"), "X-Troupe-Relay-Client: 127.0.0.1:1234",
		"X-Troupe-Relay-Request: 0123456789ABCDEF", "X-Troupe-Relay-Map: 1", "X-Troupe-Relay-Epoch: " + pick("1/0", "1/1", "1/2", "0/0"),
	}
	f.random.Shuffle(len(relayed), func(i, j int) { relayed[i], relayed[j] = relayed[j], relayed[i] })
	keep := relayed[:1+f.random.IntN(len(relayed))] // one at least: without any, S3 and native are what clients may ask
	for i, field := range keep {
		switch f.random.IntN(3) {
		case 0:
			keep[i] = strings.ToLower(field)
		case 1:
			keep[i] = strings.ToUpper(field[:14]) + field[14:]
		}
	}
	fields = append(fields, keep...)
	body := ""
	if !strings.HasPrefix(line, "GET") {
		body = pick("", "x", "\x0f\xff\x81\x02\x01\x02")
		fields = append(fields, fmt.Sprint("Content-Length: ", len(body)))
	}
	r.line, r.fields, r.body = line, fields[1:], body
	r.head = line + " HTTP/1.1\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n" + body
	return r
}

// send sends it, and fails if it was answered with more than a refusal.
func (f *forger) send(r forged) {
	switch r.edge {
	case "s3":
		f.sendSigned(r)
		return
	case "native":
		answer := f.speak(f.ways[0].dial, f.Nodes[r.at].Native, r)
		if !bytes.HasPrefix(answer, []byte("HTTP/1.1 4")) && !bytes.HasPrefix(answer, []byte("HTTP/1.1 501 ")) {
			f.t.Errorf("request %d to the native edge was not refused:\n%s\n%.400s", r.number, r.head, answer)
		}
		return
	}
	answer := f.speak(r.way.dial, f.Nodes[r.at].Intra, r)
	// Who speaks no TLS at all is told so, and nothing else; see httpedge.
	if r.way.name == "no TLS" && bytes.HasPrefix(answer, []byte("HTTP/1.1 400 ")) && bytes.Contains(answer, []byte(plainHint)) && len(answer) < 300 {
		return
	}
	if bytes.Contains(answer, []byte("HTTP")) || bytes.Contains(answer, []byte(secretValue)) {
		f.t.Errorf("request %d, %s, to the listener for nodes was answered:\n%s\n%s", r.number, r.way.name, r.head, answer)
	}
}

// plainHint is what a listener that speaks TLS says to who does not.
const plainHint = "This port speaks HTTPS and was sent plain HTTP. Use https:// in the endpoint."

// sendSigned sends it to the edge for S3, with the signature of one who may do all: that
// he is no node must be what it is refused for.
func (f *forger) sendSigned(r forged) {
	method, target, _ := strings.Cut(r.line, " ")
	path, query, _ := strings.Cut(target, "?")
	request := s3client.Request{Method: method, Path: path, Query: query, Body: []byte(r.body)}
	for _, field := range r.fields {
		if name, value, _ := strings.Cut(field, ": "); !strings.EqualFold(name, "Content-Length") {
			request.Header = append(request.Header, objects.Pair{Name: name, Value: value})
		}
	}
	answer, err := f.s3[r.at].Do(f.t.Context(), request)
	if err != nil || answer.Status < 400 || answer.Status == http.StatusInternalServerError {
		f.t.Errorf("request %d to S3 was not refused: %v\n%s\n%+v", r.number, err, r.head, answer)
	}
}

// speak sends it as it is, and returns all that comes back; nothing if it was hung up on.
func (f *forger) speak(dial func(string) (net.Conn, error), address string, r forged) []byte {
	connection, err := dial(address)
	if err != nil {
		return nil
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		f.t.Error(err)
	}
	// What follows may fail at any point: the other side has hung up.
	_, _ = io.WriteString(connection, r.head)
	if half, ok := connection.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	answer, _ := io.ReadAll(connection)
	return answer
}

// mapVersion is that of the map in Consul.
func (f *forger) mapVersion() uint64 {
	f.t.Helper()
	m, err := f.Map(f.t.Context())
	f.must(err)
	return m.Version()
}

// logLines counts what all nodes have logged.
func (f *forger) logLines() int {
	f.t.Helper()
	lines := 0
	for _, n := range f.Nodes {
		text, err := os.ReadFile(n.LogPath())
		f.must(err)
		lines += bytes.Count(text, []byte("\n"))
	}
	return lines
}

// Negative control: who has the secret of the cluster is answered by the same listener,
// over the same kind of connection.
func TestWhoHasTheSecretIsAnswered(t *testing.T) {
	w := newWorld(t, nodes.Config{})
	own, err := authority.New(w.ID, w.Secret())
	w.must(err)
	identity, err := own.Identity(string(w.Nodes[1].ID), clock.NewSystem())
	w.must(err)
	connection, err := tls.Dial("tcp", w.Nodes[0].Intra, identity.Client(string(w.Nodes[0].ID)))
	w.must(err)
	defer connection.Close()
	w.must(connection.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(connection, "POST /question/none HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	w.must(err)
	answer, err := io.ReadAll(connection)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 404 ")) {
		t.Errorf("a node is answered %q, %v", answer, err)
	}
	// And fields of nodes alone make a request of a client's a bad one.
	for field, want := range map[string]int{"X-Troupe-Relay-Anything": 400, "X-Troupe-Something": 200} {
		answer, err := w.s3[0].Put(t.Context(), bucket, "x", nil, objects.Pair{Name: field, Value: "1"})
		if err != nil || answer.Status != want {
			t.Errorf("%s: %v %+v, want %d", field, err, answer, want)
		}
	}
}
