package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/supervisors/storage"
	"github.com/troupe-storage/troupe/tools/cli"
)

// storageCommands work on the directories of a node's mountpaths, with no node
// running: each takes their locks, and refuses those that a node has open.
func storageCommands() []*cobra.Command {
	return []*cobra.Command{exportCommand(), rebuildCommand(), checkCommand()}
}

// Exit codes of troupe storage, as of fsck.
const (
	exitFindings  = 1 // it worked, and not all is well
	exitNotLooked = 2 // it could not be done
)

// report writes a result as JSON.
func report(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// progressEvery is how often progress is told.
const progressEvery = time.Second

func exportCommand() *cobra.Command {
	var o storage.ExportOptions
	var asJSON, partial bool
	cmd := &cobra.Command{
		Use:   "export --data DIR... --to DIR|FILE.tar|-",
		Short: "Copy every object out of mountpaths, with no node running",
		Long: `Reads every bucket and object from the mountpaths and writes them, verified, into a
directory, a tar file, or a tar stream on standard output. Nothing is written to the
mountpaths; they may be mounted read-only.

In a directory, objects lie at buckets/BUCKET/NAME, and manifest.jsonl has a line of
JSON for each: key, metadata, tags, ETag, checksums, times. A tar has the same paths,
the key in the PAX record TROUPE.key and that line in TROUPE.entry. Names that no
directory holds as they are get escapes, which docs/offline.md lists.

Damaged objects are passed over and listed. The exit code is 1 if any were, or if a
mountpath of the node is missing (--partial: if only that, 0); 2 if the export could
not be done.`,
		Example: `  troupe storage export --data /mnt/a --data /mnt/b --to /backup/export
  troupe storage export --data /mnt/a --bucket photos --prefix 2026/ --to - | zstd > photos.tar.zst
  troupe storage export --data /mnt/a --without-index --to /backup/rescued`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&o.Data, "data", nil, "directory of a mountpath; repeatable: give all of the node's")
	flags.StringVar(&o.To, "to", "", "empty directory, FILE.tar, or - for a tar stream")
	flags.StringVar(&o.Bucket, "bucket", "", "only this bucket")
	flags.StringVar(&o.Prefix, "prefix", "", "only names that begin with this")
	flags.BoolVar(&o.WithoutIndex, "without-index", false, "read files and attributes only; small objects, which are in the index, are missing")
	flags.BoolVar(&partial, "partial", false, "a missing mountpath is no failure")
	flags.BoolVar(&asJSON, "json", false, "report as JSON (on standard error with --to -)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.To == "" {
			return cli.Usage("--to says where to export to: a directory, a file that ends in .tar, or -")
		}
		out, notes := cmd.OutOrStdout(), cmd.ErrOrStderr()
		if o.To == "-" {
			o.Out, out = out, notes
		}
		o.Found = func(line string) { fmt.Fprintln(notes, line) }
		told := time.Now()
		o.Progress = func(objects int, payloads int64) {
			if now := time.Now(); now.Sub(told) >= progressEvery {
				told = now
				fmt.Fprintf(notes, "%d objects, %d bytes\n", objects, payloads)
			}
		}
		result, err := storage.Export(o)
		if err != nil {
			return cli.Coded(err, exitNotLooked)
		}
		for _, m := range result.Missing {
			fmt.Fprintf(notes, "mountpath %s, which was at %s, is missing: its objects are not in the export\n", m.ID, m.Path)
		}
		if asJSON {
			err = report(out, result)
		} else {
			_, err = fmt.Fprintf(out, "%d objects, %d bytes exported to %s; %d findings\n", result.Objects, result.Bytes, result.To, len(result.Findings))
		}
		if err == nil && (len(result.Findings) > 0 || len(result.Missing) > 0 && !partial) {
			err = cli.Coded(fmt.Errorf("the export is not whole: %d findings, %d mountpaths missing", len(result.Findings), len(result.Missing)), exitFindings)
		}
		return err
	}
	return cmd
}

