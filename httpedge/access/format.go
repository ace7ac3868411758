package access

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
)

// Format is the form of a line.
type Format string

// The forms.
const (
	// S3 is the form of Amazon S3's server access logs, with the length of the
	// request's body as one more field at the end.
	// Source: Amazon S3 user guide, "Amazon S3 server access log format".
	S3 Format = "s3"
	// JSON is one document per line.
	JSON Format = "json"
)

const hexDigits = "0123456789ABCDEF"

// appendS3 appends the record as a line in S3's form, without its newline.
func (r *Record) appendS3(b []byte, total time.Duration) []byte {
	request := &r.ctx.Request
	version, cipher := r.secured()
	b = append(b, "- "...) // the bucket's owner: one owns them all
	b = field(b, r.bucket)
	b = append(b, '[')
	b = r.began.UTC().AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, "] "...)
	b = r.appendRemote(b)
	b = append(b, ' ')
	b = field(b, r.requester)
	b = field(b, r.requestID)
	b = field(b, r.operationName())
	b = field(b, r.key)
	b = append(b, '"')
	b = escape(b, request.Header.Method())
	b = append(b, ' ')
	b = appendTarget(b, request.Header.RequestURI())
	b = append(b, ' ')
	b = escape(b, request.Header.Protocol())
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(r.status), 10)
	b = append(b, ' ')
	b = field(b, r.code)
	b = number(b, r.bytesSent(), r.bytesSent() > 0)
	b = number(b, r.objectSize, r.objectSize >= 0)
	b = number(b, total.Milliseconds(), true)
	b = number(b, r.turnaround().Milliseconds(), true)
	b = quoted(b, request.Header.Referer())
	b = quoted(b, request.Header.UserAgent())
	b = field(b, r.versionID)
	b = field(b, r.hostID)
	b = field(b, r.signature)
	b = field(b, cipher)
	b = field(b, r.authenticated)
	b = field(b, string(request.Header.Host()))
	b = field(b, version)
	b = append(b, "- - - "...) // access point, whether an ACL was needed, source region
	return strconv.AppendInt(b, max(0, r.received), 10)
}

// appendJSON appends the record as a JSON document, without a newline.
func (r *Record) appendJSON(b []byte, total time.Duration) []byte {
	request := &r.ctx.Request
	version, cipher := r.secured()
	b = append(b, `{"time":"`...)
	b = r.began.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	b = append(b, `","remote":"`...)
	b = r.appendRemote(b)
	b = append(b, '"')
	b = member(b, "listener", r.listener)
	b = member(b, "request", r.requestID)
	b = member(b, "requester", r.requester)
	b = member(b, "operation", r.operationName())
	b = member(b, "bucket", r.bucket)
	b = member(b, "key", r.key)
	b = member(b, "method", string(request.Header.Method()))
	b = append(b, `,"uri":`...)
	b = str(b, string(appendTarget(nil, request.Header.RequestURI())))
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(r.status), 10)
	b = member(b, "error", r.code)
	b = append(b, `,"bytes_in":`...)
	b = strconv.AppendInt(b, max(0, r.received), 10)
	b = append(b, `,"bytes_out":`...)
	b = strconv.AppendInt(b, r.bytesSent(), 10)
	if r.objectSize >= 0 {
		b = append(b, `,"object_size":`...)
		b = strconv.AppendInt(b, r.objectSize, 10)
	}
	b = append(b, `,"total_us":`...)
	b = strconv.AppendInt(b, total.Microseconds(), 10)
	b = append(b, `,"turnaround_us":`...)
	b = strconv.AppendInt(b, r.turnaround().Microseconds(), 10)
	b = member(b, "host", string(request.Header.Host()))
	b = member(b, "referer", string(request.Header.Referer()))
	b = member(b, "user_agent", string(request.Header.UserAgent()))
	b = member(b, "version", r.versionID)
	b = member(b, "signature", r.signature)
	b = member(b, "authentication", r.authenticated)
	b = member(b, "tls", version)
	b = member(b, "cipher", cipher)
	b = member(b, "forwarded_proto", r.forwarded)
	b = member(b, "node", r.hostID)
	return append(b, '}')
}

