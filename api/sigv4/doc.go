// Package sigv4 is Amazon's Signature Version 4 for S3, in both directions: a
// node verifies what clients sign, and Troupe's own clients, backends and load
// generator sign with it. It knows no HTTP server: a Request is raw bytes.
//
//	Signer ── Authorization header, presigned query, signed chunks ──▶ Verifier, ChunkReader
//
// A signature is an HMAC-SHA256 over a text, the string to sign, that names the
// time, the credential scope and the hash of the canonical request: method,
// path, query, signed headers, and the hash of the payload or a word that says
// why there is none. The payload may follow as aws-chunked, each chunk signed
// with the signature before it, and trailers after the last.
//
// What is canonical, where the documentation leaves a choice:
//
//   - Path: what was sent, decoded once and encoded once. %2F stays %2F, for it
//     is not the separator "/"; dots and double slashes stay too. Clients sign
//     what they send (botocore signs the bytes of its URL, which it has encoded
//     by the same rules), so this loses none of them, and a signature binds the
//     exact key. A URL with more escapes than needed (%7E for "~"), signed as it
//     is, is a mismatch, as the documentation has it.
//   - Query: pairs are decoded and encoded once and sorted by encoded name, then
//     value. "x" is "x=". A "+" is a space, as S3 and every form parser read it;
//     botocore never sends one, Go's SDK writes %20 instead before it signs.
//     Empty pairs ("a&&b") do not count.
//   - Header values: trimmed, runs of spaces and tabs become one space, inside
//     quotes too (botocore and the SDKs do so), same names joined by a comma in
//     the order sent. A signed header that is absent is a mismatch, even if its
//     value was signed as empty.
//   - Host: as sent, with its port.
//
// The host and every x-amz-* header must be signed. x-amz-content-sha256 alone
// may be left out of the list, for its value is part of the canonical request.
//
// Promise: no request that its key's owner did not sign is accepted, whatever
// bytes it is made of; verification needs time and memory linear in the request.
//
// Source: Amazon S3 API reference, "Authenticating Requests (AWS Signature
// Version 4)" with its pages on the Authorization header, query parameters,
// chunked uploads and trailing headers. testdata has vectors signed by botocore.
//
// Start with Verifier, then canonical.go, ChunkReader and Signer.
package sigv4
