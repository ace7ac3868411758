package sigv2

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

const opVerify errs.Op = "sigv2.Verify"

// Options configure a Verifier.
type Options struct {
	// Secret returns the secret of an access key, as sigv4.Options has it. Required.
	Secret func(accessKey string) (secret string, ok bool)
	// Domains are those under which the first label of a host is a bucket.
	Domains []string
	Now     func() time.Time // default time.Now
	MaxSkew time.Duration    // between the clocks of client and node; default 15 minutes
}

// Verifier checks signatures. Safe for concurrent use.
type Verifier struct{ options Options }

// NewVerifier returns a Verifier.
func NewVerifier(options Options) *Verifier {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.MaxSkew <= 0 {
		options.MaxSkew = 15 * time.Minute
	}
	domains := make([]string, 0, len(options.Domains))
	for _, d := range options.Domains {
		domains = append(domains, strings.ToLower(strings.TrimSuffix(d, ".")))
	}
	options.Domains = domains
	return &Verifier{options: options}
}

// scheme begins an Authorization header of this version.
const scheme = "AWS "

// Claims reports whether a request is signed with this version, well or not.
func Claims(r *sigv4.Request) bool {
	c := collect(r)
	return strings.HasPrefix(c.header("authorization"), scheme) || c.has("Signature") || c.has("AWSAccessKeyId")
}

// parameter is a part of the query, decoded.
type parameter struct {
	name, value string
	hasValue    bool
}

// claim is a request, taken apart.
type claim struct {
	request    *sigv4.Request
	headers    []objects.Pair // names in lower letters
	parameters []parameter
	broken     bool // an escape of the query is none
}

func collect(r *sigv4.Request) *claim {
	c := &claim{request: r}
	if r.Headers != nil {
		r.Headers.All(func(name, value []byte) {
			c.headers = append(c.headers, objects.Pair{Name: strings.ToLower(string(name)), Value: strings.TrimSpace(string(value))})
		})
	}
	for part := range bytes.SplitSeq(r.Query, []byte{'&'}) {
		if len(part) == 0 {
			continue
		}
		name, value, found := bytes.Cut(part, []byte{'='})
		n, ok1 := unescape(name)
		v, ok2 := unescape(value)
		c.broken = c.broken || !ok1 || !ok2
		c.parameters = append(c.parameters, parameter{n, v, found})
	}
	return c
}

// unescape decodes once; "+" is a space, as the node reads it.
func unescape(raw []byte) (string, bool) {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '+':
			out = append(out, ' ')
		case '%':
			var b [1]byte
			if i+2 >= len(raw) {
				return "", false
			}
			if _, err := hex.Decode(b[:], raw[i+1:i+3]); err != nil {
				return "", false
			}
			out = append(out, b[0])
			i += 2
		default:
			out = append(out, raw[i])
		}
	}
	return string(out), true
}

// header returns the first field of a name.
func (c *claim) header(name string) string {
	for _, h := range c.headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// all returns the values of a name joined by a comma, so that a second one counts.
func (c *claim) all(name string) string {
	joined := ""
	for _, h := range c.headers {
		switch {
		case h.Name != name:
		case joined == "":
			joined = h.Value
		default:
			joined += "," + h.Value
		}
	}
	return joined
}

func (c *claim) has(name string) bool {
	_, count := c.parameter(name)
	return count > 0
}

// parameter returns the first parameter of a name, and how many there are.
func (c *claim) parameter(name string) (value string, count int) {
	for _, p := range c.parameters {
		if p.name == name {
			if count++; count == 1 {
				value = p.value
			}
		}
	}
	return value, count
}

// Verify checks the signature of a request that Claims to have one, and says whose
// it is. Every error is a *sigv4.Error.
func (v *Verifier) Verify(r *sigv4.Request) (sigv4.Identity, error) {
	c := collect(r)
	if c.broken {
		return sigv4.Identity{}, refuse(errs.Invalid, sigv4.InvalidURI, "Couldn't parse the specified URI.")
	}
	if name := c.unsignable(); name != "" {
		return sigv4.Identity{}, refuse(errs.Invalid, sigv4.InvalidRequest,
			"The subresource "+name+" cannot be signed with Signature Version 2. Please use AWS4-HMAC-SHA256.")
	}
	if err := c.twofold(); err != nil {
		return sigv4.Identity{}, err
	}
	var accessKey, signature, date string
	id := sigv4.Identity{Version2: true}
	var err error
	if authorization := c.header("authorization"); authorization != "" {
		accessKey, signature, err = fromHeader(authorization)
		if err == nil {
			date, id.Time, err = v.headerDate(c)
		}
	} else {
		id.Presigned = true
		accessKey, signature, date, id.Time, err = v.fromQuery(c)
	}
	if err != nil {
		return sigv4.Identity{}, err
	}
	secret, ok := v.options.Secret(accessKey)
	if !ok || secret == "" {
		return sigv4.Identity{}, refuse(errs.Denied, sigv4.InvalidAccessKeyID,
			"The AWS Access Key Id you provided does not exist in our records.", objects.Pair{Name: "AWSAccessKeyId", Value: accessKey})
	}
	toSign := v.stringToSign(c, date)
	if !matches(secret, toSign, signature) && !(v.bucketOf(string(c.request.Host)) == "" && c.isBucket() && matches(secret, v.slashed(c, date), signature)) {
		return sigv4.Identity{}, refuse(errs.Denied, sigv4.SignatureDoesNotMatch,
			"The request signature we calculated does not match the signature you provided. Check your key and signing method.",
			objects.Pair{Name: "AWSAccessKeyId", Value: accessKey}, objects.Pair{Name: "StringToSign", Value: toSign},
			objects.Pair{Name: "SignatureProvided", Value: signature})
	}
	if c.header("x-amz-security-token") != "" || c.has("x-amz-security-token") {
		return sigv4.Identity{}, refuse(errs.Invalid, sigv4.InvalidToken, "The provided token is malformed or otherwise invalid.")
	}
	id.VerifiedBy(accessKey, secret)
	return id, c.payload(&id)
}

// matches reports whether a signature is that of a text.
func matches(secret, toSign, signature string) bool {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(toSign))
	return hmac.Equal([]byte(base64.StdEncoding.EncodeToString(mac.Sum(nil))), []byte(signature))
}

