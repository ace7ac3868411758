package planning

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// Command returns `troupe plan`.
func Command() *cobra.Command {
	command := &cobra.Command{
		Use:   "plan",
		Short: "Try out what a change of a cluster's members would move",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(simulateCommand())
	return command
}

func simulateCommand() *cobra.Command {
	var s Simulation
	var asJSON bool
	command := &cobra.Command{
		Use:   "simulate",
		Short: "Place keys on nodes as a cluster does, and again after nodes joined or left",
		Long: "Places keys on nodes as a cluster does, and again after nodes have joined or left: how even it is, how many copies\n" +
			"move, and how large the maps on the way are. It needs no cluster, and changes nothing.",
		Example: "  troupe plan simulate --nodes 1000 --keys 100000000 --join 10\n  troupe plan simulate --nodes 4 --keys 1000000 --copies 2 --drain 1",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, done := signal.NotifyContext(command.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer done()
			return simulate(ctx, command, s, asJSON)
		},
	}
	flags := command.Flags()
	flags.IntVar(&s.Nodes, "nodes", 3, "how many nodes there are")
	flags.Int64Var(&s.Keys, "keys", 1_000_000, "how many keys there are")
	flags.IntVar(&s.Copies, "copies", 1, "copies of each key, on as many nodes")
	flags.IntVar(&s.Join, "join", 0, "how many nodes join")
	flags.IntVar(&s.Leave, "drain", 0, "how many nodes are drained")
	flags.Uint64Var(&s.Seed, "seed", 1, "another seed names other keys")
	flags.BoolVar(&asJSON, "json", false, "answer with JSON")
	return command
}

func simulate(ctx context.Context, command *cobra.Command, s Simulation, asJSON bool) error {
	if isTerminal(command.ErrOrStderr()) {
		s.Progress = meter(command.ErrOrStderr(), s.Keys)
	}
	result, err := s.Run(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(command.OutOrStdout())
		encoder.SetIndent("", "  ")
		return encoder.Encode(result)
	}
	return result.write(command.OutOrStdout())
}

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// meter shows how far it is, a step for each percent.
func meter(w io.Writer, keys int64) func(int64) {
	var done, shown atomic.Int64
	return func(more int64) {
		percent := 100 * done.Add(more) / keys
		if was := shown.Load(); percent > was && shown.CompareAndSwap(was, percent) {
			fmt.Fprintf(w, "\r%d%% of the keys", percent)
			if percent == 100 {
				fmt.Fprint(w, "\r                    \r")
			}
		}
	}
}

// write writes a result for people.
func (r *Result) write(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "keys\t%d, %d of each\n", r.Keys, r.Copies)
	fmt.Fprintf(table, "before\t%s\n", r.Before)
	if r.Join+r.Leave > 0 {
		fmt.Fprintf(table, "after\t%s\n", r.After)
		fmt.Fprintf(table, "moved\t%d copies, %+.2f%% of the fewest possible\n", r.Moves.Copies, r.Moves.Excess)
		fmt.Fprintf(table, "switching\t%.0f ms for the maps of all slots, %d at a time\n", r.SwitchTime, switched)
	}
	fmt.Fprintf(table, "map\t%d bytes at most, %.0f a node\n", r.MapBytes, r.NodeBytes)
	fmt.Fprintf(table, "took\t%.1f s, %.0f keys a second, %d MiB of heap\n", r.Seconds, r.PlacedPerSec, r.HeapBytes>>20)
	return table.Flush()
}

// String returns a balance for people.
func (b Balance) String() string {
	return fmt.Sprintf("%d nodes, %.0f copies each, from %d to %d (at most %.2f%% off)", b.Nodes, b.Mean, b.Least, b.Most, b.Off)
}
