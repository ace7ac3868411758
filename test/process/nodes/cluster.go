package nodes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/consul"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
)

// awaitWithin bounds every wait: an order of magnitude above what a node may take.
const awaitWithin = 2 * time.Minute

// awaitProbe is the pause between two looks at the map.
const awaitProbe = 20 * time.Millisecond

// clusterName is what the nodes are told.
const clusterName = "test"

// Config says what cluster to start.
type Config struct {
	// Consul and Binary are the programs.
	Consul, Binary string
	// Dir holds all that the cluster has; it belongs to it until End.
	Dir string
	// Count is how many nodes; default 3.
	Count int
	// Mountpaths is how many each of them has; default 4.
	Mountpaths int
	// Args are further arguments of `troupe serve`, for all of them.
	Args []string
	// Env are further variables (NAME=value) of their environment.
	Env []string
	// Network, if not nil, gives each node a network of its own.
	Network *Network
}

// Node is one node of a cluster.
type Node struct {
	*process.Node
	// ID is the node's own, over restarts.
	ID smap.NodeID
}

// Cluster is a Consul and nodes. Its methods are called by one goroutine at a time, but
// for Map, Await and InCharge, which any may call; its fields may be read by any.
type Cluster struct {
	Consul *consul.Server
	Nodes  []*Node
	// ID is the cluster's.
	ID string

	config Config
}

// Start starts Consul and the nodes, and returns when all of them are up and own keys.
// The caller ends the cluster.
func Start(ctx context.Context, config Config) (c *Cluster, err error) {
	if config.Count == 0 {
		config.Count = 3
	}
	c = &Cluster{config: config}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.End())
		}
	}()
	dir := filepath.Join(config.Dir, "consul")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return c, fmt.Errorf("nodes.Start: %w", err)
	}
	if err := os.WriteFile(c.secretFile(), append(c.Secret(), '\n'), 0o600); err != nil {
		return c, fmt.Errorf("nodes.Start: %w", err)
	}
	server := consul.Config{Binary: config.Consul, Dir: dir}
	if config.Network != nil {
		server.Host = config.Network.Consul()
	}
	if c.Consul, err = consul.Start(ctx, server); err != nil {
		return c, err
	}
	if c.Nodes, err = c.startNodes(ctx, 0, config.Count); err != nil {
		return c, err
	}
	return c, c.AwaitMap(ctx, "all nodes are up and own keys", func(m *smap.Smap) bool {
		return c.states(m) == strings.TrimSpace(strings.Repeat("up ", config.Count)) && len(m.Placement()) == config.Count
	})
}

// Add starts one more node, and returns when it is ready.
func (c *Cluster) Add(ctx context.Context) (*Node, error) {
	added, err := c.startNodes(ctx, len(c.Nodes), 1)
	c.Nodes = append(c.Nodes, added...)
	if err != nil {
		return nil, err
	}
	return added[0], nil
}

// startNodes starts nodes side by side, from a number on, and returns those that
// started.
func (c *Cluster) startNodes(ctx context.Context, from, count int) ([]*Node, error) {
	started, failures := make([]*Node, count), make([]error, count)
	done := make(chan struct{})
	for i := range count {
		go func() {
			started[i], failures[i] = c.startNode(ctx, from+i)
			done <- struct{}{}
		}()
	}
	var all []*Node
	for range count {
		<-done
	}
	for _, n := range started {
		if n != nil {
			all = append(all, n)
		}
	}
	return all, errors.Join(failures...)
}

// Keys is the root pair of the nodes.
func (c *Cluster) Keys() sigv4.Credentials {
	keys := process.Keys()
	if c.config.Network != nil {
		keys.SecretKey += "-of-a-network"
	}
	return keys
}

// Clients returns a client of each node's S3 listener with the root pair. The caller
// closes them.
func (c *Cluster) Clients() []*s3client.Client {
	var clients []*s3client.Client
	for _, n := range c.Nodes {
		clients = append(clients, s3client.New(n.S3, c.Keys()))
	}
	return clients
}

// CreateBucket makes a bucket whose objects are on so many nodes each.
func (c *Cluster) CreateBucket(ctx context.Context, bucket string, copies int) error {
	const op = "nodes.CreateBucket"
	n := c.Nodes[0]
	body := fmt.Sprintf(`{"action":"create-bck","value":{"troupe":{"copies":%d}}}`, copies)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, n.URL(n.Native)+"/v1/buckets/"+bucket, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s: %s", op, bucket, answer.Status, said)
	}
	return nil
}

// Secret is that of the cluster, whose nodes live as long as a test: anything of 32 bytes
// will do.
func (c *Cluster) Secret() []byte { return bytes.Repeat([]byte("0f"), 32) }

func (c *Cluster) secretFile() string { return filepath.Join(c.config.Dir, "secret") }

// startNode starts the node of a number.
func (c *Cluster) startNode(ctx context.Context, number int) (*Node, error) {
	config := process.Config{
		Binary: c.config.Binary, Dir: c.dir(number), Mountpaths: c.config.Mountpaths, Intra: process.Free,
		Args: append([]string{"--consul", c.Consul.Address, "--cluster", clusterName, "--cluster-secret-file", c.secretFile()}, c.config.Args...),
	}
	if c.config.Network != nil {
		c.config.Network.place(number, &config)
		// Off loopback, a node takes neither the pair that everybody knows nor silence about
		// who may use the native API.
		config.Env = []string{"TROUPE_ROOT_ACCESS_KEY=" + c.Keys().AccessKey, "TROUPE_ROOT_SECRET_KEY=" + c.Keys().SecretKey}
		config.Args = append(config.Args, "--native-auth", "none")
	}
	config.Env = append(config.Env, c.config.Env...)
	if err := os.MkdirAll(config.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("nodes.Start: %w", err)
	}
	node, err := process.Start(ctx, config)
	if err != nil {
		return nil, err
	}
	n := &Node{Node: node}
	text, err := os.ReadFile(filepath.Join(node.Mountpaths[0], ".troupe", "format.json"))
	if err != nil {
		return n, fmt.Errorf("nodes.Start: %w", err)
	}
	var format struct {
		Node smap.NodeID `json:"node"`
	}
	if err := json.Unmarshal(text, &format); err != nil {
		return n, fmt.Errorf("nodes.Start: %w", err)
	}
	n.ID = format.Node
	return n, nil
}