// isBucket reports whether the path is a bucket's and does not end in a slash.
func (c *claim) isBucket() bool {
	return len(c.request.Path) > 1 && bytes.LastIndexByte(c.request.Path, '/') == 0
}

// slashed is the string to sign with a slash after a bucket's path: botocore signs
// "/bucket/" and sends "/bucket", which is the same thing.
func (v *Verifier) slashed(c *claim, date string) string {
	request, with := *c.request, *c
	request.Path = append(bytes.Clone(request.Path), '/')
	with.request = &request
	return v.stringToSign(&with, date)
}

// fromHeader takes "AWS KEY:signature" apart; access keys have no colon.
func fromHeader(authorization string) (accessKey, signature string, err error) {
	accessKey, signature, found := strings.Cut(strings.TrimPrefix(authorization, scheme), ":")
	if !strings.HasPrefix(authorization, scheme) || !found || accessKey == "" || signature == "" || strings.ContainsAny(accessKey, " ,") {
		return "", "", refuse(errs.Invalid, sigv4.InvalidArgument, "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature",
			objects.Pair{Name: "ArgumentName", Value: "Authorization"}, objects.Pair{Name: "ArgumentValue", Value: authorization})
	}
	return accessKey, signature, nil
}

// headerDate returns the date line of the string to sign, and the time of the request.
func (v *Verifier) headerDate(c *claim) (line string, at time.Time, err error) {
	text := c.header("x-amz-date")
	if text == "" {
		line = c.header("date")
		text = line
	}
	for _, layout := range []string{http.TimeFormat, time.RFC1123Z, "20060102T150405Z", time.RFC850, time.ANSIC} {
		if at, err = time.Parse(layout, text); err == nil {
			break
		}
	}
	if err != nil {
		return "", at, refuse(errs.Denied, sigv4.AccessDenied, "AWS authentication requires a valid Date or x-amz-date header")
	}
	now := v.options.Now()
	if skew := now.Sub(at); skew > v.options.MaxSkew || skew < -v.options.MaxSkew {
		return "", at, refuse(errs.Denied, sigv4.RequestTimeTooSkewed,
			"The difference between the request time and the current time is too large.",
			objects.Pair{Name: "RequestTime", Value: text}, objects.Pair{Name: "ServerTime", Value: now.UTC().Format(time.RFC3339)},
			objects.Pair{Name: "MaxAllowedSkewMilliseconds", Value: strconv.FormatInt(v.options.MaxSkew.Milliseconds(), 10)})
	}
	return line, at, nil
}

