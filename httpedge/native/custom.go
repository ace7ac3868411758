package native

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects"
)

// customBytes bounds the custom metadata of an object, names and values together.
// It is S3's bound of user metadata too, which is the same thing here.
const customBytes = 2 << 10

func tooMuchCustom() error {
	return Refuse(fasthttp.StatusBadRequest, "", "custom metadata is larger than %d bytes", customBytes)
}

// custom reads the Ais-Custom-Md headers of a PUT: one name=value each.
func (r *Request) custom() ([]objects.Pair, error) {
	var pairs []objects.Pair
	size := 0
	for _, line := range r.ctx.Request.Header.PeekAll("Ais-Custom-Md") {
		name, value, ok := strings.Cut(string(line), "=")
		if !ok {
			return nil, Refuse(fasthttp.StatusBadRequest, "", "header Ais-Custom-Md %q is not name=value", line)
		}
		pair, err := customPair(name, value)
		if err != nil {
			return nil, err
		}
		if size += len(pair.Name) + len(pair.Value); size > customBytes {
			return nil, tooMuchCustom()
		}
		same := func(p objects.Pair) bool { return p.Name == pair.Name }
		if at := slices.IndexFunc(pairs, same); at >= 0 {
			pairs[at] = pair // the last one counts
			continue
		}
		pairs = append(pairs, pair)
	}
	return pairs, nil
}

// customOf reads the value of a PATCH, in the order of names.
func customOf(values map[string]string) ([]objects.Pair, error) {
	var pairs []objects.Pair
	for _, name := range slices.Sorted(maps.Keys(values)) {
		pair, err := customPair(name, values[name])
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pair)
	}
	return pairs, nil
}

// customPair checks one entry. Custom metadata is S3's user metadata, so a name
// must be able to stand in a header's name and a value in a header's value.
func customPair(name, value string) (objects.Pair, error) {
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	token := func(c rune) bool {
		return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	}
	if name == "" || strings.ContainsFunc(name, func(c rune) bool { return !token(c) }) {
		return objects.Pair{}, Refuse(fasthttp.StatusBadRequest, "", "custom metadata: name %q must be of letters, digits and !#$%%&'*+-.^_`|~", name)
	}
	if !utf8.ValidString(value) || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return objects.Pair{}, Refuse(fasthttp.StatusBadRequest, "", "custom metadata: the value of %q must be one line of UTF-8", name)
	}
	return objects.Pair{Name: name, Value: value}, nil
}
