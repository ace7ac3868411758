package loader

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects/errs"
)

// serveTLS serves a handler over TLS with a certificate of its own for 127.0.0.1,
// which is in the file.
func serveTLS(t *testing.T, handler fasthttp.RequestHandler) (endpoint, authority string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	authority = filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	plain := serveOn(t, &fasthttp.Server{Handler: handler, MaxRequestBodySize: 16 << 20, CloseOnShutdown: true, ReadBufferSize: 32 << 10}, listener)
	return "https" + strings.TrimPrefix(plain, "http"), authority
}

// An HTTPS endpoint is driven, verified by the authority that is named or not at
// all, and the figures say that TLS is in them. One that nobody vouches for is
// refused at once.
func TestHTTPS(t *testing.T) {
	fake := newFakeS3()
	endpoint, authority := serveTLS(t, fake.handle)
	for _, trust := range [][]string{{"--ca", authority}, {"--insecure"}} {
		command := bench(t, append(trust, "--endpoint", endpoint, "--op", "put=1,get=1", "--size", "100KiB", "--keys", "20", "--ops", "100", "--verify")...)
		var out, progress bytes.Buffer
		command.Stdout, command.Stderr = &out, &progress
		if err := command.Run(); err != nil || !strings.Contains(out.String(), "PUT=1,GET=1 with TLS") || !strings.Contains(out.String(), "TLS is included, on both sides: TLS 1.3") {
			t.Errorf("%s: %v\n%s\n%s", trust, err, &out, &progress)
		}
	}
	load := Load{
		Endpoint: endpoint, Bucket: "load", AccessKey: testAccess, SecretKey: testSecret,
		Mix: Only(Put), Sizes: FixedSize(1), Ops: 1,
	}
	if _, err := Run(t.Context(), load, Observed{}); !errs.Is(errs.Offline, err) || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("nobody vouches for it: %v", err)
	}
	// A host that the certificate is not for is refused, though the authority is.
	secured, err := security{ca: authority}.config()
	if err != nil {
		t.Fatal(err)
	}
	load.Endpoint, load.TLS = strings.Replace(endpoint, "127.0.0.1", "localhost", 1), secured
	if _, err := Run(t.Context(), load, Observed{}); !errs.Is(errs.Offline, err) {
		t.Errorf("another host's certificate: %v", err)
	}
	if _, err := (security{ca: os.Args[0]}).config(); !errs.Is(errs.Invalid, err) {
		t.Errorf("a file without certificates: %v", err)
	}
}
