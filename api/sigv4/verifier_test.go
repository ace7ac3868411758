package sigv4

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

const (
	testAccess = "AKIDTEST"
	testSecret = "test/secret+key"
	testRegion = "us-east-1"
)

var testTime = time.Date(2024, 12, 31, 23, 59, 30, 0, time.UTC)

// signed returns a request signed by our own signer.
func signed(t testing.TB, out Outgoing) (wire, Identity) {
	t.Helper()
	signature, err := NewSigner(Credentials{AccessKey: testAccess, SecretKey: testSecret}, testRegion).Sign(&out, testTime)
	if err != nil {
		t.Fatal(err)
	}
	return wire{
		method: out.Method, path: out.Path, query: out.Query, host: out.Host,
		headers: append(append(fields{}, out.Headers...), signature.Headers...),
	}, signature.Identity
}

// presigned returns a request presigned by our own signer for five minutes.
func presigned(t testing.TB, out Outgoing) wire {
	t.Helper()
	query, err := NewSigner(Credentials{AccessKey: testAccess, SecretKey: testSecret}, testRegion).Presign(&out, testTime, 5*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return wire{method: out.Method, path: out.Path, query: query, host: out.Host, headers: out.Headers}
}

func getObject() Outgoing {
	return Outgoing{
		Method: "GET", Path: "/bucket/key", Query: "versionId=1", Host: "node:9000",
		Headers: []objects.Pair{{Name: "range", Value: "bytes=0-9"}}, Payload: Signed, PayloadSHA256: EmptySHA256(),
	}
}

func set(name, value string) func(*wire) {
	return func(w *wire) {
		for i := range w.headers {
			if equalFold(w.headers[i].Name, name) {
				w.headers[i].Value = value
				return
			}
		}
		w.headers = append(w.headers, objects.Pair{Name: name, Value: value})
	}
}

func drop(name string) func(*wire) {
	return func(w *wire) {
		var kept fields
		for _, h := range w.headers {
			if !equalFold(h.Name, name) {
				kept = append(kept, h)
			}
		}
		w.headers = kept
	}
}

func authorization(old, replacement string) func(*wire) {
	return func(w *wire) {
		before := w.header("authorization")
		after := strings.Replace(before, old, replacement, 1)
		if after == before {
			panic("the test changes nothing: " + old)
		}
		set("authorization", after)(w)
	}
}

func query(old, replacement string) func(*wire) {
	return func(w *wire) {
		after := strings.Replace(w.query, old, replacement, 1)
		if after == w.query {
			panic("the test changes nothing: " + old)
		}
		w.query = after
	}
}

// Each thing that can be wrong is answered with the code that S3 has for it.
func TestRefusalsByCode(t *testing.T) {
	const zero = "0000000000000000000000000000000000000000000000000000000000000000"
	for _, c := range []struct {
		name    string
		presign bool
		change  func(*wire)
		want    Code
		message string // part of it
	}{
		{"untouched", false, func(*wire) {}, "", ""},
		{"untouched, presigned", true, func(*wire) {}, "", ""},
		{"other scheme", false, set("authorization", "Bearer x"), InvalidArgument, "Unsupported Authorization Type"},
		{"version 2", false, set("authorization", "AWS key:sig"), InvalidRequest, "AWS4-HMAC-SHA256"},
		{"version 2 in the query", false, func(w *wire) {
			drop("authorization")(w)
			w.query = "AWSAccessKeyId=x&Signature=y&Expires=1"
		}, InvalidRequest, "AWS4-HMAC-SHA256"},
		{"version 4A", false, authorization("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), InvalidRequest, ""},
		{"empty beside a presigned query", true, set("authorization", ""), InvalidArgument, "Only one auth mechanism"},
		{"two authorizations", false, func(w *wire) {
			w.headers = append(w.headers, objects.Pair{Name: "Authorization", Value: w.header("authorization")})
		}, InvalidArgument, "Only one auth mechanism"},
		{"header and query", true, set("authorization", "AWS4-HMAC-SHA256 x"), InvalidArgument, "Only one auth mechanism"},
		{"header and version 2 query", false, func(w *wire) { w.query += "&Signature=x" }, InvalidArgument, "Only one auth mechanism"},
		{"no credential", false, authorization("Credential=", "Credentials="), AuthorizationHeaderMalformed, ""},
		{"component twice", false, authorization("Signature=", "SignedHeaders=host, Signature="), AuthorizationHeaderMalformed, "twice"},
		{"no signature", false, authorization(", Signature=", ", "), AuthorizationHeaderMalformed, ""},
		{"short credential", false, authorization("/s3/aws4_request", "/aws4_request"), AuthorizationHeaderMalformed, "expecting"},
		{"no access key", false, authorization(testAccess, ""), AuthorizationHeaderMalformed, "non-empty Access Key"},
		{"terminal", false, authorization("aws4_request", "aws4_respond"), AuthorizationHeaderMalformed, "terminal"},
		{"service", false, authorization("/s3/", "/ec2/"), AuthorizationHeaderMalformed, `belongs to "s3"`},
		{"region", false, authorization("/us-east-1/", "/eu-west-1/"), AuthorizationHeaderMalformed, "the region 'eu-west-1' is wrong; expecting 'us-east-1'"},
		{"scope date", false, authorization("/20241231/", "/20241230/"), AuthorizationHeaderMalformed, "Invalid credential date"},
		{"scope date form", false, authorization("/20241231/", "/2024123x/"), AuthorizationHeaderMalformed, "yyyyMMdd"},
		{"unknown key", false, authorization(testAccess, "AKIDOTHER"), InvalidAccessKeyID, ""},
		{"signature", false, authorization("Signature=", "Signature=0"), SignatureDoesNotMatch, ""},
		{"empty signature", false, func(w *wire) {
			value, _, _ := strings.Cut(w.header("authorization"), "Signature=")
			set("authorization", value+"Signature=")(w)
		}, SignatureDoesNotMatch, ""},
		{"host not signed", false, authorization("host;", ""), AccessDenied, "not signed"},
		{"x-amz header not signed", false, set("x-amz-acl", "public-read"), AccessDenied, "not signed"},
		{"x-amz-date not signed", false, authorization(";x-amz-date", ""), AccessDenied, "not signed"},
		{"signed headers upper case", false, authorization("host;", "Host;"), AuthorizationHeaderMalformed, ""},
		{"signed headers empty", false, authorization("SignedHeaders=host;", "SignedHeaders=;"), AuthorizationHeaderMalformed, ""},
		{"signed header twice", false, authorization("host;", "host;host;"), AuthorizationHeaderMalformed, "twice"},
		{"signed header absent", false, drop("range"), SignatureDoesNotMatch, ""},
		{"no date", false, drop("x-amz-date"), AccessDenied, "Date"},
		{"bad date", false, set("x-amz-date", "20241331T000000Z"), AccessDenied, "Date"},
		{"date that is none", false, set("x-amz-date", "20240230T000000Z"), AccessDenied, "Date"},
		{"no payload hash", false, drop("x-amz-content-sha256"), InvalidRequest, "Missing required header"},
		{"bad payload hash", false, set("x-amz-content-sha256", "abc"), InvalidArgument, "x-amz-content-sha256"},
		{"other payload hash", false, set("x-amz-content-sha256", zero), SignatureDoesNotMatch, ""},
		{"4A payload", false, set("x-amz-content-sha256", ecdsaPrefix+"-TRAILER"), NotImplemented, "ECDSA"},
		{"session token", false, func(w *wire) {
			*w, _ = signedWithToken(t)
		}, InvalidToken, ""},
		{"path escape", false, func(w *wire) { w.path = "/bucket/%zz" }, InvalidURI, ""},
		{"path escape cut", false, func(w *wire) { w.path = "/bucket/%2" }, InvalidURI, ""},
		{"query escape", false, func(w *wire) { w.query = "a=%" }, InvalidURI, ""},
		{"relative path", false, func(w *wire) { w.path = "bucket" }, InvalidURI, ""},

		{"presigned: parameter missing", true, query("X-Amz-Expires=300&", ""), AuthorizationQueryParametersError, "requires"},
		{"presigned: only a signature", false, func(w *wire) {
			drop("authorization")(w)
			w.query = "x-amz-signature=1"
		}, AuthorizationQueryParametersError, "requires"},
		{"presigned: parameter twice", true, query("X-Amz-Expires=300&", "X-Amz-Expires=300&x-amz-expires=300&"), AuthorizationQueryParametersError, "more than once"},
		{"presigned: algorithm", true, query("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), AuthorizationQueryParametersError, "Algorithm"},
		{"presigned: expires word", true, query("X-Amz-Expires=300", "X-Amz-Expires=soon"), AuthorizationQueryParametersError, "number"},
		{"presigned: expires negative", true, query("X-Amz-Expires=300", "X-Amz-Expires=-300"), AuthorizationQueryParametersError, "non-negative"},
		{"presigned: expires zero", true, query("X-Amz-Expires=300", "X-Amz-Expires=0"), AuthorizationQueryParametersError, "at least"},
		{"presigned: expires in more than a week", true, query("X-Amz-Expires=300", "X-Amz-Expires=604801"), AuthorizationQueryParametersError, "week"},
		{"presigned: expires overflows", true, query("X-Amz-Expires=300", "X-Amz-Expires=99999999999999999999"), AuthorizationQueryParametersError, "number"},
		{"presigned: expires later", true, query("X-Amz-Expires=300", "X-Amz-Expires=301"), SignatureDoesNotMatch, ""},
		{"presigned: date form", true, query("T235930Z", "T23593"), AuthorizationQueryParametersError, "ISO8601"},
		{"presigned: region", true, query("us-east-1", "eu-west-1"), AuthorizationQueryParametersError, "expecting 'us-east-1'"},
		{"presigned: x-amz header not signed", true, set("x-amz-acl", "public-read"), AccessDenied, "not signed"},
		{"presigned: other payload hash", true, set("x-amz-content-sha256", zero), XAmzContentSHA256Mismatch, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, _ := signed(t, getObject())
			if c.presign {
				out := getObject()
				out.Payload = Unsigned
				w = presigned(t, out)
			}
			c.change(&w)
			_, err := verifierAt(testTime, testAccess, testSecret, testRegion).Verify(w.request())
			if codeOf(err) != c.want || err != nil && !strings.Contains(err.Error(), c.message) {
				t.Fatalf("%v, want %s %q\n%s", err, c.want, c.message, detail(err, "CanonicalRequest"))
			}
			if err != nil && errs.KindOf(err) != errs.Invalid && errs.KindOf(err) != errs.Denied {
				t.Errorf("kind %v", errs.KindOf(err))
			}
		})
	}
}

func signedWithToken(t testing.TB) (wire, Identity) {
	t.Helper()
	out := getObject()
	signature, err := NewSigner(Credentials{AccessKey: testAccess, SecretKey: testSecret, SessionToken: "token"}, testRegion).Sign(&out, testTime)
	if err != nil {
		t.Fatal(err)
	}
	return wire{
		method: out.Method, path: out.Path, query: out.Query, host: out.Host,
		headers: append(append(fields{}, out.Headers...), signature.Headers...),
	}, signature.Identity
}

// A session token is judged by whoever issued it, and only if the signature is right.
func TestSessionTokens(t *testing.T) {
	asked := 0
	v := NewVerifier(Options{
		Now:    func() time.Time { return testTime },
		Secret: func(string) (string, bool) { return testSecret, true },
		Token: func(key, token string) error {
			asked++
			if key != testAccess || token != "token" {
				return denied(ExpiredToken, "The provided token has expired.")
			}
			return nil
		},
	})
	w, _ := signedWithToken(t)
	if _, err := v.Verify(w.request()); err != nil || asked != 1 {
		t.Fatalf("%v, asked %d times", err, asked)
	}
	set("x-amz-security-token", "other")(&w)
	if _, err := v.Verify(w.request()); codeOf(err) != SignatureDoesNotMatch || asked != 1 {
		t.Fatalf("another token: %v, asked %d times", err, asked)
	}
}

// Clocks may differ by the skew and no more; a presigned request lives exactly as
// long as it says.
func TestTime(t *testing.T) {
	w, _ := signed(t, getObject())
	p := presigned(t, Outgoing{Method: "GET", Path: "/b/k", Host: "h"})
	for _, c := range []struct {
		w     wire
		after time.Duration
		want  Code
	}{
		{w, 15 * time.Minute, ""},
		{w, 15*time.Minute + time.Second, RequestTimeTooSkewed},
		{w, -15 * time.Minute, ""},
		{w, -15*time.Minute - time.Second, RequestTimeTooSkewed},
		{p, 5 * time.Minute, ""},
		{p, 5*time.Minute + time.Second, AccessDenied},
		{p, -15 * time.Minute, ""},
		{p, -16 * time.Minute, AccessDenied},
	} {
		_, err := verifierAt(testTime.Add(c.after), testAccess, testSecret).Verify(c.w.request())
		if codeOf(err) != c.want {
			t.Errorf("after %v: %v, want %q", c.after, err, c.want)
		}
	}
}

// A Date header stands in for x-amz-date.
func TestDateHeader(t *testing.T) {
	w, _ := signed(t, Outgoing{Method: "GET", Path: "/b", Host: "h", Headers: []objects.Pair{
		{Name: "Date", Value: "Tue, 31 Dec 2024 23:59:30 GMT"}}})
	drop("x-amz-date")(&w)
	authorization(";x-amz-date", "")(&w)
	_, err := verifierAt(testTime, testAccess, testSecret).Verify(w.request())
	if codeOf(err) != SignatureDoesNotMatch { // the time was found; our signer signed another list
		t.Fatal(err)
	}
	canonical := detail(err, "CanonicalRequest")
	if !strings.Contains(canonical, "date:Tue, 31 Dec 2024 23:59:30 GMT\n") || !strings.Contains(detail(err, "StringToSign"), "20241231T235930Z") {
		t.Errorf("%s\n%s", canonical, detail(err, "StringToSign"))
	}
	key := newSigningKey(testAccess, testSecret, "20241231", testRegion, serviceS3)
	d := newDigest()
	d.hmac(&key.key, []byte(detail(err, "StringToSign")))
	value, _, _ := strings.Cut(w.header("authorization"), "Signature=")
	set("authorization", value+"Signature="+string(appendHex(nil, d.sum[:])))(&w)
	if _, err := verifierAt(testTime, testAccess, testSecret).Verify(w.request()); err != nil {
		t.Fatal(err)
	}
}

// Requests without a signature are anonymous, whatever else they carry; their
// payload may be aws-chunked as long as nothing of it is signed.
func TestAnonymous(t *testing.T) {
	v := verifierAt(testTime, testAccess, testSecret)
	for _, c := range []struct {
		payload string
		mode    PayloadMode
		want    Code
	}{
		{"", Unsigned, ""},
		{unsignedPayload, Unsigned, ""},
		{emptySHA256, Signed, ""},
		{chunkedUnsignedTrailer, ChunkedUnsignedTrailer, ""},
		{chunkedSigned, Unsigned, InvalidArgument},
		{"x", Unsigned, InvalidArgument},
	} {
		w := wire{method: "GET", path: "/b/k", query: "X-Amz-Security-Token=x&prefix=y"}
		if c.payload != "" {
			w.headers = fields{{Name: "x-amz-content-sha256", Value: c.payload}}
		}
		id, err := v.Verify(w.request())
		if codeOf(err) != c.want || err == nil && (!id.Anonymous || id.AccessKey != "" || id.Payload != c.mode) {
			t.Errorf("%q: %+v, %v", c.payload, id, err)
		}
		w.headers = append(w.headers, objects.Pair{Name: "Authorization", Value: " "}) // an empty one is none
		if again, err := v.Verify(w.request()); codeOf(err) != c.want || again.Anonymous != id.Anonymous {
			t.Errorf("%q with an empty Authorization: %+v, %v", c.payload, again, err)
		}
	}
}

// A changed secret counts at once, though the old key is cached.
func TestChangedSecret(t *testing.T) {
	var secret atomic.Pointer[string]
	first, second := testSecret, "another"
	secret.Store(&first)
	v := NewVerifier(Options{
		Now:    func() time.Time { return testTime },
		Secret: func(string) (string, bool) { return *secret.Load(), *secret.Load() != "" },
	})
	w, _ := signed(t, getObject())
	if _, err := v.Verify(w.request()); err != nil {
		t.Fatal(err)
	}
	secret.Store(&second)
	if _, err := v.Verify(w.request()); codeOf(err) != SignatureDoesNotMatch {
		t.Fatalf("after the change: %v", err)
	}
	empty := ""
	secret.Store(&empty)
	if _, err := v.Verify(w.request()); codeOf(err) != InvalidAccessKeyID {
		t.Fatalf("after the removal: %v", err)
	}
	secret.Store(&first)
	if _, err := v.Verify(w.request()); err != nil {
		t.Fatal(err)
	}
}

// The cache of signing keys is bounded, survives a crowd of keys, and prefers the
// newest day.
func TestKeyCacheIsBounded(t *testing.T) {
	var c keyCache
	for day := range 2 {
		for i := range keyCacheSize {
			c.put(newSigningKey(fmt.Sprint("key", i), "secret", fmt.Sprint(20240101+day), "r", serviceS3))
			if n := len(*c.current.Load()); n > keyCacheSize {
				t.Fatalf("%d keys", n)
			}
		}
	}
	for _, k := range *c.current.Load() {
		if k.date != "20240102" {
			t.Fatalf("a key of %s is left", k.date)
		}
	}
}

// A crowd of keys on one day is bounded too, and the newest key is always in.
func TestKeyCacheIsBoundedOnOneDay(t *testing.T) {
	var c keyCache
	for i := range keyCacheSize + 10 {
		k := newSigningKey(fmt.Sprint("key", i), "secret", "20240101", "r", serviceS3)
		c.put(k)
		if n := len(*c.current.Load()); n > keyCacheSize || c.get([]byte(k.credential)) != k {
			t.Fatalf("%d keys after %d", n, i)
		}
	}
}

// A presigned request may bind its payload by a header that it signs, and a
// header that repeats what was signed does no harm.
func TestPresignedPayloads(t *testing.T) {
	v := verifierAt(testTime, testAccess, testSecret)
	hash := "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
	w := presigned(t, Outgoing{Method: "PUT", Path: "/b/k", Host: "h"})
	set("x-amz-content-sha256", unsignedPayload)(&w)
	if id, err := v.Verify(w.request()); err != nil || id.Payload != Unsigned {
		t.Errorf("repeated: %+v, %v", id, err)
	}

	out := Outgoing{Method: "PUT", Path: "/b/k", Host: "h", Payload: Signed, Headers: []objects.Pair{{Name: "x-amz-content-sha256", Value: hash}}}
	parseSHA256(&out.PayloadSHA256, []byte(hash))
	w = presigned(t, out)
	if id, err := v.Verify(w.request()); err != nil || id.Payload != Signed || id.PayloadSHA256 != out.PayloadSHA256 {
		t.Errorf("parameter and header: %+v, %v", id, err)
	}
	// The same without the parameter, signed by hand: the header alone counts.
	query("&X-Amz-Content-Sha256="+hash, "")(&w)
	_, err := v.Verify(w.request())
	if codeOf(err) != SignatureDoesNotMatch || !strings.HasSuffix(detail(err, "CanonicalRequest"), "\n"+hash) {
		t.Fatalf("header alone: %v\n%s", err, detail(err, "CanonicalRequest"))
	}
	d := newDigest()
	d.hmac(&newSigningKey(testAccess, testSecret, "20241231", testRegion, serviceS3).key, []byte(detail(err, "StringToSign")))
	head, _, _ := strings.Cut(w.query, "X-Amz-Signature=")
	w.query = head + "X-Amz-Signature=" + string(appendHex(nil, d.sum[:]))
	if id, err := v.Verify(w.request()); err != nil || id.PayloadSHA256 != out.PayloadSHA256 {
		t.Errorf("header alone: %+v, %v", id, err)
	}
}

// Only keys that verified something enter the cache.
func TestWrongSignaturesDoNotEnterTheCache(t *testing.T) {
	v := verifierAt(testTime, testAccess, testSecret)
	w, _ := signed(t, getObject())
	bad := clone(w)
	authorization("Signature=", "Signature=0")(&bad)
	if _, err := v.Verify(bad.request()); err == nil || v.keys.current.Load() != nil {
		t.Fatalf("%v, cache %v", err, v.keys.current.Load())
	}
	if _, err := v.Verify(w.request()); err != nil || len(*v.keys.current.Load()) != 1 {
		t.Fatal(err)
	}
}

// One Verifier serves many at once, each with its own result.
func TestConcurrentVerify(t *testing.T) {
	v := NewVerifier(Options{
		Now:    func() time.Time { return testTime },
		Secret: func(key string) (string, bool) { return "secret of " + key, true },
	})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			key := fmt.Sprint("key", g)
			signer := NewSigner(Credentials{AccessKey: key, SecretKey: "secret of " + key}, testRegion)
			for i := range 200 {
				out := getObject()
				out.Path = fmt.Sprintf("/bucket/%d/%d", g, i)
				signature, err := signer.Sign(&out, testTime)
				if err != nil {
					t.Error(err)
					return
				}
				w := wire{method: out.Method, path: out.Path, query: out.Query, host: out.Host, headers: append(fields(out.Headers), signature.Headers...)}
				if id, err := v.Verify(w.request()); err != nil || id.AccessKey != key {
					t.Errorf("%s: %+v, %v", key, id, err)
					return
				}
			}
		}()
	}
	wg.Wait()
}

// What a client may write in more than one way is one to us.
func TestCanonicalForms(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{"", "/"},
		{"/", "/"},
		{"/a//b/../c/.", "/a//b/../c/."},
		{"/a+b$c~d", "/a%2Bb%24c~d"},
		{"/%61%2f%2F%20%c3%a9", "/a%2F%2F%20%C3%A9"},
		{"/\xff", "/%FF"},
	} {
		got, ok := appendCanonicalPath(nil, []byte(c.raw))
		if !ok || string(got) != c.want {
			t.Errorf("path %q: %q, %v, want %q", c.raw, got, ok, c.want)
		}
	}
	for _, c := range []struct{ raw, want string }{
		{"", ""},
		{"x", "x="},
		{"x=", "x="},
		{"&&b=2&&a=1&", "a=1&b=2"},
		{"a=b+c%2Bd%20e", "a=b%20c%2Bd%20e"},
		{"a=b=c", "a=b%3Dc"},
		{"%61=1&A=2&a=0", "A=2&a=0&a=1"},
		{"a-=1&a=2", "a=2&a-=1"},
		{"=v", "=v"},
		{"k%3Dk=v", "k%3Dk=v"},
	} {
		s := newScratch()
		if !s.parseQuery([]byte(c.raw)) {
			t.Errorf("query %q refused", c.raw)
		}
		if got := string(s.appendCanonicalQuery(nil, -1)); got != c.want {
			t.Errorf("query %q: %q, want %q", c.raw, got, c.want)
		}
	}
	for _, c := range []struct{ raw, want string }{
		{"", ""}, {"  ", ""}, {" a  b\t c ", "a b c"}, {`"a  b"`, `"a b"`},
	} {
		if got := string(appendTrimmed(nil, []byte(c.raw))); got != c.want {
			t.Errorf("value %q: %q, want %q", c.raw, got, c.want)
		}
	}
	if got := string(AppendPath(nil, "/b/a b/é")); got != "/b/a%20b/%C3%A9" {
		t.Errorf("AppendPath: %s", got)
	}
}

// The unreserved characters are those of RFC 3986.
func TestUnreserved(t *testing.T) {
	for c := range 256 {
		want := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", byte(c)) >= 0
		if unreserved(byte(c)) != want {
			t.Errorf("%q: %v", byte(c), !want)
		}
	}
}

// Who writes an identity to a log does not write the secret there.
func TestIdentityShowsNoSecret(t *testing.T) {
	w, _ := signed(t, getObject())
	id, err := verifierAt(testTime, testAccess, testSecret, testRegion).Verify(w.request())
	if err != nil || !id.SignedWith(testSecret) || id.SignedWith("") || id.SignedWith(testSecret+"x") || (&Identity{}).SignedWith("") {
		t.Fatalf("%v", err)
	}
	for _, text := range []string{fmt.Sprintf("%v", id), fmt.Sprintf("%+v", &id), fmt.Sprintf("%#v", id)} {
		if strings.Contains(text, testSecret) {
			t.Errorf("the secret is shown: %s", text)
		}
	}
}
