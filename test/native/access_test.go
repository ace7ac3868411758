package native_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/supervisors"
)

const token = "a-token-of-some-length"

// With a token, everything but health asks for it, and control asks for the root
// pair and nothing else.
func TestToken(t *testing.T) {
	n := start(t, func(c *supervisors.Config) { c.NativeAuth, c.NativeToken = supervisors.NativeAuthToken, token })
	for _, target := range []string{"/v1/buckets", "/v1/objects/b/o", "/v1/daemon?what=smap", "/v1/cluster?what=smap", "/metrics"} {
		for _, header := range []string{"", token, "Bearer", "Bearer ", "Bearer " + token + "x", "Bearer " + token[1:], "Basic " + token, "Bearer " + strings.ToUpper(token)} {
			c := call{method: "GET", target: target, header: []string{"Authorization", header}}
			if a := n.do(c); a.status != 401 || a.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s with %q: %d %s", target, header, a.status, a.body)
			}
		}
		if a := n.do(call{method: "GET", target: target, header: []string{"Authorization", "Bearer " + token}}); a.status == 401 || a.status == 403 {
			t.Errorf("%s with the token: %d %s", target, a.status, a.body)
		}
	}
	n.refused(call{method: "GET", target: "/v1/buckets"}, 401, "", "token required")
	n.must("GET", "/v1/health?readiness=true", "")
	n.refused(call{method: "GET", target: "/v1/log", header: []string{"Authorization", "Bearer " + token}}, 400, "", "") // no signature of version 4
	n.refused(call{method: "GET", target: "/v1/log"}, 403, "", "root key pair")
	// What comes with Expect is refused before its body is sent.
	request, err := http.NewRequest("PUT", "http://"+n.Native()+"/v1/objects/b/o", strings.NewReader(payload(1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Expect", "100-continue")
	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil || response.StatusCode != 401 {
		t.Fatalf("%v, %v", response, err)
	}
	response.Body.Close()
}

// Who signs with the root pair may read what the token is asked for otherwise: it is
// what `troupe cluster` does. To change what the token protects it is not enough, and
// another pair is good for nothing.
func TestSignedInsteadOfToken(t *testing.T) {
	n := start(t, func(c *supervisors.Config) { c.NativeAuth, c.NativeToken = supervisors.NativeAuthToken, token })
	send := func(secret, method, path string) int {
		t.Helper()
		request, err := http.NewRequest(method, "http://"+n.Native()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		pair := sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: secret}
		signature, err := sigv4.NewSigner(pair, "us-east-1").Sign(&sigv4.Outgoing{
			Method: method, Path: path, Host: n.Native(), Payload: sigv4.Signed, PayloadSHA256: sigv4.EmptySHA256(),
		}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range signature.Headers {
			request.Header.Set(h.Name, h.Value)
		}
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	for _, c := range []struct {
		secret, method, path string
		want                 int
	}{
		{supervisors.DefaultSecretKey, "GET", "/v1/cluster", 200},
		{supervisors.DefaultSecretKey, "GET", "/v1/events", 404}, // of a node that is alone
		{"another-secret", "GET", "/v1/cluster", 403},
		{supervisors.DefaultSecretKey, "PUT", "/v1/objects/b/o", 401},
		{supervisors.DefaultSecretKey, "DELETE", "/v1/objects/b/o", 401},
	} {
		if got := send(c.secret, c.method, c.path); got != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, got, c.want)
		}
	}
}

// Control takes requests that the root pair signed, and what they carry must be
// what was signed.
func TestControlIsSigned(t *testing.T) {
	n := start(t, nil)
	send := func(pair sigv4.Credentials, signed, sent string) int {
		t.Helper()
		request, err := http.NewRequest("PUT", "http://"+n.Native()+"/v1/log", strings.NewReader(sent))
		if err != nil {
			t.Fatal(err)
		}
		signature, err := sigv4.NewSigner(pair, "us-east-1").Sign(&sigv4.Outgoing{
			Method: "PUT", Path: "/v1/log", Host: n.Native(), Payload: sigv4.Signed, PayloadSHA256: sha256.Sum256([]byte(signed)),
		}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range signature.Headers {
			request.Header.Set(h.Name, h.Value)
		}
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	root := sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey}
	level := `{"level":"warning"}`
	if status := send(root, level, level); status != 200 {
		t.Errorf("signed: %d", status)
	}
	if status := send(root, level, `{"level":"warnings"}`[:len(level)]); status != 400 {
		t.Errorf("another body: %d", status)
	}
	if status := send(sigv4.Credentials{AccessKey: root.AccessKey, SecretKey: "another-secret"}, level, level); status != 403 {
		t.Errorf("another secret: %d", status)
	}
}

// A presigned link is for one object, and whoever has it may use it. One to the
// object "v1/log" of a bucket in virtual-host style is, byte for byte, a request of
// the root pair to /v1/log, if it is sent to the other listener: control must not
// take it. Control: the same link is good for the object.
func TestPresignedLinksControlNothing(t *testing.T) {
	n := start(t, nil)
	root := sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey}
	n.must("POST", "/v1/buckets/photos?provider=ais", `{"action":"create-bck"}`)
	for _, c := range []struct{ method, path, query, body string }{
		{"PUT", "/v1/log", "", `{"level":"debug"}`},
		{"GET", "/v1/log", "", ""},
		{"GET", "/v1/actors", "", ""},
		{"POST", "/v1/actors/node/buckets", "uploads=", `{"action":"restart"}`},
		{"POST", "/v1/jobs", "uploads=", `{"kind":"none"}`},
		{"GET", "/v1/mountpaths", "", ""},
		{"POST", "/v1/mountpaths", "uploads=", `{"action":"disable","path":"none"}`},
	} {
		host := "photos.localhost:" + n.S3()[strings.LastIndexByte(n.S3(), ':')+1:]
		query, err := sigv4.NewSigner(root, "us-east-1").Presign(&sigv4.Outgoing{Method: c.method, Path: c.path, Query: c.query, Host: host}, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		send := func(address string) int {
			t.Helper()
			request, err := http.NewRequest(c.method, "http://"+address+c.path+"?"+query, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Host = host
			response, err := http.DefaultTransport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			return response.StatusCode
		}
		if status := send(n.Native()); status != 403 {
			t.Errorf("%s %s by a presigned link: %d, want 403", c.method, c.path, status)
		}
		if status := send(n.S3()); c.method == "PUT" && status != 200 || status == 403 {
			t.Errorf("control: %s of the object %s by the same link: %d", c.method, c.path, status)
		}
	}
}

// What is signed with version 2 says no host, and covers neither the query nor the body:
// a request to an object of a bucket in virtual-host style must do nothing at the other
// listener, neither control nor at the objects below /s3. Control: it is good for the object.
func TestVersion2ControlsNothing(t *testing.T) {
	n := start(t, nil)
	for _, bucket := range []string{"photos", "other"} {
		n.must("POST", "/v1/buckets/"+bucket+"?provider=ais", `{"action":"create-bck"}`)
	}
	for _, c := range []struct{ method, path, body, resource, host string }{
		{"PUT", "/v1/log", `{"level":"debug"}`, "/photos/v1/log", "photos.localhost"},
		{"PUT", "/v1/log", `{"level":"debug"}`, "/v1/log", "localhost"},
		{"GET", "/v1/actors", "", "/photos/v1/actors", "photos.localhost"},
		{"PUT", "/s3/other/stolen", "payload", "/photos/s3/other/stolen", "photos.localhost"},
	} {
		date := time.Now().UTC().Format(http.TimeFormat)
		mac := hmac.New(sha1.New, []byte(supervisors.DefaultSecretKey))
		mac.Write([]byte(c.method + "\n\n\n" + date + "\n" + c.resource))
		send := func(address string) int {
			t.Helper()
			request, err := http.NewRequest(c.method, "http://"+address+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Host = c.host
			request.Header.Set("Date", date)
			request.Header.Set("Authorization", "AWS "+supervisors.DefaultAccessKey+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
			response, err := http.DefaultTransport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			return response.StatusCode
		}
		if status := send(n.Native()); status != 403 {
			t.Errorf("%s %s as %s: %d, want 403", c.method, c.path, c.host, status)
		}
		if status := send(n.S3()); c.host != "localhost" && c.method == "PUT" && status != 200 || status == 403 {
			t.Errorf("control: %s of %s: %d", c.method, c.resource, status)
		}
	}
}

// The access log says which node answered, and who it was that asked for control.
func TestAccessLogNamesWhoControls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	n := start(t, func(c *supervisors.Config) { c.Edge.AccessLog, c.Edge.AccessLogFormat = path, "json" })
	n.must("GET", "/v1/health", "")
	n.refused(call{method: "GET", target: "/v1/log"}, 403, "", "root key pair")
	root := sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey}
	signature, err := sigv4.NewSigner(root, "us-east-1").Sign(&sigv4.Outgoing{Method: "GET", Path: "/v1/log", Host: n.Native()}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := call{method: "GET", target: "/v1/log"}
	for _, h := range signature.Headers {
		c.header = append(c.header, h.Name, h.Value)
	}
	if a := n.do(c); a.status != 200 {
		t.Fatalf("signed: %d %s", a.status, a.body)
	}
	n.restart() // the lines are written by then
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	type line struct {
		Status                                     int
		Node, Requester, Signature, Authentication string
	}
	want := []line{{Status: 200}, {Status: 403}, {200, "", root.AccessKey, "SigV4", "AuthHeader"}}
	for text := range strings.Lines(string(content)) {
		var got line
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if got.Node == "" {
			t.Errorf("no node is named: %s", text)
		}
		got.Node = ""
		if len(want) == 0 || got != want[0] {
			t.Fatalf("%s, want %+v", text, want)
		}
		want = want[1:]
	}
	if len(want) != 0 {
		t.Errorf("not logged: %+v", want)
	}
}

// Settings that would let people in by accident are refused, naming what to do.
func TestNativeAuthSettings(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*supervisors.Config)
		says   string // empty: accepted
	}{
		"loopback":                 {func(*supervisors.Config) {}, ""},
		"loopback, token":          {func(c *supervisors.Config) { c.NativeAuth, c.NativeToken = "token", token }, ""},
		"beyond, nothing":          {func(c *supervisors.Config) { c.Native = "0.0.0.0:8080" }, "native-auth"},
		"beyond, all interfaces":   {func(c *supervisors.Config) { c.Native = ":8080" }, "native-auth"},
		"beyond, none":             {func(c *supervisors.Config) { c.Native, c.NativeAuth = "0.0.0.0:8080", "none" }, ""},
		"beyond, token":            {func(c *supervisors.Config) { c.Native, c.NativeAuth, c.NativeToken = "0.0.0.0:8080", "token", token }, ""},
		"beyond, no token":         {func(c *supervisors.Config) { c.Native, c.NativeAuth = "0.0.0.0:8080", "token" }, "TROUPE_NATIVE_TOKEN"},
		"a short token":            {func(c *supervisors.Config) { c.NativeAuth, c.NativeToken = "token", "short" }, "TROUPE_NATIVE_TOKEN"},
		"a token with blanks":      {func(c *supervisors.Config) { c.NativeAuth, c.NativeToken = "token", "sixteen or more it has" }, "TROUPE_NATIVE_TOKEN"},
		"a token that is not used": {func(c *supervisors.Config) { c.NativeToken = token }, "native-auth"},
		"none, and a token":        {func(c *supervisors.Config) { c.NativeAuth, c.NativeToken = "none", token }, "native-auth"},
		"something else":           {func(c *supervisors.Config) { c.NativeAuth = "password" }, "password"},
	} {
		config := supervisors.Config{Data: []string{"/a"}, RootAccessKey: "me", RootSecretKey: "a-long-secret"}
		c.change(&config)
		err := config.WithDefaults().Validate()
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if err != nil && strings.Contains(err.Error(), token) {
			t.Errorf("%s: the token is told: %v", name, err)
		}
	}
}