// fromQuery reads the three parameters. The time of the request is when it ends: it
// does not say when it was signed.
func (v *Verifier) fromQuery(c *claim) (accessKey, signature, expires string, at time.Time, err error) {
	accessKey, n1 := c.parameter("AWSAccessKeyId")
	signature, n2 := c.parameter("Signature")
	expires, n3 := c.parameter("Expires")
	if n1 != 1 || n2 != 1 || n3 != 1 || accessKey == "" || signature == "" {
		return "", "", "", at, refuse(errs.Denied, sigv4.AccessDenied,
			"Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters")
	}
	seconds, err := strconv.ParseInt(expires, 10, 64)
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return "", "", "", at, refuse(errs.Denied, sigv4.AccessDenied, "Invalid date (should be seconds since epoch): "+expires)
	}
	at = time.Unix(seconds, 0)
	if now := v.options.Now(); now.After(at) {
		return "", "", "", at, refuse(errs.Denied, sigv4.AccessDenied, "Request has expired",
			objects.Pair{Name: "Expires", Value: at.UTC().Format(time.RFC3339)}, objects.Pair{Name: "ServerTime", Value: now.UTC().Format(time.RFC3339)})
	}
	return accessKey, signature, expires, at, nil
}

// stringToSign is what the signature is of.
func (v *Verifier) stringToSign(c *claim, date string) string {
	var b strings.Builder
	b.Write(c.request.Method)
	b.WriteString("\n" + c.all("content-md5") + "\n")
	contentType := c.all("content-type")
	if contentType == "" && c.header("authorization") == "" {
		contentType, _ = c.parameter("content-type") // where botocore puts it in a presigned request
	}
	b.WriteString(contentType + "\n" + date + "\n")
	var amz []objects.Pair
	for _, h := range c.headers {
		if strings.HasPrefix(h.Name, "x-amz-") {
			amz = append(amz, h)
		}
	}
	for _, p := range c.parameters {
		if name := strings.ToLower(p.name); strings.HasPrefix(name, "x-amz-") {
			amz = append(amz, objects.Pair{Name: name, Value: p.value})
		}
	}
	slices.SortStableFunc(amz, func(a, b objects.Pair) int { return strings.Compare(a.Name, b.Name) })
	for i, h := range amz {
		switch {
		case i > 0 && amz[i-1].Name == h.Name:
			b.WriteString("," + h.Value)
		case i > 0:
			b.WriteString("\n" + h.Name + ":" + h.Value)
		default:
			b.WriteString(h.Name + ":" + h.Value)
		}
	}
	if len(amz) > 0 {
		b.WriteByte('\n')
	}
	b.WriteString(v.resource(c))
	return b.String()
}

// bucketOf returns the bucket of a virtual host, or "". The host itself is not signed: this
// has to be the bucket that is acted on, to the byte.
func (v *Verifier) bucketOf(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	shortest := ""
	for _, domain := range v.options.Domains {
		if host == domain {
			return ""
		}
		if bucket, found := strings.CutSuffix(host, "."+domain); found && bucket != "" && (shortest == "" || len(bucket) < len(shortest)) {
			shortest = bucket
		}
	}
	return shortest
}

// resource is the bucket of a virtual host, the path as sent, and the subresources.
func (v *Verifier) resource(c *claim) string {
	resource := ""
	if bucket := v.bucketOf(string(c.request.Host)); bucket != "" {
		resource = "/" + bucket
	}
	if len(c.request.Path) == 0 {
		resource += "/"
	}
	resource += string(c.request.Path)
	var signed []parameter
	for _, p := range c.parameters {
		if isSigned(p.name) {
			signed = append(signed, p)
		}
	}
	slices.SortStableFunc(signed, func(a, b parameter) int { return strings.Compare(a.name, b.name) })
	for i, p := range signed {
		if i == 0 {
			resource += "?" + p.name
		} else {
			resource += "&" + p.name
		}
		if p.hasValue {
			resource += "=" + p.value
		}
	}
	return resource
}

// isSigned reports whether a parameter is part of the resource.
func isSigned(name string) bool {
	switch name {
	case "accelerate", "acl", "analytics", "cors", "defaultObjectAcl", "delete", "inventory", "lifecycle", "location", "logging",
		"metrics", "notification", "object-lock", "partNumber", "policy", "replication", "requestPayment", "response-cache-control",
		"response-content-disposition", "response-content-encoding", "response-content-language", "response-content-type",
		"response-expires", "restore", "select", "select-type", "storageClass", "tagging", "torrent", "uploadId", "uploads",
		"versionId", "versioning", "versions", "website":
		return true
	}
	return false
}

// Covers reports whether a subresource is signed, or else refused: one that chooses
// an operation has to be.
func Covers(subresource string) bool { return isSigned(subresource) || isUnsignable(subresource) }

// isUnsignable reports whether a subresource is one that no client of this version
// signs.
func isUnsignable(name string) bool {
	switch name {
	case "abac", "annotation", "append", "attributes", "encryption", "intelligent-tiering", "legal-hold", "metadataAnnotationTable",
		"metadataConfiguration", "metadataInventoryTable", "metadataJournalTable", "metadataTable", "ownershipControls",
		"policyStatus", "publicAccessBlock", "renameObject", "retention", "session":
		return true
	}
	return false
}

