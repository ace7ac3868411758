package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/jobs"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/tools/terminal"
)

// jobCommand holds what is asked of a node about its jobs.
func jobCommand(f *frame) *cobra.Command {
	command := &cobra.Command{
		Use:   "job",
		Short: "List, start, pause, resume, stop, limit and wait for the jobs of a node",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(
		jobListCommand(f),
		jobKindsCommand(f),
		jobShowCommand(f),
		jobStartCommand(f),
		jobActionCommand(f, "pause", api.JobPause, "Let a job begin no further step until it is resumed, over restarts of the node too"),
		jobActionCommand(f, "resume", api.JobResume, "Let a paused job go on"),
		jobActionCommand(f, "stop", api.JobStop, "End a job at its next step"),
		jobActionCommand(f, "restart", api.JobStart, "Take up a job that failed or was stopped, from its last checkpoint"),
		jobLimitCommand(f),
		jobWaitCommand(f),
	)
	return command
}

// withJobs makes a client command that asks about jobs.
func withJobs(f *frame, command *cobra.Command, do func(ctx context.Context, s *Session, c jobs.Client, args []string) error) *cobra.Command {
	return f.client(command, func(ctx context.Context, s *Session, args []string) error {
		control, err := s.Control()
		if err != nil {
			return err
		}
		return do(ctx, s, jobs.Client{Control: control}, args)
	})
}

func jobListCommand(f *frame) *cobra.Command {
	var q jobs.Query
	command := withJobs(f, &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List jobs, the newest first",
		Example: "  troupe job list --active\n  troupe job list --kind move --json",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, s *Session, c jobs.Client, _ []string) error {
		answer, err := c.List(ctx, q)
		if err != nil {
			return err
		}
		rows := make([][]string, len(answer.Jobs))
		for i := range answer.Jobs {
			j := &answer.Jobs[i]
			rows[i] = []string{
				j.ID, j.Kind, j.Bucket, j.State, doneText(j), strconv.FormatInt(j.Progress.Errors, 10),
				j.Created.Local().Format(time.DateTime), printable(j.Error),
			}
		}
		return s.Out.Table(answer.Jobs, []string{"ID", "KIND", "BUCKET", "STATE", "DONE", "ERRORS", "CREATED", "CAUSE"}, rows)
	})
	command.Flags().StringVar(&q.Kind, "kind", "", "only jobs of this kind")
	command.Flags().StringVar(&q.Bucket, "bucket", "", "only jobs that work on this bucket")
	command.Flags().BoolVar(&q.Active, "active", false, "only jobs that have not ended")
	return command
}

