package sigv4

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// ChunkLimits bound what a client may make a ChunkReader do. A zero field means
// its default.
type ChunkLimits struct {
	MinChunkBytes int64 // a signed chunk that is not the last one; default 8,192 as S3, negative: 1
	MaxTrailers   int   // default 8
	TrailerBytes  int   // of all trailer lines together; default 4,096
}

func (l ChunkLimits) withDefaults() ChunkLimits {
	if l.MinChunkBytes == 0 {
		l.MinChunkBytes = 8 << 10
	}
	if l.MaxTrailers <= 0 {
		l.MaxTrailers = 8
	}
	if l.TrailerBytes <= 0 {
		l.TrailerBytes = 4 << 10
	}
	return l
}

// ChunkOptions say what the headers told of an aws-chunked body.
type ChunkOptions struct {
	DecodedLength int64    // x-amz-decoded-content-length: the payload's size
	Trailers      []string // the names in x-amz-trailer, lower-case; read only, kept
	Limits        ChunkLimits
}

// lineBytes is the longest chunk header or trailer line, and the reader's whole
// buffer: payload goes past it, straight into the caller's memory. It holds a
// size of 16 digits and a signature six times over; a trailer is shorter yet.
const lineBytes = 1 << 10

// ChunkReader decodes an aws-chunked body:
//
//	size in hexadecimal [;chunk-signature=64 digits] CRLF payload CRLF …
//	0[;chunk-signature=…] CRLF [trailer: value CRLF]… [x-amz-trailer-signature:… CRLF] CRLF
//
// A chunk that fits the memory given to Read is checked before Read returns any
// of it. A larger one is returned as it comes, and a wrong signature is then the
// error at its end: until io.EOF, nothing that was read may be believed. Any
// error is final.
//
// Trailers are read up to the body's end. Blank lines among them and lines that
// end in LF alone are accepted, for minio-go sends both. Not safe for concurrent
// use. The errors are *Error (IncompleteBody, SignatureDoesNotMatch,
// InvalidChunkSizeError, MalformedTrailerError, InvalidRequest) or the body's own.
type ChunkReader struct {
	body     io.Reader
	identity Identity
	options  ChunkOptions
	signed   bool

	chain    chain
	hash     hash.Hash // of the chunk under way
	sum      [sha256.Size]byte
	expected [64]byte // the signature that the chunk under way came with

	left     int64 // payload still to come in the chunk under way
	inChunk  bool
	size     int64 // of the chunk under way or the last one
	total    int64 // payload announced by chunk headers so far
	chunks   int
	err      error // final
	trailers []objects.Pair

	buffer     [lineBytes]byte
	start, end int // what of buffer is unread
	emptyReads int
	ended      bool // body returned io.EOF
}

// NewChunkReader returns a reader of the payload inside body, whose mode,
// signature and key are the identity's. The reader closes nothing.
func NewChunkReader(body io.Reader, identity Identity, options ChunkOptions) *ChunkReader {
	options.Limits = options.Limits.withDefaults()
	c := &ChunkReader{body: body, identity: identity, options: options, signed: identity.Payload.chunksSigned()}
	switch {
	case !identity.Payload.Chunked() || c.signed && identity.key == nil:
		c.err = badChunk(InvalidRequest, errs.Invalid, "The payload is not aws-chunked.", nil)
	case options.DecodedLength < 0:
		c.err = badChunk(MissingContentLength, errs.Invalid, "You must provide the Content-Length HTTP header.", nil)
	case c.signed:
		c.chain, c.hash = newChain(&c.identity), sha256.New()
	}
	return c
}

// Read implements io.Reader. It fills p as far as whole chunks allow.
func (c *ChunkReader) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n := 0
	for n < len(p) {
		if !c.inChunk {
			if n > 0 && c.buffered() == 0 {
				break // do not make the caller wait for more than there is
			}
			if err := c.nextChunk(); err != nil {
				return n, c.finish(n, err)
			}
			if n > 0 && c.left > int64(len(p)-n) {
				break // the next call may have room for all of it
			}
		}
		m, err := c.payload(p[n:])
		n += m
		if err != nil {
			return n, c.finish(n, err)
		}
	}
	return n, nil
}

// finish notes the error for good and returns it now, or with the next call if
// there are bytes of earlier chunks to return first.
func (c *ChunkReader) finish(n int, err error) error {
	c.err = err
	if n > 0 {
		return nil
	}
	return err
}

// payload reads of the chunk under way into p. If the chunk ends in it, the
// signature is checked, and none of p counts if it is wrong.
func (c *ChunkReader) payload(p []byte) (int, error) {
	whole := c.left <= int64(len(p))
	if whole {
		p = p[:c.left]
	}
	n := 0
	for {
		m, err := c.read(p[n:])
		n += m
		if err != nil {
			return 0, err
		}
		if n == len(p) || !whole { // the caller may work on a part of a large chunk
			break
		}
	}
	c.left -= int64(n)
	if c.signed {
		c.hash.Write(p[:n])
	}
	if c.left > 0 {
		return n, nil
	}
	c.inChunk = false
	if err := c.checkSignature(); err != nil {
		return 0, err
	}
	return n, nil
}

// checkSignature checks the signature of the chunk that has just ended.

func (c *ChunkReader) checkSignature() error {
	if !c.signed {
		return nil
	}
	c.hash.Sum(c.sum[:0])
	c.hash.Reset()
	if subtle.ConstantTimeCompare(c.chain.chunk(&c.sum)[:], c.expected[:]) != 1 {
		return wrongChunkSignature()
	}
	c.chain.advance()
	return nil
}

