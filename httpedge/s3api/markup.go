package s3api

import (
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// namespace is the XML namespace of S3's documents.
const namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

// markup is an XML document being written by hand into a reused buffer: a
// listing of 1000 keys must not cost a reflection per field. Element names are
// constants of this package and are not escaped; values always are.
//
// Who made it sends it (request.send) or drops it; it goes back to the pool when
// the response has been written. Not safe for concurrent use.
type markup struct {
	b    []byte
	pool *sync.Pool // that it came from
}

// documentBytes is the first size of a buffer: most documents fit, and listings
// grow theirs once, since buffers are kept whatever their size.
const documentBytes = 4 << 10

// newMarkup begins a document with its declaration.
func (r *request) newMarkup() *markup {
	pool := &r.h.markups
	m, ok := pool.Get().(*markup)
	if !ok {
		m = &markup{b: make([]byte, 0, documentBytes), pool: pool}
	}
	m.b = append(m.b[:0], `<?xml version="1.0" encoding="UTF-8"?>`...)
	m.b = append(m.b, '\n')
	return m
}

// Close implements io.Closer: the buffer may be used again.
func (m *markup) Close() error {
	m.pool.Put(m)
	return nil
}

// raw writes markup as it is.
func (m *markup) raw(s string) { m.b = append(m.b, s...) }

// root opens the document's element in S3's namespace.
func (m *markup) root(name string) {
	m.raw("<")
	m.raw(name)
	m.raw(` xmlns="` + namespace + `">`)
}

// open begins an element.
func (m *markup) open(name string) {
	m.b = append(m.b, '<')
	m.b = append(m.b, name...)
	m.b = append(m.b, '>')
}

// end ends an element.
func (m *markup) end(name string) {
	m.b = append(m.b, '<', '/')
	m.b = append(m.b, name...)
	m.b = append(m.b, '>')
}

// text writes an element with a value.
func (m *markup) text(name, value string) {
	m.open(name)
	m.escape(value)
	m.end(name)
}

// optional writes an element unless its value is empty.
func (m *markup) optional(name, value string) {
	if value != "" {
		m.text(name, value)
	}
}

// number writes an element with a decimal number.
func (m *markup) number(name string, n int64) {
	m.open(name)
	m.b = strconv.AppendInt(m.b, n, 10)
	m.end(name)
}

// boolean writes an element that is true or false.
func (m *markup) boolean(name string, v bool) {
	m.open(name)
	m.b = strconv.AppendBool(m.b, v)
	m.end(name)
}

// instant writes an element with a time as S3's documents have it: UTC, to the
// second, with milliseconds that are always zero, so that it agrees with the
// Last-Modified header.
func (m *markup) instant(name string, t time.Time) {
	m.open(name)
	m.b = appendInstant(m.b, t)
	m.end(name)
}

// etag writes an element with a quoted entity tag.
func (m *markup) etag(name, tag string) {
	m.open(name)
	m.raw("&quot;")
	m.escape(tag)
	m.raw("&quot;")
	m.end(name)
}

// name writes an element with a name of an object, a prefix or a delimiter,
// percent-encoded where the client asked for it (encoding-type=url).
func (m *markup) name(element, value string, url bool) {
	m.open(element)
	if url {
		m.b = appendURL(m.b, value)
	} else {
		m.escape(value)
	}
	m.end(element)
}

// escaped says for every byte whether it can stand in XML as it is. Multi-byte
// sequences are looked at where U+FFFE, U+FFFF or bytes that are not UTF-8 could be.
var escaped = func() (table [256]bool) {
	for c := range 0x20 {
		table[c] = true
	}
	for _, c := range `&<>"'` + "\x7f" {
		table[c] = true
	}
	return table
}()

// escape appends text. Characters that XML 1.0 has no place for are written as
// references all the same, as S3 does: the name arrives, and a strict parser's
// client asks for encoding-type=url.
func (m *markup) escape(s string) {
	begin := 0
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c < utf8.RuneSelf && !escaped[c]:
			i++
			continue
		case c < 0xEF && c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		case c >= 0xEF:
			r, size := utf8.DecodeRuneInString(s[i:])
			if (r != utf8.RuneError || size > 1) && r&0xFFFE != 0xFFFE {
				i += size
				continue
			}
		}
		m.raw(s[begin:i])
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '&':
			m.raw("&amp;")
		case r == '<':
			m.raw("&lt;")
		case r == '>':
			m.raw("&gt;")
		case r == '"':
			m.raw("&quot;")
		case r == utf8.RuneError && size == 1:
			m.raw("\uFFFD") // not UTF-8: a stored name never is, an echoed one may be
		default:
			m.raw("&#x")
			m.b = strconv.AppendInt(m.b, int64(r), 16)
			m.raw(";")
		}
		i += size
		begin = i
	}
	m.raw(s[begin:])
}

// printable replaces the characters that XML has no place for. An error is read
// by strict parsers, whatever key it is about.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0xFFFE || c == 0xFFFF {
			return utf8.RuneError
		}
		return c
	}, s)
}

// appendURL appends text percent-encoded as S3 does in listings: a slash stays,
// a space is %20, upper-case digits.
func appendURL(b []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~', c == '/':
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}

// appendInstant appends a time as "2006-01-02T15:04:05.000Z". Written by hand:
// time's own formatting is a third of what a listing costs.
func appendInstant(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	two := func(n int, after byte) { b = append(b, byte('0'+n/10), byte('0'+n%10), after) }
	b = append(b, byte('0'+year/1000%10), byte('0'+year/100%10), byte('0'+year/10%10), byte('0'+year%10), '-')
	two(int(month), '-')
	two(day, 'T')
	two(hour, ':')
	two(minute, ':')
	two(second, '.')
	return append(b, "000Z"...)
}
