package together

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/cluster/authority"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/process/nodes"
)

// A node of the cluster whose requests are wrong changes nothing: under another epoch of
// the key, with fields missing or senseless, or broken off in the middle. Nor does one who
// has recorded what a node sent, and sends it once more. The same request, as it should
// be, is carried out each time: that is the negative control.
func TestMistakenRequests(t *testing.T) {
	t.Parallel()
	const rounds = 25
	m := newMistaken(t)
	for round := range rounds {
		m.name = fmt.Sprintf("key-%d", round)
		m.writes("first")
		m.shows("first")
		for what, change := range map[string]func(r *relayed){
			"another epoch of the map":      func(r *relayed) { r.fields["Epoch"] = fmt.Sprintf("%d/0", m.epoch.Map+1+m.random.Uint64N(9)) },
			"an older epoch of the map":     func(r *relayed) { r.fields["Epoch"] = fmt.Sprintf("%d/0", m.random.Uint64N(m.epoch.Map)) },
			"another epoch of the document": func(r *relayed) { r.fields["Epoch"] = fmt.Sprintf("%d/%d", m.epoch.Map, 1+m.random.Uint64N(9)) },
			"no epoch":                      func(r *relayed) { delete(r.fields, "Epoch") },
			"a senseless epoch":             func(r *relayed) { r.fields["Epoch"] = "1/1/1" },
			"a number too large":            func(r *relayed) { r.fields["Epoch"] = "99999999999999999999/1" },
			"no version of the map":         func(r *relayed) { delete(r.fields, "Map") },
			"no client":                     func(r *relayed) { delete(r.fields, "Client") },
			"a senseless client":            func(r *relayed) { r.fields["Client"] = "somebody" },
			"an edge that there is none of": func(r *relayed) { r.fields["Edge"] = "intra" },
			"none of a node's fields":       func(r *relayed) { r.fields = nil },
			"broken off in the head":        func(r *relayed) { r.cut = 1 + m.random.IntN(100) },
			"broken off in the body":        func(r *relayed) { r.length += 1 + m.random.IntN(100) },
		} {
			m.refused(what, m.write("forged", change))
		}
		m.shows("first")
	}
	// What a node sent, once more.
	m.name = "recorded"
	recorder := &recorder{}
	m.recorder = recorder
	m.writes("first")
	m.recorder = nil
	m.writes("second")
	for range 50 {
		connection, err := net.DialTimeout("tcp", m.Nodes[m.at].Intra, time.Minute)
		m.must(err)
		m.must(connection.SetDeadline(time.Now().Add(time.Minute)))
		_, _ = connection.Write(recorder.sent()) // it may have hung up
		_ = connection.(*net.TCPConn).CloseWrite()
		answer, _ := io.ReadAll(connection)
		m.must(connection.Close())
		if bytes.Contains(answer, []byte("HTTP/1.1 2")) {
			t.Errorf("what was recorded is answered: %q", answer)
		}
	}
	m.shows("second")
}

// mistaken speaks to the node in charge of a key as another node of the cluster does.
type mistaken struct {
	*world
	random   *rand.Rand
	identity *authority.Identity
	name     string
	at       int        // the node in charge of it
	epoch    smap.Epoch // of it
	recorder *recorder  // nil: what is sent is not recorded
}

func newMistaken(t *testing.T) *mistaken {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	m := &mistaken{world: newWorld(t, nodes.Config{Mountpaths: 1}), random: rand.New(rand.NewPCG(seed, 0))}
	own, err := authority.New(m.ID, m.Secret())
	m.must(err)
	m.identity, err = own.Identity(string(m.Nodes[1].ID), clock.NewSystem())
	m.must(err)
	return m
}

// relayed is a request as a node passes it on.
type relayed struct {
	fields map[string]string // of nodes, without what all of them begin with
	length int               // of the body, as the head says
	cut    int               // so many bytes are sent; 0: all
}

// write has the node in charge of the key write a value, by a request that is changed
// before it is sent, and returns what it answers.
func (m *mistaken) write(value string, change func(*relayed)) string {
	m.t.Helper()
	agreed, err := m.Map(m.t.Context())
	m.must(err)
	key := objects.Key{Bucket: objects.Bucket{Provider: "ais", Name: bucket}, Name: m.name}
	view := agreed.View(smap.Key{Digest: key.Digest(), Owners: 1})
	m.epoch = view.Epoch
	for i, n := range m.Nodes {
		if n.ID == view.InCharge {
			m.at = i
		}
	}
	r := &relayed{length: len(value), fields: map[string]string{
		"Edge": "native", "Scheme": "http", "Client": "127.0.0.1:1234", "Request": "0123456789ABCDEF",
		"Map": fmt.Sprint(agreed.Version()), "Epoch": m.epoch.String(),
	}}
	if change != nil {
		change(r)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "PUT /v1/objects/%s/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n", bucket, m.name, r.length)
	for name, field := range r.fields {
		fmt.Fprintf(&text, "X-Troupe-Relay-%s: %s\r\n", name, field)
	}
	text.WriteString("\r\n" + value)
	sent := text.String()
	if r.cut > 0 {
		sent = sent[:r.cut]
	}
	raw, err := net.DialTimeout("tcp", m.Nodes[m.at].Intra, time.Minute)
	m.must(err)
	if m.recorder != nil {
		m.recorder.Conn = raw
		raw = m.recorder
	}
	connection := tls.Client(raw, m.identity.Client(string(m.Nodes[m.at].ID)))
	defer connection.Close()
	m.must(connection.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(connection, sent)
	m.must(err)
	if len(sent) < text.Len() || r.length > len(value) {
		m.must(connection.CloseWrite())
	}
	answer, _ := io.ReadAll(connection) // it may be hung up on
	return string(answer)
}

// writes writes a value, by a request that is as it should be.
func (m *mistaken) writes(value string) {
	m.t.Helper()
	m.must(nodes.Await(m.t.Context(), "a request that is as it should be", func() (bool, string) {
		if m.recorder != nil {
			m.recorder.kept = nil
		}
		answer := m.write(value, nil)
		return strings.HasPrefix(answer, "HTTP/1.1 200 "), answer
	}))
}

func (m *mistaken) refused(what, answer string) {
	m.t.Helper()
	if answer != "" && !strings.HasPrefix(answer, "HTTP/1.1 4") && !strings.HasPrefix(answer, "HTTP/1.1 503 ") {
		m.t.Errorf("%s: %s: %q", m.name, what, answer)
	}
}

// shows fails unless all nodes answer with a value.
func (m *mistaken) shows(value string) {
	m.t.Helper()
	for at := range m.s3 {
		if status, body := m.surely(at, m.name); status != 200 || body != value {
			m.t.Errorf("%s at node %d: %d %q, want %q", m.name, at, status, body, value)
		}
	}
}

// recorder keeps what is sent.
type recorder struct {
	net.Conn
	mu   sync.Mutex
	kept []byte
}

// Write implements net.Conn.
func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	r.kept = append(r.kept, p...)
	r.mu.Unlock()
	return r.Conn.Write(p)
}

func (r *recorder) sent() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.kept)
}
