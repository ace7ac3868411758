package mountpath

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors/xaction/mover"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// jobTime bounds the waits for the coordinator of jobs, and jobPause lies between
// two tries to start the job.
const (
	jobTime  = 30 * time.Second
	jobPause = 2 * time.Second
)

// startJob starts the job that moves, unless it is there already.
func (s *mountpaths) startJob(ctx actor.Context) {
	t := s.transition
	var from []string
	for _, id := range t.From {
		if t.IsSource(id) {
			from = append(from, id)
		}
	}
	epoch := s.epoch
	s.work(ctx, func() any {
		job, err := s.moveJob(mover.Parameters{From: from, Placement: t.To})
		if err == nil {
			err = s.Set.Began(t.To, job)
		}
		return &jobStarted{epoch: epoch, job: job, err: err}
	}, func(err error) any { return &jobStarted{epoch: epoch, err: err} })
}

// moveJob starts the job, or finds the one that a restart of the node took up. In a
// worker.
func (s *mountpaths) moveJob(wanted mover.Parameters) (string, error) {
	const op errs.Op = "mountpath.moveJob"
	parameters, err := json.Marshal(wanted)
	if err != nil {
		return "", errs.E(op, errs.Internal, err)
	}
	list := &messages.ListJobs{Kind: mover.Name, Active: true, Reply: messages.NewReply[[]*messages.Job]()}
	s.System.Root().Send(s.Jobs, list)
	jobs, err := list.Reply.WaitOn(s.System.Clock(), op, jobTime)
	if err != nil {
		return "", err
	}
	for _, job := range jobs {
		var has mover.Parameters
		if json.Unmarshal(job.Parameters, &has) == nil && slices.Equal(has.Placement, wanted.Placement) {
			return job.ID, nil
		}
		if err := s.endJob(job.ID); err != nil {
			return "", err
		}
	}
	start := &messages.StartJob{Kind: mover.Name, Parameters: parameters, Reply: messages.NewReply[*messages.Job]()}
	s.System.Root().Send(s.Jobs, start)
	job, err := start.Reply.WaitOn(s.System.Clock(), op, jobTime)
	if err != nil {
		return "", err
	}
	return job.ID, nil
}

// jobStarted says how starting the job went. Sent by a worker.
type jobStarted struct {
	epoch uint64
	job   string
	err   error
}

func (s *mountpaths) onJobStarted(ctx actor.Context, m *jobStarted) {
	if m.epoch != s.epoch || s.transition == nil {
		s.tell(m.job, m.err) // it has finished already
		return
	}
	if m.err != nil {
		s.System.Log().WithError(m.err).Warn("the job that moves objects to their mountpaths cannot be started now; it is tried again")
		s.scheduleJob(ctx)
		return
	}
	next := *s.transition
	next.Job = m.job
	s.transition = &next
	s.publish()
	s.tell(m.job, nil)
}

// again starts the job anew, if it has failed or was stopped: who asks once more for
// the change that is under way wants it to go on.
func (s *mountpaths) again(ctx actor.Context, p *place, reply messages.Reply[messages.MountpathStatus]) {
	if s.asked != nil {
		reply.Fail(errs.E("mountpath.again", p.mount.Path, errs.Busy, errors.New("another change of the set is being begun")))
		return
	}
	s.asked, s.subject = reply, p
	s.startJob(ctx)
}

// tryJob says that it is time to start the job. Sent by a timer.
type tryJob struct{}

func (s *mountpaths) scheduleJob(ctx actor.Context) {
	if s.transition != nil {
		s.System.Clock().AfterFunc(jobPause, s.sender(ctx, &tryJob{}))
	}
}

func (s *mountpaths) onTryJob(ctx actor.Context) {
	if s.transition != nil && !s.changing && s.ready == nil {
		s.startJob(ctx)
	}
}

// endJob stops the job that moves, and waits for its end. In a worker.
func (s *mountpaths) endJob(id string) error {
	const op errs.Op = "mountpath.endJob"
	if id == "" {
		return nil
	}
	stop := &messages.StopJob{ID: id, Reply: messages.NewReply[*messages.Job]()}
	s.System.Root().Send(s.Jobs, stop)
	if _, err := stop.Reply.WaitOn(s.System.Clock(), op, jobTime); err != nil && !errs.Is(errs.NotFound, err) {
		return err
	}
	wait := &messages.WaitJob{ID: id, Within: jobTime, Reply: messages.NewReply[*messages.Job]()}
	s.System.Root().Send(s.Jobs, wait)
	job, err := wait.Reply.WaitOn(s.System.Clock(), op, 2*jobTime)
	switch {
	case errs.Is(errs.NotFound, err):
		return nil
	case err != nil:
		return err
	case !job.State.Ended():
		return errs.E(op, id, errs.Busy, errors.New("the job that moves has not come to an end yet"))
	}
	return nil
}
