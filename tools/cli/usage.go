package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpColumns is the width of help: terminals have it, and readers like it.
const helpColumns = 100

// writeUsage writes how a client command is used: its own flags apart from
// those that all client commands share.
func writeUsage(w io.Writer, command *cobra.Command, shared *pflag.FlagSet) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage:\n  %s\n", command.UseLine())
	if command.HasExample() {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", command.Example)
	}
	if command.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n")
		for _, child := range command.Commands() {
			if child.IsAvailableCommand() {
				fmt.Fprintf(&b, "  %-11s %s\n", child.Name(), child.Short)
			}
		}
	}
	own := pflag.NewFlagSet("own", pflag.ContinueOnError)
	command.LocalFlags().VisitAll(func(flag *pflag.Flag) {
		if shared.Lookup(flag.Name) == nil {
			own.AddFlag(flag)
		}
	})
	fmt.Fprintf(&b, "\nFlags:\n%s", own.FlagUsagesWrapped(helpColumns))
	fmt.Fprintf(&b, "\nServer, keys and output:\n%s", shared.FlagUsagesWrapped(helpColumns))
	_, err := io.WriteString(w, b.String())
	return err
}
