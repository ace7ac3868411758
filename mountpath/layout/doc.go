// Package layout says what a mountpath looks like on disk: where files lie, how
// the index's keys are spelled, and what its values mean, byte by byte. Pure
// functions; no I/O, no state.
//
//	<mountpath>/
//	  .troupe/            everything that is Troupe's own
//	    format.json         Format
//	    index/              keys (indexkey.go) and values (record.go, part.go, …)
//	    work/ parts/ versions/ trash/ quarantine/ buckets/ documents/
//	  <bucket>/<name>     payloads above the inline limit, with an Attribute each
//
// Names: an object's natural path is its bucket's directory and its name as it
// is. A name that a filesystem cannot hold so has an escaped path instead. Both
// are always inside the bucket's directory, whatever the name says.
//
// Keys: one byte of kind, eight of bucket id, then the name, so that byte order
// is listing order and everything of one bucket, or of one name, is one range.
//
// Values: protobuf's wire format between a version byte and a CRC-32C. The
// fields are those of record.proto, which is documentation and generates
// nothing; a field that a binary does not know is skipped. Manifests and
// format.json are JSON that people read, closed by a CRC-32C too.
//
// Promise: what an Append function wrote, the Decode function of the same name
// returns whole, and anything else, down to one flipped bit, is an error of kind
// errs.Corrupt, never a panic and never an allocation out of proportion to its
// input. Golden files in testdata hold the format still.
//
// Start with path.go, then indexkey.go, then record.go.
package layout
