package together

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/process/nodes"
	"github.com/troupe-storage/troupe/test/s3client"
)

// How long a node that was away compares what it has with what others have, until it is
// up again: of a bucket of 60,000 objects with two copies, of which none, or some, were
// written while it was away.
//
//	go test ./test/together -run '^$' -bench Return -benchtime 3x
func BenchmarkReturn(b *testing.B) {
	const keys = 60_000
	c := nodes.ForTest(b, nodes.Config{})
	s3 := c.Clients()
	ctx := b.Context()
	if err := c.CreateBucket(ctx, twice, 2); err != nil {
		b.Fatal(err)
	}
	write := func(count int, at ...int) {
		const clients = 32
		failures := make([]error, clients)
		var done sync.WaitGroup
		for client := range clients {
			done.Go(func() {
				body := bytes.Repeat([]byte("0123456789abcdef"), 64)
				for i := client; i < count && failures[client] == nil; i += clients {
					put := func() (*s3client.Answer, error) {
						return s3[at[i%len(at)]].Put(ctx, twice, fmt.Sprintf("object-%06d", i), body)
					}
					answer, err := put()
					for err == nil && answer.Status == http.StatusServiceUnavailable { // a node knows a moment later who is down
						answer, err = put()
					}
					if err == nil {
						err = answer.Err()
					}
					failures[client] = err
				}
			})
		}
		done.Wait()
		if err := errors.Join(failures...); err != nil {
			b.Fatal(err)
		}
	}
	write(keys, 0, 1, 2)
	away := c.Nodes[1]
	// pass returns how long the node was recovering until it was up.
	pass := func() time.Duration {
		var began time.Time
		for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
			m, err := c.Map(ctx)
			if err != nil {
				b.Fatal(err)
			}
			switch n, _ := m.Node(away.ID); {
			case n.State == smap.Recovering && began.IsZero():
				began = time.Now()
			case n.State == smap.Up && !began.IsZero():
				tick.Stop()
				return time.Since(began)
			case n.State == smap.Up:
				b.Fatal("it was up again before anybody looked")
			}
		}
	}
	for _, changed := range []int{0, 6000} {
		b.Run(fmt.Sprintf("Changed%d", changed), func(b *testing.B) {
			var compared time.Duration
			for range b.N {
				if err := errors.Join(away.Kill(), c.AwaitStates(ctx, "up down up")); err != nil {
					b.Fatal(err)
				}
				write(changed, 0, 2)
				if err := away.Launch(); err != nil {
					b.Fatal(err)
				}
				compared += pass()
			}
			b.ReportMetric(compared.Seconds()/float64(b.N), "s")
			b.ReportMetric(0, "ns/op")
		})
	}
}
