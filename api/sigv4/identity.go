package sigv4

import "time"

// PayloadMode says how a request's payload is bound to its signature.
type PayloadMode uint8

const (
	// Unsigned: not at all (UNSIGNED-PAYLOAD).
	Unsigned PayloadMode = iota
	// Signed: by the payload's SHA-256, which whoever reads the payload checks.
	Signed
	// ChunkedSigned: aws-chunked, every chunk signed.
	ChunkedSigned
	// ChunkedSignedTrailer: aws-chunked, every chunk and the trailers signed.
	ChunkedSignedTrailer
	// ChunkedUnsignedTrailer: aws-chunked with trailers, nothing of it signed.
	ChunkedUnsignedTrailer
)

// What x-amz-content-sha256 says when it is not a hash.
const (
	unsignedPayload        = "UNSIGNED-PAYLOAD"
	chunkedSigned          = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	chunkedSignedTrailer   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	chunkedUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	ecdsaPrefix            = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD" // also with -TRAILER
)

// emptySHA256 is the SHA-256 of no bytes in hexadecimal.
const emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// String returns the value of x-amz-content-sha256 for the mode; for Signed,
// whose value is a hash, "SIGNED".
func (m PayloadMode) String() string {
	switch m {
	case Unsigned:
		return unsignedPayload
	case ChunkedSigned:
		return chunkedSigned
	case ChunkedSignedTrailer:
		return chunkedSignedTrailer
	case ChunkedUnsignedTrailer:
		return chunkedUnsignedTrailer
	default:
		return "SIGNED"
	}
}

// Chunked reports whether the body is aws-chunked, so that a ChunkReader has to
// decode it.
func (m PayloadMode) Chunked() bool { return m >= ChunkedSigned }

// trailers reports whether trailers may follow the last chunk.
func (m PayloadMode) trailers() bool {
	return m == ChunkedSignedTrailer || m == ChunkedUnsignedTrailer
}

// chunksSigned reports whether every chunk has a signature.
func (m PayloadMode) chunksSigned() bool { return m == ChunkedSigned || m == ChunkedSignedTrailer }

// Identity is who signed a request and what else the signature says. A value
// without references into the request: it may be kept.
type Identity struct {
	AccessKey string // empty if Anonymous
	Region    string // of the credential scope
	Date      string // of the credential scope: YYYYMMDD
	Time      time.Time
	Payload   PayloadMode
	// PayloadSHA256 is the payload's hash; of Signed payloads only.
	PayloadSHA256 [32]byte
	Anonymous     bool // the request has no signature
	Presigned     bool // the signature is in the query
	Version2      bool // the signature is of version 2: of the query and the payload it covers little

	timestamp [len(timeFormat)]byte
	signature [64]byte    // in hexadecimal: what the first chunk's is chained to
	key       *signingKey // nil if Anonymous, or verified by another version
	secret    *string     // what verified the signature; nil if Anonymous. So that no %+v writes it
}

// SignedWith reports whether a signature that was verified was verified by a secret. Both
// are the node's own: nobody learns anything from how long comparing them takes.
func (id *Identity) SignedWith(secret string) bool {
	return id.secret != nil && *id.secret != "" && *id.secret == secret
}

// VerifiedBy notes whose signature it is, and the secret that verified it: for verifiers of
// other versions than 4.
func (id *Identity) VerifiedBy(accessKey, secret string) {
	id.AccessKey, id.secret = accessKey, &secret
}
