package authority

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// MinSecret is the least number of bytes of a cluster secret: 128 bits, if they are
// random.
const MinSecret = 16

// purpose keeps keys that are computed from the same secret for other ends apart.
const purpose = "troupe cluster authority v1"

// Authority makes the certificates of a cluster's nodes, and knows which of others to
// accept. Immutable, and safe for concurrent use. It prints as its cluster's name:
// never its keys.
type Authority struct {
	cluster string
	signer  ed25519.PrivateKey
	root    *x509.Certificate
	roots   *x509.CertPool
}

// New makes the authority of a cluster, given by its uuid, from the cluster secret.
// Certificates that were made with one of the earlier secrets are accepted too.
// errs.Invalid if a secret has fewer than MinSecret bytes, or the name of the cluster
// cannot be part of a URI.
func New(cluster string, secret []byte, earlier ...[]byte) (*Authority, error) {
	const op errs.Op = "authority.New"
	if !plain(cluster) {
		return nil, errs.E(op, cluster, errs.Invalid, errors.New("a cluster is named by letters, digits, hyphens, dots and underscores"))
	}
	a := &Authority{cluster: cluster, roots: x509.NewCertPool()}
	for i, s := range append([][]byte{secret}, earlier...) {
		if len(s) < MinSecret {
			return nil, errs.E(op, cluster, errs.Invalid, fmt.Errorf("a cluster secret has at least %d bytes, and this one %d: take that many random ones", MinSecret, len(s)))
		}
		signer, root, err := rootOf(cluster, s)
		if err != nil {
			return nil, errs.E(op, cluster, errs.Internal, err)
		}
		a.roots.AddCert(root)
		if i == 0 {
			a.signer, a.root = signer, root
		}
	}
	return a, nil
}

// String implements fmt.Stringer.
func (a *Authority) String() string { return "authority of cluster " + a.cluster }

// GoString implements fmt.GoStringer, so that no format prints the keys.
func (a *Authority) GoString() string { return a.String() }

// rootOf computes the authority's key and certificate. Both are the same wherever they
// are computed: Ed25519 signs without randomness.
func rootOf(cluster string, secret []byte) (ed25519.PrivateKey, *x509.Certificate, error) {
	seed, err := hkdf.Key(sha256.New, secret, []byte(cluster), purpose, ed25519.SeedSize)
	if err != nil {
		return nil, nil, err
	}
	key := ed25519.NewKeyFromSeed(seed)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		// Of two secrets each has a name of its own, so that who verifies finds the right one.
		Subject:               pkix.Name{CommonName: fmt.Sprintf("Troupe cluster %s, authority %x", cluster, sha256.Sum256(key.Public().(ed25519.PublicKey)))},
		NotBefore:             time.Unix(0, 0),
		NotAfter:              time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC), // "no expiry", RFC 5280, 4.1.2.5
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // what it signs signs nothing
	}
	cert, err := sign(template, template, key.Public(), key)
	return key, cert, err
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// plain reports whether a name can be part of a URI as it is.
func plain(name string) bool {
	if name == "" || len(name) > 128 {
		return false
	}
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return name != "." && name != ".."
}
