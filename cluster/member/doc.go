// Package member is a node's membership in a cluster: the actor "cluster".
//
// It keeps the node in the catalogue, follows the map of the cluster, acts on a map
// only once it is on stable storage, and, where this node leads, writes the next one.
//
//	         Presence   watches   candidate   probes      tasks: fetch, save, write
//	             ▲         │          │          │          ▲           │
//	workers ─────┼─────────┼──────────┼──────────┼──────────┼───────────┼───
//	(they block) │         ▼          ▼          ▼          │           ▼
//	             └────────────────── member ────────────────┘   (it never blocks)
//	                                   │  ▲
//	             evidence.decide ◀─────┘  └──── the next map, or nothing
//	                                   │
//	                                   ▼
//	                   messages.ClusterView, an atomic snapshot
//
// The words:
//
//   - A probe asks a node whether it is there and what it knows; a contact is how the
//     probes of a node went.
//   - A node is silent when probes of it have failed for SilentAfter, and steady when
//     all have been answered for SteadyAfter. A complaint says that somebody is silent.
//   - To adopt a map is to have it on stable storage and then to act on it.
//   - Evidence is all that a node knows when it is to say what the next map is; a
//     decision is what follows. Both are values: the rules are in evidence.go, and
//     nothing there asks or waits.
//
// Promises: a map that is published is on every mountpath in use, and its version
// never goes back; a map of another lineage, an older one, or one that does not follow
// is never adopted, and View.Refused says so. Maps are one line, because each is written
// by compare-and-set in place of the one that it was made from; the lead only keeps
// nodes from being in each other's way. That the provider is away changes nothing for
// requests: the view says so in Unconfirmed, and the node acts on what it has.
//
// Start with member.go, then evidence.go, then adopt.go and lead.go.
package member
