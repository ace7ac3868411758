package edges_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
)

// AIStore's Python SDK sends the head of an upload over HTTPS, and its body only to
// where it is redirected: the answer comes before any of the body was sent. Over
// plain HTTP it sends all at once, and is answered at once.
func TestUploadsOverHTTPSAreRedirected(t *testing.T) {
	authority, files := process.AuthorityForTest(t)
	for _, secure := range []bool{true, false} {
		config, client := process.Config{}, (*s3client.Client)(nil)
		if secure {
			config.TLS = &files
		}
		node := start(t, config)
		if client = s3client.New(node.S3, process.Keys()); secure {
			client = s3client.NewTLS(node.S3, process.Keys(), authority.Client())
		}
		if err := client.CreateBucket(t.Context(), "bucket"); err != nil {
			t.Fatal(err)
		}
		client.Close()
		body := strings.Repeat("0123456789", 100_000)
		talk := func(target, body string, length int) *http.Response {
			t.Helper()
			var conn net.Conn
			var err error
			if secure {
				conn, err = tls.Dial("tcp", node.Native, authority.Client())
			} else {
				conn, err = net.Dial("tcp", node.Native)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			head := fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", target, node.Native, length)
			if _, err := io.WriteString(conn, head+body); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, answer.Body); err != nil {
				t.Fatal(err)
			}
			return answer
		}
		const target = "/v1/objects/bucket/a%2Fk?provider=ais"
		final := target
		if secure {
			answer := talk(target, "", len(body)) // nothing of the body
			location, err := url.Parse(answer.Header.Get("Location"))
			if answer.StatusCode != http.StatusTemporaryRedirect || err != nil || location.Scheme != "https" || location.Host != node.Native {
				t.Fatalf("%s to %q, %v", answer.Status, answer.Header.Get("Location"), err)
			}
			final = location.RequestURI()
			if !strings.HasPrefix(final, target+"&pid=") || location.Query().Get("utm") == "" {
				t.Errorf("redirected to %s", final)
			}
			if answer := talk("/v1/objects/no-such-bucket/k", "", len(body)); answer.StatusCode != http.StatusNotFound {
				t.Errorf("an unknown bucket: %s", answer.Status) // and not a redirect to be refused there
			}
		}
		if answer := talk(final, body, len(body)); answer.StatusCode != http.StatusOK {
			t.Errorf("the upload: %s", answer.Status)
		}
		reader := s3client.New(node.S3, process.Keys())
		if secure {
			reader = s3client.NewTLS(node.S3, process.Keys(), authority.Client())
		}
		answer, err := reader.Get(t.Context(), "bucket", "a/k")
		if must(t, "get", answer, err); string(answer.Body) != body {
			t.Errorf("%d bytes of %d, or others", len(answer.Body), len(body))
		}
		reader.Close()
		if err := node.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// The load generator speaks HTTPS: every operation of a mix is done and read back
// whole by it.
func TestLoadOverHTTPS(t *testing.T) {
	_, files := process.AuthorityForTest(t)
	node := start(t, process.Config{TLS: &files, Host: "::1"})
	bench := exec.CommandContext(t.Context(), process.Built(), "bench", "--endpoint", node.URL(node.S3),
		"--op", "put", "--size", "300KiB", "--ops", "40", "--connections", "4")
	bench.Env = append(os.Environ(), "SSL_CERT_FILE="+files.Authority, "AWS_ACCESS_KEY_ID="+process.AccessKey, "AWS_SECRET_ACCESS_KEY="+process.SecretKey)
	bench.Dir = t.TempDir()
	if said, err := bench.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	bench = exec.CommandContext(t.Context(), bench.Args[0], bench.Args[1:]...)
	bench.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+process.AccessKey, "AWS_SECRET_ACCESS_KEY="+process.SecretKey)
	bench.Dir = t.TempDir()
	if said, err := bench.CombinedOutput(); err == nil || !strings.Contains(string(said), "certificate") {
		t.Errorf("without the authority: %v\n%s", err, said) // negative control
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
