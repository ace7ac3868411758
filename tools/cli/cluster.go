package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/objects/errs"
)

// clusterCommand holds what is asked of a node about its cluster.
func clusterCommand(f *frame) *cobra.Command {
	command := &cobra.Command{
		Use:   "cluster",
		Short: "Look at a cluster and its nodes, take nodes in and out",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(
		clusterShowCommand(f),
		clusterNodesCommand(f),
		clusterSmapCommand(f),
		clusterEventsCommand(f),
		clusterPlanCommand(f),
		clusterSettingsCommand(f),
	)
	command.AddCommand(clusterChangeCommands(f)...)
	return command
}

// withCluster makes a client command that asks a node about its cluster.
func withCluster(f *frame, command *cobra.Command, do func(ctx context.Context, s *Session, c client.Control, args []string) error) *cobra.Command {
	return f.client(command, func(ctx context.Context, s *Session, args []string) error {
		control, err := s.Control()
		if err != nil {
			return err
		}
		return adviseAlone(do(ctx, s, control, args))
	})
}

// errAlone says that there is no cluster to tell of.
var errAlone = fmt.Errorf("the node is alone: it belongs to no cluster of several nodes")

// adviseAlone says how a node gets into a cluster.
func adviseAlone(err error) error {
	if failure := client.AsFailure(err); failure != nil && strings.HasPrefix(failure.Message, "the node is alone") || errs.Is(errs.NotFound, err) && strings.Contains(err.Error(), errAlone.Error()) {
		return Advise(err, "a node joins one when it is started with --consul, --cluster and --cluster-secret-file (docs/cluster.md)")
	}
	return err
}

// askCluster asks for the cluster, and fails where the node is alone.
func askCluster(ctx context.Context, control client.Control) (api.Cluster, error) {
	c, err := control.Cluster(ctx)
	if err == nil && c.Name == "" {
		err = errs.E("cluster", errs.NotFound, errAlone)
	}
	return c, err
}

func clusterShowCommand(f *frame) *cobra.Command {
	return withCluster(f, &cobra.Command{
		Use:     "show",
		Short:   "Show the cluster: who leads, how many nodes serve, what is wrong, the plan",
		Example: "  troupe cluster show\n  troupe cluster show --json",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, s *Session, control client.Control, _ []string) error {
		c, err := askCluster(ctx, control)
		if err != nil {
			return err
		}
		return s.Out.Document(c, func(w io.Writer) { WriteTable(w, nil, clusterRows(&c)) })
	})
}

// clusterRows tell of a cluster in lines of a name and a value.
func clusterRows(c *api.Cluster) [][]string {
	rows := [][]string{
		{"cluster", printable(c.Name) + " (" + c.ID + ")"}, {"asked", c.Self}, {"leader", c.Leader},
		{"map", fmt.Sprintf("version %d", c.Version)}, {"nodes", statesText(c.Nodes)},
		{"not serving", printable(c.Unready)}, {"Consul", printable(c.Unconfirmed)}, {"refused", printable(c.Refused)},
	}
	if c.Held {
		rows = append(rows, []string{"plans", "are not begun by themselves: `troupe cluster join` begins one"})
	}
	for i := range c.Nodes {
		if why := nodeTrouble(&c.Nodes[i]); why != "" {
			rows = append(rows, []string{"  " + c.Nodes[i].ID, printable(why)})
		}
	}
	rows = append(rows, planRows(c.Plan)...)
	return slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" })
}

// statesText counts nodes by state: "2 up, 1 down".
func statesText(nodes []api.ClusterNode) string {
	counts := make(map[string]int)
	var order []string
	for _, n := range nodes {
		if counts[n.State]++; counts[n.State] == 1 {
			order = append(order, n.State)
		}
	}
	slices.SortFunc(order, func(a, b string) int { return counts[b] - counts[a] })
	for i, state := range order {
		order[i] = strconv.Itoa(counts[state]) + " " + state
	}
	return strings.Join(order, ", ")
}

// nodeTrouble says what is wrong with a node; empty: nothing is known.
func nodeTrouble(n *api.ClusterNode) string {
	var all []string
	if n.State != "up" {
		all = append(all, fmt.Sprintf("%s since version %d", n.State, n.Since))
	}
	if n.State == api.NodeAbsent {
		all[0] = "it has told of itself and is in no map yet"
	}
	if n.Silent {
		all = append(all, "it does not answer")
	}
	if n.Reason != "" {
		all = append(all, n.Health+": "+n.Reason)
	}
	return strings.Join(all, "; ")
}

func clusterNodesCommand(f *frame) *cobra.Command {
	return withCluster(f, &cobra.Command{
		Use:     "nodes",
		Aliases: []string{"ls"},
		Short:   "List the nodes: state, since which version of the map, keys, address",
		Example: "  troupe cluster nodes\n  troupe cluster nodes --json",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, s *Session, control client.Control, _ []string) error {
		c, err := askCluster(ctx, control)
		if err != nil {
			return err
		}
		rows := make([][]string, len(c.Nodes))
		for i := range c.Nodes {
			n := &c.Nodes[i]
			rows[i] = []string{n.ID, n.State, strconv.FormatUint(n.Since, 10), ownsText(n), n.Native, nodeNotes(n, &c)}
		}
		return s.Out.Table(c.Nodes, []string{"NODE", "STATE", "SINCE", "KEYS", "NATIVE", "NOTE"}, rows)
	})
}

func ownsText(n *api.ClusterNode) string {
	if n.Owns {
		return "yes"
	}
	return "no"
}

// nodeNotes are what distinguishes a node, in a word each.
func nodeNotes(n *api.ClusterNode, c *api.Cluster) string {
	var notes []string
	if n.ID == c.Leader {
		notes = append(notes, "leads")
	}
	if n.ID == c.Self {
		notes = append(notes, "asked")
	}
	if n.Silent {
		notes = append(notes, "silent")
	}
	if n.Health != "" && n.Health != "passing" && n.Health != n.State {
		notes = append(notes, n.Health)
	}
	return strings.Join(notes, ", ")
}

func clusterSmapCommand(f *frame) *cobra.Command {
	return withCluster(f, &cobra.Command{
		Use:     "smap",
		Aliases: []string{"map"},
		Short:   "Show the map that the node acts on, as it is agreed on",
		Example: "  troupe cluster smap\n  troupe cluster smap --json",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, s *Session, control client.Control, _ []string) error {
		m, err := control.Smap(ctx)
		if err != nil {
			return err
		}
		return s.Out.Document(m, func(w io.Writer) {
			rows := make([][]string, len(m.Nodes))
			for i, n := range m.Nodes {
				left := ""
				if n.Left > 0 {
					left = strconv.FormatUint(n.Left, 10)
				}
				keys := "no"
				if slices.Contains(m.Placement, n.ID) {
					keys = "yes"
				}
				if m.Next != nil && slices.Contains(m.Next.Placement, n.ID) != (keys == "yes") {
					keys += " → " + map[string]string{"yes": "no", "no": "yes"}[keys]
				}
				rows[i] = []string{n.ID, n.Digest, n.State, strconv.FormatUint(n.Since, 10), left, keys}
			}
			fmt.Fprintf(w, "version %d of %s; keys are placed since version %d\n\n", m.Version, m.Lineage, m.PlacementSince)
			WriteTable(w, []string{"NODE", "DIGEST", "STATE", "SINCE", "LEFT", "KEYS"}, rows)
		})
	})
}

func clusterEventsCommand(f *frame) *cobra.Command {
	return withCluster(f, &cobra.Command{
		Use:   "events",
		Short: "Tell what happens in the cluster as it happens, until Ctrl-C",
		Long: `Tell what happens in the cluster as it happens, until Ctrl-C: nodes that join, change
their state, fall silent, maps, plans, who leads. With --json each is a line of JSON.
It is what this one node sees; its log has the same.`,
		Example: "  troupe cluster events\n  troupe cluster events --json | jq .kind",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, s *Session, control client.Control, _ []string) error {
		return control.ClusterEvents(ctx, func(e api.ClusterEvent) error { return s.Out.Line(e, eventText(e)) })
	})
}

// eventText is an event in a line.
func eventText(e api.ClusterEvent) string {
	words := []string{e.At.Local().Format(time.TimeOnly), e.Kind}
	for _, word := range []string{e.Node, e.State} {
		if word != "" {
			words = append(words, printable(word))
		}
	}
	if e.Version != 0 {
		words = append(words, "version "+strconv.FormatUint(e.Version, 10))
	}
	text := strings.Join(words, "  ")
	if e.Reason != "" {
		text += ": " + printable(e.Reason)
	}
	return text
}

// planRows tell of a plan in lines of a name and a value.
func planRows(p *api.ClusterPlan) [][]string {
	if p == nil {
		return nil
	}
	state := "under way"
	if p.Paused {
		state = "paused"
	}
	rows := [][]string{
		{"plan", fmt.Sprintf("%s since version %d: %d of %d slots have gone over", state, p.Since, p.Switched, p.Slots)},
		{"  keys from", strings.Join(without(p.From, p.To), " ")}, {"  keys to", strings.Join(without(p.To, p.From), " ")},
		{"  waits", printable(p.Waits)},
	}
	if p.Rate.Objects > 0 {
		rows = append(rows, []string{"  limit", objectsPerSecond(float64(p.Rate.Objects)) + " a node"})
	}
	if p.Rate.Bytes > 0 {
		rows = append(rows, []string{"  limit", bytesPerSecond(float64(p.Rate.Bytes)) + " a node"})
	}
	for _, c := range p.Copies {
		rows = append(rows, []string{"  copies", fmt.Sprintf("%s: %d, and %d at its end", printable(c.Bucket), c.From, c.To)})
	}
	for _, n := range p.Nodes {
		text := fmt.Sprintf("%d objects, %s copied; %d slots ready", n.Objects, humanBytes(n.Bytes), n.Slots)
		if n.Failure != "" {
			text += "; " + printable(n.Failure)
		}
		rows = append(rows, []string{"  " + n.Node, text})
	}
	return rows
}

// without returns what is in one list and not in the other.
func without(list, others []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(others, s) })
}
