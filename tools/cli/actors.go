package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/objects/errs"
)

// leastEvery is how often the tree may be drawn at most.
const leastEvery = 100 * time.Millisecond

// actorsCommand shows the tree of actors; its subcommands do something to them.
func actorsCommand(f *frame) *cobra.Command {
	once, all, every := false, false, time.Second
	command := f.client(&cobra.Command{
		Use:   "actors [PATTERN]",
		Short: "Show the actors of a node, live; inspect, suspend, resume, restart and kill them",
		Long: `Shows the tree of actors: what each has in hand and since when, what waits in its mailbox, how many messages it
handles per second, how often it was restarted and why. On a terminal the tree is drawn anew every second until Ctrl-C; else it
is written once. Siblings of one kind about which there is nothing to say share a line, unless --all is given.

PATTERN chooses by address: node/edges/*, node/mountpaths/d0/w*; one that ends in /** is everything below.`,
		Example: `  troupe actors
  troupe actors 'node/mountpaths/d0/**' --all
  troupe actors --once
  troupe actors inspect node/mountpaths/d0/w3
  troupe actors kill node/mountpaths/d0/w3`,
		Args: cobra.MaximumNArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		if every < leastEvery {
			return Usage("--every %s: at least %s", every, leastEvery)
		}
		view := actorsView{pattern: strings.Join(args, ""), all: all, endpoint: s.native.Host, colours: s.colours()}
		if !once && !s.Out.JSON && isTerminal(s.Program.Out) {
			return s.watchActors(ctx, view, every)
		}
		control, err := s.Control()
		if err != nil {
			return err
		}
		list, err := control.Actors(ctx, view.pattern)
		if err != nil {
			return err
		}
		return s.Out.Document(api.Actors{Actors: list}, func(w io.Writer) {
			for _, line := range view.draw(list, time.Now(), terminalSize(s.Program.Out)) {
				fmt.Fprintln(w, line)
			}
		})
	})
	command.Flags().BoolVar(&once, "once", false, "write the tree once and end, on a terminal too")
	command.Flags().BoolVar(&all, "all", false, "a line for each actor")
	command.Flags().DurationVar(&every, "every", every, "how often the tree is drawn anew")
	command.AddCommand(
		inspectActorCommand(f),
		actorActionCommand(f, api.ActorSuspend, "Refuse what is sent to actors, as busy, until they are resumed"),
		actorActionCommand(f, api.ActorResume, "Let suspended actors go on"),
		actorActionCommand(f, api.ActorRestart, "Make actors anew when they have handled what they have in hand"),
		actorActionCommand(f, api.ActorKill, "Make actors anew at once; what waits for them is refused as busy"),
	)
	return command
}

// colours reports whether answers may be coloured.
func (s *Session) colours() bool {
	return isTerminal(s.Program.Out) && s.Program.Getenv("NO_COLOR") == "" && s.Program.Getenv("TERM") != "dumb"
}

func inspectActorCommand(f *frame) *cobra.Command {
	return f.client(&cobra.Command{
		Use:     "inspect ADDRESS",
		Short:   "Show all that is seen of one actor",
		Example: "  troupe actors inspect node/mountpaths/d0",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		control, err := s.Control()
		if err != nil {
			return err
		}
		actor, err := control.Actor(ctx, args[0])
		if err != nil {
			return adviseActor(err)
		}
		return s.Out.Document(actor, func(w io.Writer) { WriteTable(w, nil, actorRows(&actor, time.Now())) })
	})
}

// actorRows is an actor as lines of a name and a value.
func actorRows(a *api.Actor, now time.Time) [][]string {
	rows := [][]string{{"address", printable(a.Address)}, {"kind", printable(a.Kind)}, {"status", a.Status}}
	add := func(name, format string, args ...any) {
		rows = append(rows, []string{name, fmt.Sprintf(format, args...)})
	}
	add("queued", "%s", count(int(a.Queued), "message"))
	if a.Queued > 0 {
		add("oldest", "%s", shortDuration(millis(a.OldestMillis)))
	}
	if a.Current != "" {
		add("in hand", "%s, since %s", doing(a), shortDuration(millis(a.CurrentMillis)))
	}
	add("handled", "%d, %s per second", a.Handled, rateText(a.PerSecond))
	add("restarts", "%d", a.Restarts)
	if a.LastCause != "" {
		add("last cause", "%s", causeText(a, now))
	}
	if a.Abandoned > 0 {
		add("abandoned", "%s killed in a call that has not returned", count(a.Abandoned, "predecessor"))
	}
	if a.Parent != "" {
		add("parent", "%s", printable(a.Parent))
	}
	for i, child := range a.Children {
		name := ""
		if i == 0 {
			name = "children"
		}
		add(name, "%s", printable(child))
	}
	return rows
}

// actorActionCommand does one thing to actors.
func actorActionCommand(f *frame, action, short string) *cobra.Command {
	return f.client(&cobra.Command{
		Use:     action + " ADDRESS...",
		Short:   short,
		Example: fmt.Sprintf("  troupe actors %s node/mountpaths/d0/w3", action),
		Args:    cobra.MinimumNArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		control, err := s.Control()
		if err != nil {
			return err
		}
		partly := &Partly{}
		for _, address := range args {
			changed, err := control.ControlActor(ctx, address, action)
			if err != nil {
				if len(args) == 1 || ctx.Err() != nil {
					return adviseActor(err)
				}
				if partly.Failed++; partly.First == nil {
					partly.First = err
				}
				s.Out.Warn("troupe: %s: %s", printable(address), printable(err.Error()))
				continue
			}
			partly.Done++
			if err := s.Out.Line(changed, actionText(action, &changed)); err != nil {
				return err
			}
		}
		if partly.Failed > 0 {
			return adviseActor(partly)
		}
		return nil
	})
}

// adviseActor says where addresses are found.
func adviseActor(err error) error {
	var partly *Partly
	if errs.Is(errs.NotFound, err) || errors.As(err, &partly) && errs.Is(errs.NotFound, partly.First) {
		return Advise(err, "`troupe actors --once --all` shows what there is")
	}
	return err
}

// actionText says what became of an action.
func actionText(action string, c *api.ActorChanged) string {
	text := fmt.Sprintf("%s %s: %s", action, printable(c.Actor.Address), c.Actor.Status)
	if c.Pending != "" {
		text += "; " + printable(c.Pending)
	}
	return text
}
