// Command troupe is the one binary of Troupe: troupe serve is the node, every
// other subcommand a client.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/tools/loader"
)

// version is set by the linker.
var version = "development"

func main() {
	if err := command().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "troupe:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "troupe",
		Short:         "An actor-model object store for AI data",
		Long:          "Troupe stores objects and speaks S3 and AIStore's native REST.\nEvery disk, bucket and batch job is a supervised actor.",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(serveCommand(), loader.Command(), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version)
			return err
		},
	}
}