// unsignable returns a subresource of the query that cannot be signed, or "".
func (c *claim) unsignable() string {
	for _, p := range c.parameters {
		if isUnsignable(p.name) {
			return p.name
		}
	}
	return ""
}

// twofold refuses a request whose string to sign is that of another request, too, which may
// be the one that was signed:
//   - x-amz-* of the query are signed as if they were headers, but nothing acts on them;
//   - parameters are signed decoded, so that one may look like several;
//   - a header that came twice is signed as one, but the first alone is acted on.
func (c *claim) twofold() error {
	presigned := c.header("authorization") == ""
	for _, p := range c.parameters {
		name := strings.ToLower(p.name)
		switch {
		case strings.HasPrefix(name, "x-amz-") && (!presigned || !isIdle(name)):
			return refuse(errs.Invalid, sigv4.InvalidRequest, "With Signature Version 2 "+strconv.Quote(p.name)+" has to be sent as a header.",
				objects.Pair{Name: "ParameterName", Value: p.name})
		case (strings.HasPrefix(name, "x-amz-") || name == "content-type") && strings.ContainsFunc(p.name+p.value, isControl):
			return refuse(errs.Invalid, sigv4.InvalidArgument, "A parameter that is signed as a header has control characters.",
				objects.Pair{Name: "ArgumentName", Value: p.name})
		case isSigned(p.name) && isSeveral(p.value):
			return refuse(errs.Invalid, sigv4.InvalidRequest, "The value of "+p.name+" reads as another subresource, which Signature Version 2 does not tell from it. Please use AWS4-HMAC-SHA256.",
				objects.Pair{Name: "ParameterName", Value: p.name})
		}
	}
	seen := make(map[string]bool, len(c.headers))
	for _, h := range c.headers {
		if !strings.HasPrefix(h.Name, "x-amz-") || strings.HasPrefix(h.Name, "x-amz-meta-") {
			continue
		}
		if seen[h.Name] {
			return refuse(errs.Invalid, sigv4.InvalidArgument, "With Signature Version 2 the header "+h.Name+" has to come once.",
				objects.Pair{Name: "ArgumentName", Value: h.Name})
		}
		seen[h.Name] = true
	}
	return nil
}

// isIdle reports whether a header may be dropped without harm to what was meant: who signs
// with this version puts those in links, where they say how the object is to be kept.
func isIdle(name string) bool {
	switch name {
	case "x-amz-acl", "x-amz-request-payer", "x-amz-security-token", "x-amz-storage-class":
		return true
	}
	return strings.HasPrefix(name, "x-amz-meta-")
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// isSeveral reports whether the value of a subresource, as it is signed, could be the
// value and other subresources.
func isSeveral(value string) bool {
	for i, part := range strings.Split(value, "&") {
		if name, _, _ := strings.Cut(part, "="); i > 0 && isSigned(name) {
			return true
		}
	}
	return false
}

// payload says how the payload comes: as it is, or in chunks that are not signed.
func (c *claim) payload(id *sigv4.Identity) error {
	switch value := c.header("x-amz-content-sha256"); value {
	case "", sigv4.Unsigned.String():
		if c.header("x-amz-trailer") != "" && c.header("x-amz-decoded-content-length") != "" {
			id.Payload = sigv4.ChunkedUnsignedTrailer // botocore over TLS
		}
	case sigv4.ChunkedUnsignedTrailer.String():
		id.Payload = sigv4.ChunkedUnsignedTrailer
	default:
		sum, err := hex.DecodeString(value)
		if err != nil || len(sum) != len(id.PayloadSHA256) {
			*id = sigv4.Identity{}
			return refuse(errs.Invalid, sigv4.InvalidArgument, "x-amz-content-sha256 must be "+sigv4.Unsigned.String()+", "+
				sigv4.ChunkedUnsignedTrailer.String()+", or a valid sha256 value in a request of Signature Version 2.",
				objects.Pair{Name: "ArgumentName", Value: "x-amz-content-sha256"}, objects.Pair{Name: "ArgumentValue", Value: value})
		}
		id.Payload = sigv4.Signed
		copy(id.PayloadSHA256[:], sum)
	}
	return nil
}

func refuse(kind errs.Kind, code sigv4.Code, message string, details ...objects.Pair) *sigv4.Error {
	return &sigv4.Error{Code: code, Message: message, Details: details, Err: &errs.Error{Op: opVerify, Kind: kind}}
}
