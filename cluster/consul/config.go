package consul

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Secret is a string that does not print itself.
type Secret string

const hidden = "(hidden)"

// String implements fmt.Stringer.
func (Secret) String() string { return hidden }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return hidden }

// MarshalText implements encoding.TextMarshaler, for JSON and logs.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Config says how Consul is reached. Of the environment's CONSUL_ variables only the
// namespace and partition of the Enterprise edition are looked at.
type Config struct {
	// Address is host:port, http://host:port, https://host:port or unix:///path. Default
	// 127.0.0.1:8500. With CAFile or CertFile, host:port is HTTPS.
	Address string
	// Token is the ACL token; empty: none. TokenFile holds it instead, and is read for
	// every request, so that it can be replaced.
	Token     Secret
	TokenFile string
	// Datacenter to ask; empty: the agent's own.
	Datacenter string
	// CAFile holds the certificates that the server's must come from; empty: the
	// system's. CertFile and KeyFile are what this side shows; empty: nothing.
	// ServerName is what the server's certificate must be for; empty: the host of
	// Address.
	CAFile, CertFile, KeyFile, ServerName string
	// Service is the name that nodes are registered under. Default "troupe".
	Service string
	// CallTime is how long a call may take that waits for nothing. Default 10 s.
	CallTime time.Duration
	// Dial opens connections; nil: the operating system's way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

func (c Config) filled() Config {
	if c.Address == "" {
		c.Address = "127.0.0.1:8500"
	}
	if c.Service == "" {
		c.Service = "troupe"
	}
	if c.CallTime == 0 {
		c.CallTime = 10 * time.Second
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{Timeout: c.CallTime, KeepAlive: 30 * time.Second}).DialContext
	}
	return c
}

// Validate reports all faults at once, as Invalid. It reads no file.
func (c Config) Validate() error {
	var faults []error
	if scheme, rest, ok := strings.Cut(c.Address, "://"); ok && (rest == "" || scheme != "http" && scheme != "https" && scheme != "unix") {
		faults = append(faults, fmt.Errorf("the address %q is none of host:port, http://…, https://…, unix://…", c.Address))
	}
	if c.Token != "" && c.TokenFile != "" {
		faults = append(faults, errors.New("there are a token and a token file: give one of them"))
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		faults = append(faults, errors.New("a certificate needs its key, and a key its certificate"))
	}
	if c.CallTime < 0 {
		faults = append(faults, fmt.Errorf("a call cannot take %s", c.CallTime))
	}
	if strings.HasPrefix(c.Address, "http://") && (c.CAFile != "" || c.CertFile != "") {
		faults = append(faults, errors.New("the address says http://, and there are certificates"))
	}
	if len(faults) == 0 {
		return nil
	}
	return errs.E("consul.Config", errs.Invalid, errors.Join(faults...))
}

// Provider is Consul as a cluster.Provider.
type Provider struct {
	config    Config
	client    *api.Client
	transport *http.Transport
	closed    context.Context // ends with Close
	close     context.CancelFunc
}

var _ cluster.Provider = (*Provider)(nil)

// New makes a provider. It reads the files of certificates, and asks nobody. The
// caller closes it.
func New(config Config) (*Provider, error) {
	const op errs.Op = "consul.New"
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.filled()
	security, err := config.tls()
	if err != nil {
		return nil, errs.E(op, errs.Invalid, err)
	}
	dial, address := config.Dial, config.Address
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		address = "localhost"
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return config.Dial(ctx, "unix", path) }
	}
	transport := &http.Transport{
		DialContext: dial, TLSClientConfig: security, TLSHandshakeTimeout: config.CallTime,
		MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second, ExpectContinueTimeout: time.Second,
	}
	clientConfig := &api.Config{
		Address: address, Datacenter: config.Datacenter, Scheme: "http",
		Transport: transport, HttpClient: &http.Client{Transport: &carrier{config: config, next: transport}},
	}
	if security != nil {
		clientConfig.Scheme = "https"
	}
	client, err := api.NewClient(clientConfig)
	if err != nil {
		return nil, errs.E(op, config.Address, errs.Invalid, err)
	}
	p := &Provider{config: config, client: client, transport: transport}
	p.closed, p.close = context.WithCancel(context.Background())
	return p, nil
}

// tls returns how connections are secured; nil: not at all.
func (c Config) tls() (*tls.Config, error) {
	if strings.HasPrefix(c.Address, "http://") || strings.HasPrefix(c.Address, "unix://") ||
		!strings.HasPrefix(c.Address, "https://") && c.CAFile == "" && c.CertFile == "" {
		return nil, nil
	}
	security := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, err
		}
		security.RootCAs = x509.NewCertPool()
		if !security.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", c.CAFile)
		}
	}
	if c.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile); err != nil {
			return nil, err
		}
		// Certificates live for months, nodes for years: each connection takes the one that
		// is there.
		security.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
			return &pair, err
		}
	}
	return security, nil
}

// Close implements cluster.Provider: it ends the calls under way and gives back the
// connections.
func (p *Provider) Close() error {
	p.close()
	p.transport.CloseIdleConnections()
	return nil
}
