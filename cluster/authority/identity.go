package authority

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

const (
	// lifetime of a certificate, from when it is made.
	lifetime = 7 * 24 * time.Hour
	// skew is by how much the clocks of two nodes may differ.
	skew = 24 * time.Hour
	// renewAfter is how old a certificate may be when it is shown.
	renewAfter = 24 * time.Hour
)

// scheme of the URI that names a node in its certificate.
const scheme = "troupe"

// Identity is a node as its cluster's authority vouches for it. Safe for concurrent
// use.
type Identity struct {
	authority *Authority
	node      string
	clock     clock.Clock

	mu   sync.Mutex
	leaf *tls.Certificate // nil: none was needed yet
	made time.Time
}

// Identity returns the identity of a node, by its id. errs.Invalid if that cannot be
// part of a URI.
func (a *Authority) Identity(node string, clock clock.Clock) (*Identity, error) {
	if !plain(node) {
		return nil, errs.E("authority.Identity", node, errs.Invalid, errors.New("a node is named by letters, digits, hyphens, dots and underscores"))
	}
	return &Identity{authority: a, node: node, clock: clock}, nil
}

// Server returns how a listener speaks TLS that takes connections of the cluster's
// nodes and of nobody else. Who is at the other end, PeerOf says.
func (i *Identity) Server() *tls.Config {
	c := i.config()
	c.ClientAuth = tls.RequireAnyClientCert // verify has the last word, and names the cause
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.certificate() }
	c.VerifyConnection = func(state tls.ConnectionState) error {
		_, err := i.verify(state, x509.ExtKeyUsageClientAuth)
		return err
	}
	return c
}

// Client returns how a connection to a node is made: nobody else is talked to, whoever
// has its address by now.
func (i *Identity) Client(node string) *tls.Config {
	c := i.config()
	// The authority and the name in the certificate are checked by VerifyConnection,
	// which runs on resumed connections too: addresses prove nothing.
	c.InsecureSkipVerify = true
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return i.certificate() }
	c.VerifyConnection = func(state tls.ConnectionState) error {
		peer, err := i.verify(state, x509.ExtKeyUsageServerAuth)
		if err == nil && peer != node {
			return errs.E("authority.verify", node, errs.Denied, fmt.Errorf("node %s answers at its address", peer))
		}
		return err
	}
	return c
}

func (i *Identity) config() *tls.Config {
	// Small records at the beginning of a connection are for readers who show what they
	// have of a page; nodes wait for all of it.
	return &tls.Config{MinVersion: tls.VersionTLS13, Time: i.clock.Now, DynamicRecordSizingDisabled: true}
}

// PeerOf returns the node at the other end of a connection that Server or Client has
// let through; errs.Denied if it has no certificate that names one.
func PeerOf(state tls.ConnectionState) (node string, err error) {
	if len(state.PeerCertificates) == 0 {
		return "", errs.E("authority.PeerOf", errs.Denied, errNameless)
	}
	_, node, err = namesIn(state.PeerCertificates[0])
	return node, err
}

var errNameless = errors.New("a certificate of a cluster's node is needed, and there is none")

// verify checks who is at the other end, and returns its node.
func (i *Identity) verify(state tls.ConnectionState, use x509.ExtKeyUsage) (node string, err error) {
	const op errs.Op = "authority.verify"
	if len(state.PeerCertificates) == 0 {
		return "", errs.E(op, errs.Denied, errNameless)
	}
	leaf := state.PeerCertificates[0]
	cluster, node, err := namesIn(leaf)
	if err != nil {
		return "", err
	}
	if cluster != i.authority.cluster {
		return "", errs.E(op, node, errs.Denied, fmt.Errorf("it is a node of cluster %s, and this is cluster %s", cluster, i.authority.cluster))
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: i.authority.roots, CurrentTime: i.clock.Now(), KeyUsages: []x509.ExtKeyUsage{use}})
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "", errs.E(op, node, errs.Denied, fmt.Errorf("%w: compare the clocks of both nodes", err))
	case err != nil:
		return "", errs.E(op, node, errs.Denied, fmt.Errorf("%w: it may have another cluster secret", err))
	}
	return node, nil
}

// namesIn returns which cluster and node a certificate names.
func namesIn(leaf *x509.Certificate) (cluster, node string, err error) {
	if len(leaf.URIs) != 1 || leaf.URIs[0].Scheme != scheme || len(leaf.URIs[0].Path) < 2 {
		return "", "", errs.E("authority.namesIn", leaf.Subject.CommonName, errs.Denied, errNameless)
	}
	return leaf.URIs[0].Host, leaf.URIs[0].Path[1:], nil
}

// certificate returns the node's certificate, a new one if it has become old, or if
// somebody has set the clock.
func (i *Identity) certificate() (*tls.Certificate, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.clock.Now()
	if age := now.Sub(i.made); i.leaf != nil && age < renewAfter && age > -renewAfter {
		return i.leaf, nil
	}
	leaf, err := i.authority.issue(i.node, now)
	if err != nil {
		return nil, errs.E("authority.certificate", i.node, errs.Internal, err)
	}
	i.leaf, i.made = leaf, now
	return leaf, nil
}

// issue makes a certificate for a node, with a key of its own.
func (a *Authority) issue(node string, now time.Time) (*tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	cert, err := sign(&x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: node},
		URIs:         []*url.URL{{Scheme: scheme, Host: a.cluster, Path: "/" + node}},
		NotBefore:    now.Add(-skew),
		NotAfter:     now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, a.root, public, a.signer)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: private, Leaf: cert}, nil
}
