package s3api

import (
	"encoding/base64"
	"strings"

	"github.com/troupe-storage/troupe/objects"
)

// token is where a listing goes on: after a name, or after everything below a
// common prefix. Clients pass it back without looking into it; it holds nothing
// but the name, so that it is as good on any node at any time.
//
// Format 1: base64url of '1', 'n' or 'p', and the name.
type token struct {
	after  string
	prefix bool // after is a common prefix: everything below it has been listed
}

// String returns the token as clients see it.
func (t token) String() string {
	kind := byte('n')
	if t.prefix {
		kind = 'p'
	}
	return base64.RawURLEncoding.EncodeToString(append([]byte{'1', kind}, t.after...))
}

// position returns the name after which the gateway goes on.
func (t token) position() string {
	if t.prefix {
		return pastPrefix(t.after)
	}
	return t.after
}

// parseToken reads what String wrote.
func parseToken(s string) (token, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < 3 || b[0] != '1' || b[1] != 'n' && b[1] != 'p' {
		return token{}, false
	}
	t := token{string(b[2:]), b[1] == 'p'}
	return t, objects.CheckName(t.after) == nil && t.String() == s // base64 decoders skip line ends
}

// tokenAfter reads a token out of the query and returns the position it stands
// for; empty: not given.
func (r *request) tokenAfter(name string) (string, error) {
	v, ok := r.query.get(name)
	if !ok {
		return "", nil
	}
	t, ok := parseToken(strings.TrimSpace(v))
	if !ok {
		return "", refuse(codeInvalidArgument, "The continuation token provided is incorrect").argument(name, v)
	}
	return t.position(), nil
}
