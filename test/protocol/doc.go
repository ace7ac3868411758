// Package protocol is a model of what nodes of a cluster say to one another about
// a key: who serves, what a write waits for, how a node returns, how keys move. It
// runs the protocol under random accidents, with a seed, and judges what clients
// saw. docs/consistency.md is its text.
//
//	schedule (numbers) ──▶ world: network, Consul, clients, operator, disasters
//	                         │ messages, maps        ▲ messages, answers
//	                         ▼                       │
//	                       Node: a state machine without I/O, clock or chance
//	                         │
//	                         ▼ objects/smap: owners, in charge, ack set, epoch
//
// Every rule of the protocol has a switch (rule.go). With all of them on no run may
// go wrong; with one off there is a run that does, and the test knows which. A run
// goes wrong if the history of a key is not linearizable (porcupine), if it does
// not come to rest once everything is well, if a node holds what it does not own,
// if an owner lacks what the one in charge has, or if any of this shows when one
// node after another is taken down at the end.
//
// Runs with slices (slice.go, back.go) keep values apart from their records, as erasure coding
// does; they are judged by more (inspect.go): no key may be refused while few nodes are not up.
// With plans (plan.go, form.go, convert.go) nodes join, are drained and given up, and the bucket's
// values are converted to other forms.
//
// In runs of profile Local (local.go) hosts are the mountpaths of one node, and the map is the
// node's mount map: written by one process, adopted by all at once, and found again by each start
// among those mountpaths that are there.
//
// Simplifications: a node syncs at once, so that a kill falls between events; there
// is one bucket and one lane; catching up asks key by key where nodes will compare
// digests.
//
// Promise: equal schedules give equal traces. What a step does depends on its own
// number and on the names of what it may choose from, so that schedules shrink.
//
// Start with node.go, then line.go and return.go; world.go is what happens to them.
package protocol
