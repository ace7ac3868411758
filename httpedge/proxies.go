package httpedge

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Proxies are the addresses from which X-Forwarded-For and X-Forwarded-Proto are
// believed. The zero value trusts nobody. Immutable.
type Proxies struct{ trusted []netip.Prefix }

// ParseProxies reads addresses and prefixes: "10.0.0.7", "10.0.0.0/8", "fd00::/8".
func ParseProxies(list []string) (Proxies, error) {
	var p Proxies
	for _, text := range list {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			address, addressErr := netip.ParseAddr(text)
			if addressErr != nil {
				return Proxies{}, errs.E("httpedge.ParseProxies", text, errs.Invalid, fmt.Errorf("neither an address nor a prefix such as 10.0.0.0/8"))
			}
			prefix = netip.PrefixFrom(address, address.BitLen())
		}
		p.trusted = append(p.trusted, prefix.Masked())
	}
	return p, nil
}

func (p Proxies) trusts(address netip.Addr) bool {
	address = address.Unmap()
	for _, prefix := range p.trusted {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// client returns who sent a request and in which protocol, as far as the proxies
// on its way can be believed: the last address of X-Forwarded-For that is not one
// of theirs. Ok is false if there is nothing to believe: the connection's own
// address stands.
func (p Proxies) client(ctx *fasthttp.RequestCtx) (address net.Addr, proto string, ok bool) {
	if len(p.trusted) == 0 {
		return nil, "", false
	}
	peer, isTCP := ctx.Conn().RemoteAddr().(*net.TCPAddr)
	if !isTCP || !p.trusts(peer.AddrPort().Addr()) {
		return nil, "", false
	}
	client := peer.AddrPort().Addr()
	fields := ctx.Request.Header.PeekAll("X-Forwarded-For")
	for i := len(fields) - 1; i >= 0 && p.trusts(client); i-- {
		for rest := fields[i]; len(rest) > 0 && p.trusts(client); {
			at := bytes.LastIndexByte(rest, ',')
			text := strings.TrimSpace(string(rest[at+1:]))
			rest = rest[:max(at, 0)]
			next, parsed := parseForwarded(text)
			if !parsed {
				return nil, "", false // who forges one may have forged all
			}
			client = next
		}
	}
	switch scheme := strings.ToLower(string(ctx.Request.Header.Peek("X-Forwarded-Proto"))); scheme {
	case "http", "https":
		proto = scheme
	}
	return &net.TCPAddr{IP: client.Unmap().AsSlice()}, proto, true
}

// parseForwarded reads an address, which some proxies write with its port.
func parseForwarded(text string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return a, true
	}
	if a, err := netip.ParseAddrPort(text); err == nil {
		return a.Addr(), true
	}
	return netip.Addr{}, false
}