func rebuildCommand() *cobra.Command {
	var o storage.RebuildOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rebuild --data DIR [--with DIR...]",
		Short: "Make a new index for a mountpath from its files",
		Long: `Makes a new index for a mountpath whose index is lost or damaged: from the files,
their attributes and manifests, and from what the old index still yields. The old
index is put aside, never deleted. A rebuild that is interrupted is run again; the
node does not open the mountpath in between.

Small objects live in the index: those that the old one does not yield are lost.
docs/offline.md says what else does not come back.

On a node of a cluster whose buckets keep several copies it is refused: other nodes
have the objects, and know what was deleted. The node comes back empty instead.

The exit code is 1 if something did not come back, 2 if it could not be done.`,
		Example: `  troupe storage rebuild --data /mnt/a
  troupe storage rebuild --data /mnt/a --with /mnt/b --with /mnt/c --verify`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Data, "data", "", "directory of the mountpath")
	flags.StringSliceVar(&o.With, "with", nil, "other mountpaths of the node, read for their documents; repeatable")
	flags.BoolVar(&o.Verify, "verify", false, "read every payload; what is damaged makes no object")
	flags.BoolVar(&o.IgnoreOld, "ignore-old", false, "take nothing from the old index")
	flags.BoolVar(&o.DespiteCopies, "despite-copies", false, "also where other nodes of a cluster keep copies: what they deleted may come back")
	flags.BoolVar(&asJSON, "json", false, "report as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.Data == "" {
			return cli.Usage("--data names the mountpath whose index is to be made anew")
		}
		o.Now = time.Now()
		o.Found = func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) }
		result, err := storage.Rebuild(o)
		if err != nil {
			return cli.Coded(err, exitNotLooked)
		}
		if asJSON {
			err = report(cmd.OutOrStdout(), result)
		} else {
			err = tellRebuilt(cmd.OutOrStdout(), result)
		}
		if err == nil && result.Findings > 0 {
			err = cli.Coded(fmt.Errorf("%d findings: not all came back, or not as it was", result.Findings), exitFindings)
		}
		return err
	}
	return cmd
}

func tellRebuilt(out io.Writer, r *storage.Rebuilt) error {
	if r.Finished {
		_, err := fmt.Fprintln(out, "an interrupted rebuild had come to its end but for its mark: the new index is in place")
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	rows := []struct {
		what  string
		value any
	}{
		{"old index", r.Old}, {"reason", r.OldReason}, {"old index moved to", r.MovedTo},
		{"objects taken over", r.FromIndex}, {"objects from files", r.FromFiles}, {"multipart objects", r.Chunked},
		{"small objects", r.Inline}, {"small objects known lost", r.InlineLost}, {"large objects known lost", r.FilesLost},
		{"uploads under way", r.Uploads}, {"parts of these", r.Parts}, {"noncurrent versions", r.Versions},
		{"unreadable ranges of the old index", r.Ranges}, {"files in the trash", r.TrashFiles}, {"bytes in the trash", r.TrashBytes},
	}
	for _, row := range rows {
		if row.value != "" {
			fmt.Fprintf(table, "%s\t%v\n", row.what, row.value)
		}
	}
	return table.Flush()
}

func checkCommand() *cobra.Command {
	var o storage.CheckOptions
	var asJSON, pending bool
	cmd := &cobra.Command{
		Use:   "check --data DIR...",
		Short: "Compare index and files of mountpaths, both ways",
		Long: `Looks at every entry of the index and at every file, and tells what does not agree.
Nothing is changed, but with --repair, which moves orphans (files that nothing names)
to .troupe/quarantine, each with its reason and where it was.

The exit code is 0 if all is well, 1 if there is a fault or an orphan, 2 if not
everything could be checked. What an interrupted node leaves for its next start to
finish is counted as pending, and is no fault.`,
		Example: `  troupe storage check --data /mnt/a --data /mnt/b --verify`,
		Args:    cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&o.Data, "data", nil, "directory of a mountpath; repeatable")
	flags.BoolVar(&o.Verify, "verify", false, "read every payload and compare checksums")
	flags.BoolVar(&o.Repair, "repair", false, "move orphans to quarantine")
	flags.BoolVar(&pending, "pending", false, "list what is pending, too")
	flags.BoolVar(&asJSON, "json", false, "report as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.Now = time.Now()
		result, err := storage.Check(o)
		if result != nil {
			if asJSON {
				err = errors.Join(err, report(cmd.OutOrStdout(), result))
			} else {
				err = errors.Join(err, tellChecked(cmd.OutOrStdout(), result, pending))
			}
		}
		if err != nil {
			return cli.Coded(err, exitNotLooked)
		}
		if !result.Clean() {
			return cli.Coded(errors.New("there are faults or orphans"), exitFindings)
		}
		return nil
	}
	return cmd
}

func tellChecked(out io.Writer, c *storage.Checked, pending bool) error {
	for _, f := range c.Findings {
		if pending || f.Level != "pending" {
			if _, err := fmt.Fprintln(out, f); err != nil {
				return err
			}
		}
	}
	for _, m := range c.Missing {
		if _, err := fmt.Fprintf(os.Stderr, "mountpath %s, which was at %s, was not given\n", m.ID, m.Path); err != nil {
			return err
		}
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "objects\tsmall\tfiles\tmultipart\tuploads\tbytes\tverified\tfaults\torphans\tpending\tmoved\tmountpath\t")
	for _, m := range c.Mountpaths {
		fmt.Fprintf(table, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t\n",
			m.Objects, m.Inline, m.Files, m.Chunked, m.Uploads, m.Bytes, m.Verified, m.Faults, m.Orphans, m.Pending, m.Moved, m.Mountpath)
	}
	return table.Flush()
}
