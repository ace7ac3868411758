// Program loopback runs a whole cluster on this machine, for a first look and for
// work on Troupe: a Consul server and three nodes with four mountpaths each, every
// one a process of its own, all on 127.0.0.1.
//
//	make cluster         # runs until Ctrl-C
//	make cluster-stop    # the same from another terminal
//
// It is to a cluster what `make run` is to a node: it stays in the foreground, says
// when all are ready and what to paste, and starts a node again that ended by itself
// or was killed, as a service manager would. What is in the directory is kept: the
// next run goes on with it. Ports follow from -port, so that they are the same in
// every run: Consul's from it on, a node's from it plus ten times its number.
//
// Start with cluster.go.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/troupe-storage/troupe/test/consul"
	"github.com/troupe-storage/troupe/test/process"
)

// settings are the program's flags.
type settings struct {
	dir        string // for data, logs and the secret; relative to the working directory
	port       int    // the first port
	nodes      int
	mountpaths int           // of each node
	again      time.Duration // how long a node that ended stays away
	stop       bool          // end the one that runs
}

func main() {
	var s settings
	flag.StringVar(&s.dir, "dir", filepath.Join("data", "cluster"), "directory for data, logs and the secret; kept")
	flag.IntVar(&s.port, "port", 21000, "first port: Consul's, and node N's listeners from ten times N above it")
	flag.IntVar(&s.nodes, "nodes", 3, "how many nodes")
	flag.IntVar(&s.mountpaths, "mountpaths", 4, "how many mountpaths each node has")
	// Long enough to see that it is down, which takes three seconds.
	flag.DurationVar(&s.again, "again", 15*time.Second, "how long a node that ended stays away until it is started again")
	flag.BoolVar(&s.stop, "stop", false, "end the cluster that runs on the directory")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// run runs a cluster until the context ends, or ends the one that runs.
func run(ctx context.Context, s settings, out io.Writer) (err error) {
	if s.stop {
		return stopOther(ctx, s.dir, out)
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	lock, err := takeLock(s.dir)
	if err != nil {
		return err
	}
	defer func() {
		if released := lock.release(); err == nil {
			err = released
		}
	}()
	program, err := consul.Binary()
	if err != nil {
		return fmt.Errorf("a cluster needs Consul, on PATH or built by `make consul`: %w", err)
	}
	binary, err := process.Build(ctx, s.dir)
	if err != nil {
		return err
	}
	c, err := newCluster(s, program, binary, out)
	if err != nil {
		return err
	}
	return c.run(ctx)
}
