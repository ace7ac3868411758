package membership

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/test/consul"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
)

// patience is how long anything that has to happen may take on a busy machine.
const patience = 90 * time.Second

// world is a Consul server and nodes.
type world struct {
	t      *testing.T
	server *consul.Server
	secret string
	nodes  map[string]*node
}

// node is one node; its directory outlives it.
type node struct {
	*supervisors.Node
	config supervisors.Config
}

func newWorld(t *testing.T) *world {
	t.Helper()
	binary, err := consul.Binary()
	if err != nil {
		process.Missing(t, "there is no Consul: %v", err)
	}
	server, err := consul.Start(t.Context(), consul.Config{Binary: binary, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Kill(); err != nil {
			t.Error(err)
		}
	})
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("0f", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &world{t: t, server: server, secret: secret, nodes: make(map[string]*node)}
}

// config is that of a node by a name, with two mountpaths.
func (w *world) config(name string) supervisors.Config {
	dir := filepath.Join(w.t.TempDir(), name)
	log := logrus.New()
	log.SetOutput(io.Discard)
	if testing.Verbose() {
		log.SetOutput(os.Stderr)
	}
	return supervisors.Config{
		Data: []string{filepath.Join(dir, "d0"), filepath.Join(dir, "d1")}, Native: "127.0.0.1:0", S3: "127.0.0.1:0", Intra: "127.0.0.1:0",
		MemoryBytes: supervisors.MinMemoryBytes, LimitHeap: func(int64) {}, Log: log, Reserve: supervisors.Reserve{Bytes: 1 << 20, Percent: 1},
		Cluster: supervisors.ClusterConfig{Name: "test", Consul: w.server.Address, SecretFile: w.secret},
	}
}

// start starts a node, a new one or one that was stopped.
func (w *world) start(name string) *node {
	w.t.Helper()
	n := w.nodes[name]
	if n == nil {
		n = &node{config: w.config(name)}
		w.nodes[name] = n
	}
	started, err := supervisors.Start(n.config)
	if err != nil {
		w.t.Fatalf("%s: %v", name, err)
	}
	n.Node = started
	w.t.Cleanup(func() { w.stop(name) })
	return n
}

func (w *world) stop(name string) {
	n := w.nodes[name]
	if n.Node == nil {
		return
	}
	if err := n.Node.Stop(); err != nil {
		w.t.Errorf("%s: %v", name, err)
	}
	n.Node = nil
}

// wait waits until the views of all nodes that run are as wanted.
func (w *world) wait(what string, is func(v *messages.ClusterView) bool) {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	ctx, done := context.WithTimeout(w.t.Context(), patience)
	defer done()
	for {
		all := true
		for _, n := range w.nodes {
			all = all && (n.Node == nil || is(n.Cluster()))
		}
		if all {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			for name, n := range w.nodes {
				if n.Node != nil {
					w.t.Logf("%s: %+v", name, n.Cluster())
				}
			}
			w.t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// states are those of the map, in the order of ids: "up up down"; and how many own keys.
func states(v *messages.ClusterView) string {
	if v.Map == nil {
		return ""
	}
	var list []string
	for _, n := range v.Map.Nodes() {
		list = append(list, string(n.State))
	}
	return fmt.Sprintf("%s, %d own keys", strings.Join(list, " "), len(v.Map.Placement()))
}

// create makes a bucket over S3, by the node's own way.
func (n *node) create(t *testing.T, bucket string, want int) {
	t.Helper()
	err := n.client().CreateBucket(t.Context(), bucket)
	if (err == nil) != (want == http.StatusOK) || err != nil && !strings.Contains(err.Error(), fmt.Sprint(want)) {
		t.Errorf("making the bucket %s: %v, want %d", bucket, err, want)
	}
}

// has reports over S3 whether the node knows a bucket.
func (n *node) has(t *testing.T, bucket string, want bool) {
	t.Helper()
	_, err := n.client().List(t.Context(), bucket, "", 10)
	if (err == nil) != want {
		t.Errorf("listing the bucket %s: %v, want %v", bucket, err, want)
	}
}

func (n *node) client() *s3client.Client {
	return s3client.New(n.S3(), sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey})
}

func (n *node) ready(t *testing.T) (int, string) {
	t.Helper()
	answer, err := http.Get("http://" + n.Native() + "/v1/health?readiness=true")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }() // it was read
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// Three nodes over a real Consul are a cluster; one that stops is down and comes back
// as the same node; without Consul they go on; a stranger gets nothing; one with data
// of another cluster is refused.
func TestThreeNodes(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"one", "two", "three"} {
		w.start(name)
	}
	w.wait("three nodes are up and own keys", func(v *messages.ClusterView) bool { return states(v) == "up up up, 3 own keys" })
	if status, body := w.nodes["two"].ready(t); status != http.StatusOK {
		t.Errorf("two is not ready: %d %s", status, body)
	}
	id := w.nodes["two"].Cluster().Self

	// A bucket that is made at one node is at all of them when the answer comes.
	w.nodes["one"].create(t, "photos", http.StatusOK)
	for name := range w.nodes {
		w.nodes[name].has(t, "photos", true)
		w.nodes[name].has(t, "videos", false) // negative control
	}

	w.stop("two")
	w.wait("two is down", func(v *messages.ClusterView) bool { n, _ := v.Map.Node(id); return n.State == "down" })
	w.start("two")
	if w.nodes["two"].Cluster().Self != id || w.nodes["two"].Cluster().Map == nil {
		t.Errorf("it comes back as another node: %+v", w.nodes["two"].Cluster())
	}
	w.wait("it learns that it was down", func(v *messages.ClusterView) bool { n, _ := v.Map.Node(id); return v.Self != id || n.Since > 1 })
	if status, body := w.nodes["two"].ready(t); status != http.StatusServiceUnavailable || !strings.Contains(body, "since version") {
		t.Errorf("it is ready before it is up: %d %s", status, body)
	}
	w.wait("two is back", func(v *messages.ClusterView) bool { return states(v) == "up up up, 3 own keys" })

	if err := w.server.Kill(); err != nil {
		t.Fatal(err)
	}
	w.wait("all know that Consul is away", func(v *messages.ClusterView) bool { return v.Unconfirmed != "" })
	if status, body := w.nodes["one"].ready(t); status != http.StatusOK {
		t.Errorf("without Consul one is not ready: %d %s", status, body)
	}
	w.nodes["one"].create(t, "videos", http.StatusServiceUnavailable)
	w.stop("three")
	w.start("three") // it has been in the cluster, and asks nobody
	if err := w.server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wait("all is as before", func(v *messages.ClusterView) bool {
		return v.Unconfirmed == "" && states(v) == "up up up, 3 own keys"
	})

	// It listens elsewhere now, which the others learn from Consul: on a busy machine too
	// late to be spared being written down for a while. Clients try again then, too.
	three := w.nodes["three"].client()
	w.wait("three lists the bucket that it has from its disks", func(*messages.ClusterView) bool {
		_, err := three.List(t.Context(), "photos", "", 10)
		return err == nil
	})
	w.wait("three makes a bucket", func(*messages.ClusterView) bool {
		_, err := three.List(t.Context(), "videos", "", 10)
		return err == nil || three.CreateBucket(t.Context(), "videos") == nil
	})

	alone := w.config("alone")
	alone.Cluster = supervisors.ClusterConfig{}
	w.refused("a node of another cluster", alone)
	client := &http.Client{Timeout: 10 * time.Second}
	if answer, err := client.Get("https://" + w.nodes["one"].Intra() + "/v1/health"); err == nil {
		t.Errorf("a stranger is answered %s on the intra listener", answer.Status)
	}
}

// refused starts a node alone, and then as one of the cluster, which is refused.
func (w *world) refused(what string, config supervisors.Config) {
	w.t.Helper()
	first, err := supervisors.Start(config)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := first.Stop(); err != nil {
		w.t.Fatal(err)
	}
	config.Cluster = w.nodes["one"].config.Cluster

	n, err := supervisors.Start(config)
	if err == nil {
		err = n.Stop()
		w.t.Errorf("%s is taken (%v)", what, err)
	} else if !strings.Contains(err.Error(), "empty directories only") {
		w.t.Errorf("%s is refused: %v", what, err)
	}
}
