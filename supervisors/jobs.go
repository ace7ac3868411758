package supervisors

import (
	"errors"
	"slices"

	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/actors/xaction/mover"
	"github.com/troupe-storage/troupe/cluster/embedded"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// spawnJobs spawns the coordinator of jobs, which takes up those that a stop of the
// node interrupted.
func (n *Node) spawnJobs(documents *embedded.Documents) error {
	kept := documents.Jobs(n.clock)
	docs, unread := kept.All()
	for _, err := range unread {
		n.log.WithError(err).Warn("the document of a job cannot be read or removed; it is left alone")
	}
	kinds := n.jobKinds()
	for _, e := range n.config.Extensions {
		kinds = slices.Concat(kinds, e.Jobs)
	}
	config := xaction.Config{
		System: n.system, Store: kept, Documents: docs, Kinds: kinds, Objects: nodeObjects{n.gateway}, Published: &n.jobs,
	}
	if desk := n.config.Faults; desk != nil {
		config.Step = desk.Step
		desk.Jobs(n.activeJobs)
	}
	spec, err := xaction.Spec(config)
	if err != nil {
		return err
	}
	return n.spawn(spec)
}

// restJobs ends the runs of jobs in order. A coordinator that is not there has none.
func (n *Node) restJobs() error {
	m := &messages.RestJobs{Reply: messages.NewReply[struct{}]()}
	n.system.Root().Send(n.system.PID(nodeName+"/"+xaction.Name), m)
	_, err := m.Reply.WaitOn(n.clock, "supervisors.restJobs", stopGrace)
	if errs.Is(errs.Busy, err) && !errors.Is(err, messages.ErrNoAnswer) {
		return nil
	}
	return err
}

// jobKinds are the node's own kinds of jobs.
func (n *Node) jobKinds() []xaction.Kind {
	return append([]xaction.Kind{n.moveKind()}, n.rebalanceKind()...)
}

func (n *Node) moverConfig() mover.Config {
	return mover.Config{System: n.system, Slabs: n.slabs, Roster: &n.roster, Buckets: &n.buckets}
}

// spawnExtensions spawns the actors of extensions.
func (n *Node) spawnExtensions() error {
	host := Host{System: n.system, Objects: nodeObjects{n.gateway}}
	for _, e := range n.config.Extensions {
		if e.Actors == nil {
			continue
		}
		for _, spec := range e.Actors(host) {
			if err := n.spawn(spec); err != nil {
				return err
			}
		}
	}
	return nil
}
