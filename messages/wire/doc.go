// Package wire is what crosses nodes: protobuf messages, and how the values of package
// objects get into them and out again.
//
//	httpedge/intra ──question, framed or not──▶ intra listener of another node
//	               ◀──answer, or Failure──────
//
// The messages are in *.proto. Their code is generated: `make proto`, after which
// generated.sum is right again, or the test of this package fails.
//
// Nodes of two versions talk to each other while a cluster is upgraded, so:
//
//   - A field's number is never used for something else and never used again; its
//     meaning never changes. A new meaning is a new field or a new message.
//   - A field that a node does not know is skipped. A new field must mean, where it is
//     absent, what was meant before there was one.
//   - A node that does not know a question says so (Failure, invalid, with the path),
//     and has changed nothing.
//
// What an object's record has on disk (mountpath/layout/record.proto) it has here, too, in
// messages of their own: disks keep what they have for years, and nodes of one version talk
// to those of the next. Neither form may be held up by the other.
//
// A message is added in four steps: write it in question.proto, and the answer below it;
// run `make proto`; give it a path, a handler and a method of Road in httpedge/intra, as
// those of rebalance.go have them; and add both to Samples in samples_test.go, which
// fuzzes all decoders. A value that is more than numbers and texts gets a pair
// of functions in object.go, and a case in object_test.go.
//
// Promise: Decode takes any bytes. It returns an error that names the message, or a
// message that took memory in proportion to them.
//
// Start with message.go.
package wire
