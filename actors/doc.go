// Package actors is how actors are made: the kit that every actor of Troupe is
// spawned through, and the extension API.
//
// A Spec names an actor, says how to make it, and with which Policy its parent
// restarts it. The kit guards every actor: a panic is logged with its stack, the
// message that was being handled is answered with a retryable error if it can be
// (messages.Failer), and the supervisor restarts the actor after a growing pause.
// What is sent to an actor that is gone is answered too, from the dead letters.
//
// The kit's own mailbox knows what waits, since when, and which message is in hand,
// so that an actor is seen without being asked (Actors, List, Find); and Control
// suspends, resumes, restarts and kills actors by address. One that does not come
// back from its handler is abandoned: it has a successor at its address, and Spec
// says how the two are kept apart.
//
// Addresses are computed, never looked up: the actor of mountpath d0's third
// write lane is "node/mountpaths/d0/w3" on every node.
//
// Words: a coordinator decides and never blocks; a worker (lane, transfer) may
// block on one resource; a gate counts what enters, since mailboxes are unbounded.
//
// Start with system.go, then guard.go, mailbox.go and control.go.
package actors
