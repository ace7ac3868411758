package hostile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/test/s3client"
)

// What is no HTTP, or more than one HTTP, is answered with a refusal or a closed
// connection; never with success, never with another request's answer.
func TestMalformedHTTP(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	host := "Host: " + a.node.S3 + "\r\n"
	many := func(n int, line string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, line, i)
		}
		return b.String()
	}
	put := func(lines ...string) string {
		return a.head(s3client.Request{Method: "PUT", Key: "malformed"}, lines...)
	}
	chunked := put("Transfer-Encoding: chunked")
	get := func(line string) string { return "GET / HTTP/1.1\r\n" + host + line + "\r\n\r\n" }
	cases := map[string]string{
		"garbage":                  "\x00\x01\x02\xff\xfe garbage \r\n\r\n",
		"TLS hello":                "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\xab", 500) + "\r\n\r\n",
		"empty lines":              strings.Repeat("\r\n", 1000) + "x\r\n\r\n",
		"HTTP 0.9":                 "GET /\r\n",
		"HTTP 2 preface":           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"unknown version":          "GET / HTTP/9.9\r\n" + host + "\r\n",
		"unknown method":           "BREW /arena/x HTTP/1.1\r\n" + host + "\r\n",
		"no target":                "GET HTTP/1.1\r\n" + host + "\r\n",
		"spaces in target":         "GET /a b c HTTP/1.1\r\n" + host + "\r\n",
		"long target":              "GET /" + strings.Repeat("a", 40<<10) + " HTTP/1.1\r\n" + host + "\r\n",
		"no colon":                 get("colonless"),
		"NUL in a header":          get("X-Nul: a\x00b"),
		"space before colon":       get("X-Space : a"),
		"folded header":            get("X-Fold: a\r\n  b"),
		"no host":                  "GET / HTTP/1.1\r\n\r\n",
		"two hosts":                get("Host: other"),
		"absolute form":            "GET http://evil.example/arena/before HTTP/1.1\r\n" + host + "\r\n",
		"absolute form, https":     "PUT https://" + a.node.S3 + "/arena/absolute HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n",
		"authority form":           "CONNECT evil.example:443 HTTP/1.1\r\n" + host + "\r\n",
		"asterisk":                 "GET * HTTP/1.1\r\n" + host + "\r\n",
		"relative":                 "GET arena/before HTTP/1.1\r\n" + host + "\r\n",
		"fragment":                 "GET /arena/before#x HTTP/1.1\r\n" + host + "\r\n",
		"10,000 headers":           "GET / HTTP/1.1\r\n" + host + many(10_000, "X-H%d: v\r\n") + "\r\n",
		"header of 1 MiB":          "GET / HTTP/1.1\r\n" + host + "X-Big: " + strings.Repeat("b", 1<<20) + "\r\n\r\n",
		"headers of 20 KiB":        "GET / HTTP/1.1\r\n" + host + many(200, "X-Header-Number-%08d: "+strings.Repeat("v", 80)+"\r\n") + "\r\n",
		"negative length":          put("Content-Length: -1") + "x",
		"signed length":            put("Content-Length: +5") + "hello",
		"hex length":               put("Content-Length: 0x5") + "hello",
		"length of 20 digits":      put("Content-Length: 99999999999999999999") + "hello",
		"length of 19 digits":      put("Content-Length: 9223372036854775807") + "hello",
		"beyond the largest":       put("Content-Length: 9000000000000") + "hello",
		"list of lengths":          put("Content-Length: 5, 5") + "hello",
		"no length":                put() + "hello",
		"unknown coding":           put("Transfer-Encoding: gzip") + "5\r\nhello\r\n0\r\n\r\n",
		"coding with a space":      put("Transfer-Encoding : chunked") + "5\r\nhello\r\n0\r\n\r\n",
		"chunked twice":            put("Transfer-Encoding: chunked, chunked") + "5\r\nhello\r\n0\r\n\r\n",
		"identity and chunked":     put("Transfer-Encoding: identity, chunked") + "5\r\nhello\r\n0\r\n\r\n",
		"chunk without size":       chunked + "\r\nhello\r\n0\r\n\r\n",
		"chunk of negative size":   chunked + "-5\r\nhello\r\n0\r\n\r\n",
		"chunk of vast size":       chunked + "ffffffffffffffff1\r\nhello\r\n0\r\n\r\n",
		"chunk of wrong size":      chunked + "3\r\nhello\r\n0\r\n\r\n",
		"chunk size, bare LF":      chunked + "5\nhello\n0\n\n",
		"chunk extension, bare LF": chunked + "5;a\nb\r\nhello\r\n0\r\n\r\n",
		"trailers, endless":        chunked + "5\r\nhello\r\n0\r\n" + many(100_000, "X-T%d: v\r\n"),
	}
	for name, text := range cases {
		answer := a.exchange(text)
		if answer == nil {
			continue // hung up: also a clear no
		}
		if answer.Status < 400 || answer.Status == 500 {
			t.Errorf("%s: %d %s: %.200s", name, answer.Status, answer.Code, answer.Body)
		}
		if answer.Code == "" {
			t.Errorf("%s: %d without S3's document: %.200s", name, answer.Status, answer.Body)
		}
	}
	a.holds()
	// The largest head that an S3 client may need still goes: 2 KiB of metadata, a
	// long key, and cookies.
	answer := a.exchange(a.head(s3client.Request{Method: "GET", Key: strings.Repeat("k", 1024)}, "Cookie: "+strings.Repeat("c", 8<<10)))
	if answer == nil || answer.Code != "NoSuchKey" {
		t.Errorf("a head of 10 KiB: %v", answer)
	}
	a.end()
}

