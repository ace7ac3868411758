package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/recording"
	"github.com/troupe-storage/troupe/tools/prover"
)

// Hidden flags of serve, of no use to anybody but `troupe prove`, which starts nodes
// with them.
const (
	trialJournal = "trial-journal"
	trialBoot    = "trial-boot"
)

// addTrial defines the hidden flags; what they say is in the trial once they are parsed.
func addTrial(flags *pflag.FlagSet) *supervisors.Trial {
	var trial supervisors.Trial
	flags.StringVar(&trial.Journal, trialJournal, "", "file that gets a journal of all that changes the mountpaths")
	flags.StringVar(&trial.Boot, trialBoot, "", "what stands for the kernel's id of this boot")
	for _, name := range []string{trialJournal, trialBoot} {
		flags.Lookup(name).Hidden = true
	}
	return &trial
}

func proveCommand() *cobra.Command {
	flags := prover.TrialFlags{Journal: "--" + trialJournal, Boot: "--" + trialBoot}
	return prover.Command(flags, func(path string, on prover.Recording) (prover.Recording, error) {
		before, _ := on.(*recording.Recording) // nil: there was none
		return recording.Open(path, before)
	})
}
