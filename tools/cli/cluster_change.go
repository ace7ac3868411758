package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/objects/errs"
)

// clusterChangeCommands are what an operator does to nodes.
func clusterChangeCommands(f *frame) []*cobra.Command {
	return []*cobra.Command{clusterJoinCommand(f), clusterMaintenanceCommand(f), clusterDrainCommand(f), clusterRemoveCommand(f), clusterSetLeaderCommand(f)}
}

// clusterChange is what a command asks of the leader.
type clusterChange struct {
	request api.ClusterRequest
	node    string // as it was given: an id, or the beginning of one; empty: none was
}

// flags gives a command the flags of every change.
func (c *clusterChange) flags(command *cobra.Command) *cobra.Command {
	command.Flags().BoolVarP(&c.request.DryRun, "dry-run", "n", false, "say what would be decided, and change nothing")
	return command
}

// ask has the leader decide, and tells what it has decided.
func (c *clusterChange) ask(ctx context.Context, s *Session, control client.Control) error {
	r := c.request
	var err error
	if c.node != "" {
		if r.Node, err = findNode(ctx, control, c.node); err != nil {
			return err
		}
	}
	outcome, err := control.RequestCluster(ctx, r)
	if err != nil {
		return adviseChange(err)
	}
	text := outcome.Text
	if text == "" {
		text = "done"
	}
	if r.DryRun {
		text = "would be decided: " + text
	}
	if e := outcome.Estimate; e != nil {
		text += fmt.Sprintf("; %d copies of objects with %s go over, in about %s", e.Objects, humanBytes(e.Bytes), time.Duration(e.Seconds)*time.Second)
	}
	return s.Out.Line(outcome, fmt.Sprintf("%s (map version %d)", printable(text), outcome.Version))
}

// adviseChange says what to do about a refusal of the leader's.
func adviseChange(err error) error {
	switch {
	case errs.Is(errs.Conflict, err):
		return Advise(err, "see how things stand with `troupe cluster show`; nothing was changed")
	case errs.Is(errs.Busy, err) && strings.Contains(err.Error(), "leads"):
		return Advise(err, "see who leads with `troupe cluster show`, and ask again")
	}
	return err
}

