// Package messages is the vocabulary between actors: commands in the
// imperative, events in the past tense, queries that begin with Get or List.
//
// What crosses nodes is protobuf, in package wire. What carries a pointer (a
// window, a file, a reply) stays in the process and is in local.go, upload.go and
// multipart.go; each says who sends it, who receives it, and what the sender may
// count on. A request has a Reply; every request implements Failer, so that an
// actor that panics can answer what it was handling.
//
// Roster is the address book: immutable snapshots of a node's mountpaths, from
// which the lane of a key is computed without asking anyone.
package messages
