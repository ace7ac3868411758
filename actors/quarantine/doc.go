// Package quarantine keeps on the disks what actors.Quarantine refuses, so that a key
// whose handling panics at every try is refused after a restart, too.
//
//	actor ──panics──▶ actors.Quarantine ──lookAgain──▶ keeper ──▶ Store (the disks)
//	                        ▲                            ▲
//	                        └────────released────────────┴──ReleaseQuarantine── edge
//
// Who panics waits for nothing: the quarantine is at work at once, and on the disks a
// moment later. A release is the other way round: the disks first, so that what was
// released is not refused again after a crash.
//
// Words: a quarantine is one handling that is refused, with the evidence; the keeper is
// the worker that writes documents.
//
// Promise: what is listed as kept is refused after any crash, until it is released.
//
// Start with keeper.go; what is counted and refused is in actors/quarantine.go.
package quarantine
