package supervisors

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/troupe-storage/troupe/httpedge/gateway"
)

// memberMetrics tell of the indexes by which members of shards are found.
type memberMetrics struct {
	gateway             *gateway.Gateway
	number, bytes, look *prometheus.Desc
}

func newMemberMetrics(g *gateway.Gateway) *memberMetrics {
	return &memberMetrics{
		gateway: g,
		number:  prometheus.NewDesc("troupe_member_indexes", "Indexes of members of shards that are in memory.", nil, nil),
		bytes:   prometheus.NewDesc("troupe_member_index_bytes", "What they take of it.", nil, nil),
		look:    prometheus.NewDesc("troupe_member_index_looks_total", "How often a shard was to be read by an index of its members, by where that came from: memory, disk, made; none: there was none to be had, and the shard was gone through.", []string{"from"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *memberMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- m.number
	out <- m.bytes
	out <- m.look
}

// Collect implements prometheus.Collector.
func (m *memberMetrics) Collect(out chan<- prometheus.Metric) {
	seen := m.gateway.MemberIndexes()
	out <- prometheus.MustNewConstMetric(m.number, prometheus.GaugeValue, float64(seen.Number))
	out <- prometheus.MustNewConstMetric(m.bytes, prometheus.GaugeValue, float64(seen.Bytes))
	for from, times := range map[string]int64{"memory": seen.Found, "disk": seen.Kept, "made": seen.Made, "none": seen.Missed} {
		out <- prometheus.MustNewConstMetric(m.look, prometheus.CounterValue, float64(times), from)
	}
}
