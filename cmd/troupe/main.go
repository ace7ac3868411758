// Command troupe is the one binary of Troupe: troupe serve is the node, every
// other subcommand a client.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/tools/cli"
	"github.com/troupe-storage/troupe/tools/loader"
	"github.com/troupe-storage/troupe/tools/planning"
)

// version is set by the linker.
var version = "development"

func main() {
	program := cli.NewProgram(version)
	program.Storage = storageCommands()
	os.Exit(cli.Execute(command(), program, os.Args[1:]))
}

// command returns the commands that are not clients of a node; Execute adds those.
func command() *cobra.Command {
	root := &cobra.Command{
		Use:     "troupe",
		Short:   "An actor-model object store for AI data",
		Long:    "Troupe stores objects and speaks S3 and AIStore's native REST.\nEvery disk, bucket and batch job is a supervised actor.",
		Version: version,
	}
	for _, own := range []*cobra.Command{serveCommand(), loader.Command(), planning.Command(), proveCommand()} {
		own.GroupID = cli.GroupNode
		root.AddCommand(own)
	}
	return root
}
