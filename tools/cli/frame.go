package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/tools/terminal"
)

// Program is what surrounds the commands: main fills it from the process, a test
// as it likes. Every field but Storage is required.
type Program struct {
	Version string
	Getenv  func(name string) string
	In      io.Reader
	Out     io.Writer // *os.File of a terminal: colours and bars
	Err     io.Writer // likewise
	// Storage are further subcommands of `troupe storage`: those that open the
	// disks of a node themselves, which this package cannot.
	Storage []*cobra.Command
}

// NewProgram returns the process's own surroundings.
func NewProgram(version string) Program {
	return Program{Version: version, Getenv: os.Getenv, In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
}

// frame is what commands are put on.
type frame struct {
	program Program
	// session of the command that ran, for advice about its error; nil before, and of
	// commands that are no clients.
	session *Session
	began   bool // a command's own code was reached: what fails now is no usage error
	asJSON  bool // --json was given: the error is JSON too
}

// run is what a client command does. The context ends with Ctrl-C.
type run func(ctx context.Context, s *Session, args []string) error

// client makes a command a client command: it gets the shared flags, a Session
// and a context that ends with the first SIGINT or SIGTERM (the second ends the
// process at once). command needs Use, Short, Example and Args; its own flags are
// declared by the caller. For example:
//
//	func actorsCommand(f *frame) *cobra.Command {
//		return f.client(&cobra.Command{Use: "actors", Short: "List the actors of a node", Args: cobra.NoArgs},
//			func(ctx context.Context, s *Session, _ []string) error {
//				control, err := s.Control()
//				if err != nil {
//					return err
//				}
//				var answer api.Actors
//				if err := control.Get(ctx, "/v1/actors", nil, &answer); err != nil {
//					return err
//				}
//				return s.Out.Table(answer, []string{"ACTOR", "STATE"}, rows(answer))
//			})
//	}
//
// and one line in commands (commands.go) registers it.
func (f *frame) client(command *cobra.Command, do run) *cobra.Command {
	var o options
	shared := pflag.NewFlagSet("shared", pflag.ContinueOnError)
	o.add(shared)
	command.Flags().AddFlagSet(shared)
	command.SetUsageFunc(func(command *cobra.Command) error { return writeUsage(command.OutOrStderr(), command, shared) })
	command.RunE = func(command *cobra.Command, args []string) error {
		f.asJSON = o.json
		s, err := newSession(f.program, o)
		if err != nil {
			return err
		}
		defer s.close()
		f.session = s
		ctx, stop := interruptible(command.Context())
		defer stop()
		err = do(ctx, s, args)
		if err != nil && errors.Is(context.Cause(ctx), errInterrupted) {
			var told *advised
			if !errors.Is(err, errInterrupted) || !errors.As(err, &told) {
				err = errInterrupted // whatever was cut short failed for that reason
			}
		}
		return err
	}
	return command
}

// interruptible returns a context that the first SIGINT or SIGTERM ends. From
// then on signals have their usual effect.
func interruptible(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			signal.Stop(signals)
			cancel(errInterrupted)
		case <-ctx.Done():
			signal.Stop(signals)
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Execute runs the program's command line and returns its exit code. Commands
// that are not of this package run too; their errors get the same codes and are
// printed the same way.
func Execute(root *cobra.Command, p Program, args []string) int {
	f := &frame{program: p}
	root.AddGroup(&cobra.Group{ID: groupObjects, Title: "Buckets and objects:"}, &cobra.Group{ID: GroupNode, Title: "Nodes:"})
	root.AddCommand(commands(f)...)
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetArgs(args)
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	f.watch(root)
	command, err := root.ExecuteContextC(context.Background())
	if err == nil {
		return ExitOK
	}
	if !f.began {
		err = misused(command, err)
	}
	code := ExitCode(err)
	f.printError(err, code)
	return code
}

// misused makes an error of what cobra says about a command line. What it says
// that somebody may have meant goes into the advice.
func misused(command *cobra.Command, err error) error {
	help := fmt.Sprintf("`%s --help` shows how it is used", command.CommandPath())
	said, meant, _ := strings.Cut(err.Error(), "\n\nDid you mean this?\n")
	names := strings.Fields(meant)
	if rest, ok := strings.CutPrefix(said, "unknown command "); ok && len(names) == 0 { // cobra guesses for the root alone
		if quoted, err := strconv.QuotedPrefix(rest); err == nil {
			names = guesses(command, strings.Trim(quoted, `"`))
		}
	}
	if len(names) > 0 {
		for i, name := range names {
			names[i] = "`" + command.CommandPath() + " " + name + "`"
		}
		return Advise(Usage("%s", said), "did you mean %s? %s", strings.Join(names, " or "), help)
	}
	return Advise(&usageError{err}, "%s", help)
}

// guesses returns subcommands that somebody may have meant by a word.
func guesses(command *cobra.Command, word string) []string {
	const distance = 2 // letters that differ: as cobra guesses for the root
	command.SuggestionsMinimumDistance = distance
	return command.SuggestionsFor(word)
}

// watch notes when a command's own code is reached.
func (f *frame) watch(command *cobra.Command) {
	if do := command.RunE; do != nil {
		command.RunE = func(command *cobra.Command, args []string) error {
			f.began = true
			return do(command, args)
		}
	}
	for _, child := range command.Commands() {
		f.watch(child)
	}
}

// printError says what failed and what to do about it, on standard error.
func (f *frame) printError(err error, code int) {
	hint := advice(err, f.session)
	message := printable(sentence(err))
	if f.asJSON {
		var document errorDocument
		document.Error.Message, document.Error.Advice, document.Error.Exit = message, printable(hint), code
		document.Error.Kind, document.Error.Code = kindName(err, code), client.Code(err)
		body, err := encode(document, "")
		if err == nil {
			fmt.Fprintln(f.program.Err, body)
			return
		}
	}
	width := terminalSize(f.program.Err).width
	fmt.Fprintln(f.program.Err, "troupe:", terminal.Fold(message, len(terminal.Indent), width))
	if hint != "" {
		fmt.Fprintln(f.program.Err, terminal.Indent+terminal.Fold(printable(hint), len(terminal.Indent), width))
	}
}

// sentence is an error's text in one line.
func sentence(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// kindName names the kind of an error for programs.
func kindName(err error, code int) string {
	switch code {
	case ExitUsage:
		return "usage"
	case ExitPartly:
		return "partly failed"
	case ExitInterrupted:
		return "interrupted"
	}
	return errs.KindOf(err).String()
}
