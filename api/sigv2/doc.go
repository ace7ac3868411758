// Package sigv2 is Amazon's Signature Version 2 for S3, as old clients still send
// it. It verifies; nothing of ours signs with it.
//
//	Authorization: AWS KEY:signature ─┐
//	?AWSAccessKeyId&Expires&Signature ┴─▶ Verifier ──▶ sigv4.Identity
//
// A signature is an HMAC-SHA1 over method, Content-MD5, Content-Type, date, the
// x-amz-* headers and the resource: bucket, path as sent, and the subresources of
// the query that are in a table. The rest of the query, other headers and the
// payload are not signed: that is how this version is.
//
// Where that would let a stranger turn one operation into another, more is asked:
// x-amz-* parameters of the query are signed as headers of that name are, and a
// subresource that this version cannot sign is refused with it. So is a request whose
// string to sign is that of another one, which may be what was signed: claim.twofold.
//
// Promise: no request that its key's owner did not sign is accepted, but for what
// this version does not sign.
//
// Source: Amazon S3 developer guide, "Signing and authenticating REST requests".
// testdata has vectors signed by botocore.
//
// Start with Verifier.
package sigv2
