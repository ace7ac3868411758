// Package intra is the road between nodes for requests of clients: what comes to a
// node that is not in charge of its key goes on to the one that is, as it came.
//
//	client ──▶ s3api, native ──Edge.Relay──▶ Road ──mutual TLS──▶ Server ──▶ s3api, native ──▶ gateway
//	                 gateway ──gateway.Peers──▶ Road ──────────▶ Server ──────────────────▶ gateway
//
// A relayed request keeps its method, target, header fields and body byte for byte,
// so that the owner verifies the client's signature itself; it trusts nobody for it.
// What nodes add stands in header fields of a space of their own (header.go). Edges
// refuse requests of clients that use that space; the owner reads it on this road
// only, where certificates say who asks.
//
// A relayed request is never relayed again. It carries the epoch of its key; a node
// at another one, or not in charge, refuses with status 421 and has changed nothing.
// Only after that, or where nothing that could be carried out was sent, is a request
// repeated. Where a node falls silent after that, the client is told 503 and that the
// outcome is unknown.
//
// Bodies stream through one slab in each direction: who is slow slows the other side
// down, and who goes away cuts it off. A large body is sent once the owner has said
// that it will take it (100 Continue), a small one with its head.
//
// Questions are what gateways ask each other about many keys or about other keys than
// the request's: parts of listings, single deletes of a list, sources of copies. They
// take the same road, and are answered from what the node has itself.
//
// Questions about slices of payloads (stage.go, slice.go) are not even fenced: what has the
// name of a slice never changes.
//
// Start with Road and edge.go, then server.go.
package intra
