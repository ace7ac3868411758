package s3api

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// parameter is one pair of the query string, decoded.
type parameter struct {
	name, value string
	bare        bool // it came without "=", as subresources do
}

// query is the parameters of a request, in the order sent. Of parameters with
// the same name the first counts.
type query []parameter

// parseQuery reads a raw query string into q's memory.
func parseQuery(raw string, q query) (query, error) {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, valued := strings.Cut(pair, "=")
		name, err := unescape(name, plusIsSpace)
		if err != nil {
			return nil, refuse(codeInvalidURI, "")
		}
		if value, err = unescape(value, plusIsSpace); err != nil {
			return nil, refuse(codeInvalidURI, "")
		}
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return nil, refuse(codeInvalidArgument, "A query parameter is not UTF-8").argument(strings.ToValidUTF8(name, "?"), strings.ToValidUTF8(value, "?"))
		}
		q = append(q, parameter{name, value, !valued})
	}
	return q, nil
}

// get returns the value of a parameter, and whether it was given.
func (q query) get(name string) (string, bool) {
	for i := range q {
		if q[i].name == name {
			return q[i].value, true
		}
	}
	return "", false
}

// value returns the value of a parameter; empty if it was not given.
func (q query) value(name string) string {
	v, _ := q.get(name)
	return v
}

// has reports whether a parameter was given.
func (q query) has(name string) bool {
	_, ok := q.get(name)
	return ok
}

// page reads a parameter that bounds a page, such as max-keys: from 0, and no
// more than limit however much is asked. Not given or empty is limit.
func (q query) page(name string, limit int) (int, error) {
	v := q.value(name)
	if v == "" {
		return limit, nil
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil {
		return 0, refuse(codeInvalidArgument, "Provided "+name+" not an integer or within integer range").argument(name, v)
	}
	if n < 0 {
		return 0, refuse(codeInvalidArgument, "Argument "+name+" must be an integer between 0 and 2147483647").argument(name, v)
	}
	return min(int(n), limit), nil
}

// part reads partNumber; ok is false if it was not given.
func (q query) part(limit int) (number int, ok bool, err error) {
	v, ok := q.get("partNumber")
	if !ok {
		return 0, false, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > limit {
		return 0, true, refuse(codeInvalidArgument, "Part number must be an integer between 1 and "+itoa(limit)+", inclusive").argument("partNumber", v)
	}
	return n, true, nil
}

// flag reads a parameter that is true or false; not given is false.
func (q query) flag(name string) bool { return strings.EqualFold(q.value(name), "true") }

// urlEncoding reads encoding-type.
func (q query) urlEncoding() (bool, error) {
	v, ok := q.get("encoding-type")
	switch {
	case !ok || v == "":
		return false, nil
	case strings.EqualFold(v, "url"):
		return true, nil
	}
	return false, refuse(codeInvalidArgument, "Invalid Encoding Method specified in Request").argument("encoding-type", v)
}

// itoa writes a number in decimal.
func itoa[T int | int64](n T) string { return strconv.FormatInt(int64(n), 10) }
