// Package auth says who sent a request and hands out its body, whole or with an
// error. It binds api/sigv4 to fasthttp.
//
//	request ──▶ Authenticate ──▶ Identity ──▶ NewBody ──▶ payload ──▶ gateway.Put
//	               │                             │
//	    sigv4, sigv2.Verifier      stall policy, length, sigv4.ChunkReader
//
// Signatures are of the bytes that came over the wire: the raw target (never
// fasthttp's decoded path) and the raw header block (fasthttp rewrites Cookie,
// Connection and Trailer, and adds trailers to the headers once the body ended).
//
// Promise: a body that ended early, stalled, or is not what was signed never
// ends in io.EOF.
//
// Start with Authenticator, then Body.
package auth
