package supervisors

import (
	"github.com/troupe-storage/troupe/actors/quarantine"
	"github.com/troupe-storage/troupe/cluster/embedded"
)

// spawnQuarantine takes up what is quarantined, before there are actors that would
// panic on it, and spawns who keeps it.
func (n *Node) spawnQuarantine(documents *embedded.Documents) error {
	kept := documents.Quarantine(n.clock)
	docs, unread := kept.All()
	for _, err := range unread {
		n.log.WithError(err).Warn("the document of a quarantine cannot be read or removed; it is left alone")
	}
	return n.spawn(quarantine.Spec(quarantine.Config{System: n.system, Store: kept, Self: n.system.PID(nodeName + "/" + quarantine.Name), Documents: docs}))
}
