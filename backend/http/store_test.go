package http_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/backend"
	"github.com/troupe-storage/troupe/backend/conformance"
	backendhttp "github.com/troupe-storage/troupe/backend/http"
	"github.com/troupe-storage/troupe/objects/errs"
)

// site is a server of resources.
type site struct {
	*httptest.Server
	mu      sync.Mutex
	files   map[string][]byte // by path
	trouble atomic.Pointer[conformance.Trouble]
	plain   bool // it knows no ranges, sizes, tags
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{files: make(map[string][]byte)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	content, ok := s.files[r.URL.Path]
	s.mu.Unlock()
	trouble := conformance.Trouble("")
	if now := s.trouble.Load(); now != nil {
		trouble = *now
	}
	switch {
	case trouble == conformance.Denied:
		http.Error(w, "you may not", http.StatusForbidden)
		return
	case trouble == conformance.SlowDown:
		http.Error(w, "later", http.StatusTooManyRequests)
		return
	case trouble == conformance.Away:
		panic(http.ErrAbortHandler) // the connection ends without an answer
	case !ok:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "image/png")
	if s.plain {
		w.WriteHeader(http.StatusOK)
		if r.Method == http.MethodGet {
			for part := range slices.Chunk(content, 1000) { // without a length
				_, _ = w.Write(part)
				w.(http.Flusher).Flush()
			}
		}
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(content)))
	if r.Method == http.MethodGet && (trouble == conformance.Cut || trouble == conformance.Stalled) {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content[:len(content)/2])
		w.(http.Flusher).Flush()
		if trouble == conformance.Stalled {
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, r, "", time.Unix(1_700_000_000, 0), strings.NewReader(string(content)))
}

func (s *site) fill(name string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files["/data/"+name] = content
}

func (s *site) open(t *testing.T) backend.Store {
	t.Helper()
	client := backendhttp.NewClient(backendhttp.Options{Private: true, Version: "test"})
	t.Cleanup(client.CloseIdleConnections)
	store, err := backendhttp.Open(s.URL+"/data", client)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestConformance(t *testing.T) {
	left := conformance.Run(t, conformance.Fixture{New: func(t *testing.T) conformance.Bucket {
		s := newSite(t)
		begin := func(trouble conformance.Trouble) func() func() {
			return func() func() {
				s.trouble.Store(&trouble)
				return func() { s.trouble.Store(nil) }
			}
		}
		b := conformance.Bucket{Store: s.open(t), Fill: s.fill, Troubles: make(map[conformance.Trouble]func() func())}
		for _, trouble := range []conformance.Trouble{conformance.Denied, conformance.SlowDown, conformance.Away, conformance.Cut, conformance.Stalled} {
			b.Troubles[trouble] = begin(trouble)
		}
		b.Names = func(name string) bool {
			segments := strings.Split(name, "/")
			return !strings.HasPrefix(name, "/") && !slices.Contains(segments, ".") && !slices.Contains(segments, "..")
		}
		return b
	}})
	want := []string{"conditions", "delimiters", `name "."`, `name ".."`, `name "/a"`, `name "a/.."`, `name "a/../b"`, `name "a/./b"`, "pages", "writes"}
	if !slices.Equal(left, want) {
		t.Errorf("left out: %q, want %q", left, want)
	}
}

// A server that knows neither ranges nor sizes nor tags gives ranges all the same.
func TestPlainServer(t *testing.T) {
	s := newSite(t)
	s.plain = true
	content := []byte(strings.Repeat("0123456789", 1000))
	s.fill("object", content)
	store := s.open(t)
	for _, r := range []backend.Read{{Length: -1}, {Offset: 5, Length: 10}, {Offset: 9990, Length: 100}, {Offset: 9999, Length: -1}} {
		object, body, err := store.Open(t.Context(), "object", r)
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		got, err := io.ReadAll(body)
		end := int64(len(content))
		if r.Length >= 0 {
			end = min(end, r.Offset+r.Length)
		}
		if err != nil || string(got) != string(content[r.Offset:end]) || object.Size != backend.Unsized || object.Version != "" {
			t.Errorf("%+v: %d bytes of %+v: %v", r, len(got), object, err)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := store.Open(t.Context(), "object", backend.Read{Offset: 10_001, Length: -1}); !errs.Is(errs.Invalid, err) {
		t.Errorf("behind the end: %v", err)
	}
	if _, _, err := store.Open(t.Context(), "object", backend.Read{Length: -1, Version: "x"}); !errs.Is(errs.Conflict, err) {
		t.Errorf("a version of what has none: %v", err)
	}
}

// What a server says about a range is compared with what was asked for.
func TestServersThatLie(t *testing.T) {
	for says, header := range map[string]string{
		"another range": "bytes 5-9/100", "no range": "", "no bytes": "lines 1-2/3", "nonsense": "bytes a-b/c", "fewer than it gives": "bytes 10-19/5", "negative": "bytes -1-9/100",
	} {
		t.Run(says, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if header != "" {
					w.Header().Set("Content-Range", header)
				}
				w.WriteHeader(http.StatusPartialContent)
				_, _ = io.WriteString(w, "0123456789")
			}))
			defer server.Close()
			store, err := backendhttp.Open(server.URL, server.Client())
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := store.Open(t.Context(), "object", backend.Read{Offset: 10, Length: 10}); !errs.Is(errs.Offline, err) {
				t.Errorf("%v", err)
			}
		})
	}
}

