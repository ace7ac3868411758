package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/troupe-storage/troupe/test/consul"
	"github.com/troupe-storage/troupe/test/process"
)

const (
	// clusterName is what the nodes know each other by.
	clusterName = "loopback"
	// look is between two looks at who has ended.
	look = 200 * time.Millisecond
)

// cluster is Consul and the nodes. One goroutine uses it, but for the start and the
// end of nodes.
type cluster struct {
	settings
	program string // Consul's
	binary  string // Troupe's
	secret  string // the file
	out     io.Writer

	consul *consul.Server
	nodes  []*node
}

// node is one node of it, from 1.
type node struct {
	number int
	config process.Config
	*process.Node
	ended time.Time // when it was seen to have ended; zero: it runs
}

func newCluster(s settings, program, binary string, out io.Writer) (*cluster, error) {
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return nil, err
	}
	s.dir = dir
	c := &cluster{settings: s, program: program, binary: binary, secret: filepath.Join(dir, "secret"), out: out}
	for number := 1; number <= s.nodes; number++ {
		base := s.port + 10*number
		c.nodes = append(c.nodes, &node{number: number, config: process.Config{
			Binary: binary, Dir: filepath.Join(dir, "node"+strconv.Itoa(number)), Mountpaths: s.mountpaths,
			Native: loopback(base), S3: loopback(base + 1),
			Args: []string{
				"--intra", loopback(base + 2), "--consul", loopback(s.port), "--cluster", clusterName, "--cluster-secret-file", c.secret,
			},
		}})
	}
	return c, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// run starts everything, says how to use it, and ends it when the context ends.
func (c *cluster) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, c.end()) }()
	if err := c.makeSecret(); err != nil {
		return err
	}
	dir := filepath.Join(c.dir, "consul")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	c.say("starting Consul and %d nodes …", len(c.nodes))
	c.consul, err = consul.Start(ctx, consul.Config{Binary: c.program, Dir: dir, Ports: []int{c.port, c.port + 1, c.port + 2}})
	if err != nil {
		return c.interrupted(ctx, err)
	}
	if err := c.startNodes(ctx); err != nil {
		return c.interrupted(ctx, err)
	}
	if _, err := io.WriteString(c.out, c.usage()); err != nil {
		return err
	}
	return c.watch(ctx)
}

// interrupted makes an end that was asked for no failure.
func (c *cluster) interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (c *cluster) say(format string, args ...any) { fmt.Fprintf(c.out, format+"\n", args...) }

// makeSecret makes what the nodes share, the first time.
func (c *cluster) makeSecret() error {
	if _, err := os.Stat(c.secret); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return err
	}
	return os.WriteFile(c.secret, []byte(hex.EncodeToString(secret[:])+"\n"), 0o600)
}

// startNodes starts all nodes at once, and returns when each is ready: the first ones
// found the cluster together.
func (c *cluster) startNodes(ctx context.Context) error {
	failures := make(chan error, len(c.nodes))
	for _, n := range c.nodes {
		go func() {
			var err error
			if err = os.MkdirAll(n.config.Dir, 0o755); err == nil {
				n.Node, err = process.Start(ctx, n.config)
			}
			if err != nil {
				err = fmt.Errorf("node %d: %w", n.number, err)
			}
			failures <- err
		}()
	}
	var all []error
	for range c.nodes {
		all = append(all, <-failures)
	}
	return errors.Join(all...)
}

// watch starts nodes again that ended, until the context ends.
func (c *cluster) watch(ctx context.Context) error {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			c.say("\nstopping …")
			return nil
		case now := <-ticker.C:
			if !c.consul.Running() {
				return errors.New("Consul has ended by itself; see " + filepath.Join(c.dir, "consul", "consul.log"))
			}
			for _, n := range c.nodes {
				if err := c.care(ctx, n, now); err != nil {
					return err
				}
			}
		}
	}
}

// care looks after one node.
func (c *cluster) care(ctx context.Context, n *node, now time.Time) error {
	switch {
	case n.Running():
		return nil
	case n.ended.IsZero():
		n.ended = now
		c.say("node %d has ended; it is started again in %s (its log is %s)", n.number, c.again, n.LogPath())
		return nil
	case now.Sub(n.ended) < c.again:
		return nil
	}
	if err := n.Kill(); err != nil { // it is gone: this gives its place back
		return err
	}
	if err := n.Restart(ctx); err != nil {
		if ctx.Err() == nil {
			c.say("node %d does not start: %v", n.number, err)
		}
		n.ended = now
		return nil
	}
	n.ended = time.Time{}
	c.say("node %d is ready again, as process %d", n.number, n.PID())
	return nil
}

// end ends the nodes, and then Consul, so that nobody misses it.
func (c *cluster) end() error {
	ended := make(chan error, len(c.nodes))
	for _, n := range c.nodes {
		go func() {
			var err error
			if n.Node != nil && n.Running() {
				err = n.Stop(context.Background())
			}
			ended <- err
		}()
	}
	var all []error
	for range c.nodes {
		all = append(all, <-ended)
	}
	if c.consul != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		all = append(all, c.consul.Stop(ctx))
	}
	return errors.Join(all...)
}
