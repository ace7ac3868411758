package cli

import (
	"slices"

	"github.com/spf13/cobra"
)

// Groups of `troupe --help`.
const (
	groupObjects = "objects"
	// GroupNode is that of commands about nodes, for those of the program's own.
	GroupNode = "node"
)

// group puts commands under a heading of `troupe --help`.
func group(id string, commands ...*cobra.Command) []*cobra.Command {
	for _, c := range commands {
		c.GroupID = id
	}
	return commands
}

// commands returns every client command. A command is added here; `troupe
// --help` shows them in order of their names.
func commands(f *frame) []*cobra.Command {
	return slices.Concat(
		group(groupObjects,
			makeBucketCommand(f),
			removeBucketCommand(f),
			propsCommand(f),
			listCommand(f),
			copyCommand(f),
			moveCommand(f),
			syncCommand(f),
			catCommand(f),
			removeCommand(f),
			statCommand(f),
			usageCommand(f),
			historyCommand(f),
			presignCommand(f),
		),
		group(GroupNode,
			actorsCommand(f),
			authCommand(f),
			clusterCommand(f),
			faultCommand(f),
			jobCommand(f),
			quarantineCommand(f),
			scrubCommand(f),
			storageCommand(append(storageCommands(f), f.program.Storage...)...),
			versionCommand(f),
		),
	)
}

// storageCommand holds what is done about the disks of a node. Its subcommands
// are added here (those that ask a node) and by the program (those that open the
// disks themselves: Program.Storage).
func storageCommand(subcommands ...*cobra.Command) *cobra.Command {
	command := &cobra.Command{
		Use:   storageName,
		Short: "Look after the mountpaths of a node, or open them without one",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(subcommands...)
	return command
}

// storageName is what the group is called.
const storageName = "storage"
