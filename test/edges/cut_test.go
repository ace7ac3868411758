package edges_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
)

// An upload in chunks that ends after a whole one, without the last, is no object,
// whichever listener it comes to, over HTTPS as over HTTP.
func TestBodiesThatAreCutBetweenChunks(t *testing.T) {
	authority, files := process.AuthorityForTest(t)
	for _, secure := range []bool{true, false} {
		config, tlsConfig := process.Config{}, (*tls.Config)(nil)
		if secure {
			config.TLS, tlsConfig = &files, authority.Client()
		}
		node := start(t, config)
		client := s3client.New(node.S3, process.Keys())
		if secure {
			client = s3client.NewTLS(node.S3, process.Keys(), tlsConfig)
		}
		if err := client.CreateBucket(t.Context(), "bucket"); err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{5, 3 << 20} { // one that is kept in the index, and one that is a file
			chunk := fmt.Sprintf("%x\r\n%s\r\n", size, strings.Repeat("a", size))
			for name, body := range map[string]string{"whole": chunk + "0\r\n\r\n", "cut": chunk} {
				for _, listener := range []string{"s3", "native"} {
					key := fmt.Sprintf("%s-%s-%d", listener, name, size)
					address, path := node.S3, "/bucket/"+key
					head := ""
					if listener == "native" {
						address, path = node.Native, "/v1/objects/bucket/"+key+"?provider=ais"
					} else {
						signature, err := sigv4.NewSigner(process.Keys(), "us-east-1").Sign(&sigv4.Outgoing{Method: "PUT", Path: path, Host: address}, time.Now())
						if err != nil {
							t.Fatal(err)
						}
						for _, h := range signature.Headers {
							head += h.Name + ": " + h.Value + "\r\n"
						}
					}
					said := sendAndShut(t, address, tlsConfig, fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n%s\r\n%s", path, address, head, body))
					answer, err := client.Get(t.Context(), "bucket", key)
					if err != nil {
						t.Fatal(err)
					}
					want := http.StatusNotFound
					if name == "whole" {
						want = http.StatusOK // a negative control: what is sent is an upload but for its end
					}
					if answer.Status != want || name == "whole" && len(answer.Body) != size {
						t.Errorf("TLS %t, %s: GET is answered %d with %d bytes, want %d; the upload was answered %.300q", secure, key, answer.Status, len(answer.Body), want, said)
					}
				}
			}
		}
		client.Close()
		if err := node.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// sendAndShut sends a text, says that no more comes, and returns what is answered.
func sendAndShut(t *testing.T, address string, config *tls.Config, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if config != nil {
		config = config.Clone()
		config.ServerName = "127.0.0.1"
		conn = tls.Client(conn, config)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(conn)
	if err != nil && len(said) == 0 {
		t.Logf("%s answers nothing: %v", address, err)
	}
	return string(said)
}