// Requests that hide another one, in what one parser takes for the body and
// another for what follows, are never two requests: the hidden one is a delete
// of the owner's own, signed, and must not happen.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	hidden := a.head(s3client.Request{Method: "DELETE", Key: "before"}, "Content-Length: 0")
	chunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)
	put := func(lines ...string) string {
		return a.head(s3client.Request{Method: "PUT", Key: "carrier"}, lines...)
	}
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d", n) }
	end := "0\r\n\r\n"
	smuggled := end + hidden
	all := length(len(smuggled))
	cases := map[string]string{
		"CL.TE":                  put(all, "Transfer-Encoding: chunked") + smuggled,
		"TE.CL":                  put("Transfer-Encoding: chunked", length(4)) + chunk,
		"TE.CL of the end":       put("Transfer-Encoding: chunked", length(len(end))) + smuggled,
		"CL.CL":                  put(length(0), length(len(hidden))) + hidden,
		"CL.CL, turned":          put(length(len(hidden)), length(0)) + hidden,
		"CL.CL, folded":          put("Content-Length: 0\r\n 50") + hidden,
		"TE, obscured by a tab":  put(all, "Transfer-Encoding:\tchunked") + smuggled,
		"TE, obscured by case":   put(all, "tRANSFER-eNCODING: cHuNkEd") + smuggled,
		"TE, obscured by x":      put(all, "Transfer-Encoding: xchunked") + smuggled,
		"TE, obscured by quotes": put(all, `Transfer-Encoding: "chunked"`) + smuggled,
		"TE, obscured by VT":     put(all, "Transfer-Encoding: \x0bchunked") + smuggled,
		"TE, obscured by space":  put(all, "Transfer-Encoding : chunked") + smuggled,
		"TE twice":               put(all, "Transfer-Encoding: chunked", "Transfer-Encoding: identity") + smuggled,
		"bare LF":                strings.ReplaceAll(put(length(len(hidden))), "\r\n", "\n") + hidden,
		"bare CR":                put("X: y\rContent-Length: 0\rZ: w", length(len(hidden))) + hidden,
		"refused early":          strings.Replace(put(length(len(hidden))), "Signature=", "Signature=0", 1) + hidden,
		"a GET with a body":      a.head(s3client.Request{Method: "GET", Key: "before"}, length(len(hidden))) + hidden,
		"a HEAD with chunks":     a.head(s3client.Request{Method: "HEAD", Key: "before"}, "Transfer-Encoding: chunked") + chunk,
		"HTTP 1.0 with chunks":   strings.Replace(put("Transfer-Encoding: chunked", all), "HTTP/1.1", "HTTP/1.0", 1) + smuggled,
	}
	for name, text := range cases {
		w := a.dial()
		w.send(text)
		w.finish()
		answers := w.rest()
		w.hangUp()
		if got := a.get("before"); !got.OK() {
			t.Fatalf("%s: the hidden delete happened, after %d answers: %v", name, len(answers), got.Err())
		}
	}
	// Negative control: the same delete in the open, pipelined behind another
	// request, does happen.
	w := a.dial()
	w.send(put(length(0)) + hidden)
	w.finish()
	if answers := w.rest(); len(answers) != 2 || a.get("before").OK() {
		t.Errorf("negative control: %d answers, and the delete did not happen", len(answers))
	}
	w.hangUp()
	a.ok("put", "before", a.put("before", []byte("before")))
	a.ok("delete", "carrier", a.delete("carrier"))
	a.end()
}

// Garbage behind a request on the same connection costs that connection, and
// not the request.
func TestPipelinedGarbage(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	get := a.head(s3client.Request{Method: "GET", Key: "before"})
	for name, garbage := range map[string]string{
		"bytes": "\x00\xff\xfe\r\n\r\n", "text": "hello, world\r\n\r\n", "half a request": "GET /arena/before HT",
		"a body nobody announced": strings.Repeat("x", 100<<10) + "\r\n\r\n",
	} {
		w := a.dial()
		w.send(get + get + garbage)
		w.finish()
		answers := w.rest()
		w.hangUp()
		if len(answers) < 2 || string(answers[0].Body) != "before" || string(answers[1].Body) != "before" {
			t.Errorf("%s: the requests before it were answered %v", name, answers)
		}
		for _, answer := range answers[min(2, len(answers)):] {
			a.refused(name, answer)
		}
	}
	a.end()
}
