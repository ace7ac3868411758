package supervisors

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/httpedge"
	"github.com/troupe-storage/troupe/httpedge/access"
	"github.com/troupe-storage/troupe/httpedge/browser"
)

// EdgeConfig says how the listeners of a node speak. The zero value is plain HTTP
// without access log.
type EdgeConfig struct {
	// TLSCert and TLSKey are the PEM files of a certificate (its chain behind it) and
	// its key: both or none. The listeners in TLSListeners speak HTTPS with them, and
	// follow the files when they change.
	TLSCert, TLSKey string
	TLSListeners    []string // "native", "s3"; default both

	// AcceptRegions are the regions that signatures may be for, beside Region;
	// AnyRegion: any. Default any. In those that are named, buckets may be made too.
	AcceptRegions []string
	// NoSignatureV2 refuses requests that are signed with Signature Version 2.
	NoSignatureV2 bool

	// TrustedProxies are the addresses and prefixes from which X-Forwarded-For and
	// X-Forwarded-Proto are believed.
	TrustedProxies []string

	AccessLog       string // path, "-" for standard output; empty: none
	AccessLogFormat string // "s3" (default), as Amazon S3's server access logs, or "json"
}

// AnyRegion among EdgeConfig.AcceptRegions stands for all of them.
const AnyRegion = "*"

// MaxRootOverlap is the longest that a changed root pair may stay good.
const MaxRootOverlap = 24 * time.Hour

func (c EdgeConfig) withDefaults() EdgeConfig {
	if c.TLSListeners == nil {
		c.TLSListeners = []string{"native", "s3"}
	}
	if c.AcceptRegions == nil {
		c.AcceptRegions = []string{AnyRegion}
	}
	if c.AccessLogFormat == "" {
		c.AccessLogFormat = string(access.S3)
	}
	return c
}

// TLS reports whether the listener ("native", "s3") speaks HTTPS.
func (c EdgeConfig) TLS(listener string) bool {
	return c.TLSCert != "" && slices.Contains(c.TLSListeners, listener)
}

// edgeFaults says what is wrong with how the listeners are to speak.
func (c Config) edgeFaults() []fault {
	var faults []fault
	bad := func(setting, format string, args ...any) {
		faults = append(faults, fault{setting, fmt.Sprintf(format, args...)})
	}
	e := c.Edge
	if (e.TLSCert == "") != (e.TLSKey == "") {
		missing := "tls-key"
		if e.TLSCert == "" {
			missing = "tls-cert"
		}
		bad(missing, "it is not set though the other of tls-cert and tls-key is; HTTPS needs both files")
	}
	for _, l := range e.TLSListeners {
		if l != "native" && l != "s3" {
			bad("tls-listener", "%q is neither native nor s3", l)
		}
	}
	for _, r := range append([]string{c.Region}, e.AcceptRegions...) {
		if r == AnyRegion && r != c.Region {
			continue
		}
		if r == "" || strings.ContainsAny(r, "/ ,\"<>&") || len(r) > 64 {
			bad("accept-region", "%q is no name of a region, such as eu-central-1, nor %q for any", r, AnyRegion)
		}
	}
	for _, d := range c.Domains {
		if !isHostName(d) {
			bad("domain", "%q is not a host name without port, such as s3.example.com", d)
		}
	}
	for _, h := range c.NativeHosts {
		if !isHostName(h) || strings.Contains(h, "*") && h != browser.AnyName {
			bad("native-host", "%q is not a host name without port, such as store.example.com, nor %q for any", h, browser.AnyName)
		}
	}
	if _, err := httpedge.ParseProxies(e.TrustedProxies); err != nil {
		bad("trusted-proxy", "%v", err)
	}
	switch access.Format(e.AccessLogFormat) {
	case access.S3, access.JSON:
	default:
		bad("access-log-format", "%q is neither %q nor %q", e.AccessLogFormat, access.S3, access.JSON)
	}
	if c.RootOverlap < 0 || c.RootOverlap > MaxRootOverlap {
		bad("root-overlap", "%s; 0s to %s", c.RootOverlap, MaxRootOverlap)
	}
	return faults
}

func isHostName(name string) bool {
	return name != "" && !strings.ContainsAny(name, ":/ ") && !strings.HasPrefix(name, ".")
}

// signedRegions returns the regions that signatures may be for, the node's first;
// nil for any.
func (c Config) signedRegions() []string {
	if slices.Contains(c.Edge.AcceptRegions, AnyRegion) {
		return nil
	}
	return append([]string{c.Region}, c.Edge.AcceptRegions...)
}

// bucketRegions returns the regions, beside the node's own, that buckets may be
// made in: those that are named.
func (c Config) bucketRegions() []string {
	return slices.DeleteFunc(slices.Clone(c.Edge.AcceptRegions), func(r string) bool { return r == AnyRegion })
}
