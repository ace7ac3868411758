package authority

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

const cluster = "6f9619ff-8b86-d011-b42d-00c04fc964ff"

func secret(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// at is a clock that stands.
type at struct {
	clock.System
	now time.Time
}

func (a at) Now() time.Time { return a.now }

func authorityOf(t *testing.T, cluster string, secrets ...[]byte) *Authority {
	t.Helper()
	a, err := New(cluster, secrets[0], secrets[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func identity(t *testing.T, a *Authority, node string, c clock.Clock) *Identity {
	t.Helper()
	i, err := a.Identity(node, c)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// handshake connects two ends, and returns what each has come to: with TLS 1.3 a
// client learns that it was refused when it reads.
func handshake(t *testing.T, server, client *tls.Config) (peerOfServer, peerOfClient string, serverErr, clientErr error) {
	t.Helper()
	ours, theirs := net.Pipe()
	type outcome struct {
		peer string
		err  error
	}
	served := make(chan outcome, 1)
	go func() {
		defer ours.Close()
		conn := tls.Server(ours, server)
		if err := conn.Handshake(); err != nil {
			served <- outcome{err: err}
			return
		}
		peer, err := PeerOf(conn.ConnectionState())
		served <- outcome{peer, err}
		_, _ = conn.Write([]byte{1}) // who was refused finds out by itself
	}()
	defer theirs.Close()
	conn := tls.Client(theirs, client)
	if clientErr = conn.Handshake(); clientErr == nil {
		if _, clientErr = conn.Read(make([]byte, 1)); clientErr == nil {
			peerOfClient, clientErr = PeerOf(conn.ConnectionState())
		}
	}
	_ = theirs.Close() // the server may still be writing
	s := <-served
	return s.peer, peerOfClient, s.err, clientErr
}

// Two nodes of one cluster know each other by their ids.
func TestNodesOfOneCluster(t *testing.T) {
	now := clock.NewSystem()
	// Each makes the authority for itself, as on two machines.
	a := identity(t, authorityOf(t, cluster, secret(1)), "n1", now)
	b := identity(t, authorityOf(t, cluster, secret(1)), "n2", now)
	seen, met, serverErr, clientErr := handshake(t, a.Server(), b.Client("n1"))
	if serverErr != nil || clientErr != nil || seen != "n2" || met != "n1" {
		t.Errorf("%q, %q, %v, %v", seen, met, serverErr, clientErr)
	}
}

// forged is a certificate that somebody made who does not know the secret.
func forged(t *testing.T, issuer, node string, change func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: issuer}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: node}, NotAfter: time.Now().Add(time.Hour),
		URIs:        []*url.URL{{Scheme: scheme, Host: cluster, Path: "/" + node}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(leaf)
	}
	cert, err := sign(leaf, root, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// Nobody else gets through, on either side, and who runs the node reads why.
func TestOthersAreRefused(t *testing.T) {
	now := clock.NewSystem()
	a := authorityOf(t, cluster, secret(1))
	n1 := identity(t, a, "n1", now)
	name := a.root.Subject.CommonName
	showing := func(cert *tls.Certificate) func(*tls.Config) *tls.Config {
		return func(c *tls.Config) *tls.Config {
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
			return c
		}
	}
	same := func(c *tls.Config) *tls.Config { return c }
	leaf, err := a.issue("n2", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	old, err := a.issue("n2", time.Now().Add(-lifetime-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	// A node is no authority: what it signs is worth nothing.
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	child, err := sign(&x509.Certificate{
		SerialNumber: big.NewInt(3), NotAfter: time.Now().Add(time.Hour),
		URIs:        []*url.URL{{Scheme: scheme, Host: cluster, Path: "/n2"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, leaf.Leaf, public, leaf.PrivateKey.(crypto.Signer))
	if err != nil {
		t.Fatal(err)
	}
	signed := &tls.Certificate{Certificate: [][]byte{child.Raw, leaf.Leaf.Raw}, PrivateKey: private, Leaf: child}
	for what, c := range map[string]struct {
		who    *Identity
		change func(*tls.Config) *tls.Config
		says   string
	}{
		"another secret":            {identity(t, authorityOf(t, cluster, secret(2)), "n2", now), same, "another cluster secret"},
		"another cluster":           {identity(t, authorityOf(t, "other", secret(1)), "n2", now), same, "node of cluster other"},
		"forged":                    {n1, showing(forged(t, name, "n2", nil)), "another cluster secret"},
		"forged, without a name":    {n1, showing(forged(t, name, "n2", func(c *x509.Certificate) { c.URIs = nil })), "there is none"},
		"forged, with two names":    {n1, showing(forged(t, name, "n2", func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) })), "there is none"},
		"signed by a node":          {n1, showing(signed), "another cluster secret"},
		"a certificate of long ago": {n1, showing(old), "compare the clocks"},
	} {
		careless := func(c *tls.Config) *tls.Config { c.VerifyConnection = nil; return c } // it wants in
		_, _, serverErr, clientErr := handshake(t, n1.Server(), careless(c.change(c.who.Client("n1"))))
		if serverErr == nil || !errs.Is(errs.Denied, serverErr) || !strings.Contains(serverErr.Error(), c.says) || clientErr == nil {
			t.Errorf("%s, as a client: %v; it heard %v", what, serverErr, clientErr)
		}
		_, met, _, clientErr := handshake(t, careless(c.change(c.who.Server())), n1.Client("n2"))
		if clientErr == nil || !errs.Is(errs.Denied, clientErr) || !strings.Contains(clientErr.Error(), c.says) || met != "" {
			t.Errorf("%s, as a server: %v", what, clientErr)
		}
	}
}

// Without a certificate, without TLS 1.3, and at the wrong address nobody is let in.
func TestConnectionsThatAreRefused(t *testing.T) {
	now := clock.NewSystem()
	a := authorityOf(t, cluster, secret(1))
	n1, n2 := identity(t, a, "n1", now), identity(t, a, "n2", now)

	_, _, serverErr, clientErr := handshake(t, n1.Server(), &tls.Config{InsecureSkipVerify: true})
	if serverErr == nil || clientErr == nil {
		t.Errorf("no certificate: %v, %v", serverErr, clientErr)
	}
	old := n2.Client("n1")
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, _, serverErr, clientErr = handshake(t, n1.Server(), old); serverErr == nil || clientErr == nil {
		t.Errorf("TLS 1.2: %v, %v", serverErr, clientErr)
	}
	_, _, _, clientErr = handshake(t, n1.Server(), n2.Client("n3"))
	if !errs.Is(errs.Denied, clientErr) || !strings.Contains(clientErr.Error(), "node n1 answers") {
		t.Errorf("another node at the address: %v", clientErr)
	}
	if _, err := PeerOf(tls.ConnectionState{}); !errs.Is(errs.Denied, err) {
		t.Errorf("plain: %v", err)
	}
}

// The secret is changed without an interruption: while some nodes have the new one
// first and the old one behind it, and others still the old one first and the new one
// behind it, all of them talk; with the old one left out, who has only that is refused.
func TestChangeOfTheSecret(t *testing.T) {
	now := clock.NewSystem()
	before := identity(t, authorityOf(t, cluster, secret(1), secret(2)), "before", now)
	after := identity(t, authorityOf(t, cluster, secret(2), secret(1)), "after", now)
	done := identity(t, authorityOf(t, cluster, secret(2)), "done", now)
	stale := identity(t, authorityOf(t, cluster, secret(1)), "stale", now)
	for _, pair := range [][2]*Identity{{before, after}, {after, before}, {after, done}, {done, after}} {
		if _, _, serverErr, clientErr := handshake(t, pair[0].Server(), pair[1].Client(pair[0].node)); serverErr != nil || clientErr != nil {
			t.Errorf("%s, %s: %v, %v", pair[0].node, pair[1].node, serverErr, clientErr)
		}
	}
	if _, _, serverErr, clientErr := handshake(t, done.Server(), stale.Client("done")); serverErr == nil || clientErr == nil {
		t.Errorf("the old secret: %v, %v", serverErr, clientErr)
	}
}

// A certificate is made anew long before it ends, when somebody sets the clock back,
// and only then; the authority is the same wherever it is made.
func TestCertificatesAreRenewed(t *testing.T) {
	a := authorityOf(t, cluster, secret(1))
	began := time.Date(2026, time.November, 22, 0, 0, 0, 0, time.UTC)
	now := &at{now: began}
	i := identity(t, a, "n1", now)
	first, err := i.certificate()
	if err != nil {
		t.Fatal(err)
	}
	for after, anew := range map[time.Duration]bool{0: false, renewAfter - time.Second: false, renewAfter: true, -2 * renewAfter: true} {
		i.leaf, i.made = first, began
		now.now = began.Add(after)
		if got, err := i.certificate(); err != nil || (got != first) != anew || !got.Leaf.NotAfter.After(now.now.Add(skew)) || !got.Leaf.NotBefore.Before(now.now) {
			t.Errorf("after %s: %v, anew: %t", after, err, got != first)
		}
	}
	if again := authorityOf(t, cluster, secret(1)); !bytes.Equal(again.root.Raw, a.root.Raw) {
		t.Error("two nodes make two authorities")
	}
}

// What cannot be a secret or a name is refused with the reason; nothing prints keys.
func TestSettings(t *testing.T) {
	if _, err := New(cluster, secret(1)[:MinSecret-1]); !errs.Is(errs.Invalid, err) || !strings.Contains(err.Error(), "16 bytes") {
		t.Errorf("a short secret: %v", err)
	}
	if _, err := New(cluster, secret(1), nil); !errs.Is(errs.Invalid, err) {
		t.Errorf("an empty earlier secret: %v", err)
	}
	a := authorityOf(t, cluster, secret(1))
	for _, name := range []string{"", ".", "..", "a/b", "a b", "a?b", "é", strings.Repeat("a", 129)} {
		if _, err := New(name, secret(1)); !errs.Is(errs.Invalid, err) {
			t.Errorf("cluster %q: %v", name, err)
		}
		if _, err := a.Identity(name, clock.NewSystem()); !errs.Is(errs.Invalid, err) {
			t.Errorf("node %q: %v", name, err)
		}
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, a); got != "authority of cluster "+cluster {
			t.Errorf("%s: %s", format, got)
		}
	}
}
