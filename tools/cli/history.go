package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api/history"
	"github.com/troupe-storage/troupe/objects/errs"
)

// historyCommand shows what became of a name.
func historyCommand(f *frame) *cobra.Command {
	limit := history.DefaultLimit
	command := f.client(&cobra.Command{
		Use:   "history BUCKET/KEY",
		Short: "Show each change of an object: when, why, for whom and where",
		Long: `Show each change of an object: when, why, for whom and where.

The newest comes first, by generation; the clocks of nodes are shown, and order only what is of one generation. Of a deleted
object, too, and of one in a bucket that was destroyed, by the name of the bucket or by its id. All mountpaths of all nodes
are asked; those that do not answer are named, and the exit code is 5. What is older than the nodes keep it, or was on a
disk that is gone, is not there.`,
		Example: "  troupe history photos/2026/cat.jpg\n  troupe history --limit 5 troupe://photos/2026/cat.jpg\n  troupe history --json photos/2026/cat.jpg | jq -r '.entries[].request'",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		return showHistory(ctx, s, args[0], limit)
	})
	command.Flags().IntVar(&limit, "limit", limit, fmt.Sprintf("at most so many entries, 1 to %d", history.MaxLimit))
	return command
}

func showHistory(ctx context.Context, s *Session, text string, limit int) error {
	if !strings.Contains(text, "://") {
		text = scheme + text
	}
	a, err := parseObject(text)
	if err != nil {
		return err
	}
	if limit < 1 || limit > history.MaxLimit {
		return Usage("--limit %d: 1 to %d", limit, history.MaxLimit)
	}
	control, err := s.Control()
	if err != nil {
		return err
	}
	answer, err := history.Client{Control: control}.Get(ctx, a.bucket, a.key, limit)
	if err != nil {
		return err
	}
	for _, u := range answer.Unanswered {
		s.Out.Warn("troupe: %s", printable(unansweredText(u)))
	}
	if len(answer.Entries) == 0 && len(answer.Unanswered) == 0 {
		return Unadvised(errs.E("history", a.String(), errs.NotFound, fmt.Errorf("nothing is recorded of it, or not any more")))
	}
	heading := []string{"GENERATION", "TIME", "WHAT", "CAUSE", "SIZE", "XXHASH", "PRINCIPAL", "REQUEST", "ASKED", "OTHER", "NODE", "MOUNTPATH"}
	several := slices.ContainsFunc(answer.Entries, func(e history.Entry) bool { return e.BucketID != answer.Entries[0].BucketID })
	if several { // that had the name
		heading = append(heading, "BUCKET ID")
	}
	rows := make([][]string, len(answer.Entries))
	for i := range answer.Entries {
		rows[i] = historyRow(&answer.Entries[i])
		if several {
			rows[i] = append(rows[i], answer.Entries[i].BucketID)
		}
	}
	err = s.Out.Table(answer, heading, rows)
	if err != nil {
		return err
	}
	if answer.More {
		s.Out.Note("there are older entries: --limit")
	}
	if n := len(answer.Unanswered); n > 0 {
		return &Partly{Done: 1, Failed: n, First: errs.E("history", a.String(), errs.Offline, fmt.Errorf("%s", unansweredText(answer.Unanswered[0])))}
	}
	return nil
}

// unansweredText says who could not be asked.
func unansweredText(u history.Unanswered) string {
	var who []string
	if u.Node != "" {
		who = append(who, "node "+u.Node)
	}
	if u.Mountpath != "" {
		who = append(who, "mountpath "+u.Mountpath)
	}
	return strings.Join(who, ", ") + " was not asked, and may have more: " + u.Reason
}

func historyRow(e *history.Entry) []string {
	size := ""
	if e.XXHash != "" || e.Size > 0 {
		size = humanBytes(e.Size)
	}
	where := e.Path
	if where == "" {
		where = e.Mountpath
	}
	return []string{
		e.Generation, e.Time.Local().Format(time.DateTime), e.What, e.Cause, size, e.XXHash,
		printable(e.Principal), printable(e.Request), printable(e.Asked), printable(e.Other), printable(e.Node), printable(where),
	}
}
