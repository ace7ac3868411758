package http

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// Options are those of a client.
type Options struct {
	// Private lets it reach addresses of loopback, of the link, and of private networks:
	// otherwise who may name a URL could read what only this machine reaches.
	Private bool
	// Version is told to servers.
	Version string
}

// Refused says that an address is not to be reached.
type Refused struct{ Address netip.Addr }

// Error implements error.
func (r *Refused) Error() string {
	return fmt.Sprintf("%s is not a public address, and others are not to be reached", r.Address)
}

const (
	dialTime     = 10 * time.Second
	answerTime   = time.Minute
	maxRedirects = 10
	idle         = 32 // connections of a host
)

// NewClient returns a client for Open. It follows redirects, but not from https to http,
// and takes no proxy from the environment, which would be asked in place of the address.
func NewClient(o Options) *http.Client {
	dialer := &net.Dialer{Timeout: dialTime}
	if !o.Private {
		// Each address that is dialed is judged, whatever name it had and whoever told it.
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			if !Public(to.Addr()) {
				return &Refused{to.Addr()}
			}
			return nil
		}
	}
	transport := &http.Transport{
		DialContext: dialer.DialContext, ForceAttemptHTTP2: true, DisableCompression: true, MaxIdleConnsPerHost: idle,
		IdleConnTimeout: time.Minute, TLSHandshakeTimeout: dialTime, ResponseHeaderTimeout: answerTime, ExpectContinueTimeout: time.Second,
	}
	return &http.Client{Transport: agent{transport, "troupe/" + o.Version}, CheckRedirect: func(to *http.Request, via []*http.Request) error {
		switch {
		case len(via) >= maxRedirects:
			return fmt.Errorf("more than %d redirects", maxRedirects)
		case via[0].URL.Scheme == "https" && to.URL.Scheme != "https":
			return fmt.Errorf("a redirect from https to %s", to.URL.Scheme)
		}
		return nil
	}}
}

// agent tells servers who asks.
type agent struct {
	*http.Transport
	name string
}

// RoundTrip implements http.RoundTripper.
func (a agent) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", a.name)
	return a.Transport.RoundTrip(r)
}

// Public reports whether an address is one of the internet. Source: IANA's registries of
// special-purpose addresses, as of RFC 6890 and its updates.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Zone() != "" {
		return false
	}
	for _, special := range specials() {
		if special.Contains(a) {
			return false
		}
	}
	return true
}

// specials are the networks that are global unicast by their form, and lead nowhere, or
// elsewhere than they seem to.
func specials() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
		netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
		netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("3fff::/20"),
		netip.MustParsePrefix("fec0::/10"),
	}
}
