package browser

import (
	"errors"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects/errs"
)

// What comes from programs and from the listener's own address passes; what a page
// of another site can send does not.
func TestJudge(t *testing.T) {
	guard := NewGuard([]string{"Store.Example.", "node7"})
	for _, c := range []struct {
		host, site, origin string
		want               error
	}{
		// Programs.
		{host: "127.0.0.1:8080"}, {host: "127.0.0.1"}, {host: "192.0.2.7:8080"}, {host: "[::1]:8080"}, {host: "[::1]"}, {host: "[fe80::1%25eth0]:80"},
		{host: "localhost:8080"}, {host: "LOCALHOST:8080"}, {host: "localhost."}, {host: "localhost"}, {host: ""},
		{host: "store.example:8080"}, {host: "STORE.example"}, {host: "node7:8080"},
		// A browser whose user typed the address, and the listener's own pages.
		{host: "localhost:8080", site: "none"}, {host: "localhost:8080", site: "same-origin", origin: "http://localhost:8080"},
		{host: "localhost:8080", origin: "http://LocalHost:8080"}, {host: "store.example", origin: "https://store.example"},
		{host: "127.0.0.1:8080", site: "same-origin", origin: "https://store.example"}, // a proxy that wrote another Host
		// Pages of others.
		{host: "127.0.0.1:8080", site: "cross-site", want: ErrForeignPage}, {host: "127.0.0.1:8080", site: "Cross-Site", want: ErrForeignPage},
		{host: "localhost:8080", site: "same-site", origin: "http://localhost:3000", want: ErrForeignPage},
		{host: "localhost:8080", site: "cross-site", origin: "http://localhost:8080", want: ErrForeignPage},
		{host: "localhost:8080", site: "something-new", want: ErrForeignPage},
		{host: "localhost:8080", origin: "null", want: ErrForeignPage}, {host: "localhost:8080", origin: "http://evil.example", want: ErrForeignPage},
		{host: "localhost:8080", origin: "http://localhost", want: ErrForeignPage}, {host: "localhost:8080", origin: "http://localhost:8080.evil.example", want: ErrForeignPage},
		{host: "localhost:8080", origin: "localhost:8080", want: ErrForeignPage}, {host: "0.0.0.0:8080", origin: "https://evil.example", want: ErrForeignPage},
		// Pages whose name was pointed here.
		{host: "evil.example:8080", want: ErrForeignHost}, {host: "evil.example:8080", site: "same-origin", origin: "http://evil.example:8080", want: ErrForeignHost},
		{host: "evil.example:8080", origin: "http://evil.example:8080", want: ErrForeignHost}, {host: "127.0.0.1.evil.example", want: ErrForeignHost},
		{host: "localhost.evil.example:8080", want: ErrForeignHost}, {host: "photos.localhost:8080", want: ErrForeignHost},
		{host: "a.store.example", want: ErrForeignHost}, {host: "user@127.0.0.1", want: ErrForeignHost}, {host: ":8080", want: ErrForeignHost},
	} {
		ctx := request(c.host, c.site, c.origin)
		err := guard.Judge(ctx)
		if !errors.Is(err, c.want) || err != nil && !errs.Is(errs.Denied, err) {
			t.Errorf("Host %q, Sec-Fetch-Site %q, Origin %q: %v, want %v", c.host, c.site, c.origin, err, c.want)
		}
	}
	if err := NewGuard([]string{AnyName}).Judge(request("evil.example", "", "")); err != nil {
		t.Errorf("any name: %v", err)
	}
	if err := NewGuard([]string{AnyName}).Judge(request("evil.example", "cross-site", "")); !errors.Is(err, ErrForeignPage) {
		t.Errorf("any name, across sites: %v", err)
	}
}

// A handler behind the guard hears of nothing that is refused. Control: of what is not.
func TestHandler(t *testing.T) {
	calls := 0
	handle := NewGuard(nil).Handler(func(*fasthttp.RequestCtx) { calls++ })
	refused := request("evil.example", "", "")
	handle(refused)
	if calls != 0 || refused.Response.StatusCode() != fasthttp.StatusForbidden {
		t.Errorf("%d calls, status %d", calls, refused.Response.StatusCode())
	}
	handle(request("127.0.0.1:6060", "", ""))
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

func request(host, site, origin string) *fasthttp.RequestCtx {
	ctx := new(fasthttp.RequestCtx)
	ctx.Request.Header.SetHost(host)
	if site != "" {
		ctx.Request.Header.Set("Sec-Fetch-Site", site)
	}
	if origin != "" {
		ctx.Request.Header.Set("Origin", origin)
	}
	return ctx
}
