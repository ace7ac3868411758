package supervisors

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/cluster/member"
	"github.com/troupe-storage/troupe/httpedge/native"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// FaultsQuestion is where nodes ask each other what their faults touch.
const FaultsQuestion = "/v1/cluster/faults"

// faultsTime is how long a node may take to say what its faults touch, before it counts
// as one that does not serve.
const faultsTime = 5 * time.Second

// faultsAnswer answers FaultsQuestion.
type faultsAnswer struct {
	Touch   faults.Touch `json:"touch"`
	Trouble string       `json:"trouble,omitempty"` // what is wrong with the node itself
}

// connectDesk tells the fault desk of the other nodes, if there is a desk, and others.
func (n *Node) connectDesk() {
	if n.config.Faults == nil || n.config.Road == nil {
		return
	}
	n.config.Faults.Connect(faults.Network{At: n.nodeAt, Peers: n.otherNodes})
}

// nodeAt returns whose intra listener an address is; empty: nobody knows.
func (n *Node) nodeAt(address string) string {
	if n.cluster != nil {
		for id, at := range n.cluster.view.Load().Nodes {
			if at.Intra == address {
				return string(id)
			}
		}
	}
	if set := n.config.Road.Nodes.Load(); set != nil {
		for _, node := range set.Nodes {
			if node.Intra == address {
				return node.ID
			}
		}
	}
	return ""
}

// otherNodes are the ids of the other nodes that are known.
func (n *Node) otherNodes() []string {
	set := n.config.Road.Nodes.Load()
	if set == nil {
		return nil
	}
	var ids []string
	for _, node := range set.Nodes {
		if node.ID != set.Self {
			ids = append(ids, node.ID)
		}
	}
	return ids
}

// activeJobs are the jobs that have not ended; none, where nobody can say now.
func (n *Node) activeJobs() []faults.JobName {
	list := &messages.ListJobs{Active: true, Reply: messages.NewReply[[]*messages.Job]()}
	n.system.Root().Send(n.system.PID(nodeName+"/"+xaction.Name), list)
	active, err := list.Reply.WaitOn(n.clock, "supervisors.activeJobs", faultsTime)
	if err != nil {
		n.log.WithError(err).Warn("jobs cannot be listed for a dry run of a fault")
	}
	names := make([]faults.JobName, len(active))
	for i, job := range active {
		names[i] = faults.JobName{Kind: job.Kind, ID: job.ID}
	}
	return names
}

// publicDesk is the fault desk as it is reached over the native listener; nil: there is
// none.
func (n *Node) publicDesk() *native.Faults {
	desk := n.config.Faults
	if desk == nil {
		return nil
	}
	return &native.Faults{
		List: func(all bool) []api.Fault {
			if all {
				return publicFaults(desk.All())
			}
			return publicFaults(desk.List())
		},
		Find: func(id uint64) (api.Fault, error) {
			s, err := desk.Find(faults.ID(id))
			return publicFault(s), err
		},
		Inject: n.injectFault,
		Clear: func(id uint64, by, request string) (api.Fault, error) {
			s, err := desk.ClearBy(faults.ID(id), faults.Origin{Principal: by, Request: request})
			return publicFault(s), err
		},
		ClearAll: func(by, request string) []api.Fault {
			var ended []faults.Status
			for _, at := range desk.List() {
				s, err := desk.ClearBy(at.ID, faults.Origin{Principal: by, Request: request})
				if err == nil { // else it has expired meanwhile
					ended = append(ended, s)
				}
			}
			return publicFaults(ended)
		},
	}
}

// injectFault has a fault begin that somebody asks for, if redundancy allows for it.
func (n *Node) injectFault(ctx context.Context, wanted api.InjectFault, by, request string) (api.InjectedFault, error) {
	const op errs.Op = "supervisors.injectFault"
	desk := n.config.Faults
	fault := deskFault(wanted.FaultSpec)
	found, err := desk.DryRun(fault)
	if err != nil {
		return api.InjectedFault{}, err
	}
	if fault.Link != nil && n.config.Road == nil {
		return api.InjectedFault{}, errs.E(op, errs.Invalid, errors.New("the node is alone: it has no links to other nodes"))
	}
	answer := api.InjectedFault{Matches: api.FaultMatches(found)}
	var refused error
	intended := desk.Intend(fault)
	if wanted.DryRun {
		intended.Release() // others are not to be refused because of it
	} else {
		defer intended.Release()
	}
	if intended.Counts {
		refused = n.redundancy(ctx, intended.Together).Judge()
	}
	if refused != nil {
		answer.Refused = refused.Error()
		if !wanted.Force && !wanted.DryRun {
			n.log.WithError(refused).WithFields(logrus.Fields{"principal": by, "request": request, "reason": fault.Reason}).Warn("a fault is refused")
			return api.InjectedFault{}, errs.E(op, errs.Conflict, refused)
		}
	}
	if wanted.DryRun {
		return answer, nil
	}
	injected, err := desk.InjectBy(fault, faults.Origin{Principal: by, Request: request}, refused != nil)
	if err != nil {
		return api.InjectedFault{}, err
	}
	public := publicFault(injected.Status())
	answer.Fault = &public
	return answer, nil
}

