package sigv4

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/objects"
)

// claim is what a request says about its own signature, before any of it is
// believed. Its slices belong to the request or to the scratch.
type claim struct {
	presigned     bool
	credential    []byte // ACCESSKEY/YYYYMMDD/region/service/aws4_request
	accessKey     []byte
	date          []byte
	region        []byte
	service       []byte
	signedHeaders []byte
	signature     []byte
	payload       []byte // x-amz-content-sha256, or what stands for it
	token         []byte // x-amz-security-token
	time          time.Time
	timestamp     [len(timeFormat)]byte
	expires       time.Duration // of a presigned request
	except        int           // index in scratch.pairs of X-Amz-Signature; -1: none
}

// parameter is a query parameter of the signature.
type parameter int

const (
	paramAlgorithm parameter = iota
	paramCredential
	paramDate
	paramExpires
	paramSignedHeaders
	paramSignature
	paramToken
	paramPayload
	paramCount
)

// parameters holds the index in scratch.pairs of each parameter, -1 if absent.
type parameters struct {
	at    [paramCount]int
	twice bool // one of them came twice
	old   bool // the query is signed with Signature Version 2
}

// signed reports whether the query claims to be signed: with any parameter that
// belongs to a signature alone.
func (p *parameters) signed() bool {
	for _, i := range p.at[:paramToken] {
		if i >= 0 {
			return true
		}
	}
	return false
}

// findParameters looks for the signature's parameters. Names are found in any
// case, so that none slips by in another; the signature covers them as sent.
func (s *scratch) findParameters() parameters {
	p := parameters{}
	for i := range p.at {
		p.at[i] = -1
	}
	for i, one := range s.pairs {
		name := s.name(one)
		which := paramCount
		switch len(name) {
		case len("Signature"):
			p.old = p.old || string(name) == "Signature"
		case len("AWSAccessKeyId"):
			p.old = p.old || string(name) == "AWSAccessKeyId"
		case len("X-Amz-Date"):
			which = match(name, "x-amz-date", paramDate, which)
		case len("X-Amz-Expires"):
			which = match(name, "x-amz-expires", paramExpires, which)
		case len("X-Amz-Algorithm"): // and X-Amz-Signature
			which = match(name, "x-amz-algorithm", paramAlgorithm, which)
			which = match(name, "x-amz-signature", paramSignature, which)
		case len("X-Amz-Credential"):
			which = match(name, "x-amz-credential", paramCredential, which)
		case len("X-Amz-SignedHeaders"):
			which = match(name, "x-amz-signedheaders", paramSignedHeaders, which)
		case len("X-Amz-Security-Token"): // and X-Amz-Content-Sha256
			which = match(name, "x-amz-security-token", paramToken, which)
			which = match(name, "x-amz-content-sha256", paramPayload, which)
		}
		if which == paramCount {
			continue
		}
		p.twice = p.twice || p.at[which] >= 0
		p.at[which] = i
	}
	return p
}

func match(name []byte, lower string, is, otherwise parameter) parameter {
	if len(name) != len(lower) {
		return otherwise
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return otherwise
		}
	}
	return is
}

// decoded returns the value of a parameter, decoded, or nil if it is absent.
func (s *scratch) decoded(p *parameters, which parameter) []byte {
	i := p.at[which]
	if i < 0 {
		return nil
	}
	start := len(s.plain)
	for value := s.value(s.pairs[i]); len(value) > 0; {
		c, size := unescape(value) // canonical: size is never 0
		s.plain = append(s.plain, c)
		value = value[size:]
	}
	return s.plain[start:len(s.plain):len(s.plain)]
}

