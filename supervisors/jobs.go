package supervisors

import (
	"slices"

	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/cluster/embedded"
)

// spawnJobs spawns the coordinator of jobs, which takes up those that a stop of the
// node interrupted.
func (n *Node) spawnJobs(documents *embedded.Documents) error {
	kept := documents.Jobs(n.clock)
	docs, err := kept.All()
	if err != nil {
		return err
	}
	kinds := n.jobKinds()
	for _, e := range n.config.Extensions {
		kinds = slices.Concat(kinds, e.Jobs)
	}
	spec, err := xaction.Spec(xaction.Config{
		System: n.system, Store: kept, Documents: docs, Kinds: kinds, Objects: nodeObjects{n.gateway}, Published: &n.jobs,
	})
	if err != nil {
		return err
	}
	return n.spawn(spec)
}

// jobKinds are the node's own kinds of jobs.
func (n *Node) jobKinds() []xaction.Kind { return nil }

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
