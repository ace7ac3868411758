// Program summary reads what `go test -json` writes and says it in few words: a
// line for each package, everything that a failed test wrote, and at the end
//
//	N passed, N failed, N skipped
//
// It ends with 0 only when at least one test ran and none failed; with
// TROUPE_NO_SKIP=1 a skipped test is a failure, too. It decides by the events
// it read, so that several runs of go test can be piped into it one after the
// other:
//
//	{ go test -json ./a; go test -json ./b; } | summary
//
// Counted are leaves: a test with subtests is the sum of them, and counts itself
// only when it fails beside them. A package that fails without a failed test
// (it does not compile, its TestMain refuses, it was ended by its time limit)
// counts as one failure.
package main

import (
	"bufio"
	"fmt"
	"os"

	"github.com/troupe-storage/troupe/test/process"
)

func main() {
	s := newSummary(os.Stdout)
	s.noSkip = os.Getenv(process.NoSkipVariable) == "1"
	if err := s.read(bufio.NewReaderSize(os.Stdin, 1<<20)); err != nil {
		fmt.Fprintln(os.Stderr, "summary:", err)
		os.Exit(2)
	}
	if !s.finish() {
		os.Exit(1)
	}
}
