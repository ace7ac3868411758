package memory_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/troupe-storage/troupe/test/process"
)

// 50 readers of members of shards, each of another one, stay within the budget: the shards
// that they unpack, and the indexes that are made for them, are bounded. Each answer is
// right, or told to come back.
func TestShardReadersWithinBudget(t *testing.T) {
	const shards, members, size = 10, 3000, 4 << 10
	node := process.ForTest(t, process.Config{Args: []string{"--memory", "256MiB"}})
	client := process.ClientForTest(t, node, bucket)
	var made bytes.Buffer
	packed := gzip.NewWriter(&made)
	archive := tar.NewWriter(packed)
	name := func(n int) string { return fmt.Sprintf("%s/%06d", strings.Repeat("long", 30), n) }
	content := func(n int) string { return strings.Repeat(fmt.Sprintf("%08d", n), size/8) }
	for n := range members {
		if err := archive.WriteHeader(&tar.Header{Name: name(n), Size: size, Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(archive, content(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range shards {
		if answer, err := client.Put(t.Context(), bucket, fmt.Sprintf("shard-%d.tgz", i), made.Bytes()); err != nil || !answer.OK() {
			t.Fatal(answer, err)
		}
	}
	var reading sync.WaitGroup
	var mu sync.Mutex
	done, refused := 0, 0
	for reader := range readers {
		reading.Go(func() {
			random := rand.New(rand.NewPCG(uint64(reader), 1))
			for range 4 {
				n := random.IntN(members)
				query := "archpath=" + name(n)
				if reader%10 == 0 { // some members of many
					query = "archmode=suffix&archregx=" + fmt.Sprintf("%06d", n)
				}
				response, err := http.Get(fmt.Sprintf("http://%s/v1/objects/%s/shard-%d.tgz?%s", node.Native, bucket, random.IntN(shards), query))
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(response.Body)
				response.Body.Close()
				mu.Lock()
				switch {
				case err == nil && response.StatusCode == http.StatusServiceUnavailable:
					refused++
				case err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), content(n)):
					t.Errorf("%s: %d, %d bytes: %v", query, response.StatusCode, len(body), err)
				default:
					done++
				}
				mu.Unlock()
			}
		})
	}
	reading.Wait()
	peak, err := node.ResidentPeak()
	if err == nil {
		err = judge(peak)
	}
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d members of shards of %d members were read, %d told to come back; at most %d MiB resident", done, members, refused, peak>>20)
	if done == 0 {
		t.Error("nothing was read")
	}
	if err := node.Await(t.Context(), "everything is given back", func(m process.Metrics) bool { return m["troupe_slabs_in_use"] == 0 }); err != nil {
		t.Error(err)
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
