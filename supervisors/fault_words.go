package supervisors

import (
	"time"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// Faults in the words of the desk, and in those of the native API.

// deskFault is a fault as the desk has it.
func deskFault(s api.FaultSpec) faults.Fault {
	f := faults.Fault{Expiry: time.Duration(s.Expiry), Reason: s.Reason}
	if w := s.When; w != nil {
		f.When = faults.When(*w)
	}
	if a := s.Actor; a != nil {
		f.Messages = &faults.Messages{
			Actor: a.Address, Message: a.Message, About: a.About, Do: faults.MessageEffect(a.Do), Error: a.Error,
			Delay: time.Duration(a.Delay), Jitter: time.Duration(a.Jitter),
		}
	}
	if d := s.Disk; d != nil {
		f.Disk = &faults.Disk{
			Mountpath: d.Mountpath, Path: d.Path, Calls: d.Calls, Do: faults.DiskEffect(d.Do), Error: d.Error,
			Delay: time.Duration(d.Delay), Jitter: time.Duration(d.Jitter), Bytes: d.Bytes, Bits: d.Bits,
		}
	}
	if l := s.Link; l != nil {
		f.Link = &faults.Link{
			Peers: l.Peers, Direction: faults.Direction(l.Direction), Do: faults.LinkEffect(l.Do),
			Delay: time.Duration(l.Delay), Jitter: time.Duration(l.Jitter),
		}
	}
	if j := s.Job; j != nil {
		f.Job = &faults.Job{
			Job: j.Job, Do: faults.JobEffect(j.Do), Error: j.Error, Delay: time.Duration(j.Delay), Jitter: time.Duration(j.Jitter),
		}
	}
	if c := s.Clock; c != nil {
		f.Clock = &faults.Clock{Skew: time.Duration(c.Skew), Jump: time.Duration(c.Jump)}
	}
	return f
}

// publicSpec is deskFault's reverse.
func publicSpec(f faults.Fault) api.FaultSpec {
	s := api.FaultSpec{Expiry: api.Span(f.Expiry), Reason: f.Reason}
	if f.When != (faults.When{}) {
		when := api.FaultWhen(f.When)
		s.When = &when
	}
	if m := f.Messages; m != nil {
		s.Actor = &api.FaultOfActor{
			Address: m.Actor, Message: m.Message, About: m.About, Do: string(m.Do), Error: m.Error, Delay: api.Span(m.Delay), Jitter: api.Span(m.Jitter),
		}
	}
	if d := f.Disk; d != nil {
		s.Disk = &api.FaultOfDisk{
			Mountpath: d.Mountpath, Path: d.Path, Calls: d.Calls, Do: string(d.Do), Error: d.Error,
			Delay: api.Span(d.Delay), Jitter: api.Span(d.Jitter), Bytes: d.Bytes, Bits: d.Bits,
		}
	}
	if l := f.Link; l != nil {
		s.Link = &api.FaultOfLink{
			Peers: l.Peers, Direction: string(l.Direction), Do: string(l.Do), Delay: api.Span(l.Delay), Jitter: api.Span(l.Jitter),
		}
	}
	if j := f.Job; j != nil {
		s.Job = &api.FaultOfJob{Job: j.Job, Do: string(j.Do), Error: j.Error, Delay: api.Span(j.Delay), Jitter: api.Span(j.Jitter)}
	}
	if c := f.Clock; c != nil {
		s.Clock = &api.FaultOfClock{Skew: api.Span(c.Skew), Jump: api.Span(c.Jump)}
	}
	return s
}

// publicFaults are faults as clients read them.
func publicFaults(list []faults.Status) []api.Fault {
	all := make([]api.Fault, len(list))
	for i, s := range list {
		all[i] = publicFault(s)
	}
	return all
}

func publicFault(s faults.Status) api.Fault {
	f := api.Fault{
		ID: uint64(s.ID), FaultSpec: publicSpec(s.Fault), By: s.By.Principal, Request: s.By.Request, Forced: s.Forced,
		Began: s.Began, Left: api.Span(s.Left), Ended: moment(s.Ended), End: string(s.How),
		ClearedBy: s.ClearedBy.Principal, Cleared: s.ClearedBy.Request,
		Matched: s.Matched, Hits: s.Hits, First: moment(s.First), Last: moment(s.Last),
	}
	for _, h := range s.Sample {
		f.Sample = append(f.Sample, api.FaultHit(h))
	}
	return f
}

// moment is a time that may be none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