func wrongChunkSignature() *Error {
	return badChunk(SignatureDoesNotMatch, errs.Denied,
		"The request signature we calculated does not match the signature you provided. Check your key and signing method.", nil)
}

func malformedChunk() *Error {
	return badChunk(InvalidRequest, errs.Invalid, "The aws-chunked body is malformed.", nil)
}

func malformedTrailer() *Error {
	return badChunk(MalformedTrailerError, errs.Invalid, "The request contained trailing data that was not well-formed "+
		"or did not conform to our published schema.", nil)
}

// nextChunk reads a chunk's header. The last chunk's also reads the trailers,
// and returns io.EOF if all is well.
func (c *ChunkReader) nextChunk() error {
	if c.chunks > 0 { // the CRLF behind a payload
		if line, err := c.crlfLine(); err != nil {
			return err
		} else if len(line) != 0 {
			return malformedChunk()
		}
	}
	line, err := c.crlfLine()
	if err != nil {
		return err
	}
	previous := c.size
	if err := c.header(line); err != nil {
		return err
	}
	c.chunks++
	if c.size == 0 {
		return c.lastChunk()
	}
	if c.signed && c.chunks > 1 && previous < c.options.Limits.MinChunkBytes {
		return badChunk(InvalidChunkSizeError, errs.Invalid, fmt.Sprintf(
			"Only the last chunk is allowed to have a size less than %d bytes", c.options.Limits.MinChunkBytes), nil)
	}
	if c.size > c.options.DecodedLength-c.total {
		return incompleteBody()
	}
	c.total += c.size
	c.left, c.inChunk = c.size, true
	return nil
}

// header reads: size [;chunk-signature=…].
func (c *ChunkReader) header(line []byte) error {
	digits, extension, has := bytes.Cut(line, []byte{';'})
	if len(digits) == 0 || len(digits) > 16 {
		return malformedChunk()
	}
	var size uint64
	for _, d := range digits {
		value, ok := hexDigit(d)
		if !ok {
			return malformedChunk()
		}
		size = size<<4 | uint64(value)
	}
	if size > 1<<62 {
		return incompleteBody()
	}
	c.size = int64(size)
	if !c.signed {
		return nil // an extension says nothing to us
	}
	signature, ok := bytes.CutPrefix(extension, []byte("chunk-signature="))
	if !has || !ok || len(signature) != len(c.expected) {
		return wrongChunkSignature()
	}
	copy(c.expected[:], signature)
	return nil
}

// lastChunk checks the last chunk, of no bytes, and the trailers.
func (c *ChunkReader) lastChunk() error {
	if c.total != c.options.DecodedLength {
		return incompleteBody()
	}
	if err := c.checkSignature(); err != nil {
		return err
	}
	if err := c.readTrailers(); err != nil {
		return err
	}
	return io.EOF
}

// Trailers returns the trailers that x-amz-trailer announced, in the order they
// came, names in lower case; nil before Read returned io.EOF.
func (c *ChunkReader) Trailers() []objects.Pair {
	if !errors.Is(c.err, io.EOF) {
		return nil
	}
	return c.trailers
}

// buffered is how many bytes were read from body and not used.
func (c *ChunkReader) buffered() int { return c.end - c.start }

// read returns buffered bytes, or reads past the buffer straight into p. At the
// body's end it fails with incompleteBody: it is called for payload only.
func (c *ChunkReader) read(p []byte) (int, error) {
	if n := copy(p, c.buffer[c.start:c.end]); n > 0 {
		c.start += n
		return n, nil
	}
	n, err := c.from(p)
	if n > 0 {
		return n, nil
	}
	return 0, truncated(err)
}

// from reads from body. It returns n > 0 or an error, not both.
func (c *ChunkReader) from(p []byte) (int, error) {
	for !c.ended {
		n, err := c.body.Read(p)
		if err == io.EOF { //nolint:errorlint // io.Reader's contract
			c.ended = true
		} else if err != nil {
			return 0, err
		}
		if n > 0 {
			c.emptyReads = 0
			return n, nil
		}
		if c.emptyReads++; c.emptyReads > 100 {
			return 0, io.ErrNoProgress
		}
	}
	return 0, io.EOF
}

// truncated turns the end of the body, where there should be more, into an error.
func truncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return incompleteBody()
	}
	return err
}

// crlfLine returns the next line without its CRLF, valid until the next read.
func (c *ChunkReader) crlfLine() ([]byte, error) {
	line, err := c.line()
	if err != nil {
		return nil, truncated(err)
	}
	line, ok := bytes.CutSuffix(line, []byte{'\r'})
	if !ok {
		return nil, malformedChunk()
	}
	return line, nil
}

// line returns the next line without its LF, valid until the next read. At the
// end of the body it fails with io.EOF, or, in the middle of a line, with
// io.ErrUnexpectedEOF.
func (c *ChunkReader) line() ([]byte, error) {
	searched := 0
	for {
		if i := bytes.IndexByte(c.buffer[c.start+searched:c.end], '\n'); i >= 0 {
			line := c.buffer[c.start : c.start+searched+i]
			c.start += searched + i + 1
			return line, nil
		}
		searched = c.buffered()
		if searched == len(c.buffer) {
			return nil, malformedChunk()
		}
		if c.start > 0 {
			copy(c.buffer[:], c.buffer[c.start:c.end])
			c.start, c.end = 0, searched
		}
		n, err := c.from(c.buffer[c.end:])
		if err != nil {
			if errors.Is(err, io.EOF) && searched > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		c.end += n
	}
}
