package together

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process/nodes"
	"github.com/troupe-storage/troupe/test/s3client"
)

// meter measures what all nodes of a cluster cost in processor time.
type meter struct {
	b       *testing.B
	cluster *nodes.Cluster
	idle    float64 // seconds per second of a clock, while nobody asks for anything
}

// newMeter looks for a second at what nodes cost that do nothing: on a machine with
// other work, requests take long, and idling goes on meanwhile.
func newMeter(b *testing.B, c *nodes.Cluster) *meter {
	m := &meter{b: b, cluster: c}
	before := m.seconds()
	time.Sleep(time.Second)
	m.idle = m.seconds() - before
	return m
}

// seconds is the time that threads of the nodes have run, to the nanosecond. What
// threads ran that have ended is missing; those of Go stay.
func (m *meter) seconds() float64 {
	m.b.Helper()
	sum := 0.0
	for _, n := range m.cluster.Nodes {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", n.PID()))
		if err != nil || len(stats) == 0 {
			m.b.Fatalf("node %s: %v: %v", n.ID, stats, err)
		}
		for _, name := range stats {
			text, err := os.ReadFile(name)
			if err != nil {
				continue // the thread has ended
			}
			ran, err := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
			if err != nil {
				m.b.Fatal(err)
			}
			sum += ran / 1e9
		}
	}
	return sum
}

// round is how many requests are measured together.
const round = 100

// compare runs b.N rounds of each way in turn, so that other work of the machine meets
// all of them, and reports the median of what a request costs the nodes together, in
// µs above what they cost while idle, and of the ratio to the first way.
func (m *meter) compare(ways []string, request func(way, i int)) {
	costs, ratios := make([][]float64, len(ways)), make([][]float64, len(ways))
	for i := range m.b.N {
		for way := range ways {
			began, before := time.Now(), m.seconds()
			for j := range round {
				request(way, i*round+j)
			}
			cost := m.seconds() - before - m.idle*time.Since(began).Seconds()
			costs[way] = append(costs[way], cost*1e6/round)
			ratios[way] = append(ratios[way], costs[way][i]/costs[0][i])
		}
	}
	for way, name := range ways {
		m.b.ReportMetric(median(costs[way]), name+"-µs")
		if way > 0 {
			m.b.ReportMetric(median(ratios[way]), name+"/"+ways[0])
		}
	}
	m.b.ReportMetric(0, "ns/op")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// What a GET and a PUT of 1 MiB cost all nodes together, asked of the node in charge
// and of another, which relays it.
//
//	go test ./test/together -run '^$' -bench Relay -benchtime 30x
func BenchmarkRelay(b *testing.B) {
	c := nodes.ForTest(b, nodes.Config{})
	s3 := c.Clients()
	if err := s3[0].CreateBucket(b.Context(), bucket); err != nil {
		b.Fatal(err)
	}
	names, err := c.Spread(b.Context(), bucket, 8)
	if err != nil {
		b.Fatal(err)
	}
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	put := func(b *testing.B, at *s3client.Client, name string) {
		if answer, err := at.Put(b.Context(), bucket, name, body); err != nil || !answer.OK() {
			b.Fatalf("%s: %v %+v", name, err, answer)
		}
	}
	for _, name := range names[0] {
		put(b, s3[0], name)
	}
	ways := []string{"local", "relayed"}
	b.Run("Get1MiB", func(b *testing.B) {
		newMeter(b, c).compare(ways, func(way, i int) {
			answer, err := s3[way].Get(b.Context(), bucket, names[0][i%8])
			if err != nil || len(answer.Body) != len(body) {
				b.Fatalf("%v %+v", err, answer)
			}
		})
	})
	b.Run("Put1MiB", func(b *testing.B) {
		newMeter(b, c).compare(ways, func(way, i int) { put(b, s3[way], names[0][i%8]) })
	})
}

// What a PUT costs all nodes together whose bucket keeps two copies, beside one that
// keeps one.
//
//	go test ./test/together -run '^$' -bench Copies -benchtime 30x
func BenchmarkCopies(b *testing.B) {
	c := nodes.ForTest(b, nodes.Config{})
	s3 := c.Clients()
	ways := []string{"one-copy", "two-copies"}
	names := make([][]string, len(ways))
	for way, name := range ways {
		if err := c.CreateBucket(b.Context(), name, way+1); err != nil {
			b.Fatal(err)
		}
		spread, err := c.Spread(b.Context(), name, 8)
		if err != nil {
			b.Fatal(err)
		}
		names[way] = spread[0]
	}
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("Put%dKiB", size>>10), func(b *testing.B) {
			body := bytes.Repeat([]byte("0123456789abcdef"), size/16)
			newMeter(b, c).compare(ways, func(way, i int) {
				if answer, err := s3[0].Put(b.Context(), ways[way], names[way][i%8], body); err != nil || !answer.OK() {
					b.Fatalf("%v %+v", err, answer)
				}
			})
		})
	}
}
