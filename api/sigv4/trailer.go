package sigv4

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/troupe-storage/troupe/objects"
)

// trailerSignature names the trailer that signs the others.
const trailerSignature = "x-amz-trailer-signature"

// maxBlankLines is how many blank lines may surround the trailers: one ends
// them, minio-go sends one before the signature, the documentation's chunk of no
// bytes has one behind its header.
const maxBlankLines = 4

// readTrailers reads what follows the header of the last chunk, up to the body's
// end. The blank line that ends it may be absent: whether the body is whole is
// known to whoever counts its bytes.
func (c *ChunkReader) readTrailers() error {
	blank, used := 0, 0
	var signature []byte
	for {
		line, err := c.line()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			var bad *Error
			if errors.As(err, &bad) && bad.Code == InvalidRequest { // a line that is too long
				return malformedTrailer()
			}
			return truncated(err)
		}
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(line) == 0 {
			if blank++; blank > maxBlankLines {
				return malformedTrailer()
			}
			continue
		}
		used += len(line)
		if used > c.options.Limits.TrailerBytes || signature != nil || !c.identity.Payload.trailers() {
			return malformedTrailer()
		}
		trailer, ok := parseTrailer(line)
		switch {
		case !ok:
			return malformedTrailer()
		case trailer.Name == trailerSignature && c.signed:
			signature = []byte(trailer.Value)
		case !c.expects(trailer.Name):
			return malformedTrailer()
		default:
			c.trailers = append(c.trailers, trailer)
		}
	}
	if c.identity.Payload.trailers() && len(c.trailers) != len(c.options.Trailers) {
		return malformedTrailer()
	}
	return c.checkTrailers(signature)
}

// expects reports whether a trailer was announced, has not come yet and is not
// one too many.
func (c *ChunkReader) expects(name string) bool {
	return slices.Contains(c.options.Trailers, name) && len(c.trailers) < c.options.Limits.MaxTrailers &&
		!slices.ContainsFunc(c.trailers, func(t objects.Pair) bool { return t.Name == name })
}

// parseTrailer reads "name: value".
func parseTrailer(line []byte) (objects.Pair, bool) {
	name, value, ok := bytes.Cut(line, []byte{':'})
	value = bytes.Trim(value, " \t")
	if !ok || len(name) == 0 || bytes.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return objects.Pair{}, false
	}
	for _, b := range name {
		if b <= ' ' || b >= 0x7f {
			return objects.Pair{}, false
		}
	}
	return objects.Pair{Name: strings.ToLower(string(name)), Value: string(value)}, true
}

// checkTrailers checks the signature of the trailers, where there has to be one.
func (c *ChunkReader) checkTrailers(signature []byte) error {
	if c.identity.Payload != ChunkedSignedTrailer {
		return nil
	}
	if signature == nil {
		return malformedTrailer()
	}
	if subtle.ConstantTimeCompare(c.chain.trailer(canonicalTrailers(c.trailers))[:], signature) != 1 {
		return wrongChunkSignature()
	}
	return nil
}

// canonicalTrailers returns what the trailers' signature is of: a line each,
// ordered by name.
func canonicalTrailers(trailers []objects.Pair) []byte {
	sorted := slices.Clone(trailers)
	slices.SortFunc(sorted, func(a, b objects.Pair) int { return strings.Compare(a.Name, b.Name) })
	var b []byte
	for _, t := range sorted {
		b = append(append(b, t.Name...), ':')
		b = append(append(b, t.Value...), '\n')
	}
	return b
}