// operationName is the operation as told. Those of the native API are made of the
// method and of the path: NATIVE.GET.HEALTH is GET /v1/health.
func (r *Record) operationName() string {
	if r.operation != "" {
		return r.operation
	}
	if r.listener != "native" {
		return "" // it could not be understood
	}
	path := string(r.ctx.Request.URI().PathOriginal())
	name := make([]byte, 0, 32)
	name = append(name, "NATIVE."...)
	name = append(name, r.ctx.Request.Header.Method()...)
	name = append(name, '.')
	start := len(name)
	for i, words := 0, 0; i < len(path) && len(name) < cap(name); i++ {
		switch c := path[i]; {
		case c == '/':
			if len(name) > start {
				if words++; words == 1 && string(name[start:]) == "V1" {
					name, words = name[:start], 0
				} else {
					return string(name)
				}
			}
		case 'a' <= c && c <= 'z':
			name = append(name, c-'a'+'A')
		case 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			name = append(name, c)
		default:
			return string(name) + "?"
		}
	}
	return string(name)
}

func (r *Record) appendRemote(b []byte) []byte { return append(b, r.ctx.RemoteIP().String()...) }

// field appends a word and a space; a dash for nothing. What would end the word
// early is percent-encoded, as S3 does with keys.
func field(b []byte, s string) []byte {
	if s == "" {
		return append(b, "- "...)
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '"' || c == '%' || c >= 0x7f {
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return append(b, ' ')
}

func number(b []byte, n int64, known bool) []byte {
	if !known {
		return append(b, "- "...)
	}
	return append(strconv.AppendInt(b, n, 10), ' ')
}

// quoted appends a client's words in quotes and a space; a bare dash for none.
func quoted(b, words []byte) []byte {
	if len(words) == 0 {
		return append(b, `"-" `...)
	}
	b = append(b, '"')
	b = escape(b, words)
	return append(b, `" `...)
}

// escape appends words in which nothing ends the quotes or the line.
func escape(b, words []byte) []byte {
	for _, c := range words {
		if c < ' ' || c == '"' || c == 0x7f {
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

// appendTarget appends a request's target with the secrets of its query blanked.
func appendTarget(b, target []byte) []byte {
	query := -1
	for i, c := range target {
		if c == '?' {
			query = i
			break
		}
	}
	if query < 0 {
		return escape(b, target)
	}
	b = escape(b, target[:query])
	separator := byte('?')
	for rest := target[query+1:]; ; {
		end := len(rest)
		for i, c := range rest {
			if c == '&' {
				end = i
				break
			}
		}
		b = append(b, separator)
		b = appendParameter(b, rest[:end])
		if end == len(rest) {
			return b
		}
		rest, separator = rest[end+1:], '&'
	}
}

// appendParameter appends "name=value", without the value if it is a secret:
// with a signature or a session token anybody could repeat the request.
func appendParameter(b, parameter []byte) []byte {
	for i, c := range parameter {
		if c != '=' {
			continue
		}
		if isSecret(parameter[:i]) {
			return append(escape(b, parameter[:i]), "=-"...)
		}
		break
	}
	return escape(b, parameter)
}

// isSecret reports whether a query parameter's value must not be logged. Names
// may be percent-encoded: those that are, and are not among the plain ones, are
// decoded first.
func isSecret(name []byte) bool {
	var decoded [32]byte
	plain := decoded[:0]
	for i := 0; i < len(name); i++ {
		if len(plain) == cap(plain) {
			return false // longer than any of the names
		}
		c := name[i]
		if c == '%' && i+2 < len(name) {
			if n, err := strconv.ParseUint(string(name[i+1:i+3]), 16, 8); err == nil {
				c = byte(n)
				i += 2
			}
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		plain = append(plain, c)
	}
	switch string(plain) {
	case "x-amz-signature", "x-amz-security-token", "signature", "token", "password", "secret":
		return true
	}
	return false
}

// member appends ,"name":"value" unless the value is empty.
func member(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return str(b, value)
}

// str appends a JSON string. Source: RFC 8259, 7.
func str(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
			i++
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			i++
		case c < utf8.RuneSelf:
			b = append(b, c)
			i++
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r) // what is no UTF-8 becomes U+FFFD
			i += size
		}
	}
	return append(b, '"')
}

// Begin makes the record of a request that has just arrived, or returns the one
// that it has. Nil if l is.
func (l *Log) Begin(ctx *fasthttp.RequestCtx, listener string) *Record {
	if l == nil {
		return nil
	}
	if r := Of(ctx); r != nil {
		return r
	}
	r := l.records.Get().(*Record) //nolint:forcetypeassert // the pool holds nothing else
	*r = Record{log: l, ctx: ctx, listener: listener, began: l.clock.Now(), start: l.clock.Elapsed(), received: -1, sent: -1, objectSize: -1}
	ctx.SetUserValue(recordKey{}, r)
	return r
}

// SetForwarded says in which protocol a trusted proxy was asked.
func (r *Record) SetForwarded(proto string) {
	if r != nil {
		r.forwarded = proto
	}
}
