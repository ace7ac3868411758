package supervisors

import (
	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/actors/xaction"
)

// Extension is code of one's own in a node: actors that the node supervises beside
// its own, and kinds of jobs that it runs. docs/extending.md walks through one.
type Extension struct {
	// Actors describes actors to be spawned under the node, after its own: each is
	// node/NAME. It is called once, when the node's own actors are at work. nil: none.
	Actors func(Host) []actors.Spec
	// Jobs are kinds of jobs beside the node's own.
	Jobs []xaction.Kind
}

// Host is what a node gives its extensions. It is good until the node stops.
type Host struct {
	// System spawns actors, finds them by address and has the node's clock and log.
	System *actors.System
	// Objects is the way to the node's buckets and objects. It blocks.
	Objects xaction.Objects
}
