package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/jobs"
	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/objects/errs"
)

// storageCommands are what is asked of a running node about its mountpaths.
func storageCommands(f *frame) []*cobra.Command {
	return []*cobra.Command{
		storageListCommand(f),
		storageActionCommand(f, storage.Disable, "Take a mountpath out of use, over restarts too",
			"Its keys answer 503 and stay its own: nothing moves. `troupe storage enable` undoes it."),
		storageActionCommand(f, storage.Enable, "Put a mountpath to use again that is disabled or was missing",
			"It is checked as at a start, and what was in flight is settled; the answer says why it cannot be used."),
		storageAddCommand(f),
		storageRemoveCommand(f),
	}
}

func storageAddCommand(f *frame) *cobra.Command {
	const short = "Make a directory a mountpath of the running node"
	wait := false
	command := f.client(&cobra.Command{
		Use:   "add DIRECTORY",
		Short: short,
		Long: short + `.

The directory, of the node's machine and relative to where the node was started, is made if there is none; it is checked as at a start, formatted and opened. A job moves
objects to it, its even share; meanwhile everything is read and written as always. Give it to troupe serve with --data from the
next start on. "troupe storage remove" while the job moves turns the change round.`,
		Example: "  troupe storage add /disks/4\n  troupe storage add --wait /disks/4",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		return changeStorage(ctx, s, storage.Action{Action: storage.Add, Path: args[0]}, wait)
	})
	addStorageWait(command, &wait)
	return command
}

// addStorageWait gives a change of the set of mountpaths its flag --wait.
func addStorageWait(command *cobra.Command, wait *bool) {
	command.Flags().BoolVar(wait, "wait", false, "wait until everything has moved, showing how far it is")
}

func storageRemoveCommand(f *frame) *cobra.Command {
	const short = "Take a mountpath from the running node; what it has moves to the others first"
	var force, wait bool
	command := f.client(&cobra.Command{
		Use:   "remove MOUNTPATH",
		Short: short,
		Long: short + `.

It is refused if the others have no room. When the job that moves is done, the mountpath is closed and its directory holds
nothing of the node's but its format; leave it out of --data from then on. "troupe storage add" of the same directory while
the job moves turns the change round. One that cannot be read is only removed with --force: what only it has is lost.`,
		Example: "  troupe storage remove /disks/1\n  troupe storage remove --force /disks/1",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		return changeStorage(ctx, s, storage.Action{Action: storage.Remove, Path: args[0], Force: force}, wait)
	})
	addStorageWait(command, &wait)
	command.Flags().BoolVar(&force, "force", false, "remove a mountpath that cannot be read; what only it has is lost")
	return command
}

// changeStorage changes the set of mountpaths and says which job moves. wait: until
// that has ended; the answer is the job then.
func changeStorage(ctx context.Context, s *Session, action storage.Action, wait bool) error {
	control, err := s.Control()
	if err != nil {
		return err
	}
	m, err := doStorage(ctx, control, action)
	if err != nil {
		return err
	}
	text := isNow(m)
	if m.Job != "" {
		text = m.Path + " is " + m.State + ": job " + m.Job + " moves objects"
	}
	if wait && m.Job != "" {
		s.Out.Note("%s", text)
		return s.waitForJob(ctx, jobs.Client{Control: control}, m.Job, 0)
	}
	return s.Out.Line(m, text)
}

func storageListCommand(f *frame) *cobra.Command {
	return f.client(&cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "Show the mountpaths of a node: state, room, errors",
		Example: "  troupe storage list\n  troupe storage list --json",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, s *Session, _ []string) error {
		control, err := s.Control()
		if err != nil {
			return err
		}
		all, err := storage.Client{Control: control}.List(ctx)
		if err != nil {
			return err
		}
		rows := make([][]string, len(all))
		for i, m := range all {
			rows[i] = []string{
				m.Path, m.State, inMountMap(m), binaryBytes(m.CapacityBytes), binaryBytes(m.UsedBytes), binaryBytes(m.FreeBytes), binaryBytes(m.ReservedBytes),
				fmt.Sprintf("%s in %d", binaryBytes(uint64(max(m.ReclaimableBytes, 0))), m.ReclaimableFiles),
				strconv.FormatUint(m.Errors, 10), m.Reason,
			}
		}
		return s.Out.Table(storage.Mountpaths{Mountpaths: all},
			[]string{"MOUNTPATH", "STATE", "MAP", "CAPACITY", "USED", "FREE", "RESERVED", "RECLAIMABLE", "ERRORS", "REASON"}, rows)
	})
}

// inMountMap is a mountpath's state in the mount map, with the version.
func inMountMap(m storage.Mountpath) string {
	if m.MountState == "" {
		return "-"
	}
	return fmt.Sprintf("%s (%d)", m.MountState, m.MountVersion)
}

func storageActionCommand(f *frame, action, short, long string) *cobra.Command {
	return f.client(&cobra.Command{
		Use:     action + " MOUNTPATH",
		Short:   short,
		Long:    short + ".\n\n" + long,
		Example: "  troupe storage " + action + " /disks/1",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, s *Session, args []string) error {
		control, err := s.Control()
		if err != nil {
			return err
		}
		m, err := doStorage(ctx, control, storage.Action{Action: action, Path: args[0]})
		if err != nil {
			return err
		}
		return s.Out.Line(m, isNow(m))
	})
}

// doStorage carries out an action on a mountpath.
func doStorage(ctx context.Context, control client.Control, action storage.Action) (storage.Mountpath, error) {
	m, err := storage.Client{Control: control}.Do(ctx, action)
	if errs.Is(errs.NotFound, err) && client.Code(err) != "NoSuchBucket" {
		err = Advise(err, "see which there are with `troupe storage list`")
	}
	return m, err
}

// isNow says what a mountpath is, for people.
func isNow(m storage.Mountpath) string {
	if m.Reason == "" {
		return m.Path + " is " + m.State
	}
	return m.Path + " is " + m.State + ": " + m.Reason
}

// binaryBytes writes a number of bytes for people: "3.5 GiB".
func binaryBytes(n uint64) string {
	const unit = 1 << 10
	if n < unit {
		return strconv.FormatUint(n, 10) + " B"
	}
	value, names := float64(n)/unit, "KMGTPE"
	for value >= unit && len(names) > 1 {
		value, names = value/unit, names[1:]
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + names[:1] + "iB"
}
