// Package model says what a store of objects must hold, and what it may hold:
// buckets, objects, uploads with their parts, conditional writes, as plain maps.
// Tests of crashes, faults and kills run a history against the product and
// against the model, and compare.
//
// Words: a cell is a place that has one value at a time: an object, an upload, a
// part of an upload. An operation changes one cell or several, together. It is
// under way from Begin until it is acknowledged (it happened), refused (it did not
// and never will) or doubtful (it failed in a way that leaves open whether).
//
//	Begin ──┬─ Acknowledge   the cell must have the new value
//	        ├─ Promise       likewise, or what it replaced if the power went before Checkpoint
//	        ├─ Refuse        the cell must not have it
//	        └─ Doubt         either, until a later change of the cell is
//	                         acknowledged or Settle says what was found
//
// Promise: Expectation.Check accepts what an honest store may hold at the moment
// of its snapshot, and nothing else: for every cell the last acknowledged value,
// or one of the operations that were under way or doubtful then, each of them
// whole: in all its cells, or in none.
//
// A model knows nothing of stores, disks or HTTP; it imports objects only.
//
// Start with model.go, then expectation.go.
package model
