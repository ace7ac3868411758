package intra

import (
	"bytes"
	"net"
	"net/netip"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// The header fields of nodes. No client may send one, and none gets to a client.
const (
	space = "X-Troupe-Relay-"

	fieldEdge    = space + "Edge"    // by which edge the client came
	fieldScheme  = space + "Scheme"  // in which the client asked: http or https
	fieldClient  = space + "Client"  // address of the client, host:port
	fieldRequest = space + "Request" // id of the request, as the client will know it
	fieldMap     = space + "Map"     // version of the map of who asks
	fieldEpoch   = space + "Epoch"   // of the key, as smap.Epoch has it
	// fieldRefused is in the answer of a node that is not in charge under the epoch
	// given, or has another map: the version of its map. Nothing was changed.
	fieldRefused = space + "Refused"
)

// statusRefused goes with fieldRefused: "the request was directed at a server that is
// unable or unwilling to produce an authoritative response" (RFC 9110, 15.5.20).
const statusRefused = fasthttp.StatusMisdirectedRequest

// Relayed is what a request says of itself that another node has passed on.
type Relayed struct {
	By      string // node that relays it
	Edge    string // by which edge the client came
	Scheme  string // in which it asked: http or https
	Request string // its id
	Client  net.Addr
	Map     uint64
	Epoch   smap.Epoch
}

// relayedKey finds it in a request's context.
type relayedKey struct{}

// Of returns what a request says of itself that came over this road; nil if it came
// from a client.
func Of(ctx *fasthttp.RequestCtx) *Relayed {
	r, _ := ctx.UserValue(relayedKey{}).(*Relayed)
	return r
}

// Secure reports whether a client's connection is encrypted, to whichever node it made
// it.
func Secure(ctx *fasthttp.RequestCtx) bool {
	if r := Of(ctx); r != nil {
		return r.Scheme == schemeSecure
	}
	return ctx.IsTLS()
}

// What fieldScheme says.
const (
	schemePlain  = "http"
	schemeSecure = "https"
)

// schemeOf is how a client's own request came.
func schemeOf(ctx *fasthttp.RequestCtx) string {
	if ctx.IsTLS() {
		return schemeSecure
	}
	return schemePlain
}

// readRelayed reads the fields of a relayed request, and takes them out of it.
func readRelayed(h *fasthttp.RequestHeader, by string) (*Relayed, error) {
	const op errs.Op = "intra.readRelayed"
	r := &Relayed{By: by, Edge: string(h.Peek(fieldEdge)), Scheme: string(h.Peek(fieldScheme)), Request: string(h.Peek(fieldRequest))}
	client, err := netip.ParseAddrPort(string(h.Peek(fieldClient)))
	if err != nil {
		return nil, errs.E(op, by, errs.Invalid, err)
	}
	r.Client = net.TCPAddrFromAddrPort(client)
	if r.Map, err = strconv.ParseUint(string(h.Peek(fieldMap)), 10, 64); err != nil {
		return nil, errs.E(op, by, errs.Invalid, err)
	}
	if r.Epoch, err = smap.ParseEpoch(string(h.Peek(fieldEpoch))); err != nil {
		return nil, errs.E(op, by, errs.Invalid, err)
	}
	for _, name := range []string{fieldEdge, fieldScheme, fieldClient, fieldRequest, fieldMap, fieldEpoch} {
		h.Del(name)
	}
	return r, nil
}

// inSpace reports whether the name of a field is the nodes'.
func inSpace(name []byte) bool {
	return len(name) >= len(space) && bytes.EqualFold(name[:len(space)], []byte(space))
}

// lines calls each with every header field as it was received, a folded one as one.
func lines(raw []byte, each func(name, line []byte)) {
	for len(raw) > 0 {
		end := 0
		for {
			i := bytes.IndexByte(raw[end:], '\n')
			if i < 0 {
				end = len(raw)
				break
			}
			end += i + 1
			if end == len(raw) || raw[end] != ' ' && raw[end] != '\t' {
				break
			}
		}
		line := bytes.TrimRight(raw[:end], "\r\n")
		raw = raw[end:]
		if colon := bytes.IndexByte(line, ':'); colon > 0 {
			each(line[:colon], line)
		}
	}
}

// usesSpace reports whether a request has a field of the nodes' space.
func usesSpace(h *fasthttp.RequestHeader) bool {
	found := false
	lines(h.RawHeaders(), func(name, _ []byte) { found = found || inSpace(name) })
	return found
}

// ofConnection reports whether a field is about one connection and not about the
// request (RFC 9110, 7.6.1): it is not passed on.
func ofConnection(name []byte) bool {
	for _, n := range [...]string{"Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade"} {
		if len(name) == len(n) && bytes.EqualFold(name, []byte(n)) {
			return true
		}
	}
	return false
}

// isField reports whether a field has a name.
func isField(name []byte, want string) bool {
	return len(name) == len(want) && bytes.EqualFold(name, []byte(want))
}

// appendHead appends the head of a client's request as it goes on to another node:
// its request line and fields as they came, but for those of the connection, and the
// framing of a body whose length is not known.
func appendHead(b []byte, ctx *fasthttp.RequestCtx, r *Relayed, expect bool) []byte {
	h := &ctx.Request.Header
	b = append(append(append(append(b, h.Method()...), ' '), h.RequestURI()...), " HTTP/1.1\r\n"...)
	chunked := h.ContentLength() == -1
	host := false
	lines(h.RawHeaders(), func(name, line []byte) {
		switch {
		case inSpace(name), ofConnection(name), isField(name, "Transfer-Encoding"):
			return
		case isField(name, "Content-Length"):
			if chunked {
				return
			}
		case isField(name, "Expect"):
			expect = false // it says so itself
		case isField(name, "Host"):
			host = true
		}
		b = append(append(b, line...), "\r\n"...)
	})
	field := func(name, value string) {
		b = append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
	}
	if !host { // HTTP/1.0
		field("Host", "")
	}
	if chunked {
		field("Transfer-Encoding", "chunked")
	}
	if expect {
		field("Expect", "100-continue")
	}
	field(fieldEdge, r.Edge)
	field(fieldScheme, r.Scheme)
	field(fieldClient, r.Client.String())
	field(fieldRequest, r.Request)
	field(fieldMap, strconv.FormatUint(r.Map, 10))
	field(fieldEpoch, r.Epoch.String())
	return append(b, "\r\n"...)
}
