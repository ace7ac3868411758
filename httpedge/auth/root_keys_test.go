package auth

import (
	"bufio"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/sigv4"
)

// A changed pair counts at once, the one before it until the overlap ends and not
// longer, and a pair that never was does not count at all.
func TestRootKeysOverlap(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	old, renewed, other := Root{"root", "old-secret"}, Root{"root", "new-secret"}, Root{"admin", "third-secret"}
	keys := NewRootKeys(old, func() time.Time { return at })
	a := New(Options{Credentials: keys, Previous: keys.Previous(), Now: func() time.Time { return at }})
	check := func(pair Root, want sigv4.Code) {
		t.Helper()
		h := signedHead(t, pair, at)
		id, err := a.AuthenticateHeader(h)
		var refused *sigv4.Error
		switch {
		case want == "" && (err != nil || id.AccessKey != pair.AccessKey):
			t.Errorf("%s/%s: %+v, %v", pair.AccessKey, pair.SecretKey, id, err)
		case want != "" && (!errors.As(err, &refused) || refused.Code != want):
			t.Errorf("%s/%s: %v, want %s", pair.AccessKey, pair.SecretKey, err, want)
		}
	}
	check(old, "")
	check(renewed, sigv4.SignatureDoesNotMatch)
	check(other, sigv4.InvalidAccessKeyID)

	if keys.Change(old, time.Minute) {
		t.Error("the same pair is said to be another")
	}
	if !keys.Change(renewed, time.Minute) || keys.Current() != renewed {
		t.Fatal("the pair did not change")
	}
	check(renewed, "")
	check(old, "")
	check(other, sigv4.InvalidAccessKeyID)
	check(Root{"root", "no-secret"}, sigv4.SignatureDoesNotMatch)

	at = at.Add(30 * time.Second)
	keys.Change(other, time.Minute) // the first pair is two changes away
	check(other, "")
	check(renewed, "")
	check(old, sigv4.InvalidAccessKeyID)

	at = at.Add(time.Minute)
	check(other, "")
	check(renewed, sigv4.InvalidAccessKeyID)

	keys.Change(old, 0) // no overlap at all
	check(old, "")
	check(other, sigv4.InvalidAccessKeyID)
}

// signedHead is the head of a GET signed by a pair.
func signedHead(t *testing.T, pair Root, at time.Time) *fasthttp.RequestHeader {
	t.Helper()
	signer := sigv4.NewSigner(sigv4.Credentials{AccessKey: pair.AccessKey, SecretKey: pair.SecretKey}, "us-east-1")
	signature, err := signer.Sign(&sigv4.Outgoing{Method: "GET", Path: "/b/k", Host: "node"}, at)
	if err != nil {
		t.Fatal(err)
	}
	var h fasthttp.RequestHeader
	head := "GET /b/k HTTP/1.1\r\nHost: node\r\n"
	for _, p := range signature.Headers {
		head += p.Name + ": " + p.Value + "\r\n"
	}
	if err := h.Read(bufio.NewReader(strings.NewReader(head + "\r\n"))); err != nil {
		t.Fatal(err)
	}
	return &h
}
