package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/objects/errs"
)

// quarantineCommand holds what is asked of a node about what it refuses because it
// panicked again and again.
func quarantineCommand(f *frame) *cobra.Command {
	command := &cobra.Command{
		Use:   "quarantine",
		Short: "List, show and release what a node refuses because its handling panicked",
		Long: `A key, a bucket or a job whose handling panics again and again (three times within an hour, unless the node was told
otherwise) is quarantined: requests about it are answered 503 with the reason, and everything else goes on. What is refused is one
access: a key that cannot be read can be deleted. It lasts, over restarts too, until it is released.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(quarantineListCommand(f), quarantineShowCommand(f), quarantineReleaseCommand(f))
	return command
}

func quarantineListCommand(f *frame) *cobra.Command {
	return f.client(&cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List what is quarantined, the newest first",
		Example: "  troupe quarantine list\n  troupe quarantine list --json",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, s *Session, _ []string) error {
		control, err := s.Control()
		if err != nil {
			return err
		}
		list, err := control.Quarantines(ctx)
		if err != nil {
			return err
		}
		rows := make([][]string, len(list))
		for i := range list {
			q := &list[i]
			rows[i] = []string{
				q.ID, printable(q.Thing), printable(q.Subject), printable(q.Access), q.Since.Local().Format(time.DateTime),
				strconv.FormatInt(q.Refused, 10), printable(q.Cause),
			}
		}
		return s.Out.Table(api.Quarantines{Quarantines: list}, []string{"ID", "THING", "SUBJECT", "ACCESS", "SINCE", "REFUSED", "CAUSE"}, rows)
	})
}

func quarantineShowCommand(f *frame) *cobra.Command {
	return f.client(&cobra.Command{
		Use:     "show ID",
		Short:   "Show what is quarantined with the evidence: cause, stack, version",
		Example: "  troupe quarantine show 3f9a12c45e6b",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		control, err := s.Control()
		if err != nil {
			return err
		}
		q, err := control.Quarantine(ctx, args[0])
		if err != nil {
			return adviseQuarantine(err)
		}
		return s.Out.Document(q, func(w io.Writer) {
			WriteTable(w, nil, quarantineRows(&q, time.Now()))
			if q.Stack == "" {
				return
			}
			fmt.Fprintln(w, "\nstack")
			for line := range strings.Lines(q.Stack) {
				fmt.Fprintln(w, "  "+printable(strings.ReplaceAll(strings.TrimRight(line, "\n"), "\t", "    ")))
			}
		})
	})
}

// quarantineRows is a quarantine as lines of a name and a value.
func quarantineRows(q *api.Quarantine, now time.Time) [][]string {
	refused := strconv.FormatInt(q.Refused, 10)
	if q.LastRefused != nil {
		refused += fmt.Sprintf(", the last %s ago", shortDuration(max(0, now.Sub(*q.LastRefused))))
	}
	rows := [][]string{
		{"id", q.ID}, {"thing", printable(q.Thing)}, {"subject", printable(q.Subject)}, {"access", printable(q.Access)},
		{"since", fmt.Sprintf("%s, %s ago", q.Since.Local().Format(time.DateTime), shortDuration(max(0, now.Sub(q.Since))))},
		{"panics", strconv.Itoa(q.Panics)}, {"refused", refused},
		{"actor", printable(q.Actor)}, {"message", printable(q.Message)}, {"cause", printable(q.Cause)}, {"version", printable(q.Version)},
	}
	if q.BucketID != "" {
		rows = append(rows, []string{"bucket id", printable(q.BucketID)})
	}
	kept := "yes"
	if !q.Kept {
		kept = "not yet: a crash now would release it"
	}
	return append(rows, []string{"kept", kept})
}

func quarantineReleaseCommand(f *frame) *cobra.Command {
	return f.client(&cobra.Command{
		Use:   "release ID...",
		Short: "Have what is quarantined tried again",
		Long: "Has what is quarantined tried again. Its panics are counted anew: what has not been mended is quarantined again,\n" +
			"under another id, after as many.",
		Example: "  troupe quarantine release 3f9a12c45e6b",
		Args:    cobra.MinimumNArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		control, err := s.Control()
		if err != nil {
			return err
		}
		partly := &Partly{}
		for _, id := range args {
			q, err := control.ReleaseQuarantine(ctx, id)
			if err != nil {
				if len(args) == 1 || ctx.Err() != nil {
					return adviseQuarantine(err)
				}
				if partly.Failed++; partly.First == nil {
					partly.First = err
				}
				s.Out.Warn("troupe: %s: %s", printable(id), printable(err.Error()))
				continue
			}
			partly.Done++
			if err := s.Out.Line(q, fmt.Sprintf("released %s: %s %s (%s)", q.ID, printable(q.Thing), printable(q.Subject), printable(q.Access))); err != nil {
				return err
			}
		}
		if partly.Failed > 0 {
			return adviseQuarantine(partly)
		}
		return nil
	})
}

// adviseQuarantine says where ids are found.
func adviseQuarantine(err error) error {
	var partly *Partly
	if errs.Is(errs.NotFound, err) || errors.As(err, &partly) && errs.Is(errs.NotFound, partly.First) {
		return Advise(err, "`troupe quarantine list` shows what there is; each node of a cluster has its own (--native)")
	}
	return err
}