// End kills everything. More than once is no failure.
func (c *Cluster) End() error {
	var failures []error
	for _, n := range c.Nodes {
		failures = append(failures, n.Kill())
	}
	if c.Consul != nil {
		failures = append(failures, c.Consul.Kill())
	}
	return errors.Join(failures...)
}

// Map returns the map of the cluster as Consul has it.
func (c *Cluster) Map(ctx context.Context) (*smap.Smap, error) {
	if c.ID == "" {
		id, err := c.Consul.Do(ctx, "GET", "/v1/kv/"+cluster.NameKey(clusterName)+"?raw&consistent", nil)
		if err != nil {
			return nil, err
		}
		c.ID = strings.TrimSpace(id)
	}
	keys, err := cluster.NewKeys(c.ID)
	if err != nil {
		return nil, err
	}
	text, err := c.Consul.Do(ctx, "GET", "/v1/kv/"+keys.Smap()+"?raw&consistent", nil)
	if err != nil {
		return nil, err
	}
	return smap.Parse([]byte(text))
}

// AwaitMap waits until the map that Consul has is as wanted, and fails, saying what was
// awaited, when that does not come.
func (c *Cluster) AwaitMap(ctx context.Context, what string, is func(*smap.Smap) bool) error {
	var said string
	return Await(ctx, what, func() (bool, string) {
		m, err := c.Map(ctx)
		if err != nil {
			return false, err.Error()
		}
		if is(m) {
			return true, ""
		}
		if text, err := json.Marshal(m); err == nil {
			said = string(text)
		}
		return false, said
	})
}

// states are the states of Nodes in the map, in their order, blanks between; "-" for one
// that it does not have.
func (c *Cluster) states(m *smap.Smap) string {
	var states []string
	for _, n := range c.Nodes {
		state := "-"
		if entry, ok := m.Node(n.ID); ok {
			state = string(entry.State)
		}
		states = append(states, state)
	}
	return strings.Join(states, " ")
}

// AwaitStates waits until Nodes are in these states, as in "up down up".
func (c *Cluster) AwaitStates(ctx context.Context, want string) error {
	return c.AwaitMap(ctx, "nodes are "+want, func(m *smap.Smap) bool { return c.states(m) == want })
}

// InCharge returns which of Nodes is in charge of a key of a bucket with one copy,
// under the map that Consul has.
func (c *Cluster) InCharge(ctx context.Context, bucket, name string) (int, error) {
	m, err := c.Map(ctx)
	if err != nil {
		return 0, err
	}
	return c.inCharge(m, bucket, name)
}

func (c *Cluster) inCharge(m *smap.Smap, bucket, name string) (int, error) {
	key := objects.Key{Bucket: objects.Bucket{Provider: "ais", Name: bucket}, Name: name}
	id := m.View(smap.Key{Digest: key.Digest(), Owners: 1}).InCharge
	for i, n := range c.Nodes {
		if n.ID == id {
			return i, nil
		}
	}
	return 0, fmt.Errorf("nodes.InCharge: %s/%s: nobody: %q", bucket, name, id)
}

// Spread returns count names of a bucket for each of Nodes, which is in charge of them
// where a bucket has one copy.
func (c *Cluster) Spread(ctx context.Context, bucket string, count int) ([][]string, error) {
	m, err := c.Map(ctx)
	if err != nil {
		return nil, err
	}
	names := make([][]string, len(c.Nodes))
	for i, full := 0, 0; full < len(c.Nodes); i++ {
		name := fmt.Sprintf("spread/%06d", i)
		at, err := c.inCharge(m, bucket, name)
		if err != nil {
			return nil, err
		}
		if len(names[at]) == count {
			continue
		}
		if names[at] = append(names[at], name); len(names[at]) == count {
			full++
		}
	}
	return names, nil
}

// Await asks again and again until it is told yes, and fails, with what it was told
// last, when that does not come.
func Await(ctx context.Context, what string, is func() (ok bool, said string)) error {
	ctx, cancel := context.WithTimeout(ctx, awaitWithin)
	defer cancel()
	probe := time.NewTicker(awaitProbe)
	defer probe.Stop()
	for {
		ok, said := is()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nodes.Await: %s: it did not come: %w; the last was: %s", what, ctx.Err(), said)
		case <-probe.C:
		}
	}
}

// ForTest starts a cluster that lives as long as a test, with the binary that
// process.Main built where config has none, and a directory of the test's own. The logs of one whose test
// failed are told.
func ForTest(t testing.TB, config Config) *Cluster {
	t.Helper()
	program, err := consul.Binary()
	if err != nil {
		process.Missing(t, "there is no Consul: %v", err)
	}
	config.Consul, config.Dir = program, t.TempDir()
	if config.Binary == "" {
		config.Binary = process.Built()
	}
	c, err := Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.End(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for i, n := range c.Nodes {
				t.Logf("node %d, %s: %s", i, n.ID, n.Log())
			}
		}
	})
	return c
}
