// Command sums prints what the slices of `make soak` reached together:
//
//	go run ./test/soak/sums .cache/soak
//
// Its exit code is 1 if a row has a violation, 2 if the directory cannot be read.
package main

import (
	"fmt"
	"os"

	"github.com/troupe-storage/troupe/test/soak"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: sums DIRECTORY")
		os.Exit(2)
	}
	text, clean, err := soak.Sums(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	fmt.Print(text)
	if !clean {
		os.Exit(1)
	}
}