// redundancy is what a fault of this node is judged by: what its own touch with it, what
// this node knows of buckets and the map, and what others say of their faults.
func (n *Node) redundancy(ctx context.Context, own faults.Touch) faults.Redundancy {
	var view *messages.ClusterView
	if n.cluster != nil {
		view = n.cluster.view.Load()
	}
	if view == nil || view.Map == nil {
		return faults.Redundancy{Copies: 1, Bucket: n.leastBucket(), Nodes: []faults.Standing{{Node: "this node", Owns: true, Touch: own}}}
	}
	m := view.Map
	owners := m.Placement()
	copies := len(owners)
	if next, planned := m.Next(); planned {
		copies = min(copies, len(next.Placement))
		owners = append(owners, next.Placement...)
	}
	r := faults.Redundancy{Copies: 1}
	if buckets := n.gateway.Buckets(); len(buckets) > 0 {
		for _, b := range buckets {
			copies = min(copies, b.Props.Owners())
		}
		r.Copies, r.Bucket = copies, n.leastBucket()
	}
	for _, entry := range m.Nodes() {
		s := faults.Standing{Node: string(entry.ID), Owns: slices.Contains(owners, entry.ID)}
		switch {
		case entry.ID == view.Self:
			s.Touch, s.Away = own, weakness(n.roster.Load())
		case !entry.State.Serves():
			s.Away = "it is in state " + string(entry.State)
		case slices.Contains(view.Silent, entry.ID):
			s.Away = "it has not answered for three seconds"
		}
		r.Nodes = append(r.Nodes, s)
	}
	var asking sync.WaitGroup
	for i := range r.Nodes {
		s := &r.Nodes[i]
		if id := smap.NodeID(s.Node); id != view.Self && s.Away == "" {
			asking.Go(func() { n.askFaults(ctx, view, id, s) })
		}
	}
	asking.Wait()
	return r
}

// weakness says which mountpaths of a node do not serve all that is asked of them, or may
// not at any moment, and why; empty: all do.
func weakness(r *messages.Roster) string {
	var weak []string
	for _, m := range r.Mountpaths {
		why := cmp.Or(m.Offline, m.ReadOnly)
		switch m.State {
		case messages.MountpathFull, messages.MountpathReadOnly, messages.MountpathFailing:
			why = cmp.Or(why, m.Reason, string(m.State))
		}
		if why != "" {
			weak = append(weak, "mountpath "+m.Path+": "+why)
		}
	}
	return strings.Join(weak, "; ")
}

// leastBucket is the name of a bucket whose objects are on the fewest nodes; empty:
// there is no bucket.
func (n *Node) leastBucket() string {
	name, least := "", 0
	for _, b := range n.gateway.Buckets() {
		if owners := b.Props.Owners(); name == "" || owners < least {
			name, least = b.Name, owners
		}
	}
	return name
}

// askFaults asks another node what its faults touch.
func (n *Node) askFaults(ctx context.Context, view *messages.ClusterView, id smap.NodeID, s *faults.Standing) {
	limited, done := cluster.Within(ctx, n.clock, faultsTime)
	defer done()
	text, err := n.cluster.peers.Question(limited, member.Record{ID: id, Addresses: view.Nodes[id]}, FaultsQuestion, nil)
	var answer faultsAnswer
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	if err != nil {
		n.log.WithError(err).WithField("node", string(id)).Warn("a node does not say which faults it has, and counts as one that does not serve")
		s.Silent = true
		return
	}
	s.Touch, s.Away = answer.Touch, answer.Trouble
}

// answerFaults answers another node.
func (n *Node) answerFaults(ctx *fasthttp.RequestCtx, _ string) {
	answer := faultsAnswer{Trouble: weakness(n.roster.Load())}
	if desk := n.config.Faults; desk != nil {
		answer.Touch = desk.Touched()
	}
	text, err := json.Marshal(answer)
	if err != nil {
		ctx.Error(err.Error(), fasthttp.StatusInternalServerError)
		return
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(text)
}
