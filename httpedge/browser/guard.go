// Package browser keeps web pages away from listeners that let everybody in.
//
// A listener on loopback asks for no key because only this machine reaches it. But
// a browser on this machine runs the pages of anybody, and those reach it in two
// ways. Across sites: a page sends requests to http://127.0.0.1:8080 and cannot
// read the answers, but a DELETE or a PUT needs no reading. And by rebinding: a
// page has its own name resolve to 127.0.0.1, so that the browser takes the
// listener for the page's own server and lets it read everything.
//
//	across sites    Sec-Fetch-Site or Origin tells of another site   refused
//	rebinding       Host is the page's name, which nobody set here   refused
//	curl, SDKs      no such headers; Host is an address or localhost pass
//
// Pages can set none of the three headers. Where a token or a signature is asked
// for, none of this is needed: a page has neither.
package browser

import (
	"errors"
	"net"
	"net/netip"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects/errs"
)

// AnyName among the names of a Guard takes every Host.
const AnyName = "*"

// What is refused, and what to do about it.
var (
	ErrForeignPage = errors.New("this request comes from a web page of another site, and the listener asks for no key: " +
		"pages may use it only from its own address. Call it from a program, or open its address itself")
	ErrForeignHost = errors.New("the Host header is not an address, localhost or a name of this listener, which asks for no key: " +
		"it may be a web page that has its name point here. If the name is right, add it to the setting native-host, or use the address")
)

// Guard judges requests to a listener that lets everybody in. Immutable.
type Guard struct {
	names map[string]struct{} // lower case, without a dot at the end
	any   bool
}

// NewGuard makes a guard of a listener that has these names, beside its addresses
// and localhost: host names without port, or AnyName.
func NewGuard(names []string) *Guard {
	g := &Guard{names: map[string]struct{}{"localhost": {}}}
	for _, name := range names {
		if name == AnyName {
			g.any = true
			continue
		}
		g.names[plainName(name)] = struct{}{}
	}
	return g
}

func plainName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// Judge returns why a request may be the work of a web page of another site, of
// kind Denied, or nil. It only reads the head.
func (g *Guard) Judge(ctx *fasthttp.RequestCtx) error {
	const op errs.Op = "browser.Judge"
	head := &ctx.Request.Header
	host := string(head.Host())
	if site, origin := head.Peek("Sec-Fetch-Site"), head.Peek("Origin"); isForeign(string(site), string(origin), host) {
		return errs.E(op, string(origin), errs.Denied, ErrForeignPage)
	}
	// Over HTTPS the browser has compared the name with the certificate.
	if !ctx.IsTLS() && !g.knows(host) {
		return errs.E(op, host, errs.Denied, ErrForeignHost)
	}
	return nil
}

// isForeign reports whether a browser says that the page of another site sends the
// request. What is said by "same-site" may be another port of this machine, and
// with it another program.
func isForeign(site, origin, host string) bool {
	switch strings.ToLower(site) {
	case "same-origin", "none": // the browser has compared, or its user typed the address
		return false
	case "": // an old browser, or one that does not trust the address; or none at all
	default:
		return true
	}
	if origin == "" {
		return false
	}
	// Browsers leave out default ports of both. Schemes are not compared: a proxy in
	// front may be the one that speaks HTTPS.
	_, rest, ok := strings.Cut(origin, "://")
	return !ok || !strings.EqualFold(rest, host)
}

// knows reports whether a Host header is one of the listener's own. Any address
// is: no name was resolved, so the page that uses it came from there. An empty one
// is of HTTP/1.0, which no browser speaks.
func (g *Guard) knows(host string) bool {
	if g.any || host == "" {
		return true
	}
	name := host
	if bare, _, err := net.SplitHostPort(host); err == nil {
		name = bare
	}
	if _, ok := g.names[plainName(name)]; ok {
		return true
	}
	_, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(name, "["), "]"))
	return err == nil
}

// Handler puts the guard in front of a handler that judges nobody.
func (g *Guard) Handler(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if err := g.Judge(ctx); err != nil {
			ctx.SetConnectionClose() // whatever body it has is not read
			ctx.Error(err.Error()+"\n", fasthttp.StatusForbidden)
			return
		}
		next(ctx)
	}
}
