package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/tools/cli"
)

// stopped by a second signal: as a shell reports it.
const exitSecondSignal = 130

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a node",
		Long: `Run a node until it gets SIGTERM or SIGINT; a second signal ends it at once.
SIGHUP makes it read its settings again: the root key pair, level and format of the
log, and the certificate change at once, the access log is opened anew, and what
needs a restart is named in the log.

Settings come from the file given by --config (YAML, the names of the flags
below), from the environment (TROUPE_ and the name in capitals, dashes as
underscores: TROUPE_MIN_PART), and from flags; the later of these wins. The root
key pair is set by TROUPE_ROOT_ACCESS_KEY and TROUPE_ROOT_SECRET_KEY or in the file.`,
		Example: `  troupe serve --data /mnt/a --data /mnt/b
  troupe serve --config /etc/troupe.yaml --s3 0.0.0.0:9000`,
		Args: cobra.NoArgs,
	}
	addSettings(cmd.Flags())
	trial := addTrial(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		config, err := loadSettings(cmd.Flags())
		if err != nil {
			return cli.Usage("%w", err)
		}
		config.Trial = *trial
		return serve(config, func() (supervisors.Config, error) { return loadSettings(cmd.Flags()) })
	}
	return cmd
}

func serve(config supervisors.Config, again func() (supervisors.Config, error)) error {
	signals, hangups := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(signals)
	defer signal.Stop(hangups)
	terminal := isTerminal(os.Stdin)
	node, err := supervisors.Start(config)
	if err != nil {
		return cli.Unadvised(err) // it says itself what to do; what clients are told does not fit
	}
	fmt.Print(banner(config.WithDefaults(), node))
	for serving := true; serving; {
		select {
		case <-signals:
			serving = false
		case <-hangups:
			if terminal && !isTerminal(os.Stdin) {
				serving = false // the terminal is gone: this is no request to reload
				continue
			}
			reload(config.Log, node, again)
		}
	}
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

// reload has the node take over settings that were read again. What is wrong with
// them is logged, and the node goes on as it was.
func reload(log *logrus.Logger, node *supervisors.Node, again func() (supervisors.Config, error)) {
	config, err := again()
	if err == nil {
		err = node.Reload(config)
	}
	if err != nil {
		log.WithError(err).Error("the settings were read again and are refused; the node goes on as it was")
	}
}

// isTerminal reports whether a file is a terminal that is still there.
func isTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}
