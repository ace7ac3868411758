package httpedge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/objects/errs"
)

// pair is a certificate of its own authority, and its key, in PEM.
type pair struct{ certificate, key []byte }

// newPair makes one for 127.0.0.1 with a serial number by which it is known.
func newPair(t *testing.T, serial int64, expires time.Time) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"},
		NotBefore: expires.Add(-365 * 24 * time.Hour), NotAfter: expires,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
}

// files are where a pair lies.
type files struct{ certificate, key string }

func newFiles(t *testing.T) files {
	dir := t.TempDir()
	return files{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
}

// put writes a file as one that replaces certificates does: beside it, and renamed.
func put(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", content, 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

func (f files) put(t *testing.T, p pair) {
	t.Helper()
	put(t, f.certificate, p.certificate)
	put(t, f.key, p.key)
}

func serial(c *Certificate) int64 { return c.current.Load().Leaf.SerialNumber.Int64() }

// A certificate that cannot be is refused with the setting and the file named.
func TestCertificateIsRefused(t *testing.T) {
	f, other := newFiles(t), newFiles(t)
	next := time.Now().Add(90 * 24 * time.Hour)
	f.put(t, newPair(t, 1, next))
	other.put(t, newPair(t, 2, next))
	garbage := filepath.Join(t.TempDir(), "garbage.pem")
	put(t, garbage, []byte("no PEM"))
	for _, c := range []struct {
		cert, key string
		says      []string
	}{
		{filepath.Join(t.TempDir(), "absent"), f.key, []string{"tls-cert", "absent"}},
		{f.certificate, filepath.Join(t.TempDir(), "absent"), []string{"tls-key", "absent"}},
		{garbage, f.key, []string{"tls-cert", garbage}},
		{f.certificate, other.key, []string{"tls-cert", "tls-key", f.certificate, other.key}},
	} {
		_, err := LoadCertificate(c.cert, c.key)
		if errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s, %s: %v", c.cert, c.key, err)
			continue
		}
		for _, text := range c.says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("it says nothing of %q: %v", text, err)
			}
		}
	}
	if c, err := LoadCertificate(f.certificate, f.key); err != nil || serial(c) != 1 || !c.Expires().Equal(next.UTC().Truncate(time.Second)) {
		t.Errorf("the pair that is one: %v", err) // negative control
	}
}

// A new pair is taken once both files are there and rest; half a pair and a broken
// one are refused in the log, once, and the old one stays.
func TestWatcherFollowsFiles(t *testing.T) {
	f := newFiles(t)
	next := time.Now().Add(90 * 24 * time.Hour)
	first, second := newPair(t, 1, next), newPair(t, 2, next)
	f.put(t, first)
	c, err := LoadCertificate(f.certificate, f.key)
	if err != nil {
		t.Fatal(err)
	}
	log, hook := logtest.NewNullLogger()
	system := actors.NewSystem(logrus.NewEntry(log))
	defer system.Shutdown()
	w := &watcher{system: system, certificate: c}
	w.loaded = w.mark()
	w.seen = w.loaded
	looks := func(n int, want int64, lines ...string) {
		t.Helper()
		hook.Reset()
		for range n {
			w.onLook()
		}
		if serial(c) != want {
			t.Errorf("certificate %d, want %d", serial(c), want)
		}
		var said []string
		for _, e := range hook.AllEntries() {
			said = append(said, e.Message)
		}
		if strings.Join(said, "; ") != strings.Join(lines, "; ") {
			t.Errorf("it said %q, want %q", said, lines)
		}
	}
	const refused = "the new certificate is refused; the one that was there stays in use"
	looks(3, 1) // nothing changed

	put(t, f.certificate, second.certificate)
	looks(1, 1)          // it may still be changing
	looks(3, 1, refused) // half a pair
	put(t, f.key, second.key)
	looks(1, 1)
	looks(3, 2, "certificate loaded")

	put(t, f.certificate, []byte("garbage"))
	looks(4, 2, refused)
	if err := os.Remove(f.certificate); err != nil {
		t.Fatal(err)
	}
	looks(4, 2, refused)
	f.put(t, first)
	looks(2, 1, "certificate loaded")

	f.put(t, newPair(t, 3, time.Now().Add(24*time.Hour)))
	looks(4, 3, "certificate loaded", "the certificate expires soon")
	f.put(t, newPair(t, 4, time.Now().Add(-time.Hour)))
	looks(4, 4, "certificate loaded", "the certificate has expired: clients refuse it")
}

// The certificate's actor looks when it is asked to, and takes what it finds.
func TestWatcherLooksAgain(t *testing.T) {
	f := newFiles(t)
	next := time.Now().Add(90 * 24 * time.Hour)
	f.put(t, newPair(t, 1, next))
	c, err := LoadCertificate(f.certificate, f.key)
	if err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	loaded := make(chan struct{}, 1)
	log.SetOutput(discard{})
	log.AddHook(onMessage{"certificate loaded", loaded})
	system := actors.NewSystem(logrus.NewEntry(log))
	defer system.Shutdown()
	pid, err := system.Spawn(system.Root(), WatchSpec(system, c))
	if err != nil {
		t.Fatal(err)
	}
	f.put(t, newPair(t, 2, next))
	system.Root().Send(pid, &LookAgain{})
	<-loaded
	if serial(c) != 2 {
		t.Errorf("certificate %d", serial(c))
	}
	if err := system.Stop(pid); err != nil {
		t.Error(err)
	}
}

type discard struct{}

// Write implements io.Writer.
func (discard) Write(p []byte) (int, error) { return len(p), nil }

// onMessage is a hook that tells of one message.
type onMessage struct {
	text string
	seen chan<- struct{}
}

// Levels implements logrus.Hook.
func (onMessage) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (h onMessage) Fire(e *logrus.Entry) error {
	if e.Message == h.text {
		h.seen <- struct{}{}
	}
	return nil
}

// clientOf is a TLS configuration that trusts a pair.
func clientOf(t *testing.T, p pair) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(p.certificate) {
		t.Fatal("no certificate")
	}
	return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
}
