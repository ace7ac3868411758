package sigv4

import (
	"crypto/sha256"
	"io"
	"strconv"

	"github.com/troupe-storage/troupe/objects"
)

// ChunkWriter encodes a payload as aws-chunked, signed as its identity's mode
// says. Not safe for concurrent use.
type ChunkWriter struct {
	to       io.Writer
	identity Identity
	chain    chain
	head     []byte
}

// NewChunkWriter returns a writer for the body of a request that Sign signed
// with a chunked mode. The writer does not buffer and closes nothing.
func NewChunkWriter(to io.Writer, identity Identity) *ChunkWriter {
	w := &ChunkWriter{to: to, identity: identity}
	w.chain = newChain(&w.identity)
	return w
}

// Write writes p as one chunk; of no bytes, nothing. S3 wants every chunk but the
// last to have 8 KiB or more.
func (w *ChunkWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := w.header(p); err != nil {
		return 0, err
	}
	n, err := w.to.Write(p)
	if err != nil {
		return n, err
	}
	_, err = io.WriteString(w.to, "\r\n")
	return n, err
}

func (w *ChunkWriter) header(p []byte) error {
	w.head = strconv.AppendInt(w.head[:0], int64(len(p)), 16)
	if w.identity.Payload.chunksSigned() {
		hash := sha256.Sum256(p)
		w.head = append(append(w.head, ";chunk-signature="...), w.chain.chunk(&hash)[:]...)
		w.chain.advance()
	}
	w.head = append(w.head, "\r\n"...)
	_, err := w.to.Write(w.head)
	return err
}

// Close writes the last chunk, of no bytes, and the trailers, which x-amz-trailer
// has announced; names in lower case. Modes without trailers take none.
func (w *ChunkWriter) Close(trailers ...objects.Pair) error {
	if err := w.header(nil); err != nil {
		return err
	}
	b := w.head[:0]
	if w.identity.Payload.trailers() {
		for _, t := range trailers {
			b = append(append(append(append(b, t.Name...), ':'), t.Value...), "\r\n"...)
		}
	}
	if w.identity.Payload == ChunkedSignedTrailer {
		b = append(append(b, trailerSignature+":"...), w.chain.trailer(canonicalTrailers(trailers))[:]...)
		b = append(b, "\r\n"...)
	}
	_, err := w.to.Write(append(b, "\r\n"...))
	return err
}

// Encoding is a payload about to be sent as aws-chunked.
type Encoding struct {
	PayloadBytes int64
	ChunkBytes   int64 // of every chunk but the last; at least 1
	Trailers     []objects.Pair
}

// EncodedLength returns the length of the aws-chunked body: the request's
// Content-Length.
func (m PayloadMode) EncodedLength(e Encoding) int64 {
	chunk := func(size int64) int64 {
		n := int64(len(strconv.FormatInt(size, 16))) + 2
		if m.chunksSigned() {
			n += int64(len(";chunk-signature=")) + 64
		}
		if size > 0 {
			n += size + 2
		}
		return n
	}
	total := e.PayloadBytes/e.ChunkBytes*chunk(e.ChunkBytes) + chunk(0) + 2
	if rest := e.PayloadBytes % e.ChunkBytes; rest > 0 {
		total += chunk(rest)
	}
	if m.trailers() {
		for _, t := range e.Trailers {
			total += int64(len(t.Name)+len(t.Value)) + 3
		}
	}
	if m == ChunkedSignedTrailer {
		total += int64(len(trailerSignature)) + 1 + 64 + 2
	}
	return total
}
