package process

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
)

// Main is the TestMain of a suite that starts nodes: it builds the binary once,
// for all of the suite's tests (Built has its path), runs them, and exits.
func Main(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "troupe-suite-")
	if err != nil {
		return 1, err
	}
	defer func() {
		if removing := os.RemoveAll(dir); err == nil {
			err = removing
		}
	}()
	binary, err := Build(context.Background(), dir)
	if err != nil {
		return 1, err
	}
	if err := os.Setenv(BinaryVariable, binary); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// Built returns the path of the binary that Main built.
func Built() string { return os.Getenv(BinaryVariable) }
