// Package allocation bounds, in tests, what parsing costs in memory: a parser that
// believes a length in its input can be made to take all there is.
//
// Fuzz with -fuzzminimizetime 1x. Measuring memory makes coverage differ from run to
// run, and the engine then spends its default minute on minimizing one input: ten
// seconds end in PASS after a dozen executions. Look at "execs".
//
// Start with Check.
package allocation

import "runtime"

// Factor is how many bytes parsing may allocate for each byte of its input.
const Factor = 64

// T is what Check needs of a *testing.T.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Check runs parse, of an input of so many bytes, and fails the test if it allocates
// more than Factor for each, and base for what the smallest input costs: a value, an
// error, the scratch that a request has. Other goroutines allocate too, so the least of
// three runs counts: parse may be called again, and is called at least once.
func Check(t T, input, base int, parse func()) {
	t.Helper()
	bound := uint64(Factor*input + base)
	least := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		parse()
		runtime.ReadMemStats(&after)
		if least = min(least, after.TotalAlloc-before.TotalAlloc); least <= bound {
			return
		}
	}
	t.Fatalf("%d bytes of input cost %d of memory, at most %d each and %d in all may be", input, least, Factor, base)
}
