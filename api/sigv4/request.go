package sigv4

// Request is what a signature is about, as it came over the wire. The Verifier
// only reads it and keeps nothing of it.
type Request struct {
	Method  []byte
	Path    []byte // as sent, percent-encoded, without query; empty means "/"
	Query   []byte // as sent, without "?"
	Host    []byte // the Host header as sent, with its port
	Headers Headers
}

// Headers are the header fields of a request, all but Host.
type Headers interface {
	// All calls visit for every field in the order received, with names in any
	// case. The slices need to stay valid and unchanged until Verify returns.
	All(visit func(name, value []byte))
}

// header is one field of a request.
type header struct {
	name  []byte // lower-case; in scratch.names
	value []byte // the request's own
}

// collect reads the header fields into the scratch.
func (s *scratch) collect(h Headers) {
	if h != nil {
		h.All(s.visit)
	}
}

// addHeader is scratch.visit.
func (s *scratch) addHeader(name, value []byte) {
	start := len(s.names)
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		s.names = append(s.names, c)
	}
	s.headers = append(s.headers, header{s.names[start:len(s.names):len(s.names)], value})
}

// one returns the value of the field with the lower-case name, and how many
// fields have that name; the value is the first one's.
func (s *scratch) one(name string) (value []byte, count int) {
	for i := range s.headers {
		if string(s.headers[i].name) == name {
			if count == 0 {
				value = s.headers[i].value
			}
			count++
		}
	}
	return value, count
}
