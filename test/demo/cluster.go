package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/troupe-storage/troupe/test/consul"
	"github.com/troupe-storage/troupe/test/process/nodes"
)

// runCluster shows the same with three nodes over a real Consul: what each client carries
// in through one node comes back through the next, for each node in turn. The first thing
// that does not hold is its error.
func (d *demo) runCluster(ctx context.Context) (err error) {
	d.begin = time.Now()
	if err := d.check(); err != nil {
		return err
	}
	program, err := consul.Binary()
	if err != nil {
		return err
	}
	source := filepath.Join(d.dir, "source")
	want, err := d.makeSource(ctx, source)
	if err != nil {
		return err
	}
	c, err := nodes.Start(ctx, nodes.Config{Consul: program, Binary: d.binary, Dir: filepath.Join(d.dir, "cluster")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.End()) }()
	d.say("three nodes with four mountpaths each over Consul at %s", c.Consul.Address)
	var ways []tools
	for i, n := range c.Nodes {
		way, err := newTools(filepath.Join(d.dir, fmt.Sprint("client", i)), n.Node)
		if err != nil {
			return err
		}
		ways = append(ways, way)
	}
	for at := range ways {
		for _, client := range d.clients {
			next := (at + 1) % len(ways)
			if err := d.carry(ctx, client, trip{bucket: fmt.Sprintf("demo-%s-%d", client, at), in: ways[at], out: ways[next], source: source}, want); err != nil {
				return fmt.Errorf("%s, in through node %d, out through node %d: %w\n%s", client, at, next, err, c.Nodes[at].Log())
			}
		}
		d.say("all of that went in through node %d and came back through node %d", at, (at+1)%len(ways))
	}
	for _, n := range c.Nodes {
		if err := n.Stop(ctx); err != nil {
			return err
		}
	}
	d.say("the nodes ended on SIGTERM with 0. All of it held.")
	return nil
}

// trip is a way in and a way back.
type trip struct {
	bucket  string
	in, out tools
	source  string
}

// carry carries the source in and out by a client and compares.
func (d *demo) carry(ctx context.Context, client string, t trip, want manifest) error {
	back := filepath.Join(d.dir, "back")
	if err := t.in.makeBucket(ctx, client, t.bucket); err != nil {
		return err
	}
	files, bytes := want.size()
	begin := time.Now()
	if err := t.in.upload(ctx, client, t.source, t.bucket); err != nil {
		return err
	}
	up := time.Since(begin)
	begin = time.Now()
	if err := t.out.download(ctx, client, t.bucket, back); err != nil {
		return err
	}
	down := time.Since(begin)
	got, err := readManifest(back)
	if err != nil {
		return err
	}
	if err := got.equal(want); err != nil {
		return err
	}
	d.say("%-6s  up %.0f s, down %.0f s: %d files, %d MiB, equal byte for byte", client, up.Seconds(), down.Seconds(), files, bytes>>20)
	return os.RemoveAll(back)
}
