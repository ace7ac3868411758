package together

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process/nodes"
)

// What 1,000 members of 100 shards cost all nodes together, and how long they take: by one
// get-batch, and by a GET for each, over 16 connections, which are sent to the node in
// charge.
//
//	go test ./test/together -run '^$' -bench Batch -benchtime 5x
func BenchmarkBatch(b *testing.B) {
	for _, count := range []int{1, 3} {
		b.Run(fmt.Sprintf("Nodes%d", count), func(b *testing.B) { batchBeside(b, nodes.ForTest(b, nodes.Config{Count: count})) })
	}
}

func batchBeside(b *testing.B, c *nodes.Cluster) {
	const shards, members, asked, size = 100, 20, 1000, 16 << 10
	client := c.Clients()[0]
	if err := client.CreateBucket(b.Context(), bucket); err != nil {
		b.Fatal(err)
	}
	var made bytes.Buffer
	shard := tar.NewWriter(&made)
	for n := range members {
		if err := shard.WriteHeader(&tar.Header{Name: fmt.Sprintf("%04d.png", n), Size: size, Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			b.Fatal(err)
		}
		if _, err := shard.Write(bytes.Repeat([]byte{byte(n)}, size)); err != nil {
			b.Fatal(err)
		}
	}
	if err := shard.Close(); err != nil {
		b.Fatal(err)
	}
	for n := range shards {
		if answer, err := client.Put(b.Context(), bucket, fmt.Sprintf("shard-%03d.tar", n), made.Bytes()); err != nil || !answer.OK() {
			b.Fatalf("%v %+v", err, answer)
		}
	}
	base := c.Nodes[0].URL(c.Nodes[0].Native)
	web := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	// get returns the bytes of an answer.
	get := func(target, body string) int64 {
		request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, base+target, strings.NewReader(body))
		if err != nil {
			b.Error(err)
			return 0
		}
		answer, err := web.Do(request)
		if err != nil {
			b.Error(err)
			return 0
		}
		defer answer.Body.Close()
		n, err := io.Copy(io.Discard, answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			b.Errorf("%s: %d, %v", target, answer.StatusCode, err)
		}
		return n
	}
	random := rand.New(rand.NewPCG(1, 1))
	var items, single []string
	for i := range asked { // ten of each shard, the shards one after the other
		name, member := fmt.Sprintf("shard-%03d.tar", i/(asked/shards)), fmt.Sprintf("%04d.png", random.IntN(members))
		items = append(items, fmt.Sprintf(`{"objname":%q,"archpath":%q}`, name, member))
		single = append(single, "/v1/objects/"+bucket+"/"+name+"?archpath="+member)
	}
	body := `{"strm":true,"in":[` + strings.Join(items, ",") + `]}`
	m := newMeter(b, c)
	var costs, walls [2][]float64
	var ratios []float64
	for i := range b.N {
		for way := range 2 {
			began, before := time.Now(), m.seconds()
			if way == 0 {
				if n := get("/v1/ml/moss/"+bucket, body); n < asked*size {
					b.Fatalf("a batch of %d bytes", n)
				}
			} else {
				var reading sync.WaitGroup
				for reader := range 16 {
					reading.Go(func() {
						for j := reader; j < asked; j += 16 {
							if n := get(single[j], ""); n != size {
								b.Errorf("%s: %d bytes", single[j], n)
							}
						}
					})
				}
				reading.Wait()
			}
			took := time.Since(began).Seconds()
			walls[way] = append(walls[way], took*1e3)
			costs[way] = append(costs[way], (m.seconds()-before-m.idle*took)*1e3)
		}
		ratios = append(ratios, costs[0][i]/costs[1][i])
	}
	b.ReportMetric(median(costs[0]), "batch-cpu-ms")
	b.ReportMetric(median(costs[1]), "gets-cpu-ms")
	b.ReportMetric(median(ratios), "batch/gets")
	b.ReportMetric(median(walls[0]), "batch-ms")
	b.ReportMetric(median(walls[1]), "gets-ms")
	b.ReportMetric(0, "ns/op")
}
