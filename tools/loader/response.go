package loader

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	// readBufferBytes is the room of a connection's reader. It holds a response
	// head whole, and takes 256 KiB per read of a large body: few system calls,
	// and still inside the second-level cache.
	readBufferBytes = 256 << 10
	// maxHeadBytes bounds a response head; S3 sends up to 2 KiB of user metadata.
	maxHeadBytes = 64 << 10
	// maxChunkLineBytes bounds the line in front of a chunk, extensions included.
	maxChunkLineBytes = 4 << 10
)

// errProtocol is wrapped by everything that a server may not send.
var errProtocol = errors.New("not a valid HTTP/1.1 response")

// response is the head of an answer: the few lines that a load needs.
type response struct {
	status  int   // 200 to 599; 1xx are skipped
	length  int64 // of the body; -1: not given
	chunked bool
	close   bool   // the connection ends with this answer
	class   string // durability that the receipt names; empty: no receipt
	etag    []byte // as it is written; valid until the next read
}

// reader reads HTTP/1.1 responses from one connection, one at a time. Not safe
// for concurrent use.
type reader struct {
	source     io.Reader
	buffer     []byte
	start, end int // buffer[start:end] is read and not consumed
}

// newReader returns a reader with a buffer of its own.
func newReader(source io.Reader) *reader {
	return &reader{source: source, buffer: make([]byte, readBufferBytes)}
}

// reset makes the reader read from a new connection.
func (r *reader) reset(source io.Reader) { r.source, r.start, r.end = source, 0, 0 }

// fill reads once more behind what is there. The buffer must not be full of
// bytes that are not consumed. An end of the stream is io.ErrUnexpectedEOF.
func (r *reader) fill() error {
	if r.start == r.end {
		r.start, r.end = 0, 0
	} else if r.end == len(r.buffer) {
		r.end = copy(r.buffer, r.buffer[r.start:r.end])
		r.start = 0
	}
	n, err := r.source.Read(r.buffer[r.end:])
	r.end += n
	switch {
	case n > 0:
		return nil // an error comes again with the next read
	case err == nil:
		return io.ErrNoProgress
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

// head reads the next response's head. Interim answers (1xx) are skipped.
func (r *reader) head() (response, error) {
	for {
		searched := 0
		for {
			unread := r.buffer[r.start:r.end]
			if i := bytes.Index(unread[searched:], []byte("\r\n\r\n")); i >= 0 {
				length := searched + i + 4
				if length > maxHeadBytes {
					return response{}, fmt.Errorf("%w: a head of more than %d bytes", errProtocol, maxHeadBytes)
				}
				r.start += length
				answer, err := parseHead(unread[:length-2])
				if err != nil || answer.status >= 200 {
					return answer, err
				}
				break
			}
			if len(unread) > maxHeadBytes {
				return response{}, fmt.Errorf("%w: a head of more than %d bytes", errProtocol, maxHeadBytes)
			}
			searched = max(0, len(unread)-3)
			if err := r.fill(); err != nil {
				return response{}, err
			}
		}
	}
}

// parseHead reads a status line and header lines, every one ended by CRLF,
// without the empty line behind them. (RFC 9112, sections 4 and 5)
func parseHead(head []byte) (response, error) {
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	const version = "HTTP/1."
	if len(line) < len("HTTP/1.1 200") || string(line[:len(version)]) != version || line[8] != ' ' ||
		line[7] != '0' && line[7] != '1' || len(line) > 12 && line[12] != ' ' {
		return response{}, fmt.Errorf("%w: status line %q", errProtocol, clip(line))
	}
	answer := response{length: -1, close: line[7] == '0'}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return response{}, fmt.Errorf("%w: status line %q", errProtocol, clip(line))
		}
		answer.status = answer.status*10 + int(c-'0')
	}
	if answer.status < 100 || answer.status > 599 {
		return response{}, fmt.Errorf("%w: status %d", errProtocol, answer.status)
	}
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 || line[0] == ' ' || line[0] == '\t' || line[colon-1] == ' ' || bytes.IndexByte(line, '\n') >= 0 {
			return response{}, fmt.Errorf("%w: header line %q", errProtocol, clip(line))
		}
		if err := answer.note(line[:colon], bytes.Trim(line[colon+1:], " \t")); err != nil {
			return response{}, err
		}
	}
	if answer.chunked && answer.length >= 0 {
		return response{}, fmt.Errorf("%w: chunked, and a length too", errProtocol)
	}
	return answer, nil
}

// note takes what one header line says.
func (a *response) note(name, value []byte) error {
	// The length of the name tells most lines apart without a comparison.
	switch len(name) {
	case len("content-length"):
		if !equalFold(name, "content-length") {
			return nil
		}
		length := int64(0)
		if len(value) == 0 || len(value) > 18 { // 18 digits fit an int64
			return fmt.Errorf("%w: content length %q", errProtocol, clip(value))
		}
		for _, c := range value {
			if c < '0' || c > '9' {
				return fmt.Errorf("%w: content length %q", errProtocol, clip(value))
			}
			length = length*10 + int64(c-'0')
		}
		if a.length >= 0 && a.length != length {
			return fmt.Errorf("%w: content lengths %d and %d", errProtocol, a.length, length)
		}
		a.length = length
	case len("transfer-encoding"):
		if !equalFold(name, "transfer-encoding") {
			return nil
		}
		if a.chunked || !equalFold(value, "chunked") {
			return fmt.Errorf("%w: transfer encoding %q", errProtocol, clip(value))
		}
		a.chunked = true
	case len("connection"):
		if equalFold(name, "connection") && equalFold(value, "close") {
			a.close = true
		}
	case len("etag"):
		if equalFold(name, "etag") {
			a.etag = value
		}
	case len("x-troupe-receipt"):
		if equalFold(name, "x-troupe-receipt") {
			a.class = receiptClass(value)
		}
	}
	return nil
}

