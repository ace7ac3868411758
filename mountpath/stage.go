package mountpath

import (
	"errors"
	"fmt"
	"io"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// stager takes some bytes of a slice in. It is a worker: it blocks on its disk and on its
// sender, lives for one request, and is never restarted. Its watch counts what it is in the
// disk for, and not its wait for the sender.
type stager struct {
	system *actors.System
	store  *store.Store
	watch  *watch
}

// Receive implements actor.Actor.
func (s *stager) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *messages.StageSlice:
		m.Reply.Send(s.onStageSlice(m))
	default: // it ends by what the coordinator sends behind the request
		actors.Unexpected(ctx, s.system.Log())
	}
}

// onDisk runs something that blocks on the disk.
func (s *stager) onDisk(do func()) {
	s.watch.begin(s.system.Clock())
	defer s.watch.end()
	do()
}

func (s *stager) onStageSlice(m *messages.StageSlice) (messages.Staged, error) {
	const op errs.Op = "stager.StageSlice"
	name := store.Slice{Payload: m.Payload, Index: m.Index, UploadID: m.UploadID, Part: m.Part}
	var at messages.Staged
	s.onDisk(func() { at.Offset, at.Sealed = s.store.StagedTo(m.Key, name) }) // waits for its writer
	if at.Sealed || m.Cells == nil && m.Last == nil {
		return at, nil
	}
	var staged *store.Staged
	var err error
	s.onDisk(func() {
		staged, err = s.store.ContinueStage(m.Key, store.StageOptions{
			Payload: m.Payload, Form: m.Form, Index: m.Index, SizeHint: m.SizeHint, UploadID: m.UploadID, Part: m.Part,
		}, m.Offset)
	})
	if errs.Is(errs.Exists, err) { // it is named already
		return s.lies(m.Key, name, err)
	}
	if err != nil {
		return messages.Staged{}, err
	}
	if m.Cells != nil && m.Length > 0 {
		if err := s.append(op, m, staged); err != nil {
			return messages.Staged{}, err
		}
	}
	if m.Last != nil {
		s.onDisk(func() { err = staged.Seal(*m.Last) })
		if err != nil {
			return messages.Staged{}, err
		}
	}
	return messages.Staged{Offset: staged.Size(), Sealed: m.Last != nil}, nil
}

// lies says of a slice that cannot be staged, because it has its name, how long it is.
func (s *stager) lies(key objects.Key, name store.Slice, why error) (at messages.Staged, err error) {
	s.onDisk(func() {
		opened, openErr := s.store.OpenSlice(key, name, nil)
		if openErr != nil {
			err = errors.Join(why, openErr)
			return
		}
		at = messages.Staged{Offset: opened.Bytes, Sealed: true}
		opened.Close()
	})
	return at, err
}

// append takes the cells of a request into a slice, through the slabs of its window.
func (s *stager) append(op errs.Op, m *messages.StageSlice, staged *store.Staged) error {
	return pinned(op, m.Key, m.Window, func(room [][]byte) (err error) {
		for left := m.Length; left > 0 && err == nil; {
			var pieces [][]byte
			for _, slab := range room {
				piece := slab[:min(left, int64(len(slab)))]
				n, readErr := io.ReadFull(m.Cells, piece)
				if n > 0 {
					pieces = append(pieces, piece[:n])
				}
				left -= int64(n)
				if readErr != nil {
					err = errs.E(op, m.Key, errs.Canceled, fmt.Errorf("the cells ended %d bytes early: %w", left, readErr))
					break
				}
				if left == 0 {
					break
				}
			}
			if len(pieces) > 0 { // also of those that ended early: the slice goes on behind them
				s.onDisk(func() { err = errors.Join(err, staged.Append(pieces...)) })
			}
		}
		return err
	})
}

// stageName says what a stager is at work on.
type stageName struct {
	payload objects.Generation
	index   uint8
}

// onStageSlice spawns a stager, unless one is at work on the slice: bytes that come side by
// side would go behind one another.
func (c *coordinator) onStageSlice(ctx actor.Context, m *messages.StageSlice) {
	const op errs.Op = "mountpath.StageSlice"
	name := stageName{m.Payload, m.Index}
	for _, under := range c.stages {
		if under == name {
			m.Fail(errs.E(op, m.Key, errs.Busy, errors.New("bytes of the slice are on their way already")))
			return
		}
	}
	watch := new(watch)
	pid, err := c.spawnTransfer(ctx, op, m.Key, actors.Spec{
		Kind:      "stager",
		New:       func() actor.Actor { return &stager{system: c.system, store: c.mount.Store, watch: watch} },
		Abandoned: func(any) func() { return c.custody.hold(watch) },
	})
	if err != nil {
		m.Fail(err)
		return
	}
	c.stages[pid.Id] = name
	c.transfers[pid.Id] = incoming{pid: pid, watch: watch, hand: &handover{custody: c.custody}}
	ctx.Send(pid, m)
	ctx.Poison(pid) // behind the request, so that one that is lost does not keep it alive
}

func (l *writeLane) onPutSlices(m *messages.PutSlices) (objects.Receipt, error) {
	version, err := l.fenced("lane.PutSlices", m.Key, &m.Fence)
	if err != nil {
		return objects.Receipt{}, err
	}
	m.Meta.Generation.Map, m.Meta.Unsettled = version, m.Fence.Unsettled
	return l.store.PutSlices(m.Key, m.Meta, m.Conditions, m.Fence.For)
}
