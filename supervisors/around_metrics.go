package supervisors

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/troupe-storage/troupe/httpedge/gateway"
)

// aroundMetrics tell of reads that go around the disks of a node of a cluster.
type aroundMetrics struct {
	gateway              *gateway.Gateway
	reads, failed, moved *prometheus.Desc
}

func newAroundMetrics(g *gateway.Gateway) *aroundMetrics {
	return &aroundMetrics{
		gateway: g,
		reads:   prometheus.NewDesc("troupe_reads_around_total", "Reads of keys of several nodes that went around a disk of this node, which is in charge of them: it failed, and other nodes were asked.", nil, nil),
		failed:  prometheus.NewDesc("troupe_reads_around_failed_total", "Those of them that failed nonetheless.", nil, nil),
		moved:   prometheus.NewDesc("troupe_bodies_around_total", "Answers that had begun from a disk of this node and went on from other nodes.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *aroundMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- m.reads
	out <- m.failed
	out <- m.moved
}

// Collect implements prometheus.Collector.
func (m *aroundMetrics) Collect(out chan<- prometheus.Metric) {
	reads, failed, bodies := m.gateway.Around()
	out <- prometheus.MustNewConstMetric(m.reads, prometheus.CounterValue, float64(reads))
	out <- prometheus.MustNewConstMetric(m.failed, prometheus.CounterValue, float64(failed))
	out <- prometheus.MustNewConstMetric(m.moved, prometheus.CounterValue, float64(bodies))
}
