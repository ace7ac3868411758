package cli

import (
	"cmp"
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

// faultCommand holds what breaks parts of a node on purpose.
func faultCommand(f *frame) *cobra.Command {
	command := &cobra.Command{
		Use:   "fault",
		Short: "Break parts of a node on purpose, for a while; see what is broken, and end it",
		Long: `Break parts of a node on purpose: actors, disks, links to other nodes, jobs, the clock. Every fault ends by itself when its
--expiry is over, whoever injected it. The node must have been started with --faults, and the keys must be the root pair.
Faults are those of the node that is asked (--native), and end with it.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(injectFaultCommand(f), listFaultsCommand(f), showFaultCommand(f), clearFaultCommand(f))
	return command
}

// withFaults makes a client command that asks about faults.
func withFaults(f *frame, command *cobra.Command, do func(ctx context.Context, s *Session, control client.Control, args []string) error) *cobra.Command {
	return f.client(command, func(ctx context.Context, s *Session, args []string) error {
		control, err := s.Control()
		if err != nil {
			return err
		}
		return adviseFault(do(ctx, s, control, args))
	})
}

// adviseFault says what to do about a refusal that is about faults.
func adviseFault(err error) error {
	failure := client.AsFailure(err)
	switch {
	case failure == nil:
		return err
	case errs.Is(errs.Denied, err) && strings.Contains(failure.Message, `its setting "faults" is off`):
		return Advise(err, "faults are for nodes that were started with them: troupe serve --faults")
	case errs.Is(errs.Conflict, err):
		return Advise(err, "--dry-run shows what would be hit; --force insists")
	case errs.Is(errs.NotFound, err):
		return Advise(err, "`troupe fault list --all` shows which there are")
	}
	return err
}

func listFaultsCommand(f *frame) *cobra.Command {
	all := false
	command := withFaults(f, &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "Show the faults at work; --all: those that have ended, too",
		Long: `Show the faults that are at work at a node: who injected them and why, how long they last still, how often they have hit.
With --all also the last thousand that have ended, and how. "troupe fault show" has what was hit.`,
		Example: "  troupe fault list\n  troupe fault list --all --json",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, s *Session, control client.Control, _ []string) error {
		list, err := control.Faults(ctx, all)
		if err != nil {
			return err
		}
		rows := make([][]string, len(list))
		for i := range list {
			fault := &list[i]
			rows[i] = []string{
				faultID(fault.ID), printable(faultText(&fault.FaultSpec)), faultState(fault), strconv.FormatUint(fault.Hits, 10),
				fault.Began.Local().Format(time.DateTime), printable(fault.By), printable(fault.Reason),
			}
		}
		return s.Out.Table(api.Faults{Faults: list}, []string{"ID", "FAULT", "STATE", "HITS", "BEGAN", "BY", "REASON"}, rows)
	})
	command.Flags().BoolVar(&all, "all", false, "those that have ended, too")
	return command
}

func showFaultCommand(f *frame) *cobra.Command {
	return withFaults(f, &cobra.Command{
		Use:     "show ID",
		Short:   "Show one fault, at work or ended: who, why, and what it has hit",
		Example: "  troupe fault show 3",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, control client.Control, args []string) error {
		id, err := parseFaultID(args[0])
		if err != nil {
			return err
		}
		fault, err := control.Fault(ctx, id)
		if err != nil {
			return err
		}
		return s.Out.Document(fault, func(w io.Writer) { WriteTable(w, nil, faultRows(&fault)) })
	})
}

func clearFaultCommand(f *frame) *cobra.Command {
	all := false
	command := withFaults(f, &cobra.Command{
		Use:   "clear ID...",
		Short: "End faults before they expire",
		Long: `End faults before they expire. What hangs in them goes on, what they paused is resumed; connections that have lost bytes are
closed. A node also ends all of its faults when it stops.`,
		Example: "  troupe fault clear 3\n  troupe fault clear --all",
	}, func(ctx context.Context, s *Session, control client.Control, args []string) error {
		switch {
		case all && len(args) > 0:
			return Usage("--all and ids cannot be given together")
		case all:
			list, err := control.ClearFaults(ctx)
			if err != nil {
				return err
			}
			for i := range list {
				if err := s.Out.Line(&list[i], endedText(&list[i])); err != nil {
					return err
				}
			}
			return nil
		case len(args) == 0:
			return Usage("which faults? Give ids, or --all")
		}
		ids := make([]uint64, len(args))
		for i, arg := range args {
			var err error
			if ids[i], err = parseFaultID(arg); err != nil {
				return err
			}
		}
		partly := &Partly{}
		for _, id := range ids {
			fault, err := control.ClearFault(ctx, id)
			if err != nil {
				if len(ids) == 1 || ctx.Err() != nil {
					return err
				}
				if partly.Failed++; partly.First == nil {
					partly.First = err
				}
				s.Out.Warn("troupe: fault %d: %s", id, printable(err.Error()))
				continue
			}
			partly.Done++
			if err := s.Out.Line(&fault, endedText(&fault)); err != nil {
				return err
			}
		}
		if partly.Failed > 0 {
			return partly
		}
		return nil
	})
	command.Flags().BoolVar(&all, "all", false, "every fault at work")
	return command
}

func parseFaultID(text string) (uint64, error) {
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, Usage("%q is no id of a fault, which is a whole number", text)
	}
	return id, nil
}

func faultID(id uint64) string { return strconv.FormatUint(id, 10) }

// faultText says in a line what is broken: "disk d0 photos/*: flip-bits".
func faultText(s *api.FaultSpec) string {
	words := func(all ...string) string {
		return strings.Join(slices.DeleteFunc(all, func(w string) bool { return w == "" }), " ")
	}
	delay := func(d, jitter api.Span) string {
		switch {
		case d == 0 && jitter == 0:
			return ""
		case jitter == 0:
			return d.String()
		}
		return d.String() + " to " + (d + jitter).String()
	}
	switch {
	case s.Actor != nil:
		a := s.Actor
		return words("actor", a.Address, a.Message, a.About) + ": " + words(a.Do, a.Error, delay(a.Delay, a.Jitter))
	case s.Disk != nil:
		d := s.Disk
		return words("disk", cmp.Or(d.Mountpath, "*"), d.Path, strings.Join(d.Calls, ",")) + ": " + words(d.Do, d.Error, delay(d.Delay, d.Jitter))
	case s.Link != nil:
		l := s.Link
		return words("link", l.Direction, cmp.Or(strings.Join(l.Peers, ","), "*")) + ": " + words(l.Do, delay(l.Delay, l.Jitter))
	case s.Job != nil:
		j := s.Job
		return words("job", j.Job) + ": " + words(j.Do, j.Error, delay(j.Delay, j.Jitter))
	case s.Clock != nil:
		c := s.Clock
		text := "clock:"
		if c.Skew != 0 {
			text += " skew " + c.Skew.String()
		}
		if c.Jump != 0 {
			text += " jump " + c.Jump.String()
		}
		return text
	}
	return ""
}

// faultState says how long a fault lasts still, or how it ended.
func faultState(f *api.Fault) string {
	if f.Ended == nil {
		return shortDuration(time.Duration(f.Left)) + " left"
	}
	return f.End
}

func endedText(f *api.Fault) string {
	return fmt.Sprintf("fault %d has ended: %s; it hit %s", f.ID, printable(f.End), times(f.Hits))
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return strconv.FormatUint(n, 10) + " times"
}

// faultRows is a fault as lines of a name and a value.
func faultRows(f *api.Fault) [][]string {
	at := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.Local().Format("2006-01-02 15:04:05.000")
	}
	who := func(key, request string) string {
		if key == "" {
			return ""
		}
		return printable(key) + ", request " + printable(request)
	}
	rows := [][]string{
		{"id", faultID(f.ID)}, {"fault", printable(faultText(&f.FaultSpec))}, {"state", faultState(f)}, {"reason", printable(f.Reason)},
		{"when", whenText(f.When)}, {"expiry", f.Expiry.String()}, {"began", at(&f.Began)}, {"by", who(f.By, f.Request)},
	}
	if f.Forced {
		rows = append(rows, []string{"forced", "yes: redundancy did not allow for it"})
	}
	rows = append(rows, []string{"ended", at(f.Ended)}, []string{"cleared by", who(f.ClearedBy, f.Cleared)},
		[]string{"hits", fmt.Sprintf("%d of %d", f.Hits, f.Matched)}, []string{"first", at(f.First)}, []string{"last", at(f.Last)})
	for i, h := range f.Sample {
		name := "hit"
		if i > 0 {
			name = ""
		}
		rows = append(rows, []string{name, printable(h.What) + ", " + times(h.Count)})
	}
	return slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" })
}

// whenText says which of what matches are hit; empty: all.
func whenText(w *api.FaultWhen) string {
	if w == nil {
		return ""
	}
	var words []string
	add := func(is bool, format string, args ...any) {
		if is {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(w.After > 0, "after %d", w.After)
	add(w.Every > 1, "every %dth", w.Every)
	add(w.Probability > 0, "with probability %g", w.Probability)
	add(w.Count > 0, "%d at most", w.Count)
	add(w.Seed > 0, "seed %d", w.Seed)
	return strings.Join(words, ", ")
}
