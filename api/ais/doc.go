// Package ais is the wire of AIStore's native REST API, as its clients speak it:
// JSON types, names of actions, flags and headers. It has no behaviour but
// encoding; what a node does with it is in httpedge/native.
//
// Start with Bucket and Action.
package ais
