package loader

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/troupe-storage/troupe/objects/errs"
)

// security says how HTTPS endpoints are verified. The zero value verifies by the
// authorities that the system trusts.
type security struct {
	insecure bool   // take any certificate
	ca       string // file with the authorities to trust instead, PEM; empty: the system's
}

// config returns the settings of TLS, nil for the zero value.
func (s security) config() (*tls.Config, error) {
	const op errs.Op = "loader.security"
	switch {
	case s == (security{}):
		return nil, nil
	case s.insecure && s.ca != "":
		return nil, errs.E(op, s.ca, errs.Invalid, errors.New("--insecure takes any certificate, --ca those of one authority: give one of the two"))
	case s.insecure:
		return &tls.Config{InsecureSkipVerify: true}, nil //nolint:gosec // the operator asked for it
	}
	content, err := os.ReadFile(s.ca)
	if err != nil {
		return nil, errs.E(op, s.ca, errs.IO, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(content) {
		return nil, errs.E(op, s.ca, errs.Invalid, errors.New("no certificate in PEM is in it"))
	}
	return &tls.Config{RootCAs: roots}, nil
}

// securityFor returns the settings for one host: HTTP/1.1, which is what the
// generator speaks, from TLS 1.2 on.
func securityFor(config *tls.Config, host string) *tls.Config {
	if config == nil {
		config = &tls.Config{}
	}
	config = config.Clone()
	config.ServerName, config.MinVersion = host, tls.VersionTLS12
	config.NextProtos = []string{"http/1.1"}
	return config
}

// cipher names the protocol and cipher of a connection, or nothing if it is plain.
func (c *connection) cipher() string {
	secured, is := c.tcp.(*tls.Conn)
	if !is {
		return ""
	}
	state := secured.ConnectionState()
	return fmt.Sprintf("%s, %s", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
}
