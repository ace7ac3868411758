// Package offline reads, rebuilds and checks mountpaths that no node has open.
//
//	Mount    a mountpath and its lock
//	Catalog  what its index says, as far as it can be read, and what its files say
//	Export   objects of several mountpaths into a Sink: a tar, or what the caller makes of them
//	Rebuild  a new index from files, attributes, manifests, and what the old one yields
//	Check    index against files, both ways
//
// Words: a candidate is a payload file that says by its attribute which object it
// is; a Finding is something that is not as it should be. The bucket ids that are
// live come from the caller, who has read the documents.
//
// Promise: Export and Check change nothing on a mountpath; Rebuild takes nothing
// away from one, and leaves it as it was or rebuilt, never in between.
//
// Start with mount.go and candidate.go, then rebuild.go.
package offline
