package together

import (
	"bytes"
	"testing"

	"github.com/troupe-storage/troupe/test/process/nodes"
)

// What a GET of 1 MiB costs all nodes together, asked of the node in charge and of another,
// which relays it. `cpu-µs/op` is user and system time of the three processes, divided by
// requests.
//
//	go test ./test/together -run '^$' -bench Get1MiB -benchtime 2000x
func BenchmarkGet1MiB(b *testing.B) {
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
	for _, name := range names[0] {
		if answer, err := s3[0].Put(b.Context(), bucket, name, body); err != nil || !answer.OK() {
			b.Fatalf("%s: %v %+v", name, err, answer)
		}
	}
	cpu := func() float64 {
		sum := 0.0
		for _, n := range c.Nodes {
			m, err := n.Metrics(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			sum += m["process_cpu_seconds_total"]
		}
		return sum
	}
	for way, at := range map[string]int{"local": 0, "relayed": 1} {
		b.Run(way, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			before := cpu()
			for i := range b.N {
				answer, err := s3[at].Get(b.Context(), bucket, names[0][i%8])
				if err != nil || len(answer.Body) != len(body) {
					b.Fatalf("%v %+v", err, answer)
				}
			}
			b.ReportMetric((cpu()-before)*1e6/float64(b.N), "cpu-µs/op")
		})
	}
}
