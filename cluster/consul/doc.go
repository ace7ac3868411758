// Package consul is a cluster.Provider over HashiCorp Consul: the agent of the
// machine, or a server.
//
//	Membership   service "troupe", an instance per node with a TTL check and an
//	             HTTP check, registered with the agent that Config names
//	Documents    keys and values; the stamp of a document is its flags
//	Election     sessions without node checks, and locks on keys
//
// Changes are transactions, so that several documents change at once. What the
// official client makes of an answer does not tell whether a change was refused or
// may have happened; transport.go keeps what does: whether the request was sent, and
// the status that came back.
//
// The access token is sent in a header, read anew from its file when it comes from
// one, and is in no error, log line or printed configuration.
//
// Start with config.go, then documents.go.
package consul
