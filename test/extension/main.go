// Command extension is a node with parts of one's own, as docs/extending.md walks
// through them: an actor that keeps a count of the bytes in every bucket, and a kind
// of job that writes a checksum report of a bucket. Its tests build and run it as
// anybody's program would be.
//
// Start with main, then tally.go and report.go.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/supervisors"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run is a node with the extension, from its start to SIGTERM.
func run() (err error) {
	data := flag.String("data", "", "directory of the mountpath")
	native := flag.String("native", "127.0.0.1:8080", "address of the native listener")
	s3 := flag.String("s3", "127.0.0.1:9000", "address of the S3 listener")
	flag.Parse()

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	node, err := supervisors.Start(supervisors.Config{
		Data: []string{*data}, Native: *native, S3: *s3, MemoryBytes: 128 << 20,
		Extensions: []supervisors.Extension{{
			Actors: func(host supervisors.Host) []actors.Spec { return []actors.Spec{tallySpec(host)} },
			Jobs:   []xaction.Kind{reportKind(), fallKind()},
		}},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Stop()) }()
	fmt.Printf("native %s\ns3 %s\n", node.Native(), node.S3())
	<-signals
	return nil
}
