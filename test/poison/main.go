// Command poison is a node that panics on what a file names, again after each start, as
// a defect would that one key sets off. Its tests run it as a process, kill it, and use
// the command line as an operator does.
//
// Start with main, then poison_test.go.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run is a node from its start to SIGTERM, with those flags of `troupe serve` that the
// tests give.
func run() (err error) {
	data := pflag.StringArray("data", nil, "directory of a mountpath; repeatable")
	native := pflag.String("native", "", "address of the native listener")
	s3 := pflag.String("s3", "", "address of the S3 listener")
	file := pflag.String("poison", "", "file of lines with a type of messages and what they are about")
	pflag.Parse()

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	desk := faults.New(faults.Options{})
	falls, err := poison(desk, *file)
	if err != nil {
		return err
	}
	fall := xaction.Kind{Name: "fall", Summary: "Panics, unless it is mended.", Resumable: true, Run: func(*xaction.Run) error {
		if falls {
			panic("it fell")
		}
		return nil
	}}
	node, err := supervisors.Start(supervisors.Config{
		Data: *data, Native: *native, S3: *s3, MemoryBytes: 128 << 20, Faults: desk, Version: "v-poisoned",
		Extensions: []supervisors.Extension{{Jobs: []xaction.Kind{fall}}},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Stop()) }()
	<-signals
	return nil
}

// poison puts what the file says on the desk, and reports whether jobs are to panic, too.
func poison(desk *faults.Desk, file string) (falls bool, err error) {
	lines, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer lines.Close()
	for scan := bufio.NewScanner(lines); scan.Scan(); {
		message, about, _ := strings.Cut(scan.Text(), " ")
		switch message {
		case "":
			continue
		case "jobs":
			falls = true
			continue
		}
		_, err := desk.Inject(faults.Fault{
			Messages: &faults.Messages{Actor: "node/**", Message: message, About: about, Do: faults.Panic}, Expiry: faults.MaxExpiry,
		})
		if err != nil {
			return false, err
		}
	}
	return falls, nil
}
