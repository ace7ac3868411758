package supervisors

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/httpedge"
	"github.com/troupe-storage/troupe/httpedge/auth"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Reload takes over, from settings that were read again, what can be changed while
// the node runs: the root pair and its overlap, level and format of the log, plans and
// give-up-after; and it looks at the files of the certificate and opens the access log
// anew. Settings that differ and need a restart are named in the log, and the rest is
// taken over all the same. With an error nothing was taken over but what it does not
// name. Not to be called concurrently, nor with Stop.
func (n *Node) Reload(next Config) error {
	const op errs.Op = "supervisors.Reload"
	next = next.WithDefaults()
	config := n.config
	config.RootAccessKey, config.RootSecretKey, config.RootOverlap = next.RootAccessKey, next.RootSecretKey, next.RootOverlap
	if err := config.Validate(); err != nil {
		return errs.E(op, errs.Invalid, err)
	}
	if fixed := needRestart(n.given, next); len(fixed) > 0 {
		n.log.WithField("settings", strings.Join(fixed, ", ")).Warn("settings that were changed need a restart of the node")
	}
	n.config = config
	if next.Log != n.config.Log {
		n.config.Log.SetFormatter(next.Log.Formatter)
	}
	n.tuning.give(next)
	var failures []error
	pair := auth.Root{AccessKey: config.RootAccessKey, SecretKey: config.RootSecretKey}
	if n.keys.Change(pair, config.RootOverlap) {
		n.log.WithFields(logrus.Fields{"access-key": pair.AccessKey, "overlap": config.RootOverlap.String()}).
			Info("root key pair changed; the one before it is good for the overlap")
		if err := n.accounts.seedChanged(config); err != nil {
			failures = append(failures, err)
		}
	}
	if n.certificate != nil {
		n.system.Root().Send(n.system.PID(nodeName+"/certificate"), &httpedge.LookAgain{})
	}
	if n.access != nil {
		failures = append(failures, n.access.Reopen())
	}
	if err := errors.Join(failures...); err != nil {
		return errs.E(op, err)
	}
	n.log.Info("settings were read again")
	return nil
}

// needRestart names the settings that differ and cannot change while a node runs.
func needRestart(now, next Config) []string {
	pairs := []struct {
		setting string
		a, b    any
	}{
		{"data", now.Data, next.Data}, {"native", now.Native, next.Native}, {"s3", now.S3, next.S3}, {"intra", now.Intra, next.Intra},
		{"remote", now.Remote, next.Remote}, {"profile", now.Profile, next.Profile}, {"region", now.Region, next.Region},
		{"native-auth", now.NativeAuth, next.NativeAuth}, {"native-token", now.NativeToken, next.NativeToken},
		{"native-host", now.NativeHosts, next.NativeHosts},
		{"domain", now.Domains, next.Domains}, {"memory", now.MemoryBytes, next.MemoryBytes}, {"min-part", now.MinPartBytes, next.MinPartBytes},
		{"max-connections", now.MaxConnections, next.MaxConnections}, {"inline", now.InlineBytes, next.InlineBytes}, {"reserve", now.Reserve, next.Reserve}, {"scrub-days", now.ScrubDays, next.ScrubDays}, {"history", now.History, next.History},
		{"quarantine-panics", now.Quarantine.Panics, next.Quarantine.Panics}, {"quarantine-within", now.Quarantine.Within, next.Quarantine.Within},
		{"tls-cert", now.Edge.TLSCert, next.Edge.TLSCert}, {"tls-key", now.Edge.TLSKey, next.Edge.TLSKey},
		{"tls-listener", now.Edge.TLSListeners, next.Edge.TLSListeners}, {"accept-region", now.Edge.AcceptRegions, next.Edge.AcceptRegions},
		{"s3-signature-v2", !now.Edge.NoSignatureV2, !next.Edge.NoSignatureV2},
		{"trusted-proxy", now.Edge.TrustedProxies, next.Edge.TrustedProxies},
		{"consul", now.Cluster.Consul, next.Cluster.Consul}, {"cluster", now.Cluster.Name, next.Cluster.Name},
		{"consul-token", now.Cluster.Token, next.Cluster.Token}, {"consul-token-file", now.Cluster.TokenFile, next.Cluster.TokenFile},
		{"consul-ca", now.Cluster.CAFile, next.Cluster.CAFile}, {"consul-cert", now.Cluster.CertFile, next.Cluster.CertFile},
		{"consul-key", now.Cluster.KeyFile, next.Cluster.KeyFile}, {"advertise", now.Cluster.Advertise, next.Cluster.Advertise},
		{"cluster-secret", now.Cluster.Secret, next.Cluster.Secret}, {"cluster-secret-file", now.Cluster.SecretFile, next.Cluster.SecretFile},
		{"seal-key-file", now.SealKeyFile, next.SealKeyFile}, {"seal-key-file-before", now.SealKeyFileBefore, next.SealKeyFileBefore},
		{"faults", now.Faults != nil, next.Faults != nil},
		{"access-log", now.Edge.AccessLog, next.Edge.AccessLog}, {"access-log-format", now.Edge.AccessLogFormat, next.Edge.AccessLogFormat},
	}
	var names []string
	for _, p := range pairs {
		if !reflect.DeepEqual(p.a, p.b) {
			names = append(names, p.setting)
		}
	}
	slices.Sort(names)
	return names
}

// ready says why the node cannot serve now, or nil: no mountpath can be used, or its
// cluster does not count on it.
func (n *Node) ready() error {
	if why := n.unready(); why != "" {
		return errs.E("supervisors.ready", errs.Offline, errors.New(why))
	}
	roster := n.roster.Load()
	if roster == nil {
		return errs.E("supervisors.ready", errs.Offline, errors.New("no mountpath yet"))
	}
	var away []string
	for _, m := range roster.Mountpaths {
		if m.Offline == "" {
			return nil
		}
		away = append(away, m.Path+": "+m.Offline)
	}
	return errs.E("supervisors.ready", errs.Offline, fmt.Errorf("no mountpath can be used: %s", strings.Join(away, "; ")))
}
