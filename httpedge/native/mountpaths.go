package native

import (
	"github.com/asynkron/protoactor-go/actor"
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// maxMountpathAction bounds the body of an action: a path has 4,096 bytes at most.
const maxMountpathAction = 64 << 10

// MountpathsRoute lists, disables, enables, adds and removes mountpaths, for who signs
// with the root pair; see api/storage. Supervisor is that of mountpaths.
func MountpathsRoute(system *actors.System, supervisor *actor.PID) Route {
	list := func(r *Request) error {
		m := &messages.ListMountpaths{Reply: messages.NewReply[[]messages.MountpathStatus]()}
		system.Root().Send(supervisor, m)
		all, err := m.Reply.WaitOn(system.Clock(), "native.ListMountpaths", gateway.Deadline)
		if err != nil {
			return err
		}
		answer := storage.Mountpaths{Mountpaths: make([]storage.Mountpath, len(all))}
		for i, status := range all {
			answer.Mountpaths[i] = mountpathOf(status)
		}
		return r.JSON(answer)
	}
	change := func(r *Request) error {
		const op errs.Op = "native.ChangeMountpath"
		var wanted storage.Action
		if err := r.Decode(maxMountpathAction, &wanted); err != nil {
			return err
		}
		if wanted.Path == "" {
			return Refuse(fasthttp.StatusBadRequest, "", "no path is given: name a mountpath by its path or its id")
		}
		reply := messages.NewReply[messages.MountpathStatus]()
		switch wanted.Action {
		case storage.Disable:
			system.Root().Send(supervisor, &messages.DisableMountpath{Path: wanted.Path, Reply: reply})
		case storage.Enable:
			system.Root().Send(supervisor, &messages.EnableMountpath{Path: wanted.Path, Reply: reply})
		case storage.Add:
			system.Root().Send(supervisor, &messages.AddMountpath{Path: wanted.Path, Reply: reply})
		case storage.Remove:
			system.Root().Send(supervisor, &messages.RemoveMountpath{Path: wanted.Path, Force: wanted.Force, Reply: reply})
		default:
			return Refuse(fasthttp.StatusBadRequest, "", "action %q is none of %s, %s, %s, %s", wanted.Action, storage.Disable, storage.Enable, storage.Add, storage.Remove)
		}
		status, err := reply.WaitOn(system.Clock(), op, 2*gateway.Deadline)
		if err != nil {
			return err
		}
		return r.JSON(mountpathOf(status))
	}
	return Route{Path: storage.Path, Guard: Control, Handle: Verbs{get: list, post: change}.Handle}
}

func mountpathOf(m messages.MountpathStatus) storage.Mountpath {
	out := storage.Mountpath{
		ID: m.ID, Path: m.Path, State: string(m.State), Reason: m.Reason, Since: m.Since, Readable: m.Readable, Writable: m.Writable,
		CapacityBytes: m.TotalBytes, UsedBytes: m.TotalBytes - min(m.FreeBytes, m.TotalBytes), FreeBytes: m.FreeBytes,
		ReservedBytes: m.ReservedBytes, Inodes: m.TotalFiles, FreeInodes: m.FreeFiles,
		ReclaimableFiles: m.ReclaimPayloads, ReclaimableBytes: m.ReclaimBytes, Leases: m.Leases, UnsettledKeys: m.UnsettledKeys,
		Errors: m.Errors, ProbeSeconds: m.Probe.Seconds(), Reopenings: m.Reopenings, Job: m.Job, SuspendedActors: m.Suspended,
		MountState: string(m.Mount), MountVersion: m.MountVersion,
	}
	for _, c := range m.Changes {
		out.Changes = append(out.Changes, storage.Change{At: c.At, State: string(c.State), Reason: c.Reason})
	}
	return out
}
