package supervisors

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/cluster"
	"github.com/troupe-storage/troupe/cluster/authority"
	"github.com/troupe-storage/troupe/cluster/consul"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Secret is a string that does not print itself.
type Secret = consul.Secret

// ClusterConfig says to which cluster a node belongs. The zero value: to none but its
// own.
type ClusterConfig struct {
	// Name is that of the cluster, for people and for nodes that join it; empty: the node
	// is alone.
	Name string
	// Consul is the address of the Consul agent of this machine: HOST:PORT,
	// http(s)://HOST:PORT or unix:///PATH.
	Consul string
	// Token, or what is in TokenFile, is Consul's ACL token; neither: none.
	Token     Secret
	TokenFile string
	// CAFile, CertFile and KeyFile are for TLS to the agent; empty: see consul.Config.
	CAFile, CertFile, KeyFile string
	// Secret, or what is in SecretFile, is what all nodes of the cluster share, and nobody
	// else has: at least authority.MinSecret bytes.
	Secret     Secret
	SecretFile string
	// Advertise is the host or address at which others reach this node; default: that of
	// its intra listener.
	Advertise string
	// Plans says whether plans begin by themselves: PlansAutomatic or PlansManual; empty:
	// what the cluster shares, or PlansAutomatic. What the node that leads follows counts.
	Plans string
	// GiveUpAfter is how long a node is down until it is given up by itself, where nothing is
	// lost by that; NeverGiveUp: never; 0: what the cluster shares, or DefaultGiveUpAfter.
	// What the node that leads follows counts.
	GiveUpAfter time.Duration
	// Provider, if not nil, takes the place of Consul; for tests. The node does not close it.
	Provider cluster.Provider
	// Dial, if not nil, makes the connections to other nodes, below TLS; for tests.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Awake, if not nil, takes the place of the machine's clock by which the node finds that it
	// is alone (member.Config.Awake); for tests.
	Awake func() time.Duration
	// Peers, if not nil, is Road.Peers of this node; for tests.
	Peers func(gateway.Peers) gateway.Peers
}

// How plans begin.
const (
	PlansAutomatic = "automatic" // a node that joins is given its part of the keys
	PlansManual    = "manual"    // an operator says when
)

const (
	// DefaultGiveUpAfter is longer than a restart of a machine.
	DefaultGiveUpAfter = 15 * time.Minute
	// NeverGiveUp leaves it to operators.
	NeverGiveUp = time.Duration(-1)
	minGiveUp   = 2 * time.Minute
)

// giveUpAfter is how long a node is down until it is given up; 0: for ever.
func (c ClusterConfig) giveUpAfter() time.Duration {
	switch c.GiveUpAfter {
	case 0:
		return DefaultGiveUpAfter
	case NeverGiveUp:
		return 0
	}
	return c.GiveUpAfter
}

// awake is the clock by which the node finds that it is alone.
func (c ClusterConfig) awake() func() time.Duration {
	if c.Awake != nil {
		return c.Awake
	}
	return Awake
}

// enabled reports whether the node belongs to a cluster.
func (c ClusterConfig) enabled() bool { return c.Name != "" || c.Consul != "" || c.Provider != nil }

// consul is how Consul is reached.
func (c ClusterConfig) consul() consul.Config {
	return consul.Config{
		Address: c.Consul, Token: c.Token, TokenFile: c.TokenFile,
		CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile,
	}
}

// maxClusterName keeps a name fit for a tag in DNS.
const maxClusterName = 63

// clusterFaults says what is wrong with the settings of the cluster.
func (c Config) clusterFaults() []fault {
	var faults []fault
	bad := func(setting, format string, args ...any) {
		faults = append(faults, fault{setting, fmt.Sprintf(format, args...)})
	}
	p := c.Cluster
	if !p.enabled() {
		for _, s := range []struct{ setting, value string }{
			{"cluster-secret", string(p.Secret)}, {"cluster-secret-file", p.SecretFile}, {"consul-token", string(p.Token)},
			{"consul-token-file", p.TokenFile}, {"consul-ca", p.CAFile}, {"consul-cert", p.CertFile}, {"consul-key", p.KeyFile}, {"advertise", p.Advertise},
			{"plans", p.Plans},
		} {
			if s.value != "" {
				bad(s.setting, "it is set, and the node joins no cluster; set consul and cluster, or leave it out")
			}
		}
		return faults
	}
	if p.Consul == "" && p.Provider == nil {
		bad("consul", "it is not set, and cluster is; give the address of this machine's Consul agent, for example 127.0.0.1:8500")
	}
	if p.Consul != "" {
		if err := p.consul().Validate(); err != nil {
			bad("consul", "%v", err)
		}
	}
	switch {
	case p.Name == "":
		bad("cluster", "it is not set, and consul is; give the name of the cluster, the same on all of its nodes")
	case len(p.Name) > maxClusterName || strings.Trim(p.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "":
		bad("cluster", "%q is not a name of 1 to %d letters, digits and '-'", p.Name, maxClusterName)
	}
	switch {
	case p.Secret != "" && p.SecretFile != "":
		bad("cluster-secret", "it is given twice: by itself and by cluster-secret-file")
	case p.SecretFile == "" && p.Secret == "":
		bad("cluster-secret-file", "nodes of a cluster know each other by a secret; put at least %d random bytes into a file, the same for all nodes (openssl rand -hex 32), and name it", authority.MinSecret)
	case p.SecretFile == "" && len(p.Secret) < authority.MinSecret:
		bad("cluster-secret", "it has %d bytes; at least %d", len(p.Secret), authority.MinSecret)
	}
	if err := checkPlans(p.Plans); p.Plans != "" && err != nil {
		bad(tunablePlans, "%v", err)
	}
	if _, err := ParseGiveUpAfter(giveUpText(p.GiveUpAfter)); err != nil {
		bad(tunableGiveUp, "%v", err)
	}
	host, _, err := net.SplitHostPort(c.Intra)
	switch {
	case p.Advertise != "" && !isHostName(p.Advertise) && net.ParseIP(p.Advertise) == nil:
		bad("advertise", "%q is neither a host name nor an address, without port", p.Advertise)
	case err == nil && p.Advertise == "" && isUnspecified(host):
		bad("advertise", "it is not set, and intra (%s) listens on every address; give the one at which other nodes reach this one", c.Intra)
	}
	return faults
}

// isUnspecified reports whether a listener on the host takes connections to every
// address.
func isUnspecified(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// secret returns the cluster's secret.
func (c ClusterConfig) secret() ([]byte, error) {
	const op errs.Op = "supervisors.secret"
	if c.SecretFile == "" {
		return []byte(c.Secret), nil
	}
	text, err := os.ReadFile(c.SecretFile)
	if err != nil {
		return nil, errs.E(op, c.SecretFile, errs.Invalid, err)
	}
	text = bytes.TrimSpace(text)
	if len(text) < authority.MinSecret {
		return nil, errs.E(op, c.SecretFile, errs.Invalid, fmt.Errorf("it holds %d bytes; at least %d", len(text), authority.MinSecret))
	}
	return text, nil
}

// advertised is the address of a listener as other nodes reach it.
func (c Config) advertised(bound string) string {
	host, port, err := net.SplitHostPort(bound)
	if err != nil {
		return bound
	}
	if c.Cluster.Advertise != "" {
		return net.JoinHostPort(c.Cluster.Advertise, port)
	}
	if isUnspecified(host) { // the intra listener's is none of these
		if at, _, err := net.SplitHostPort(c.Intra); err == nil {
			host = at
		}
	}
	return net.JoinHostPort(host, port)
}
