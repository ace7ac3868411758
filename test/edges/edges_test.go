// Package edges_test runs the real binary the way operators run its listeners:
// certificates are replaced under open connections, root pairs under load, access
// logs are read against what was done, and regions, addresses and levels set.
package edges_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
)

// TestMain builds the binary once.
func TestMain(m *testing.M) { process.Main(m) }

// start runs a node of one mountpath.
func start(t *testing.T, config process.Config) *process.Node {
	t.Helper()
	config.Mountpaths = 1
	return process.ForTest(t, config)
}

// content is n bytes that repeat only every 251.
func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// must ends the test unless an answer is as it should be.
func must(t *testing.T, what string, answer *s3client.Answer, err error) *s3client.Answer {
	t.Helper()
	if err == nil {
		err = answer.Err()
	}
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return answer
}

// logged waits until the node's log has so many lines with a text.
func logged(t *testing.T, node *process.Node, text string, count int) {
	t.Helper()
	err := node.Await(t.Context(), fmt.Sprintf("%d lines of %q in the log", count, text), func(process.Metrics) bool {
		said, err := os.ReadFile(node.LogPath())
		return err == nil && strings.Count(string(said), text) >= count
	})
	if err != nil {
		t.Fatal(err)
	}
}

// shown returns the serial number of the certificate that a new connection gets.
func shown(t *testing.T, address string, config *tls.Config) int64 {
	t.Helper()
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// A certificate that is replaced is shown to those who come; an answer that is
// under way goes on to its last byte, and a connection that is kept stays good. A
// broken one changes nothing.
func TestCertificateIsReplacedInFlight(t *testing.T) {
	authority, err := process.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files, err := authority.Issue(dir, 2)
	if err != nil {
		t.Fatal(err)
	}
	node := start(t, process.Config{TLS: &files})
	client := s3client.NewTLS(node.S3, process.Keys(), authority.Client())
	defer client.Close()
	if err := client.CreateBucket(t.Context(), "bucket"); err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20 // more than sockets hold
	whole := content(size)
	answer, err := client.Put(t.Context(), "bucket", "large", whole)
	must(t, "put", answer, err)

	slow, err := client.Send(t.Context(), s3client.Request{Method: "GET", Bucket: "bucket", Key: "large"})
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Body.Close()
	if n := slow.TLS.PeerCertificates[0].SerialNumber.Int64(); n != 2 {
		t.Fatalf("certificate %d", n)
	}
	got := make([]byte, 0, size)
	room := make([]byte, 1<<20)
	if n, err := io.ReadFull(slow.Body, room); err != nil {
		t.Fatal(err)
	} else {
		got = append(got, room[:n]...)
	}

	// By themselves, without a signal.
	if _, err := authority.Issue(dir, 3); err != nil {
		t.Fatal(err)
	}
	logged(t, node, "certificate loaded", 1)
	for _, address := range []string{node.S3, node.Native} {
		if n := shown(t, address, authority.Client()); n != 3 {
			t.Errorf("%s shows certificate %d", address, n)
		}
	}
	rest, err := io.ReadAll(slow.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got = append(got, rest...); string(got) != string(whole) {
		t.Errorf("%d of %d bytes, or others", len(got), size)
	}
	response, err := client.Send(t.Context(), s3client.Request{Method: "HEAD", Bucket: "bucket", Key: "large"})
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if n := response.TLS.PeerCertificates[0].SerialNumber.Int64(); n != 2 {
		t.Errorf("the connection that was kept has certificate %d: it was not kept", n)
	}

	// Garbage, and the signal that makes the node look at once.
	if err := errors.Join(os.WriteFile(files.Cert, []byte("garbage"), 0o600), node.Signal(syscall.SIGHUP)); err != nil {
		t.Fatal(err)
	}
	logged(t, node, "the new certificate is refused", 1)
	if n := shown(t, node.S3, authority.Client()); n != 3 {
		t.Errorf("after a broken one certificate %d is shown", n)
	}
	if _, err := authority.Issue(dir, 4); err != nil {
		t.Fatal(err)
	}
	expires := time.Now().Add(24*time.Hour + 4*time.Minute - 30*time.Second).Unix()
	err = node.Await(t.Context(), "the metric of the fourth certificate", func(m process.Metrics) bool {
		return m["troupe_tls_certificate_expires_seconds"] > float64(expires)
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := shown(t, node.S3, authority.Client()); n != 4 {
		t.Errorf("certificate %d is shown, not the fourth", n)
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// signed sends a request that is signed for a region.
func signed(t *testing.T, node *process.Node, region, method, path, body string) (status int, document string) {
	t.Helper()
	bare, query, _ := strings.Cut(path, "?")
	outgoing := &sigv4.Outgoing{Method: method, Path: bare, Query: query, Host: node.S3}
	signature, err := sigv4.NewSigner(process.Keys(), region).Sign(outgoing, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+node.S3+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range signature.Headers {
		request.Header.Set(h.Name, h.Value)
	}
	return send(t, request)
}

func send(t *testing.T, request *http.Request) (status int, document string) {
	t.Helper()
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(said)
}

// Signatures are taken for the node's region and those that are named, and the
// region that is expected is told; buckets are made there and nowhere else.
func TestRegions(t *testing.T) {
	node := start(t, process.Config{Args: []string{"--region", "eu-west-3", "--accept-region", "eu-central-1", "--accept-region", "local"}})
	for _, region := range []string{"eu-west-3", "eu-central-1", "local"} {
		if status, said := signed(t, node, region, "GET", "/", ""); status != 200 {
			t.Errorf("%s: %d %s", region, status, said)
		}
	}
	for _, region := range []string{"us-east-1", "eu-west-1", "*"} {
		status, said := signed(t, node, region, "GET", "/", "")
		if status != 400 || !strings.Contains(said, "<Code>AuthorizationHeaderMalformed</Code>") || !strings.Contains(said, "<Region>eu-west-3</Region>") {
			t.Errorf("%s: %d %s", region, status, said)
		}
		query, err := sigv4.NewSigner(process.Keys(), region).Presign(&sigv4.Outgoing{Method: "GET", Path: "/", Host: node.S3}, time.Now(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+node.S3+"/?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if status, said = send(t, request); status != 400 || !strings.Contains(said, "<Region>eu-west-3</Region>") {
			t.Errorf("presigned for %s: %d %s", region, status, said)
		}
	}
	for location, want := range map[string]int{"eu-west-3": 200, "eu-central-1": 200, "local": 200, "": 200, "us-east-1": 400, "eu-west-1": 400, "*": 400} {
		bucket := "/bucket-" + strings.Trim(location, "*")
		body := "<CreateBucketConfiguration><LocationConstraint>" + location + "</LocationConstraint></CreateBucketConfiguration>"
		if location == "" {
			bucket, body = "/bucket-none", ""
		}
		if location == "*" {
			bucket = "/bucket-any"
		}
		status, said := signed(t, node, "eu-west-3", "PUT", bucket, body)
		if status != want || want == 400 && !strings.Contains(said, "InvalidLocationConstraint") {
			t.Errorf("LocationConstraint %q: %d %s", location, status, said)
		}
		if want == 200 {
			if status, said = signed(t, node, "local", "GET", bucket+"?location", ""); status != 200 || !strings.Contains(said, ">eu-west-3</LocationConstraint>") {
				t.Errorf("%s: %d %s", bucket, status, said)
			}
		}
	}
	client := s3client.New(node.S3, process.Keys()) // which signs for us-east-1
	defer client.Close()
	if answer, err := client.Get(t.Context(), "bucket-local", "k"); err != nil || answer.Code != "AuthorizationHeaderMalformed" {
		t.Errorf("%+v, %v", answer, err)
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// One listener on both families of addresses; the Host that was signed may have
// brackets, a port, and a bucket.
func TestBothFamilies(t *testing.T) {
	keys := sigv4.Credentials{AccessKey: "operator", SecretKey: "something-long"}
	node := start(t, process.Config{
		Host: "::", Args: []string{"--native-auth", "none", "--domain", "s3.test", "--domain", "localhost"},
		Env: []string{"TROUPE_ROOT_ACCESS_KEY=" + keys.AccessKey, "TROUPE_ROOT_SECRET_KEY=" + keys.SecretKey},
	})
	_, port, err := net.SplitHostPort(node.S3)
	if err != nil {
		t.Fatal(err)
	}
	made := false
	for _, host := range []string{"127.0.0.1", "::1"} {
		client := s3client.New(net.JoinHostPort(host, port), keys)
		defer client.Close()
		if !made {
			if err := client.CreateBucket(t.Context(), "bucket"); err != nil {
				t.Fatal(err)
			}
			made = true
		}
		answer, err := client.Put(t.Context(), "bucket", host, []byte(host))
		must(t, "put through "+host, answer, err)
	}
	// Each through the other, and by names of the bucket's own.
	for _, c := range []struct{ dial, host, path, want string }{
		{"127.0.0.1", "127.0.0.1:" + port, "/bucket/::1", "::1"},
		{"::1", "[::1]:" + port, "/bucket/127.0.0.1", "127.0.0.1"},
		{"::1", "[::1]", "/bucket/::1", "::1"},
		{"::1", "bucket.s3.test", "/::1", "::1"},
		{"::1", "bucket.S3.test.:" + port, "/::1", "::1"},
		{"127.0.0.1", "bucket.localhost:" + port, "/127.0.0.1", "127.0.0.1"},
	} {
		signature, err := sigv4.NewSigner(keys, "us-east-1").Sign(&sigv4.Outgoing{Method: "GET", Path: c.path, Host: c.host}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+net.JoinHostPort(c.dial, port)+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = c.host
		for _, h := range signature.Headers {
			request.Header.Set(h.Name, h.Value)
		}
		if status, said := send(t, request); status != 200 || said != c.want {
			t.Errorf("%+v: %d %s", c, status, said)
		}
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// What the edges are told wrongly is refused by its name before anything is made.
func TestSettingsThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	_, files := process.AuthorityForTest(t)
	secrets := filepath.Join(dir, "env")
	if err := os.WriteFile(secrets, []byte("TROUPE_ROOT_SECRET_KEY hunter2-is-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	unknown := filepath.Join(dir, "unknown")
	if err := os.WriteFile(unknown, []byte("# keys\nTROUPE_ROOT_SECRT_KEY=hunter2-is-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"--tls-cert", files.Cert}, []string{"tls-key"}},
		{[]string{"--tls-key", files.Key}, []string{"tls-cert"}},
		{[]string{"--tls-cert", files.Key, "--tls-key", files.Cert}, []string{"tls-cert", files.Key}},
		{[]string{"--tls-cert", dir + "/absent", "--tls-key", files.Key}, []string{"tls-cert", "absent"}},
		{[]string{"--tls-listener", "intra"}, []string{"tls-listener", "intra", "native", "s3"}},
		{[]string{"--accept-region", "a b"}, []string{"accept-region", "a b"}},
		{[]string{"--domain", "http://s3.test"}, []string{"domain", "http://s3.test"}},
		{[]string{"--trusted-proxy", "proxy"}, []string{"trusted-proxy", "proxy", "10.0.0.0/8"}},
		{[]string{"--access-log", dir}, []string{dir}},
		{[]string{"--access-log-format", "apache"}, []string{"access-log-format", "apache", "json"}},
		{[]string{"--root-overlap", "100h"}, []string{"root-overlap", "24h"}},
		{[]string{"--root-overlap", "soon"}, []string{"root-overlap", "soon"}},
		{[]string{"--env-file", dir + "/absent"}, []string{"env-file", "absent"}},
		{[]string{"--env-file", secrets}, []string{"env-file", "line 1"}},
		{[]string{"--env-file", unknown}, []string{"env-file", "line 2", "TROUPE_ROOT_SECRT_KEY"}},
	} {
		node, err := process.Start(t.Context(), process.Config{
			Binary: process.Built(), Dir: t.TempDir(), Mountpaths: 1, Args: c.args,
		})
		if err == nil {
			t.Errorf("%v: it started", c.args)
			if err := node.Kill(); err != nil {
				t.Error(err)
			}
			continue
		}
		for _, text := range c.says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%v: it says nothing of %q: %v", c.args, text, err)
			}
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: it shows a secret: %v", c.args, err)
		}
	}
}

// The level of the log changes by request, for who has the root pair.
func TestLogLevel(t *testing.T) {
	node := start(t, process.Config{Args: []string{"--log-format", "json"}})
	control := s3client.New(node.Native, process.Keys())
	defer control.Close()
	level := func(method, body string) *s3client.Answer {
		answer, err := control.Do(t.Context(), s3client.Request{Method: method, Path: "/v1/log", Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	if a := level("GET", ""); a.Status != 200 || string(a.Body) != `{"level":"info"}` {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := level("PUT", `{"level":"debug"}`); a.Status != 200 || string(a.Body) != `{"level":"debug"}` {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	for _, bad := range []string{`{"level":"loud"}`, `{}`, `debug`, strings.Repeat("x", 1<<20)} {
		if a := level("PUT", bad); a.Status != 400 && (a.Status != 413 || len(bad) < 1<<10) {
			t.Errorf("%.20s: %d %s", bad, a.Status, a.Body)
		}
	}
	stranger := s3client.New(node.Native, sigv4.Credentials{AccessKey: process.AccessKey, SecretKey: "not-the-secret"})
	defer stranger.Close()
	if a, err := stranger.Do(t.Context(), s3client.Request{Method: "PUT", Path: "/v1/log", Body: []byte(`{"level":"error"}`)}); err != nil || a.Status != 403 {
		t.Errorf("%+v, %v", a, err)
	}
	if a := level("GET", ""); string(a.Body) != `{"level":"debug"}` {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	said, err := os.ReadFile(node.LogPath())
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(string(said)) {
		if strings.HasPrefix(line, "{") {
			lines++
			if !json.Valid([]byte(line)) {
				t.Errorf("no JSON: %s", line)
			}
		}
	}
	if lines == 0 {
		t.Error("nothing was logged")
	}
}
