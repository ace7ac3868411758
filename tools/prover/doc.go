// Package prover is `troupe prove`: it shows on somebody's own machine that a node keeps
// what it acknowledged.
//
//	load ──put, overwrite, parts, copy, delete──▶ node ──▶ disks
//	  │                                            ✂         │ recorded
//	  └─▶ history: begun, acknowledged, in doubt   │      journal
//	              │                                ▼         │ cut
//	          inspection ◀──GET, HEAD, LIST── node, again ◀──┘
//
// There are two kinds of cuts. A *kill* is kill -9 of a node under load, which starts again
// on the same files. For a *power cut* a node is recorded: a journal has all that it did to its
// disks, in order. Then the directories are made as they may be after the power went at
// some position of the journal, with what was not synced gone, or there in part, or
// torn, and a real node starts on them. A *position* is an offset in the journal.
// The history notes the position before each request and after its answer, so that
// it can say what must be there and what may be there after a cut at any position.
//
// A *round* is a node that is killed a few times and a node whose power is cut at
// many positions; each begins on empty directories. Everything that chance decides
// follows from the seed and the number of the round, the worker or the cut.
//
// Promise: no word about what is not known. What a node acknowledged before a cut
// is looked for with its bytes, its ETag and its metadata; what it did not may be there
// whole or not at all; anything else is a finding, and there is no finding without one
// of these two. All processes and files of a proof end with it.
//
// Start with proof.go, then power.go, history.go.
package prover
