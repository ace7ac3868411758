package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/supervisors"
)

// stopped by a second signal: as a shell reports it.
const exitSecondSignal = 130

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a node",
		Long: `Run a node until it gets SIGTERM or SIGINT; a second signal ends it at once.

Settings come, in this order, from the file given by --config (YAML, the names of
the flags below), from the environment (TROUPE_ and the name in capitals, dashes
as underscores: TROUPE_MIN_PART), and from flags. The root key pair is set by
TROUPE_ROOT_ACCESS_KEY and TROUPE_ROOT_SECRET_KEY or in the file.`,
		Example: `  troupe serve --data /mnt/a --data /mnt/b
  troupe serve --config /etc/troupe.yaml --s3 0.0.0.0:9000`,
		Args: cobra.NoArgs,
	}
	addSettings(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		config, err := loadSettings(cmd.Flags())
		if err != nil {
			return err
		}
		return serve(config)
	}
	return cmd
}

func serve(config supervisors.Config) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	node, err := supervisors.Start(config)
	if err != nil {
		return err
	}
	fmt.Print(banner(config.WithDefaults(), node))
	<-signals
	go func() {
		<-signals
		fmt.Fprintln(os.Stderr, "troupe: second signal: ended at once")
		os.Exit(exitSecondSignal)
	}()
	config.Log.Info("node stops")
	if err := node.Stop(); err != nil {
		return err
	}
	config.Log.Info("node stopped")
	return nil
}
