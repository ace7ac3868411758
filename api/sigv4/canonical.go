package sigv4

import (
	"bytes"
	"crypto/sha256"
	"slices"
)

// The unreserved characters of RFC 3986, A-Z a-z 0-9 - . _ ~, as two bit sets.
const (
	unreservedLow  = 0x3ff<<'0' | 1<<'-' | 1<<'.'
	unreservedHigh = 0x3ffffff<<('A'-64) | 0x3ffffff<<('a'-64) | 1<<('_'-64) | 1<<('~'-64)
)

func unreserved(c byte) bool {
	switch {
	case c < 64:
		return unreservedLow>>c&1 != 0
	case c < 128:
		return unreservedHigh>>(c-64)&1 != 0
	default:
		return false
	}
}

const hexUpper, hexLower = "0123456789ABCDEF", "0123456789abcdef"

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// unescape returns the byte that raw begins with and how many bytes it took: 3
// for %XX, else 1; 0 for a percent sign without two hexadecimal digits.
func unescape(raw []byte) (c byte, size int) {
	if raw[0] != '%' {
		return raw[0], 1
	}
	if len(raw) < 3 {
		return 0, 0
	}
	high, ok1 := hexDigit(raw[1])
	low, ok2 := hexDigit(raw[2])
	if !ok1 || !ok2 {
		return 0, 0
	}
	return high<<4 | low, 3
}

func appendEscaped(dst []byte, c byte) []byte {
	if unreserved(c) {
		return append(dst, c)
	}
	return append(dst, '%', hexUpper[c>>4], hexUpper[c&15])
}

// appendCanonicalPath appends the canonical form of a path as sent. It is false
// if the path does not begin with "/" or has a bad escape.
func appendCanonicalPath(dst, raw []byte) ([]byte, bool) {
	if len(raw) == 0 {
		return append(dst, '/'), true
	}
	if raw[0] != '/' {
		return dst, false
	}
	for len(raw) > 0 {
		c, size := unescape(raw)
		switch {
		case size == 0:
			return dst, false
		case c == '/' && size == 1:
			dst = append(dst, '/')
		default:
			dst = appendEscaped(dst, c) // an escaped slash stays %2F: it is part of a name
		}
		raw = raw[size:]
	}
	return dst, true
}

// AppendPath appends a decoded path, for example "/bucket/a key", as S3 wants it
// in a request and in a signature: everything but the unreserved characters and
// "/" is escaped.
func AppendPath(dst []byte, path string) []byte {
	for i := range len(path) {
		if path[i] == '/' {
			dst = append(dst, '/')
		} else {
			dst = appendEscaped(dst, path[i])
		}
	}
	return dst
}

// AppendQuery appends a decoded name or value as a query wants it.
func AppendQuery(dst []byte, text string) []byte {
	for i := range len(text) {
		dst = appendEscaped(dst, text[i])
	}
	return dst
}

// pair is one name=value of a query: offsets into scratch.query, in canonical form.
type pair struct{ name, value, end int }

// parseQuery reads a query as sent into s.pairs, in its order. It is false if
// there is a bad escape.
func (s *scratch) parseQuery(raw []byte) bool {
	for len(raw) > 0 {
		part := raw
		if i := bytes.IndexByte(raw, '&'); i >= 0 {
			part, raw = raw[:i], raw[i+1:]
		} else {
			raw = nil
		}
		if len(part) == 0 {
			continue
		}
		p := pair{name: len(s.query), value: -1}
		for len(part) > 0 {
			c, size := unescape(part)
			switch {
			case size == 0:
				return false
			case c == '=' && size == 1 && p.value < 0:
				p.value = len(s.query)
			case c == '+' && size == 1:
				s.query = appendEscaped(s.query, ' ')
			default:
				s.query = appendEscaped(s.query, c)
			}
			part = part[size:]
		}
		p.end = len(s.query)
		if p.value < 0 {
			p.value = p.end
		}
		s.pairs = append(s.pairs, p)
	}
	return true
}

