// Package smap is the map of a cluster, and what follows from it: who owns a key,
// who serves it, who must store it before a write is acknowledged. It decides and
// does nothing: no I/O, no clock, no actors. Nodes and the model of the protocol
// (test/protocol) call the same functions.
//
// An Smap is an immutable value. A successor is made by a Change, which gives it
// the next version and its predecessor's hash; whoever writes it does so by
// compare-and-set, so that there is one line of maps.
//
//	                  ┌──────────────────────────────┐
//	(joins) ──▶ up ◀──┴── recovering ◀── down ◀── up, draining, recovering
//	            │                          ▲
//	            └─▶ draining               └── maintenance: down without a timer
//
// For one key under one map (View):
//
//	owners      the first in HRW order over the placement list, whatever their state
//	in sync     owners that are up; if none is, those that were the last to leave
//	in charge   the first in HRW order of those in sync that is not down
//	ack set     owners and next owners that are not down
//	key epoch   the last version in which any of this changed, and the document's
//
// Promise: under successive maps the key epoch never goes back, and it grows
// whenever owners, next owners or the state of one of them change.
//
// Start with smap.go, then view.go, then change.go.
package smap
