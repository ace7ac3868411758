// Package mover is the kind of job that moves objects between the mountpaths of a
// node: after one was added or is to be taken away, each key goes to the mountpath
// that HRW chooses among the new set.
//
//	mover ──ListObjects──▶ read lane of the source
//	  │
//	  ├──ImportObject──▶ destination's coordinator ──▶ importer ──▶ its write lane
//	  │◀────Imported (durable)────────────────────────────────────────────┘
//	  └──RemoveMoved──▶ write lane of the source
//
// It walks every source bucket by bucket, in the order of names, and keeps where it
// is as its checkpoint. Objects keep their record, generation and checksums;
// payloads are verified on their way; uploads under way move with their parts. What
// was written at the source meanwhile is found by the next pass: it goes on until a
// pass finds nothing to move.
//
// Promise: the source goes only after the destination has said that the object is
// durable there, and only if it is still the same. So reads that ask the
// destination first and then the source find every object at any time, and a kill
// at any point costs nothing but time.
//
// Who sends new writes to the new owner while a move is under way has the key moved
// first (Mover.Object): then conditions, deletes and versions are judged where the
// object is, and nothing that was deleted comes back with a later import.
//
// A listing meanwhile may find an object on both mountpaths, and takes it once. To
// miss none it asks the sources before the destinations.
//
// Start with kind.go, then mover.go.
package mover
