// Package rebalance is the kind of job that does a node's part of a plan of its
// cluster: it copies what the node is in charge of to the next owners, and afterwards
// removes what the node neither owns nor will own.
//
//	membership ──plan──▶ job ──Owed──▶ a page: what the next owners lack
//	    ▲                 │  ──CopyOut─▶ the key's turn: settled, then at all of them
//	    │                 │
//	    └──── Report ─────┘  slots walked, under which map
//
// Keys are walked in runs of slots, each by all names. A run that was walked is
// reported to the node that leads, which gives the slots to their next owners when all
// nodes in charge have reported them and none has changed its state since
// (smap.MaySwitch). If one has, the walk begins anew: what is there already is seen
// from one page of the next owner's records, and not copied again.
//
// A run in which a multipart upload is under way waits for its end: uploads do not move.
//
// Promise: a leftover is removed only by a map, on stable storage here, under which the
// node does not hold the key, judged in the key's turn: the switch was adopted, or the
// plan that brought the copy was canceled.
//
// Start with kind.go, then walk.go.
package rebalance
