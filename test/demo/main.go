// Program demo shows what Troupe promises, with other people's clients and the
// real binary:
//
//   - the Go toolchain's tree (about 15,000 files) and a file above 1 GiB go in
//     by `aws s3 sync`, by rclone and by boto3, each into a bucket of its own,
//     and come back equal byte for byte;
//   - a large object that was put in one request is a plain file under its own
//     name in one of the mountpaths;
//   - the node is killed with -9 in the middle of uploads, overwrites,
//     multipart uploads, copies and deletes; after its restart everything that
//     was acknowledged is there, whole, and nothing that was deleted came back.
//
// It prints what it shows as it goes, and ends with 0 when all of it held.
//
//	make demo
//	make demo DEMO_FLAGS='-files 2000 -big 96'
//	make demo DEMO_FLAGS='-cluster -files 2000'
//
// With -cluster it is three nodes over a real Consul: what goes in through one comes back
// through the next.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/troupe-storage/troupe/test/process"
)

func main() {
	os.Exit(run())
}

// run is main with its deferred calls; it returns the exit code.
func run() int {
	var show demo
	var clients string
	var keep, cluster bool
	flag.IntVar(&show.files, "files", 0, "how many files of the Go tree; 0: all")
	flag.Int64Var(&show.bigMiB, "big", 1100, "size of the big file, MiB")
	flag.IntVar(&show.kills, "kills", 3, "how often the node is killed")
	flag.Uint64Var(&show.seed, "seed", uint64(time.Now().UnixNano()), "decides when the node is killed")
	flag.StringVar(&clients, "clients", "aws,rclone,boto3", "clients that carry the tree")
	flag.StringVar(&show.dir, "dir", "", "an empty directory for data and downloads (about 6 GiB); default: a temporary one")
	flag.BoolVar(&cluster, "cluster", false, "three nodes over Consul instead of one: each client through each node in turn (no kills)")
	flag.BoolVar(&keep, "keep", false, "leave the directory as it is at the end")
	flag.Parse()
	show.clients = strings.Split(clients, ",")
	show.out = os.Stdout

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if show.dir == "" {
		dir, err := os.MkdirTemp("", "troupe-demo-")
		if err != nil {
			fmt.Fprintln(os.Stderr, "demo:", err)
			return 1
		}
		show.dir = dir
	}
	if !keep {
		defer os.RemoveAll(show.dir)
	}
	binary, err := process.Build(ctx, show.dir)
	if err == nil {
		show.binary = binary
		if cluster {
			err = show.runCluster(ctx)
		} else {
			err = show.run(ctx)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo: FAILED:", err)
		return 1
	}
	return 0
}
