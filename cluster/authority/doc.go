// Package authority is the certificate authority of a cluster: it makes the
// certificates with which nodes prove to each other that they belong to it.
//
// There is nothing to distribute and nothing to renew by hand. The authority's key is
// computed from the cluster secret, which every node has, so that each node can make
// the authority anew and a certificate for itself with it; certificates live for days,
// in memory only, and are replaced while connections go on. Who knows the secret is a
// node; who does not gets no further than the handshake.
//
//	secret ──HKDF-SHA256──> Ed25519 key of the authority ──signs──> certificate of a node
//	                        (one a cluster)                         (URI troupe://CLUSTER/NODE)
//
// A certificate names its cluster and its node. A client demands the node that it
// wants to talk to; a server learns from PeerOf who asks. To change the secret, nodes
// are started with the new one and the old one behind it, and, once all of them are,
// without the old one.
//
// Sources: RFC 5869 (HKDF), RFC 8032 (Ed25519), RFC 5280 (certificates), RFC 8446 (TLS
// 1.3, the only version that is spoken).
//
// Start with New and Authority.Identity.
package authority
