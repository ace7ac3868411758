package prover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/tools/cli"
	"github.com/troupe-storage/troupe/tools/terminal"
)

// defaultCuts is how many cuts are made if neither their number nor a time is given.
const defaultCuts = 100

// Command returns `prove`, for a program whose `serve` has the trial's flags, and that
// can open recordings.
func Command(flags TrialFlags, open Open) *cobra.Command {
	command := &cobra.Command{
		Use:   "prove",
		Short: "Show on this machine that a node keeps what it acknowledged",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(durabilityCommand(flags, open))
	return command
}

func durabilityCommand(flags TrialFlags, open Open) *cobra.Command {
	p := &proof{flags: flags, open: open}
	var durability string
	var minutes float64
	var asJSON bool
	command := &cobra.Command{
		Use:   "durability --data DIR",
		Short: "Kill nodes and cut their power under load, and look for what they acknowledged",
		Long: `Runs nodes of this program under a load of writes in a directory of this machine,
kills them with kill -9, and cuts their power: a node's disks are recorded, and played back
up to many moments, with what was not synced then gone, or there in part, or torn. A node starts
on what is left, and everything is compared with what was acknowledged.

It prints how many cuts were made, and what was acknowledged, lost and torn. The exit code
is 1 if anything that must not be was found.

In DIR it makes a directory troupe-prove, and removes it at the end; nothing else there is
touched. It must be on the disk that nodes are to use; 1 GiB must be free. Listeners are on
loopback, on ports that are free. docs/proving.md says how to read the result, and what it does not prove.`,
		Example: `  troupe prove durability --data /mnt/disk1
  troupe prove durability --data /mnt/disk1 --minutes 30 --json
  troupe prove durability --data /mnt/disk1 --seed 7 --cut 31 --keep`,
		Args: cobra.NoArgs,
	}
	f := command.Flags()
	f.StringVar(&p.Dir, "data", "", "directory to work in, on the disk that is meant")
	f.IntVar(&p.Cuts, "cuts", 0, fmt.Sprintf("how many cuts to make; default %d, with --minutes as many as there is time for", defaultCuts))
	f.Float64Var(&minutes, "minutes", 0, "how long to go on at most")
	f.Uint64Var(&p.Seed, "seed", 0, "decides what is written and cut; default: another one each time")
	f.IntVar(&p.Only, "cut", 0, "make this cut alone, of those that the seed makes")
	f.StringVar(&durability, "durability", string(objects.Synced), "class of what is written: synced or relaxed")
	f.BoolVar(&p.Keep, "keep", false, "leave the recording of a power cut after which something was wrong, to be repeated with --cut")
	f.BoolVar(&asJSON, "json", false, "answer with JSON")
	f.StringVar(&p.program, "program", "", "another program whose serve is a node")
	f.Lookup("program").Hidden = true // the negative control of its tests
	command.RunE = func(command *cobra.Command, _ []string) error {
		p.Durability, p.Time = objects.Durability(durability), time.Duration(minutes*float64(time.Minute))
		if err := p.complete(command.Flags().Changed("seed")); err != nil {
			return err
		}
		return p.report(command, asJSON)
	}
	return command
}

// complete fills in what was not given, and refuses what cannot be.
func (p *proof) complete(seeded bool) error {
	switch {
	case p.Dir == "":
		return cli.Usage("--data says in which directory to prove; a directory is made in it, and removed at the end")
	case p.Cuts < 0 || p.Only < 0 || p.Time < 0:
		return cli.Usage("--cuts, --cut and --minutes are above 0")
	case p.Durability != objects.Synced && p.Durability != objects.Relaxed:
		return cli.Usage("--durability is synced or relaxed, not %q", p.Durability)
	case p.Only > 0 && !seeded:
		return cli.Usage("--cut is one of a seed: give --seed, too")
	case p.Only > 0 && (p.Cuts > 0 || p.Time > 0):
		return cli.Usage("--cut makes one cut: --cuts and --minutes do not go with it")
	}
	if p.Cuts == 0 && p.Time == 0 && p.Only == 0 {
		p.Cuts = defaultCuts
	}
	if !seeded {
		p.Seed = rand.Uint64N(1_000_000) // a number that people can type
	}
	if p.program == "" {
		program, err := os.Executable()
		if err != nil {
			return err
		}
		p.program = program
	}
	return nil
}

// report proves and says what came of it. Ctrl-C ends it in order: nodes are ended, the
// directory is removed, and what was found so far is printed.
func (p *proof) report(command *cobra.Command, asJSON bool) error {
	ctx, restore := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
	defer restore()
	defer context.AfterFunc(ctx, restore)() // the second Ctrl-C ends it at once
	p.result = &Result{Seed: p.Seed, Durability: p.Durability, Findings: []Found{}, NotProved: notProved}
	p.meter = newMeter(command.ErrOrStderr(), p.Options)
	defer p.meter.close()
	err := p.run(ctx)
	p.meter.close()
	interrupted := ctx.Err() != nil
	if err == nil && !interrupted {
		err = p.result.proved(p.Only > 0)
	}
	switch {
	case interrupted:
		p.result.Stopped = "interrupted"
	case err != nil:
		p.result.Stopped = err.Error()
	}
	if p.result.Kills.Cuts+p.result.PowerCuts.Cuts == 0 && p.result.faults() == 0 && err != nil && !interrupted {
		return cli.Unadvised(err)
	}
	if asJSON {
		encoder := json.NewEncoder(command.OutOrStdout())
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if writing := encoder.Encode(p.result); writing != nil {
			return writing
		}
	} else if writing := p.result.write(command.OutOrStdout(), terminal.SizeOf(command.OutOrStdout()).Width); writing != nil {
		return writing
	}
	switch {
	case p.result.faults() > 0:
		return cli.Coded(cli.Unadvised(fmt.Errorf("%d findings: what was acknowledged is not safe here", p.result.faults())), cli.ExitFailure)
	case interrupted:
		return cli.Coded(cli.Unadvised(errors.New("interrupted")), cli.ExitInterrupted)
	}
	return cli.Unadvised(err)
}
