package supervisors

import (
	"os"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/troupe-storage/troupe/httpedge"
	"github.com/troupe-storage/troupe/httpedge/access"
	"github.com/troupe-storage/troupe/httpedge/native"
)

// openEdgeFiles reads the certificate and opens the access log, where there are to
// be such: what is wrong with them is said before anything else is touched.
func (n *Node) openEdgeFiles() (err error) {
	e := n.config.Edge
	if e.TLSCert != "" {
		if n.certificate, err = httpedge.LoadCertificate(e.TLSCert, e.TLSKey); err != nil {
			return err
		}
	}
	if e.AccessLog != "" {
		n.access, err = access.Open(access.Options{File: e.AccessLog, Format: access.Format(e.AccessLogFormat), Errors: n.log, Clock: n.clock})
	}
	return err
}

// equip gives the listeners what the settings say of how they speak.
func (n *Node) equip(listeners []httpedge.Listener) error {
	proxies, err := httpedge.ParseProxies(n.config.Edge.TrustedProxies)
	if err != nil {
		return err
	}
	for i := range listeners {
		l := &listeners[i]
		l.Access, l.Proxies = n.access, proxies
		if n.config.Edge.TLS(l.Name) {
			l.Certificate = n.certificate
			if l.Name == "native" {
				l.Early = native.WaitsForRedirect
			}
		}
	}
	return nil
}

// nativeNames are the names by which a listener that asks for no token may be called.
func (n *Node) nativeNames() []string {
	names := slices.Concat(n.config.NativeHosts, n.config.Domains)
	if machine, err := os.Hostname(); err == nil { // else it has no name of its own
		names = append(names, machine)
	}
	return names
}

// edgeMetrics collects what the edges know of themselves.
type edgeMetrics struct {
	certificate *httpedge.Certificate
	access      *access.Log

	expires, written, dropped *prometheus.Desc
}

func newEdgeMetrics(certificate *httpedge.Certificate, log *access.Log) *edgeMetrics {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc("troupe_"+name, help, nil, nil) }
	return &edgeMetrics{
		certificate: certificate, access: log,
		expires: desc("tls_certificate_expires_seconds", "When the certificate of the listeners ends, in seconds since 1970."),
		written: desc("access_log_lines_total", "Lines written to the access log."),
		dropped: desc("access_log_dropped_total", "Lines lost: the queue was full, or the file took none."),
	}
}

// Describe implements prometheus.Collector.
func (m *edgeMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- m.expires
	out <- m.written
	out <- m.dropped
}

// Collect implements prometheus.Collector.
func (m *edgeMetrics) Collect(out chan<- prometheus.Metric) {
	if m.certificate != nil {
		out <- prometheus.MustNewConstMetric(m.expires, prometheus.GaugeValue, float64(m.certificate.Expires().Unix()))
	}
	if m.access != nil {
		out <- prometheus.MustNewConstMetric(m.written, prometheus.CounterValue, float64(m.access.Written()))
		out <- prometheus.MustNewConstMetric(m.dropped, prometheus.CounterValue, float64(m.access.Dropped()))
	}
}
