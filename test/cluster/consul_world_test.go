package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-storage/troupe/cluster/consul"
	server "github.com/troupe-storage/troupe/test/consul"
	"github.com/troupe-storage/troupe/test/process"
)

// common is the server of the tests that hurt nobody else.
var common struct {
	once   sync.Once
	server *server.Server
	err    error
	dir    string
}

// suite runs the tests, and then ends the common server.
type suite struct{ m *testing.M }

func (s suite) Run() int {
	code := s.m.Run()
	if common.server != nil {
		if err := common.server.Kill(); err != nil {
			println(err.Error())
			code = 1
		}
	}
	if common.dir != "" {
		_ = os.RemoveAll(common.dir) // what is left over lies in the system's directory for that
	}
	return code
}

// No goroutine of any provider outlives what started it.
func TestMain(m *testing.M) {
	flag.Parse()
	// Most tests wait for seconds that Consul takes, and need no processor meanwhile.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(suite{m})
}

// binary returns the Consul program; without one, the test is skipped.
func binary(t *testing.T) string {
	t.Helper()
	program, err := server.Binary()
	if err != nil {
		process.Missing(t, "there is no Consul: %v", err)
	}
	return program
}

// startConsul starts a server of the test's own.
func startConsul(t *testing.T, config server.Config) *server.Server {
	t.Helper()
	config.Binary, config.Dir = binary(t), t.TempDir()
	s, err := server.Start(t.Context(), config)
	must(t, err)
	t.Cleanup(func() { check(t, s.Kill()) })
	return s
}

// consulWorld is a Consul server.
type consulWorld struct{ server *server.Server }

func newConsulWorld(t *testing.T, ownServer bool) *consulWorld {
	t.Helper()
	if ownServer {
		return &consulWorld{startConsul(t, server.Config{})}
	}
	program := binary(t)
	common.once.Do(func() {
		if common.dir, common.err = os.MkdirTemp("", "troupe-consul-"); common.err == nil {
			common.server, common.err = server.Start(context.Background(), server.Config{Binary: program, Dir: common.dir})
		}
	})
	must(t, common.err)
	return &consulWorld{common.server}
}

func (w *consulWorld) join(t *testing.T) node {
	t.Helper()
	way := &way{connections: make(map[*connection]bool)}
	return node{provider(t, consul.Config{Address: w.server.Address, Dial: way.dial}), way.cut, way.loseAnswers}
}

// provider makes one that is closed with the test.
func provider(t *testing.T, config consul.Config) *consul.Provider {
	t.Helper()
	p, err := consul.New(config)
	must(t, err)
	t.Cleanup(func() { check(t, p.Close()) })
	return p
}

func (w *consulWorld) stop(t *testing.T) { must(t, w.server.Kill()) }

func (w *consulWorld) start(t *testing.T) { must(t, w.server.Restart(t.Context())) }

func (w *consulWorld) wipe(t *testing.T) {
	w.stop(t)
	must(t, w.server.Wipe())
	w.start(t)
}

func (w *consulWorld) expireSessions(t *testing.T) {
	list, err := w.server.Do(t.Context(), http.MethodGet, "/v1/session/list", nil)
	must(t, err)
	var sessions []struct{ ID string }
	must(t, json.Unmarshal([]byte(list), &sessions))
	if len(sessions) == 0 {
		t.Error("there was no session")
	}
	for _, s := range sessions {
		_, err := w.server.Do(t.Context(), http.MethodPut, "/v1/session/destroy/"+s.ID, nil)
		must(t, err)
	}
}

func (w *consulWorld) forget(t *testing.T, nodeID string) {
	_, err := w.server.Do(t.Context(), http.MethodPut, "/v1/agent/service/deregister/troupe-"+nodeID, nil)
	must(t, err)
}

// setMaintenance is what the operator does, with the operator's program.
func (w *consulWorld) setMaintenance(t *testing.T, nodeID, reason string) {
	args := []string{"maint", "-http-addr=" + w.server.Address, "-service=troupe-" + nodeID}
	if reason == "" {
		args = append(args, "-disable")
	} else {
		args = append(args, "-enable", "-reason="+reason)
	}
	operator(t, args...)
}

// operator runs the Consul program as an operator does.
func operator(t *testing.T, args ...string) string {
	t.Helper()
	said, err := exec.CommandContext(t.Context(), binary(t), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("consul %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	return string(said)
}

// way is the network between one node and Consul.
type way struct {
	mu          sync.Mutex
	away        bool
	lose        int
	connections map[*connection]bool
}

func (w *way) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	away := w.away
	w.mu.Unlock()
	if away {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ENETUNREACH}
	}
	conn, err := (&net.Dialer{Timeout: time.Minute}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &connection{Conn: conn, way: w}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.connections[c] = true
	return c, nil
}

func (w *way) cut(is bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = is
	for c := range w.connections {
		if is {
			_ = c.Conn.Close() // it is the cut that closes it
		}
	}
	clear(w.connections)
}

func (w *way) loseAnswers(count int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lose += count
}

// connection is one on the way. It is cut in place of the answer to a change that is
// to be lost: Consul has answered by then.
type connection struct {
	net.Conn
	way    *way
	doomed atomic.Bool
}

func (c *connection) Write(b []byte) (int, error) {
	if bytes.HasPrefix(b, []byte("PUT ")) {
		c.way.mu.Lock()
		if c.way.lose > 0 {
			c.way.lose--
			c.doomed.Store(true)
		}
		c.way.mu.Unlock()
	}
	return c.Conn.Write(b)
}

func (c *connection) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.doomed.Load() {
		return 0, errors.Join(&net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}, c.Conn.Close())
	}
	return n, err
}

func (c *connection) Close() error {
	c.way.mu.Lock()
	delete(c.way.connections, c)
	c.way.mu.Unlock()
	return c.Conn.Close()
}