func jobKindsCommand(f *frame) *cobra.Command {
	return withJobs(f, &cobra.Command{
		Use:     "kinds",
		Short:   "List the kinds of jobs that can be started",
		Example: "  troupe job kinds",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, s *Session, c jobs.Client, _ []string) error {
		answer, err := c.List(ctx, jobs.Query{Active: true})
		if err != nil {
			return err
		}
		rows := make([][]string, len(answer.Kinds))
		for i, k := range answer.Kinds {
			rows[i] = []string{k.Name, yesNo(k.Pausable), yesNo(k.Resumable), k.Summary}
		}
		return s.Out.Table(answer.Kinds, []string{"KIND", "PAUSES", "RESUMES", "DOES"}, rows)
	})
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func jobShowCommand(f *frame) *cobra.Command {
	return withJobs(f, &cobra.Command{
		Use:     "show ID",
		Short:   "Show one job: parameters, state, progress, failures",
		Example: "  troupe job show ab2cdefg3hijk",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, c jobs.Client, args []string) error {
		j, err := c.Get(ctx, args[0])
		if err != nil {
			return err
		}
		return s.showJob(&j)
	})
}

// showJob answers with everything about a job.
func (s *Session) showJob(j *api.Job) error {
	return s.Out.Document(j, func(w io.Writer) {
		rows := [][]string{
			{"id", j.ID}, {"kind", j.Kind}, {"state", j.State}, {"bucket", j.Bucket}, {"cause", printable(j.Error)},
			{"parameters", string(j.Parameters)}, {"done", doneText(j)}, {"created", j.Created.Local().Format(time.DateTime)},
			{"runs", strconv.Itoa(j.Runs)}, {"limit", limitText(j)},
		}
		if j.Active() {
			rows = append(rows, []string{"rate", tempoText(j)}, []string{"time left", leftText(j)})
		}
		if j.Started != nil && j.Ended != nil {
			rows = append(rows, []string{"took", j.Ended.Sub(*j.Started).Round(time.Millisecond).String()})
		}
		if j.Progress.Errors > 0 {
			rows = append(rows, []string{"errors", strconv.FormatInt(j.Progress.Errors, 10)})
		}
		for _, failure := range j.Progress.Failures {
			rows = append(rows, []string{"  " + printable(failure.Name), printable(failure.Error)})
		}
		shown := rows[:0]
		for _, row := range rows {
			if row[1] != "" {
				shown = append(shown, row)
			}
		}
		WriteTable(w, nil, shown)
	})
}

// doneText says how far a job is: "120/400 objects, 1.5 GiB".
func doneText(j *api.Job) string {
	objects, bytes := strconv.FormatInt(j.Progress.Objects, 10), humanBytes(j.Progress.Bytes)
	if total := j.Progress.TotalObjects; total > 0 {
		objects += "/" + strconv.FormatInt(total, 10)
	}
	if total := j.Progress.TotalBytes; total > 0 {
		bytes += "/" + humanBytes(total)
	}
	return objects + " objects, " + bytes
}

// tempoText says how fast a job is now: "120 objects/s, 3.4 MiB/s"; empty: it does
// nothing.
func tempoText(j *api.Job) string {
	p := &j.Progress
	if p.ObjectsPerSecond == 0 && p.BytesPerSecond == 0 {
		return ""
	}
	return objectsPerSecond(p.ObjectsPerSecond) + ", " + bytesPerSecond(p.BytesPerSecond)
}

// limitText says how fast a job may be; empty: as it can.
func limitText(j *api.Job) string {
	var limits []string
	if j.Rate != nil && j.Rate.Objects > 0 {
		limits = append(limits, objectsPerSecond(float64(j.Rate.Objects)))
	}
	if j.Rate != nil && j.Rate.Bytes > 0 {
		limits = append(limits, bytesPerSecond(float64(j.Rate.Bytes)))
	}
	return strings.Join(limits, ", ")
}

func objectsPerSecond(rate float64) string { return rateText(rate) + " objects/s" }

func bytesPerSecond(rate float64) string { return humanBytes(int64(rate+0.5)) + "/s" }

// leftText estimates how long a job goes on; empty: nobody knows.
func leftText(j *api.Job) string {
	left := j.Progress.Left()
	if left == 0 {
		return ""
	}
	return etaText(max(left, time.Second))
}

func jobStartCommand(f *frame) *cobra.Command {
	var start api.StartJob
	var rate api.JobRate
	var parameters string
	var sets []string
	wait := false
	command := withJobs(f, &cobra.Command{
		Use:   "start KIND",
		Short: "Start a job",
		Long: `Start a job of a kind that ` + "`troupe job kinds`" + ` lists. Its parameters are a JSON object,
or are set one by one: --set NAME=VALUE, where a VALUE that is JSON is taken as it is
and anything else as text.`,
		Example: `  troupe job start move --set 'placement=["4f1c0f7d2a3b4c5d"]' --wait
  troupe job start move --parameters '{"placement": ["4f1c0f7d2a3b4c5d"]}'`,
		Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, c jobs.Client, args []string) error {
		var err error
		start.Kind = args[0]
		if start.Parameters, err = jobParameters(parameters, sets); err != nil {
			return err
		}
		if rate != (api.JobRate{}) {
			start.Rate = &rate
		}
		j, err := c.Start(ctx, start)
		if err != nil {
			return err
		}
		if wait {
			s.Out.Note("job %s is %s", j.ID, j.State)
			return s.waitForJob(ctx, c, j.ID, 0)
		}
		return s.Out.Line(j, j.ID)
	})
	flags := command.Flags()
	flags.StringVar(&parameters, "parameters", "", "parameters of the kind, a JSON object")
	flags.StringArrayVar(&sets, "set", nil, "one parameter, NAME=VALUE; repeatable")
	addJobRate(command, &rate)
	flags.BoolVar(&wait, "wait", false, "wait until it has ended, and fail if it does")
	return command
}

// jobParameters puts parameters together.
func jobParameters(object string, sets []string) (json.RawMessage, error) {
	if object == "" && len(sets) == 0 {
		return nil, nil
	}
	parameters := make(map[string]json.RawMessage)
	if object != "" {
		if err := json.Unmarshal([]byte(object), &parameters); err != nil {
			return nil, Usage("--parameters: not a JSON object: %w", err)
		}
	}
	for _, set := range sets {
		name, value, ok := strings.Cut(set, "=")
		if !ok || name == "" {
			return nil, Usage("--set %s: NAME=VALUE", set)
		}
		if json.Valid([]byte(value)) {
			parameters[name] = json.RawMessage(value)
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, Usage("--set %s: %w", set, err)
		}
		parameters[name] = text
	}
	return json.Marshal(parameters)
}

func jobActionCommand(f *frame, name, action, short string) *cobra.Command {
	return withJobs(f, &cobra.Command{
		Use:     name + " ID",
		Short:   short,
		Example: "  troupe job " + name + " ab2cdefg3hijk",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, c jobs.Client, args []string) error {
		j, err := c.Do(ctx, args[0], action)
		if err != nil {
			return err
		}
		return s.Out.Line(j, j.ID+" is "+j.State)
	})
}

func jobLimitCommand(f *frame) *cobra.Command {
	var rate api.JobRate
	var command *cobra.Command
	command = withJobs(f, &cobra.Command{
		Use:   "limit ID",
		Short: "Change how fast a job may be, while it runs too",
		Long: `Change how much a job may do in a second, from now on and over restarts. A limit that is
not given stays as it is; 0 lifts it. ` + "`troupe job show`" + ` has the limit, and the rate that there is.`,
		Example: "  troupe job limit ab2cdefg3hijk --bytes-per-second 50000000\n  troupe job limit ab2cdefg3hijk --bytes-per-second 0",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, c jobs.Client, args []string) error {
		objects, bytes := command.Flags().Changed(flagObjectsPerSecond), command.Flags().Changed(flagBytesPerSecond)
		if !objects && !bytes {
			return Usage("give --%s, --%s or both", flagObjectsPerSecond, flagBytesPerSecond)
		}
		if !objects || !bytes {
			j, err := c.Get(ctx, args[0])
			if err != nil {
				return err
			}
			if j.Rate != nil && !objects {
				rate.Objects = j.Rate.Objects
			}
			if j.Rate != nil && !bytes {
				rate.Bytes = j.Rate.Bytes
			}
		}
		j, err := c.Limit(ctx, args[0], rate)
		if err != nil {
			return err
		}
		limit := limitText(&j)
		if limit == "" {
			limit = "no limit"
		}
		return s.Out.Line(j, j.ID+" is "+j.State+": "+limit)
	})
	addJobRate(command, &rate)
	return command
}

const (
	flagObjectsPerSecond = "objects-per-second"
	flagBytesPerSecond   = "bytes-per-second"
)

// addJobRate gives a command the flags of a job's limit.
func addJobRate(command *cobra.Command, rate *api.JobRate) {
	flags := command.Flags()
	flags.Int64Var(&rate.Objects, flagObjectsPerSecond, 0, "deal with at most so many objects in a second")
	flags.Int64Var(&rate.Bytes, flagBytesPerSecond, 0, "deal with at most so many bytes in a second")
}

func jobWaitCommand(f *frame) *cobra.Command {
	var timeout time.Duration
	command := withJobs(f, &cobra.Command{
		Use:   "wait ID",
		Short: "Wait until a job has ended, showing its progress; fail if it does",
		Long: `Wait until a job has ended. The exit code is 0 if it is finished, 1 if it failed or was
stopped, and 6 if it has not ended when --timeout is over. An interrupted wait does not
touch the job.`,
		Example: "  troupe job wait ab2cdefg3hijk --timeout 10m",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, c jobs.Client, args []string) error {
		return s.waitForJob(ctx, c, args[0], timeout)
	})
	command.Flags().DurationVar(&timeout, "timeout", 0, "wait at most so long; 0: as long as it takes")
	return command
}

// jobLook is how often progress is asked for while it is shown.
const jobLook = time.Second

// waitForJob waits for the end of a job and answers with it.
func (s *Session) waitForJob(ctx context.Context, c jobs.Client, id string, timeout time.Duration) error {
	look := time.Minute
	var shown *jobBar
	if !s.Quiet() && !s.Out.JSON && terminal.Is(s.Out.note) {
		shown, look = newJobBar(s.Out), jobLook
		defer shown.close()
	}
	began := time.Now()
	var last *api.Job
	for within := time.Duration(0); ; within = look { // at once, so that something is shown
		if timeout > 0 {
			within = min(within, max(timeout-time.Since(began), 0))
		}
		j, err := c.Wait(ctx, id, within)
		if errors.Is(context.Cause(ctx), errInterrupted) {
			shown.close()
			return leftWaiting(id, last)
		}
		if err != nil {
			return err
		}
		last = &j
		shown.show(&j)
		switch {
		case !j.Active():
			shown.close()
			if err := s.Out.Line(j, fmt.Sprintf("%s is %s: %s", j.ID, j.State, doneText(&j))); err != nil {
				return err
			}
			return jobOutcome(&j)
		case timeout > 0 && time.Since(began) >= timeout:
			return Advise(errs.E("wait", id, errs.Busy, fmt.Errorf("the job is still %s after %s: %s", j.State, timeout, doneText(&j))), "the job goes on; `troupe job show %s` tells how far it is", id)
		}
	}
}

// leftWaiting is the error of a wait that was interrupted: what the job had done when
// it was last seen, and that it goes on. last is nil if it was not seen.
func leftWaiting(id string, last *api.Job) error {
	how := ""
	if last != nil {
		how = fmt.Sprintf(": it is %s, %s", last.State, doneText(last))
	}
	return Advise(fmt.Errorf("%w; job %s goes on%s", errInterrupted, id, how), "`troupe job wait %s` waits for it again; `troupe job pause %s` and `troupe job stop %s` hold it", id, id, id)
}

// jobOutcome is the error of a job that did not finish.
func jobOutcome(j *api.Job) error {
	switch j.State {
	case "finished":
		return nil
	case "failed":
		return Advise(fmt.Errorf("job %s failed: %s", j.ID, printable(j.Error)), "`troupe job show %s` has the details; `troupe job restart %s` goes on from its last checkpoint", j.ID, j.ID)
	default:
		return Advise(fmt.Errorf("job %s was stopped", j.ID), "`troupe job restart %s` goes on from its last checkpoint", j.ID)
	}
}