// findNode finds a node by its id, the beginning of it, or the address of a listener.
func findNode(ctx context.Context, control client.Control, name string) (string, error) {
	c, err := askCluster(ctx, control)
	if err != nil {
		return "", err
	}
	var found []string
	for _, n := range c.Nodes {
		if n.ID == name || slices.Contains([]string{n.Native, n.S3, n.Intra}, name) {
			return n.ID, nil
		}
		if strings.HasPrefix(n.ID, name) {
			found = append(found, n.ID)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", Advise(errs.E("cluster", name, errs.NotFound, fmt.Errorf("there is no such node")), "see which there are with `troupe cluster nodes`")
	}
	return "", Usage("%q is the beginning of several nodes: %s", name, strings.Join(found, ", "))
}

func clusterJoinCommand(f *frame) *cobra.Command {
	c := &clusterChange{request: api.ClusterRequest{Kind: api.ClusterJoin}}
	return c.flags(withCluster(f, &cobra.Command{
		Use:   "join [NODE]",
		Short: "Give a node its part of the keys; without a name all nodes that are up",
		Long: `Give a node its part of the keys, by a plan: its objects are copied to it while everything
is read and written as always. Of a node that drains it takes that back. Nodes get into
the cluster by themselves when they are started; plans are begun by themselves, too,
unless the cluster is set to plans = manual, or one was canceled.`,
		Example: "  troupe cluster join\n  troupe cluster join 7995b2c2 --dry-run",
		Args:    cobra.MaximumNArgs(1),
	}, func(ctx context.Context, s *Session, control client.Control, args []string) error {
		if len(args) == 1 {
			c.node = args[0]
		}
		return c.ask(ctx, s, control)
	}))
}

func clusterMaintenanceCommand(f *frame) *cobra.Command {
	c := &clusterChange{request: api.ClusterRequest{Kind: api.ClusterMaintenance}}
	end := false
	command := c.flags(withCluster(f, &cobra.Command{
		Use:   "maintenance NODE",
		Short: "Take a node out of service for a while; nothing moves",
		Long: `Take a node out of service for a while. It keeps its keys and nothing moves; keys that only
it has answer 503 until it is back. It is refused if keys would have too few copies
meanwhile, unless --force. --end brings the node back: it catches up, and serves.

"consul maint" on the node's machine, or on its service, does the same.`,
		Example: "  troupe cluster maintenance 7995b2c2 --reason 'new disks'\n  troupe cluster maintenance 7995b2c2 --end",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, control client.Control, args []string) error {
		c.node = args[0]
		if end {
			c.request.Kind = api.ClusterReturn
		}
		return c.ask(ctx, s, control)
	}))
	command.Flags().StringVar(&c.request.Reason, "reason", "", "why, for people")
	command.Flags().BoolVar(&c.request.Force, "force", false, "although keys would have too few copies")
	command.Flags().BoolVar(&end, "end", false, "bring the node back")
	return command
}

func clusterDrainCommand(f *frame) *cobra.Command {
	c := &clusterChange{request: api.ClusterRequest{Kind: api.ClusterDrain}}
	return c.flags(withCluster(f, &cobra.Command{
		Use:   "drain NODE",
		Short: "Move all keys from a node to the others; it serves until then",
		Long: `Move all keys from a node to the others, by a plan. The node serves until they have gone over, and
stays in the cluster without keys; "troupe cluster join" takes it back.`,
		Example: "  troupe cluster drain 7995b2c2 --dry-run\n  troupe cluster drain 7995b2c2",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, control client.Control, args []string) error {
		c.node = args[0]
		return c.ask(ctx, s, control)
	}))
}

func clusterRemoveCommand(f *frame) *cobra.Command {
	c := &clusterChange{request: api.ClusterRequest{Kind: api.ClusterRemove}}
	drain := false
	command := c.flags(withCluster(f, &cobra.Command{
		Use:   "remove NODE",
		Short: "Take a node out of the cluster that owns no keys any more",
		Long: `Take a node out of the cluster. It must own no keys: drain it first, or have both done
with --drain. It does not come back with what it has: a node joins with empty
directories only.

A node that is down for good cannot be drained. With --accept-loss it is given up:
its keys go to the others as far as these have copies, and it leaves the map then.
What only it has is lost; --dry-run says in which buckets that may be.`,
		Example: "  troupe cluster remove 7995b2c2 --drain\n  troupe cluster remove 7995b2c2 --accept-loss --dry-run",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, control client.Control, args []string) error {
		c.node = args[0]
		if drain {
			c.request.Kind = api.ClusterLeave
		}
		return c.ask(ctx, s, control)
	}))
	command.Flags().BoolVar(&drain, "drain", false, "move its keys to the others first, and remove it then")
	command.Flags().BoolVar(&c.request.AcceptLoss, "accept-loss", false, "give up a node that is down, with what only it has")
	command.MarkFlagsMutuallyExclusive("drain", "accept-loss")
	return command
}

func clusterSetLeaderCommand(f *frame) *cobra.Command {
	c := &clusterChange{request: api.ClusterRequest{Kind: api.ClusterSetLeader}}
	return c.flags(withCluster(f, &cobra.Command{
		Use:   "set-leader NODE",
		Short: "Give the lead of the cluster to a node",
		Long: `Give the lead of the cluster to a node that is up: it writes the map from then on. Requests of
clients do not notice. It leads when the command ends. Whoever leads can lose the lead
again, by a failure for example: this is a choice for the moment, and is kept nowhere.`,
		Example: "  troupe cluster set-leader 7995b2c2",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, control client.Control, args []string) error {
		c.node = args[0]
		return c.ask(ctx, s, control)
	}))
}

// clusterPlanCommand shows the plan under way, and holds what is done to it.
func clusterPlanCommand(f *frame) *cobra.Command {
	command := withCluster(f, &cobra.Command{
		Use:     "plan",
		Short:   "Show the plan by which keys move; pause, resume, limit or cancel it",
		Example: "  troupe cluster plan\n  troupe cluster plan pause\n  troupe cluster plan limit --bytes-per-second 50000000",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, s *Session, control client.Control, _ []string) error {
		c, err := askCluster(ctx, control)
		if err != nil {
			return err
		}
		return s.Out.Document(c.Plan, func(w io.Writer) {
			if c.Plan == nil {
				fmt.Fprintln(w, "no plan is under way")
				return
			}
			WriteTable(w, nil, slices.DeleteFunc(planRows(c.Plan), func(row []string) bool { return row[1] == "" }))
		})
	})
	simple := func(name, kind, short string) *cobra.Command {
		c := &clusterChange{request: api.ClusterRequest{Kind: kind}}
		return c.flags(withCluster(f, &cobra.Command{Use: name, Short: short, Example: "  troupe cluster plan " + name, Args: cobra.NoArgs},
			func(ctx context.Context, s *Session, control client.Control, _ []string) error {
				return c.ask(ctx, s, control)
			}))
	}
	limit := &clusterChange{request: api.ClusterRequest{Kind: api.ClusterLimit, Rate: &api.JobRate{}}}
	limited := limit.flags(withCluster(f, &cobra.Command{
		Use: "limit", Short: "Bound what each node copies in a second; no flag: as it can", Args: cobra.NoArgs,
		Example: "  troupe cluster plan limit --bytes-per-second 50000000\n  troupe cluster plan limit",
	}, func(ctx context.Context, s *Session, control client.Control, _ []string) error {
		return limit.ask(ctx, s, control)
	}))
	limited.Flags().Int64Var(&limit.request.Rate.Objects, "objects-per-second", 0, "copy at most so many objects in a second")
	limited.Flags().Int64Var(&limit.request.Rate.Bytes, "bytes-per-second", 0, "copy at most so many bytes in a second")
	command.AddCommand(
		simple("pause", api.ClusterPause, "Copy nothing more for the plan for now"),
		simple("resume", api.ClusterResume, "Go on with the plan"),
		simple("cancel", api.ClusterCancel, "Drop the plan, as long as no keys have gone over; none is begun by itself then"),
		limited,
	)
	return command
}