// fromHeader reads the claim of an Authorization header, which the documentation
// gives as: AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…
func (c *claim) fromHeader(s *scratch, authorization []byte) error {
	c.except = -1
	authorization = bytes.Trim(authorization, " \t")
	scheme, rest := authorization, []byte(nil)
	if i := bytes.IndexAny(authorization, " \t"); i >= 0 {
		scheme, rest = authorization[:i], authorization[i+1:]
	}
	switch {
	case string(scheme) == algorithm:
	case string(scheme) == "AWS":
		return otherMechanism()
	case bytes.HasPrefix(scheme, []byte("AWS4-")):
		return otherMechanism()
	default:
		return invalidArgument("Unsupported Authorization Type", "Authorization", authorization)
	}
	for len(rest) > 0 {
		part := rest
		if i := bytes.IndexByte(rest, ','); i >= 0 {
			part, rest = rest[:i], rest[i+1:]
		} else {
			rest = nil
		}
		part = bytes.Trim(part, " \t")
		name, value, ok := bytes.Cut(part, []byte{'='})
		if !ok {
			return c.malformed(fmt.Sprintf("the authorization component %q is malformed.", part))
		}
		var field *[]byte
		switch string(name) {
		case "Credential":
			field = &c.credential
		case "SignedHeaders":
			field = &c.signedHeaders
		case "Signature":
			field = &c.signature
		default:
			return c.malformed(fmt.Sprintf("the authorization component %q is malformed.", part))
		}
		if *field != nil {
			return c.malformed(fmt.Sprintf("the authorization component %q came twice.", name))
		}
		*field = value
	}
	switch {
	case c.credential == nil:
		return c.malformed("the authorization header requires three components: Credential, SignedHeaders, and Signature. Missing Credential.")
	case c.signedHeaders == nil:
		return c.malformed("the authorization header requires three components: Credential, SignedHeaders, and Signature. Missing SignedHeaders.")
	case c.signature == nil:
		return c.malformed("the authorization header requires three components: Credential, SignedHeaders, and Signature. Missing Signature.")
	}
	if err := c.headerTime(s); err != nil {
		return err
	}
	var count int
	c.payload, count = s.one("x-amz-content-sha256")
	switch {
	case count == 0:
		return invalid(InvalidRequest, "Missing required header for this request: x-amz-content-sha256",
			objects.Pair{Name: "MissingHeaderName", Value: "x-amz-content-sha256"})
	case count > 1:
		return invalidPayload(nil)
	}
	c.token, _ = s.one("x-amz-security-token")
	return nil
}

// headerTime takes the time from x-amz-date or, without it, from Date.
func (c *claim) headerTime(s *scratch) error {
	value, count := s.one("x-amz-date")
	ok := count == 1
	if ok {
		c.time, ok = parseTime(value)
	} else if count == 0 {
		if value, count = s.one("date"); count == 1 {
			if c.time, ok = parseTime(value); !ok {
				var err error
				c.time, err = http.ParseTime(string(value))
				ok = err == nil
			}
		}
	}
	if !ok {
		return denied(AccessDenied, "AWS authentication requires a valid Date or x-amz-date header")
	}
	appendTimestamp(c.timestamp[:0], c.time)
	return nil
}

// fromQuery reads the claim of a presigned request.
func (c *claim) fromQuery(s *scratch, p *parameters) error {
	c.presigned = true
	if p.twice {
		return invalid(AuthorizationQueryParametersError, "A query parameter of the signature came more than once.")
	}
	for _, i := range p.at[:paramToken] {
		if i < 0 {
			return missingParameters()
		}
	}
	if value := s.decoded(p, paramAlgorithm); string(value) != algorithm {
		return invalid(AuthorizationQueryParametersError, `X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"`)
	}
	c.credential = s.decoded(p, paramCredential)
	c.signedHeaders = s.decoded(p, paramSignedHeaders)
	c.signature = s.decoded(p, paramSignature)
	if c.token = s.decoded(p, paramToken); c.token == nil {
		c.token, _ = s.one("x-amz-security-token")
	}
	c.except = p.at[paramSignature]

	date := s.decoded(p, paramDate)
	var ok bool
	if c.time, ok = parseTime(date); !ok {
		return invalid(AuthorizationQueryParametersError,
			`X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd'T'HHmmss'Z'"`)
	}
	appendTimestamp(c.timestamp[:0], c.time)

	seconds, err := strconv.ParseInt(string(s.decoded(p, paramExpires)), 10, 64)
	switch {
	case err != nil:
		return invalid(AuthorizationQueryParametersError, "X-Amz-Expires should be a number")
	case seconds < 0:
		return invalid(AuthorizationQueryParametersError, "X-Amz-Expires must be non-negative")
	case seconds < 1:
		return invalid(AuthorizationQueryParametersError, "X-Amz-Expires must be at least 1 second")
	case seconds > maxExpiresSeconds:
		return invalid(AuthorizationQueryParametersError, "X-Amz-Expires must be less than a week (in seconds); "+
			"that is, the given X-Amz-Expires must be less than 604800 seconds")
	}
	c.expires = time.Duration(seconds) * time.Second
	return c.queryPayload(s, p)
}

// maxExpiresSeconds is how long a presigned request may be valid: a week.
const maxExpiresSeconds = 7 * 24 * 60 * 60

// queryPayload finds what a presigned request says of its payload: the parameter
// X-Amz-Content-Sha256, which the signature covers; else the header, if it is
// signed; else nothing, as the documentation has it. A header beside either that
// says something else is refused, for nobody signed it.
func (c *claim) queryPayload(s *scratch, p *parameters) error {
	header, count := s.one("x-amz-content-sha256")
	if count > 1 {
		return invalidPayload(nil)
	}
	switch c.payload = s.decoded(p, paramPayload); {
	case c.payload != nil:
	case count == 1 && contains(c.signedHeaders, []byte("x-amz-content-sha256")):
		c.payload = header
	default:
		c.payload = []byte(unsignedPayload)
	}
	if count == 1 && !bytes.Equal(header, c.payload) {
		return invalid(XAmzContentSHA256Mismatch,
			"The provided 'x-amz-content-sha256' header does not match what was signed.",
			objects.Pair{Name: "ClientComputedContentSHA256", Value: string(header)},
			objects.Pair{Name: "S3ComputedContentSHA256", Value: string(c.payload)})
	}
	return nil
}