// hasBody reports whether a body follows the head of an answer to this
// operation. (RFC 9112, 6.3)
func (a response) hasBody(o Operation) bool {
	return o != Head && a.status != 204 && a.status != 304
}

// bodySink takes a body as it arrives.
type bodySink interface {
	// take gets the next bytes, which are valid until it returns.
	take(piece []byte) error
}

// body reads the body behind the head and gives it to the sink; it returns the
// body's length. An error of the sink ends it and is returned as it is.
func (r *reader) body(answer response, sink bodySink) (int64, error) {
	switch {
	case answer.chunked:
		return r.chunks(sink)
	case answer.length >= 0:
		return answer.length, r.exactly(answer.length, sink)
	case answer.close: // until the connection ends
		var total int64
		for {
			if r.start == r.end {
				if err := r.fill(); err == io.ErrUnexpectedEOF {
					return total, nil
				} else if err != nil {
					return total, err
				}
			}
			piece := r.buffer[r.start:r.end]
			r.start = r.end
			total += int64(len(piece))
			if err := sink.take(piece); err != nil {
				return total, err
			}
		}
	}
	return 0, fmt.Errorf("%w: neither a length nor chunks on a connection that stays", errProtocol)
}

// exactly gives the next n bytes to the sink.
func (r *reader) exactly(n int64, sink bodySink) error {
	for n > 0 {
		if r.start == r.end {
			if err := r.fill(); err != nil {
				return err
			}
		}
		piece := r.buffer[r.start:r.end]
		if int64(len(piece)) > n {
			piece = piece[:n]
		}
		r.start += len(piece)
		n -= int64(len(piece))
		if err := sink.take(piece); err != nil {
			return err
		}
	}
	return nil
}

// chunks reads a chunked body and drops its extensions and trailers. (RFC 9112, 7.1)
func (r *reader) chunks(sink bodySink) (int64, error) {
	var total int64
	for {
		line, err := r.line()
		if err != nil {
			return total, err
		}
		line, _, _ = bytes.Cut(line, []byte(";"))
		line = bytes.TrimRight(line, " \t")
		if len(line) == 0 || len(line) > 15 { // 15 hexadecimal digits fit an int64
			return total, fmt.Errorf("%w: chunk size %q", errProtocol, clip(line))
		}
		var size int64
		for _, c := range line {
			digit := strings.IndexByte("0123456789abcdef", c|0x20)
			if digit < 0 || c < '0' {
				return total, fmt.Errorf("%w: chunk size %q", errProtocol, clip(line))
			}
			size = size<<4 | int64(digit)
		}
		if size == 0 {
			break
		}
		if err := r.exactly(size, sink); err != nil {
			return total, err
		}
		total += size
		if line, err := r.line(); err != nil {
			return total, err
		} else if len(line) != 0 {
			return total, fmt.Errorf("%w: %q behind a chunk", errProtocol, clip(line))
		}
	}
	for trailers := 0; ; trailers++ {
		line, err := r.line()
		if err != nil {
			return total, err
		}
		if len(line) == 0 {
			return total, nil
		}
		if trailers == 64 {
			return total, fmt.Errorf("%w: more than 64 trailers", errProtocol)
		}
	}
}

// line reads a line ended by CRLF and returns it without. Valid until the next read.
func (r *reader) line() ([]byte, error) {
	for {
		unread := r.buffer[r.start:r.end]
		if i := bytes.Index(unread, []byte("\r\n")); i >= 0 {
			r.start += i + 2
			return unread[:i], nil
		}
		if len(unread) > maxChunkLineBytes {
			return nil, fmt.Errorf("%w: a line of more than %d bytes", errProtocol, maxChunkLineBytes)
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// equalFold compares with a lower-case ASCII text, ignoring case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// clip shortens what a server sent for an error message.
func clip(b []byte) []byte {
	const most = 80
	if len(b) > most {
		return b[:most]
	}
	return b
}

// discard is the sink of bodies that nobody looks at.
type discard struct{}

func (discard) take([]byte) error { return nil }

// collector keeps a body, up to a limit.
type collector struct {
	kept  []byte
	limit int
}

// take implements bodySink; beyond the limit it fails.
func (c *collector) take(piece []byte) error {
	if len(c.kept)+len(piece) > c.limit {
		return fmt.Errorf("%w: a document of more than %d bytes", errProtocol, c.limit)
	}
	c.kept = append(c.kept, piece...)
	return nil
}

// checker compares a body with what the object must hold.
type checker struct {
	payloads *payloads
	digest   uint64
	at       int64 // where in the object the next byte belongs
	differs  bool
}

// take implements bodySink. It takes the body to its end even when it differs,
// so that the connection can be used again.
func (c *checker) take(piece []byte) error {
	if !c.differs && !c.payloads.matches(piece, c.digest, c.at) {
		c.differs = true
	}
	c.at += int64(len(piece))
	return nil
}
