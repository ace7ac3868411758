package supervisors

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/actors/xaction/mover"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath"
	"github.com/troupe-storage/troupe/objects/errs"
)

const (
	// tallyTime bounds the wait for a count of what is to be moved: a second for a
	// million records.
	tallyTime = 5 * time.Minute
	// moveAgain lies between two tries of a job whose mountpaths are out of use or full.
	moveAgain = 10 * time.Second
	// finishTime bounds the wait for readers of a mountpath that leaves.
	finishTime = 2 * time.Hour
	// finishAgain lies between two questions whether they have gone.
	finishAgain = time.Minute
)

// moveKind is the job that moves objects while the set of mountpaths changes. It
// moves to the new set of the transition and to no other, since nobody would find
// what it moves elsewhere; it counts what is to be moved, waits for mountpaths that
// are out of use, and ends the transition when nothing is left.
func (n *Node) moveKind() xaction.Kind {
	kind := mover.Kind(n.moverConfig())
	check, run := kind.Check, kind.Run
	kind.Check = func(parameters json.RawMessage) (xaction.Target, error) {
		target, err := check(parameters)
		if err != nil {
			return target, err
		}
		var p mover.Parameters
		if err := xaction.Decode(parameters, &p); err != nil {
			return target, err
		}
		if t := n.roster.Load().Transition; t == nil || !slices.Equal(t.To, p.Placement) {
			return target, errors.New("the set of mountpaths is not being changed to this placement: troupe storage add and remove change it and start the job")
		}
		return target, nil
	}
	kind.Run = func(r *xaction.Run) error {
		var p mover.Parameters
		if err := r.Parameters(&p); err != nil {
			return err
		}
		if t := n.roster.Load().Transition; t == nil || !slices.Equal(t.To, p.Placement) {
			return n.finishMove(r, p.Placement) // it was finished, and the node stopped before the job had ended
		}
		if err := n.expectMove(r); err != nil {
			r.Failed("the count of what is to be moved", err) // it is moved all the same
		}
		for {
			err := run(r)
			if err == nil {
				err = n.finishMove(r, p.Placement)
			}
			switch {
			case err == nil:
				return nil
			case !errs.Is(errs.Offline, err) && !errs.Is(errs.NoSpace, err) && !errs.Is(errs.Busy, err):
				return err
			}
			r.Failed("a mountpath", err)
			r.Idle(true)
			if err := r.Wait(moveAgain); err != nil {
				return err
			}
			r.Idle(false)
		}
	}
	return kind
}

// expectMove tells the job how much there is to move.
func (n *Node) expectMove(r *xaction.Run) error {
	m := &messages.TallyTransition{Reply: messages.NewReply[messages.Tally]()}
	n.system.Root().Send(n.system.PID(nodeName+"/"+mountpath.Name), m)
	left, err := m.Reply.WaitOn(n.clock, "supervisors.expectMove", tallyTime)
	if err != nil {
		return err
	}
	done := r.Done()
	r.Expect(xaction.Amount{Objects: done.Objects + left.Objects, Bytes: done.Bytes + left.Bytes})
	return nil
}

// finishMove ends the transition, and returns when a mountpath that leaves is gone.
// It is asked for again now and then: the question, or its answer, may be lost.
func (n *Node) finishMove(r *xaction.Run, to []string) error {
	const op errs.Op = "supervisors.finishMove"
	r.Idle(true)
	defer r.Idle(false)
	for began := n.clock.Elapsed(); n.clock.Elapsed()-began < finishTime; {
		m := &messages.FinishTransition{To: to, Reply: messages.NewReply[struct{}]()}
		n.system.Root().Send(n.system.PID(nodeName+"/"+mountpath.Name), m)
		late, timer := n.clock.NewTimer(finishAgain)
		select {
		case answer := <-m.Reply:
			timer.Stop()
			return errs.Wrap(op, answer.Err)
		case <-r.Context().Done():
			timer.Stop()
			return xaction.ErrStop
		case <-late:
		}
	}
	return errs.E(op, errs.Internal, fmt.Errorf("a mountpath that left has been read for %s: %w", finishTime, messages.ErrNoAnswer))
}
