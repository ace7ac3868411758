package supervisors

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/troupe-storage/troupe/httpedge/gateway"
)

// sweepMetrics tell of the delete markers of a node of a cluster.
type sweepMetrics struct {
	gateway       *gateway.Gateway
	kept, dropped *prometheus.Desc
}

func newSweepMetrics(g *gateway.Gateway) *sweepMetrics {
	return &sweepMetrics{
		gateway: g,
		kept:    prometheus.NewDesc("troupe_tombstones", "Delete markers that could not be dropped when the node last looked at all of them: a node that keeps their keys is away, a plan moves them, or they are not settled.", nil, nil),
		dropped: prometheus.NewDesc("troupe_tombstones_dropped_total", "Delete markers that the node has dropped because nobody needs them any more.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *sweepMetrics) Describe(out chan<- *prometheus.Desc) { out <- m.kept; out <- m.dropped }

// Collect implements prometheus.Collector.
func (m *sweepMetrics) Collect(out chan<- prometheus.Metric) {
	kept, dropped := m.gateway.Tombstones()
	out <- prometheus.MustNewConstMetric(m.kept, prometheus.GaugeValue, float64(kept))
	out <- prometheus.MustNewConstMetric(m.dropped, prometheus.CounterValue, float64(dropped))
}