// splitCredential checks the form of the credential and takes it apart.
// Access keys may contain slashes; the scope's four words are the last.
func (c *claim) splitCredential() error {
	rest := c.credential
	var words [4][]byte // date, region, service, terminal
	for i := len(words) - 1; i >= 0; i-- {
		cut := bytes.LastIndexByte(rest, '/')
		if cut < 0 {
			return c.malformed(`the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".`)
		}
		rest, words[i] = rest[:cut], rest[cut+1:]
	}
	c.accessKey, c.date, c.region, c.service = rest, words[0], words[1], words[2]
	if len(c.accessKey) == 0 {
		return c.malformed("a non-empty Access Key (AKID) must be provided in the credential.")
	}
	if string(words[3]) != terminal {
		return c.malformed(fmt.Sprintf("incorrect terminal %q. This endpoint uses %q.", words[3], terminal))
	}
	if len(c.date) != len(dateFormat) || !allDigits(c.date) {
		return c.malformed(fmt.Sprintf("incorrect date format %q. This date in the credential must be in the format \"yyyyMMdd\".", c.date))
	}
	if !bytes.Equal(c.date, c.timestamp[:len(dateFormat)]) {
		return c.malformed(fmt.Sprintf("Invalid credential date %q. This date is not the same as X-Amz-Date: %q.",
			c.date, c.timestamp[:len(dateFormat)]))
	}
	return nil
}

func allDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

// maxSignedHeaders bounds the list: names are looked up by walking it, and what
// a stranger sends must not cost the square of its length. Metadata of 2 KiB
// has fewer.
const maxSignedHeaders = 256

// checkSignedHeaders checks the list's form and that nothing escapes the
// signature that must not: the host and every x-amz-* header.
func (c *claim) checkSignedHeaders(s *scratch) error {
	names := 0
	for list := c.signedHeaders; ; names++ {
		var name []byte
		name, list = nextName(list)
		if len(name) == 0 || !lowerName(name) || names == maxSignedHeaders {
			return c.malformed(fmt.Sprintf("the SignedHeaders %q are malformed.", c.signedHeaders))
		}
		if contains(list, name) {
			return c.malformed(fmt.Sprintf("the signed header %q came twice.", name))
		}
		if list == nil {
			break
		}
	}
	var unsigned []string
	if !contains(c.signedHeaders, []byte("host")) {
		unsigned = append(unsigned, "host")
	}
	for i := range s.headers {
		name := s.headers[i].name
		if !bytes.HasPrefix(name, []byte("x-amz-")) || string(name) == "x-amz-content-sha256" {
			continue
		}
		if !contains(c.signedHeaders, name) {
			unsigned = append(unsigned, strings.ToValidUTF8(string(name), "?"))
		}
	}
	if unsigned != nil {
		return notSigned(unsigned)
	}
	return nil
}

// contains reports whether the name is in the list.
func contains(list, name []byte) bool {
	for len(list) > 0 {
		var one []byte
		if one, list = nextName(list); bytes.Equal(one, name) {
			return true
		}
	}
	return false
}

func lowerName(name []byte) bool {
	for _, b := range name {
		if 'A' <= b && b <= 'Z' || b <= ' ' || b >= 0x7f || b == ':' {
			return false
		}
	}
	return true
}

// parseTime reads YYYYMMDD'T'HHMMSS'Z'.
func parseTime(b []byte) (time.Time, bool) {
	if len(b) != len(timeFormat) || b[8] != 'T' || b[15] != 'Z' || !allDigits(b[:8]) || !allDigits(b[9:15]) {
		return time.Time{}, false
	}
	two := func(i int) int { return int(b[i]-'0')*10 + int(b[i+1]-'0') }
	year, month, day := two(0)*100+two(2), time.Month(two(4)), two(6)
	hour, minute, second := two(9), two(11), two(13)
	t := time.Date(year, month, day, hour, minute, second, 0, time.UTC)
	// time.Date carries what is out of range over; then it is no such time.
	if hour > 23 || minute > 59 || second > 59 || t.Day() != day || t.Month() != month {
		return time.Time{}, false
	}
	return t, true
}

// appendTimestamp appends a time as the string to sign has it.
func appendTimestamp(dst []byte, t time.Time) []byte { return t.UTC().AppendFormat(dst, timeFormat) }