// Addresses that only this machine reaches are refused, also behind a redirect, unless
// they are asked for.
func TestPrivateAddresses(t *testing.T) {
	s := newSite(t)
	s.fill("object", []byte("secret"))
	reached := false
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached = true
		http.Redirect(w, r, s.URL+"/data/object", http.StatusFound)
	}))
	defer away.Close()
	public := backendhttp.NewClient(backendhttp.Options{})
	store, err := backendhttp.Open(s.URL+"/data", public)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Head(t.Context(), "object"); !errs.Is(errs.Denied, err) {
		t.Errorf("loopback: %v", err)
	}
	// The first address is reached by a dialer that does not judge, as a public one would be.
	inside, err := url.Parse(away.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := backendhttp.NewClient(backendhttp.Options{})
	client.Transport = onlyPlain{inside.Host, http.DefaultTransport, client.Transport}
	if store, err = backendhttp.Open(away.URL, client); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Head(t.Context(), "object"); !errs.Is(errs.Denied, err) || !reached {
		t.Errorf("behind a redirect: %v, %t", err, reached)
	}
	for address, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "0.0.0.0": false, "100.64.0.1": false,
		"::1": false, "::ffff:127.0.0.1": false, "::ffff:8.8.8.8": true, "fe80::1": false, "fc00::1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "224.0.0.1": false, "255.255.255.255": false, "ff02::1": false,
	} {
		if got := backendhttp.Public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is public: %t", address, got)
		}
	}
}

// onlyPlain sends requests to one host another way.
type onlyPlain struct {
	host          string
	there, others http.RoundTripper
}

func (o onlyPlain) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == o.host {
		return o.there.RoundTrip(r)
	}
	return o.others.RoundTrip(r)
}

// What is no URL to put names behind is refused; passwords go to the server and are in no
// error.
func TestURLs(t *testing.T) {
	for _, base := range []string{"", "ftp://a/b", "http:a", "http://", "/a/b", "http://a/b?c=d", "http://a/b#c", "http://a/%zz"} {
		if _, err := backendhttp.Open(base, http.DefaultClient); !errs.Is(errs.Invalid, err) {
			t.Errorf("%q: %v", base, err)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "me" || password != "a-secret" {
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		http.Error(w, "gone", http.StatusGone)
	}))
	at := server.Listener.Addr().String()
	store, err := backendhttp.Open("http://me:a-secret@"+at+"/x", server.Client())
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Head(t.Context(), "object")
	if !errs.Is(errs.NotFound, err) {
		t.Error(err)
	}
	server.Close()
	_, away := store.Head(t.Context(), "object")
	var refused *net.OpError
	if !errs.Is(errs.Offline, away) || !errors.As(away, &refused) {
		t.Error(away)
	}
	info, _ := store.Info(t.Context())
	if told := fmt.Sprint(err, away, info); strings.Contains(told, "a-secret") {
		t.Errorf("the password is told: %s", told)
	}
}