func (s *scratch) name(p pair) []byte  { return s.query[p.name:p.value] }
func (s *scratch) value(p pair) []byte { return s.query[p.value:p.end] }

// appendCanonicalQuery appends the pairs in canonical order, all but the one
// with the index except (-1: none). It sorts s.pairs.
func (s *scratch) appendCanonicalQuery(dst []byte, except int) []byte {
	if except >= 0 {
		s.pairs = slices.Delete(s.pairs, except, except+1)
	}
	slices.SortFunc(s.pairs, func(a, b pair) int {
		if c := bytes.Compare(s.name(a), s.name(b)); c != 0 {
			return c
		}
		return bytes.Compare(s.value(a), s.value(b))
	})
	for i, p := range s.pairs {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = append(dst, s.name(p)...)
		dst = append(dst, '=')
		dst = append(dst, s.value(p)...)
	}
	return dst
}

// appendTrimmed appends a header value without outer white space and with inner
// runs of it as one space.
func appendTrimmed(dst, value []byte) []byte {
	start := len(dst)
	gap := false
	for _, c := range value {
		if c == ' ' || c == '\t' {
			gap = true
			continue
		}
		if gap && len(dst) > start {
			dst = append(dst, ' ')
		}
		gap = false
		dst = append(dst, c)
	}
	return dst
}

// nextName cuts the first name off a list of signed headers.
func nextName(list []byte) (name, rest []byte) {
	if i := bytes.IndexByte(list, ';'); i >= 0 {
		return list[:i], list[i+1:]
	}
	return list, nil
}

// appendCanonicalHeaders appends a line for each name of the list, in its order.
// It is false if one of them is not in the request.
func (s *scratch) appendCanonicalHeaders(dst, list, host []byte) ([]byte, bool) {
	all := true
	for len(list) > 0 {
		var name []byte
		name, list = nextName(list)
		dst = append(append(dst, name...), ':')
		found := false
		if string(name) == "host" {
			dst, found = appendTrimmed(dst, host), true
		} else {
			for i := range s.headers {
				if !bytes.Equal(s.headers[i].name, name) {
					continue
				}
				if found {
					dst = append(dst, ',')
				}
				dst, found = appendTrimmed(dst, s.headers[i].value), true
			}
		}
		all = all && found
		dst = append(dst, '\n')
	}
	return dst, all
}

// canonicalize leaves the canonical request in s.canonical. It is false if a
// signed header is absent, and fails if the path cannot be decoded.
func (s *scratch) canonicalize(r *Request, signedHeaders, payload []byte, except int) (complete bool, err error) {
	b := append(append(s.canonical[:0], r.Method...), '\n')
	b, ok := appendCanonicalPath(b, r.Path)
	if !ok {
		return false, invalidURI()
	}
	b = append(b, '\n')
	b = s.appendCanonicalQuery(b, except)
	b = append(b, '\n')
	b, complete = s.appendCanonicalHeaders(b, signedHeaders, r.Host)
	b = append(b, '\n')
	b = append(append(b, signedHeaders...), '\n')
	s.canonical = append(b, payload...)
	return complete, nil
}

// stringToSign leaves in s.toSign what the signature of the canonical request is of.
func (s *scratch) stringToSign(timestamp []byte, scope string) {
	b := append(s.toSign[:0], algorithm+"\n"...)
	b = append(append(b, timestamp...), '\n')
	b = append(append(b, scope...), '\n')
	sum := sha256.Sum256(s.canonical)
	s.toSign = appendHex(b, sum[:])
}

func appendHex(dst, src []byte) []byte {
	for _, c := range src {
		dst = append(dst, hexLower[c>>4], hexLower[c&15])
	}
	return dst
}

// parseSHA256 reads 64 hexadecimal digits.
func parseSHA256(dst *[32]byte, text []byte) bool {
	if len(text) != 2*len(dst) {
		return false
	}
	for i := range dst {
		high, ok1 := hexDigit(text[2*i])
		low, ok2 := hexDigit(text[2*i+1])
		if !ok1 || !ok2 {
			return false
		}
		dst[i] = high<<4 | low
	}
	return true
}
