package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/client"
)

// injectFaultCommand has faults begin, by what they break.
func injectFaultCommand(f *frame) *cobra.Command {
	command := &cobra.Command{
		Use:   "inject",
		Short: "Break something, for as long as --expiry says",
		Long: `Break an actor, a disk, a link to other nodes, a job or the clock, for as long as --expiry says. A fault that may leave keys
without a node that serves them is refused, unless --force is given; --dry-run says what would be hit, and breaks nothing.`,
		Example: `  troupe fault inject disk flip-bits --mountpath d0 --path 'photos/**' --expiry 5m --dry-run
  troupe fault inject actor 'node/mountpaths/d0/w*' delay --delay 200ms --expiry 1m --reason 'what do clients see?'`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(injectActorCommand(f), injectDiskCommand(f), injectLinkCommand(f), injectJobCommand(f), injectClockCommand(f))
	return command
}

// faultFlags are the flags that all faults share.
type faultFlags struct {
	wanted        api.InjectFault
	when          api.FaultWhen
	expiry        time.Duration
	delay, jitter time.Duration
}

// add declares the flags; timed: those of a delay, too.
func (o *faultFlags) add(flags *pflag.FlagSet, timed bool) {
	flags.DurationVar(&o.expiry, "expiry", 0, "how long the fault lasts, at most 24h; it ends by itself then; required")
	flags.StringVar(&o.wanted.Reason, "reason", "", "why; for the log and the list")
	flags.BoolVarP(&o.wanted.DryRun, "dry-run", "n", false, "say what would be hit, and break nothing")
	flags.BoolVar(&o.wanted.Force, "force", false, "insist, though keys may be left without a node that serves them")
	if !timed {
		return
	}
	flags.DurationVar(&o.delay, "delay", 0, "of delay and slow: so long at least")
	flags.DurationVar(&o.jitter, "jitter", 0, "of delay and slow: by chance up to so much more")
	flags.Uint64Var(&o.when.After, "after", 0, "so many pass unharmed first")
	flags.Uint64Var(&o.when.Every, "every", 0, "then each so-manieth, beginning with the next")
	flags.Float64Var(&o.when.Probability, "probability", 0, "of those, by chance: above 0, at most 1")
	flags.Uint64Var(&o.when.Count, "count", 0, "so many hits in all; default: no end")
	flags.Uint64Var(&o.when.Seed, "seed", 0, "of chance, to repeat a run; default: one is taken and told")
}

// injectCommand makes the command of one sort of fault; fill says what it breaks.
func injectCommand(f *frame, command *cobra.Command, timed bool, fill func(o *faultFlags, args []string)) *cobra.Command {
	o := &faultFlags{}
	command = withFaults(f, command, func(ctx context.Context, s *Session, control client.Control, args []string) error {
		if err := checkFlags(command.Flags()); err != nil {
			return err
		}
		o.wanted.Expiry = api.Span(o.expiry)
		if o.when != (api.FaultWhen{}) {
			o.wanted.When = &o.when
		}
		fill(o, args)
		injected, err := control.InjectFault(ctx, o.wanted)
		if err != nil {
			return err
		}
		if injected.Matches.None() {
			s.Out.Note("troupe: there is nothing now that the fault is about; what comes later is hit")
		}
		return s.Out.Document(injected, func(w io.Writer) { tellInjected(w, &injected) })
	})
	o.add(command.Flags(), timed)
	return command
}

// checkFlags refuses what would break more than was meant: a flag that is given and empty,
// such as a variable of a script that is not set, must not mean everything.
func checkFlags(flags *pflag.FlagSet) error {
	if !flags.Changed("expiry") {
		return Usage("--expiry is missing: how long the fault lasts, for example --expiry 5m")
	}
	var err error
	flags.Visit(func(flag *pflag.Flag) {
		value := flag.Value.String()
		switch {
		case value == "" || value == "[]":
			err = Usage("--%s is given, and is empty; leave it out if it is not meant", flag.Name)
		case value == "0" && (flag.Name == "count" || flag.Name == "probability"):
			err = Usage("--%s 0 would hit nothing; leave it out to hit all", flag.Name)
		case flag.Name == "expiry" && (value == "0s" || strings.HasPrefix(value, "-")):
			err = Usage("--expiry %s: a fault lasts some time, for example --expiry 5m", value)
		}
	})
	return err
}

// tellInjected says what has begun, or would.
func tellInjected(w io.Writer, injected *api.InjectedFault) {
	about := aboutText(&injected.Matches)
	if f := injected.Fault; f != nil {
		fmt.Fprintf(w, "fault %d is at work until %s: %s\n", f.ID, time.Now().Add(time.Duration(f.Left)).Local().Format(time.DateTime), about)
		if f.Forced {
			fmt.Fprintf(w, "forced: %s\n", printable(injected.Refused))
		}
		return
	}
	fmt.Fprintf(w, "nothing is broken; the fault would be about %s\n", about)
	m := &injected.Matches
	for _, names := range [][]string{m.Actors, m.Mountpaths, m.Peers, m.Jobs} {
		for _, name := range names {
			fmt.Fprintf(w, "  %s\n", printable(name))
		}
	}
	if injected.Refused != "" {
		fmt.Fprintf(w, "it needs --force: %s\n", printable(injected.Refused))
	}
}

// aboutText counts what a fault is about: "3 actors".
func aboutText(m *api.FaultMatches) string {
	var words []string
	for _, sort := range []struct {
		names []string
		one   string
	}{{m.Actors, "actor"}, {m.Mountpaths, "mountpath"}, {m.Peers, "node"}, {m.Jobs, "job"}} {
		if len(sort.names) > 0 {
			words = append(words, count(len(sort.names), sort.one))
		}
	}
	switch {
	case m.Clock:
		return "the clock"
	case len(words) == 0:
		return "nothing now"
	}
	return strings.Join(words, ", ")
}

func injectActorCommand(f *frame) *cobra.Command {
	var actor api.FaultOfActor
	command := injectCommand(f, &cobra.Command{
		Use:   "actor ADDRESS EFFECT",
		Short: "Break messages on their way into actors, or pause actors",
		Long: `Break messages on their way into the actors whose addresses match a pattern (as troupe actors has them). EFFECT is

  panic       the actor panics on the message; its supervisor decides
  drop        a request is lost (with --message any); who asked gives up at its deadline
  drop-reply  the message is handled, and the answer lost
  refuse      it is answered with an error (--error, default busy)
  delay       the actor waits (--delay, --jitter)
  hang        the actor waits until the fault ends
  pause       the actor is suspended until the fault ends, as those that begin meanwhile`,
		Example: `  troupe fault inject actor 'node/mountpaths/d0/w*' panic --message messages.PutObject --count 1 --expiry 1m
  troupe fault inject actor 'node/**' panic --about photos/cat.jpg --expiry 1m
  troupe fault inject actor node/mountpaths/d0/keeper pause --expiry 10m --force`,
		Args: cobra.ExactArgs(2),
	}, true, func(o *faultFlags, args []string) {
		actor.Address, actor.Do, actor.Delay, actor.Jitter = args[0], args[1], api.Span(o.delay), api.Span(o.jitter)
		o.wanted.Actor = &actor
	})
	command.Flags().StringVar(&actor.Message, "message", "", "only messages of types that match: messages.PutObject, mountpath.*")
	command.Flags().StringVar(&actor.About, "about", "", "only messages about what matches: photos/cat.jpg, photos/**")
	command.Flags().StringVar(&actor.Error, "error", "", "of refuse: the kind of the error, such as busy, corrupt, i/o")
	return command
}

func injectDiskCommand(f *frame) *cobra.Command {
	var disk api.FaultOfDisk
	command := injectCommand(f, &cobra.Command{
		Use:   "disk EFFECT",
		Short: "Break operations on the disks of mountpaths",
		Long: `Break operations on the disks of mountpaths. EFFECT is

  fail, fail-afterwards    an operation fails (--error, default EIO), without or after having happened
  slow                     it takes longer (--delay, --jitter)
  stall                    it waits until the fault ends
  panic                    the actor that calls panics; an index meets an error (--error)
  short-write, torn-write  --bytes bytes are written, and it fails, or reports success
  lose-sync                a sync reports success and syncs nothing
  flip-bits                a read returns --bits changed bits; what is stored stays as it is
  full, read-only          the filesystem takes no more, or no change at all`,
		Example: `  troupe fault inject disk flip-bits --mountpath d0 --path 'photos/**' --count 1 --expiry 5m
  troupe fault inject disk full --mountpath /disks/1 --path '.troupe/work/*' --expiry 5m --force`,
		Args: cobra.ExactArgs(1),
	}, true, func(o *faultFlags, args []string) {
		disk.Do, disk.Delay, disk.Jitter = args[0], api.Span(o.delay), api.Span(o.jitter)
		o.wanted.Disk = &disk
	})
	flags := command.Flags()
	flags.StringVar(&disk.Mountpath, "mountpath", "", "only mountpaths whose directory, or its last element, matches; default: all")
	flags.StringVar(&disk.Path, "path", "", "only paths below that match, such as 'photos/**'; default: all, the index's too")
	flags.StringSliceVar(&disk.Calls, "call", nil, "only these operations: open, create, read, write, sync, …; repeatable")
	flags.StringVar(&disk.Error, "error", "", "the error of fail, fail-afterwards, panic and short-write, such as EIO, ENOSPC")
	flags.IntVar(&disk.Bytes, "bytes", 0, "of short-write and torn-write: so many are written")
	flags.IntVar(&disk.Bits, "bits", 0, "of flip-bits: so many of each read; default 1")
	return command
}

func injectLinkCommand(f *frame) *cobra.Command {
	var link api.FaultOfLink
	command := injectCommand(f, &cobra.Command{
		Use:   "link EFFECT",
		Short: "Break the connections between the node and others",
		Long: `Break the connections between the node and others of its cluster, at this node's side. EFFECT is

  cut         connections end at once, and none is made
  drop        what is sent is lost, and nobody is told: a partition, as a cable that is pulled
  drop-reply  who is asked does it, and the answer is lost
  delay       bytes take longer (--delay, --jitter), in each direction

--direction says whose conversations: out, what the node asks of others; in, what they ask of it; both.`,
		Example: `  troupe fault inject link drop --expiry 2m
  troupe fault inject link cut --peer 4f1c0f7d2a3b4c5d --direction out --expiry 2m`,
		Args: cobra.ExactArgs(1),
	}, true, func(o *faultFlags, args []string) {
		link.Do, link.Delay, link.Jitter = args[0], api.Span(o.delay), api.Span(o.jitter)
		o.wanted.Link = &link
	})
	command.Flags().StringSliceVar(&link.Peers, "peer", nil, "only nodes whose id matches; repeatable; default: all others")
	command.Flags().StringVar(&link.Direction, "direction", "both", "both, out, or in")
	return command
}

func injectJobCommand(f *frame) *cobra.Command {
	var job api.FaultOfJob
	command := injectCommand(f, &cobra.Command{
		Use:   "job JOB EFFECT",
		Short: "Break the steps of jobs",
		Long: `Break the steps of the jobs whose id or kind matches a pattern. EFFECT is

  pause  the job begins no step until the fault ends; unlike troupe job pause it is no state of the job
  delay  a step begins later (--delay, --jitter)
  fail   the job fails (--error, default busy)
  panic  the job panics`,
		Example: "  troupe fault inject job move pause --expiry 10m\n  troupe fault inject job ab2cdefg3hijk fail --expiry 1m",
		Args:    cobra.ExactArgs(2),
	}, true, func(o *faultFlags, args []string) {
		job.Job, job.Do, job.Delay, job.Jitter = args[0], args[1], api.Span(o.delay), api.Span(o.jitter)
		o.wanted.Job = &job
	})
	command.Flags().StringVar(&job.Error, "error", "", "of fail: the kind of the error")
	return command
}

func injectClockCommand(f *frame) *cobra.Command {
	var skew, jump time.Duration
	command := injectCommand(f, &cobra.Command{
		Use:     "clock",
		Short:   "Set the node's clock",
		Long:    "Move the wall clock of the node (--skew), or let time pass at once (--jump): deadlines come nearer, too.",
		Example: "  troupe fault inject clock --skew=-20m --expiry 1m --force",
		Args:    cobra.NoArgs,
	}, false, func(o *faultFlags, _ []string) {
		o.wanted.Clock = &api.FaultOfClock{Skew: api.Span(skew), Jump: api.Span(jump)}
	})
	command.Flags().DurationVar(&skew, "skew", 0, "what is added to the wall clock while the fault lasts")
	command.Flags().DurationVar(&jump, "jump", 0, "so much time passes at once")
	return command
}
