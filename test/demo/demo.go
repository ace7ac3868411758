package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/troupe-storage/troupe/test/process"
)

// demo is one showing. It belongs to one goroutine.
type demo struct {
	binary  string   // path of the troupe binary
	dir     string   // everything it makes lies below
	files   int      // how many files of the Go tree; 0: all
	bigMiB  int64    // size of the big file
	clients []string // of: aws, rclone, boto3
	kills   int      // how often the node is killed
	seed    uint64   // decides when
	out     io.Writer

	node  *process.Node
	tools tools
	begin time.Time

	acknowledged int // operations before all kills
}

// say prints what is shown, with the seconds since the beginning.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%6.1fs  %s\n", time.Since(d.begin).Seconds(), fmt.Sprintf(format, args...))
}

// run shows everything; the first thing that does not hold is its error.
func (d *demo) run(ctx context.Context) (err error) {
	d.begin = time.Now()
	if err := d.check(); err != nil {
		return err
	}
	source := filepath.Join(d.dir, "source")
	want, err := d.makeSource(ctx, source)
	if err != nil {
		return err
	}
	if err := d.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.node.Kill()) }()
	for _, client := range d.clients {
		if err := d.showRoundTrip(ctx, client, source, want); err != nil {
			return fmt.Errorf("%s: %w\n%s", client, err, d.node.Log())
		}
	}
	if err := d.showPlainFile(ctx); err != nil {
		return fmt.Errorf("plain file: %w\n%s", err, d.node.Log())
	}
	if err := d.showKills(ctx); err != nil {
		return err
	}
	if err := d.node.Stop(ctx); err != nil {
		return err
	}
	d.say("the node ended on SIGTERM with 0. All of it held.")
	return nil
}

// start starts the node and finds the clients. The caller ends the node.
func (d *demo) start(ctx context.Context) error {
	dir := filepath.Join(d.dir, "node")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	node, err := process.Start(ctx, process.Config{Binary: d.binary, Dir: dir})
	if err != nil {
		return err
	}
	d.node = node
	d.say("a node with %d mountpaths answers on %s (S3) and %s (native)", len(node.Mountpaths), node.S3, node.Native)
	if d.tools, err = newTools(d.dir, node); err != nil {
		return errors.Join(err, node.Kill())
	}
	return nil
}

// makeSource lays out what the clients carry and returns its manifest.
func (d *demo) makeSource(ctx context.Context, source string) (manifest, error) {
	root, err := goRoot(ctx)
	if err != nil {
		return nil, err
	}
	if err := copyTree(root, filepath.Join(source, "go"), d.files); err != nil {
		return nil, err
	}
	if err := writeRandom(filepath.Join(source, "big.bin"), d.bigMiB<<20+12345, d.seed); err != nil {
		return nil, err
	}
	want, err := readManifest(source)
	if err != nil {
		return nil, err
	}
	files, bytes := want.size()
	d.say("source: %d files of %s and one of %d MiB, %d MiB in all", files-1, root, d.bigMiB, bytes>>20)
	return want, nil
}

// showRoundTrip carries the source in and out by a client and compares.
func (d *demo) showRoundTrip(ctx context.Context, client, source string, want manifest) error {
	return d.carry(ctx, client, trip{bucket: "demo-" + client, in: d.tools, out: d.tools, source: source}, want)
}

// showPlainFile puts one large object in one request and finds it, as it is,
// under its own name in exactly one mountpath.
func (d *demo) showPlainFile(ctx context.Context) error {
	const bucket, name = "demo-plain", "reports/2026/whole.bin"
	path := filepath.Join(d.dir, "whole.bin")
	if err := writeRandom(path, 64<<20+1, d.seed+1); err != nil {
		return err
	}
	want, err := hashFile(path)
	if err != nil {
		return err
	}
	if err := d.tools.makeBucket(ctx, "boto3", bucket); err != nil {
		return err
	}
	if err := d.tools.putInOneRequest(ctx, path, bucket, name); err != nil {
		return err
	}
	var found []string
	for _, mountpath := range d.node.Mountpaths {
		plain := filepath.Join(mountpath, bucket, filepath.FromSlash(name))
		got, err := hashFile(plain)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%s differs from what was put", plain)
		}
		found = append(found, plain)
	}
	if len(found) != 1 {
		return fmt.Errorf("%s/%s lies under its own name in %d mountpaths, want 1: %q", bucket, name, len(found), found)
	}
	d.say("an object of 64 MiB, put in one request, is the plain file %s", found[0])
	return os.Remove(path)
}

// knownClients are those that tools can drive.
func knownClients() []string { return []string{"aws", "boto3", "rclone"} }

// check reports a client that is not known, before anything is made.
func (d *demo) check() error {
	for _, client := range d.clients {
		if !slices.Contains(knownClients(), client) {
			return fmt.Errorf("no client %q; there are %q", client, knownClients())
		}
	}
	return nil
}
