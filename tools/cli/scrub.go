package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api/scrub"
)

// scrubCommand holds what is asked of a node about the verification of what it stores.
func scrubCommand(f *frame) *cobra.Command {
	command := &cobra.Command{
		Use:   "scrub",
		Short: "Show what was verified of what is stored, and what is damaged",
		Long: `Each mountpath reads what it stores in the background and compares it with its checksums, so that every byte is verified
within the days that the node was told (--scrub-days, 30). It is done when nobody else needs the disk, faster when it is late, and
suspended, resumed and restarted by its address: troupe actors suspend node/mountpaths/d0/scrubber.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(scrubStatusCommand(f), scrubListCommand(f))
	return command
}

func scrubStatusCommand(f *frame) *cobra.Command {
	return f.client(&cobra.Command{
		Use:   "status",
		Short: "Show for each mountpath and bucket how long ago it was verified",
		Long: `Show for each mountpath and bucket how long ago it was verified.

Of the node that is asked. AGE is that of the oldest byte: since it was verified, or since it was written if that was later. The
columns in days are bytes by age; --json has the numbers of payloads, too, and what could not be verified.`,
		Example: "  troupe scrub status\n  troupe scrub status --json | jq '.mountpaths[] | {path, oldest, found}'",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, s *Session, _ []string) error {
		control, err := s.Control()
		if err != nil {
			return err
		}
		status, err := scrub.Client{Control: control}.Status(ctx)
		if err != nil {
			return err
		}
		heading, rows := scrubTable(&status, time.Now())
		if err := s.Out.Table(status, heading, rows); err != nil {
			return err
		}
		if status.Days == 0 {
			s.Out.Note("scrubbing is switched off (scrub-days: 0)")
		}
		return nil
	})
}

func scrubListCommand(f *frame) *cobra.Command {
	return f.client(&cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List what is damaged on the node that is asked",
		Long: `List what is damaged on the node that is asked, at most 1,000 payloads of each mountpath.

Nothing of them is given out. Deleting a key, or writing it anew, ends it.`,
		Example: "  troupe scrub list\n  troupe scrub list --json | jq -r '.mountpaths[].findings[]? | .bucket + \"/\" + .key'",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, s *Session, _ []string) error {
		control, err := s.Control()
		if err != nil {
			return err
		}
		status, err := scrub.Client{Control: control}.Status(ctx)
		if err != nil {
			return err
		}
		var rows [][]string
		for i := range status.Mountpaths {
			for _, d := range status.Mountpaths[i].Findings {
				part := ""
				if d.Part > 0 {
					part = strconv.Itoa(d.Part)
				}
				aside := "no"
				if d.Path != "" {
					aside = "yes"
				}
				rows = append(rows, []string{
					printable(d.Bucket + "/" + d.Key), part, d.At.Local().Format(time.DateTime), aside, printable(status.Mountpaths[i].Path), printable(d.Reason),
				})
			}
		}
		return s.Out.Table(status, []string{"KEY", "PART", "FOUND", "ASIDE", "MOUNTPATH", "REASON"}, rows)
	})
}

// scrubTable is a row for each mountpath, and below it one for each of its buckets.
func scrubTable(status *scrub.Status, now time.Time) (heading []string, rows [][]string) {
	heading = []string{"MOUNTPATH", "BUCKET", "PHASE", "VERIFIED", "LEFT", "DUE", "AGE", "FOUND", "REPAIRED", "DAMAGED", "SKIPPED"}
	for _, below := range scrub.Classes() {
		if below == 0 {
			heading = append(heading, "OLDER")
		} else {
			heading = append(heading, fmt.Sprintf("<%dD", below))
		}
	}
	for i := range status.Mountpaths {
		m := &status.Mountpaths[i]
		due, age := "", ""
		if m.Due != nil && m.Ended == nil {
			due = m.Due.Local().Format(time.DateOnly)
		}
		if m.Oldest != nil {
			age = daysOf(now.Sub(*m.Oldest))
			if m.Late {
				age += " late"
			}
		}
		sums := make(map[int]int64)
		for j := range m.Buckets {
			for _, a := range m.Buckets[j].Ages {
				sums[a.Below] += a.Bytes
			}
		}
		rows = append(rows, append([]string{
			printable(m.Path), "", m.Phase, humanBytes(m.Bytes), humanBytes(m.Remaining), due, age,
			strconv.FormatInt(m.Found, 10), strconv.FormatInt(m.Repaired, 10), strconv.FormatInt(m.Unrepairable, 10), strconv.FormatInt(m.Skipped, 10),
		}, agesOf(sums)...))
		for j := range m.Buckets {
			b := &m.Buckets[j]
			name := b.Name
			if name == "" {
				name = b.ID
			}
			if b.Uploads {
				name += " (uploads)"
			}
			sums := make(map[int]int64)
			for _, a := range b.Ages {
				sums[a.Below] = a.Bytes
			}
			rows = append(rows, append([]string{"", printable(name), "", "", "", "", daysOf(now.Sub(b.Oldest)), "", "", "", ""}, agesOf(sums)...))
		}
	}
	return heading, rows
}

// agesOf is a cell for each class of ages.
func agesOf(sums map[int]int64) []string {
	var cells []string
	for _, below := range scrub.Classes() {
		cell := "-"
		if n, ok := sums[below]; ok {
			cell = humanBytes(n)
		}
		cells = append(cells, cell)
	}
	return cells
}

// daysOf is an age in days, below two of them in hours.
func daysOf(age time.Duration) string {
	if age < 48*time.Hour {
		return strings.TrimSuffix(max(age, 0).Truncate(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd", int(age.Hours()/24))
}
