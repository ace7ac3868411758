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
	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/tools/terminal"
)

// leastEvery is how often the tree may be drawn at most.
const leastEvery = 100 * time.Millisecond

// actorsCommand shows the tree of actors; its subcommands do something to them.
func actorsCommand(f *frame) *cobra.Command {
	once, all, every := false, false, time.Second
	var command *cobra.Command
	command = f.client(&cobra.Command{
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
		if !once && !s.Out.JSON && terminal.Is(s.Program.Out) {
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
		if len(list) == 0 {
			names := guesses(command, view.pattern)
			for i, name := range names {
				names[i] = "; did you mean `troupe actors " + name + "`?"
			}
			return Advise(errs.E("actors", view.pattern, errs.NotFound, errors.New("no actor matches")),
				"`troupe actors --once --all` shows what there is%s", strings.Join(names, ""))
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
		actorActionCommand(f, actorDeed{name: api.ActorSuspend, below: api.ActorSuspendBelow, short: "Refuse what is sent to actors, as busy, until they are resumed",
			long: "Requests to the actor are refused as busy, also those that wait; what it has in hand is finished, other messages\n" +
				"wait. The actors below it go on, unless --below is given: a mountpath that is suspended alone takes no large uploads,\n" +
				"but its lanes answer."}),
		actorActionCommand(f, actorDeed{name: api.ActorResume, below: api.ActorResumeBelow, short: "Let suspended actors go on",
			long: "The actor takes requests again. Those below it that are suspended stay so, unless --below is given."}),
		actorActionCommand(f, actorDeed{name: api.ActorRestart, short: "Make actors anew when they have handled what they have in hand",
			long: "The actors below it end, and are made anew with it."}),
		actorActionCommand(f, actorDeed{name: api.ActorKill, short: "Make actors anew at once; what waits for them is refused as busy",
			long: "The actors below it end, and are made anew with it. An actor in a call that does not return is left behind after half a second."}),
	)
	return command
}

// colours reports whether answers may be coloured.
func (s *Session) colours() bool {
	return terminal.Is(s.Program.Out) && s.Program.Getenv("NO_COLOR") == "" && s.Program.Getenv("TERM") != "dumb"
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
	for i, p := range a.Panics {
		name := ""
		if i == 0 {
			name = "panics"
		}
		add(name, "%s %s, %d times, the last %s ago at %s: %s", printable(p.Message), printable(p.Subject), p.Count,
			shortDuration(max(0, now.Sub(p.Last))), printable(p.Address), printable(p.Cause))
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

// actorDeed is something that is done to actors.
type actorDeed struct {
	name, short, long string
	below             string // the action that does it to all actors below, too; empty: it is none that leaves them alone
}

// actorActionCommand does one thing to actors.
func actorActionCommand(f *frame, deed actorDeed) *cobra.Command {
	below := false
	command := f.client(&cobra.Command{
		Use:     deed.name + " ADDRESS...",
		Short:   deed.short,
		Long:    deed.short + ".\n\n" + deed.long,
		Example: fmt.Sprintf("  troupe actors %s node/mountpaths/d0/w3", deed.name),
		Args:    cobra.MinimumNArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		control, err := s.Control()
		if err != nil {
			return err
		}
		action := deed.name
		if below {
			action = deed.below
		}
		partly := &Partly{}
		for _, address := range args {
			changed, err := control.ControlActor(ctx, address, action)
			var others string
			if err == nil && deed.below != "" && !s.Out.JSON {
				others, err = othersText(ctx, control, changed.Actor, deed.name)
			}
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
			if err := s.Out.Line(changed, actionText(deed.name, &changed)+others); err != nil {
				return err
			}
		}
		if partly.Failed > 0 {
			return adviseActor(partly)
		}
		return nil
	})
	if deed.below != "" {
		command.Flags().BoolVar(&below, "below", false, "and all actors below")
		command.Example += fmt.Sprintf("\n  troupe actors %s --below node/mountpaths/d0", deed.name)
	}
	return command
}

// othersText says what became of the actors below one that was suspended or
// resumed, and how the others follow.
func othersText(ctx context.Context, control client.Control, a api.Actor, action string) (string, error) {
	if len(a.Children) == 0 {
		return "", nil
	}
	list, err := control.Actors(ctx, a.Address+"/**")
	if err != nil {
		return "", err
	}
	suspended := 0
	for i := range list {
		if list[i].Status == "suspended" {
			suspended++
		}
	}
	switch running := len(list) - suspended; {
	case action == api.ActorSuspend && running > 0:
		return fmt.Sprintf("; %s below %s on (--below suspends them, too)", count(running, "actor"), verb(running, "goes", "go")), nil
	case action == api.ActorSuspend:
		return fmt.Sprintf(", with %s below", count(suspended, "actor")), nil
	case suspended > 0:
		return fmt.Sprintf("; %s below %s suspended (--below resumes them, too)", count(suspended, "actor"), verb(suspended, "stays", "stay")), nil
	default:
		return "", nil
	}
}

func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
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
