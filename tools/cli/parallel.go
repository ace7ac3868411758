package cli

import (
	"maps"
	"slices"

	"github.com/spf13/pflag"
)

// defaultParallel is how many requests are under way at a time: enough to keep
// a few disks busy, far below what a node admits.
const defaultParallel = 16

// maxParallel is a node's limit of transfers into one mountpath; more would be refused.
const maxParallel = 128

func addParallel(flags *pflag.FlagSet, parallel *int) {
	flags.IntVarP(parallel, "parallel", "p", defaultParallel, "requests at a time, over files and parts")
}

func checkParallel(parallel int) error {
	if parallel < 1 || parallel > maxParallel {
		return Usage("--parallel is 1 to %d, not %d", maxParallel, parallel)
	}
	return nil
}

// sortedNames returns the keys of a map in order.
func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
