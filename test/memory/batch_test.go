package memory_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/troupe-storage/troupe/test/process"
)

// 50 batches at a time, of many items and of large ones, stay within the budget: an archive
// is never in memory but for a slab of it. Each is whole, or told to come back.
func TestBatchesWithinBudget(t *testing.T) {
	const large, items = 8 << 20, 400
	node := process.ForTest(t, process.Config{Args: []string{"--memory", "256MiB"}})
	client := process.ClientForTest(t, node, bucket)
	var one, many strings.Builder
	for n := range items {
		name, separator := fmt.Sprintf("small-%03d", n), ","
		if n == 0 {
			separator = ""
		}
		if answer, err := client.Put(t.Context(), bucket, name, bytes.Repeat([]byte{byte(n)}, n*100)); err != nil || !answer.OK() {
			t.Fatal(answer, err)
		}
		fmt.Fprintf(&many, `%s{"objname":%q},{"objname":"none"}`, separator, name)
	}
	if answer, err := client.Put(t.Context(), bucket, "large", bytes.Repeat([]byte("x"), large)); err != nil || !answer.OK() {
		t.Fatal(answer, err)
	}
	one.WriteString(`{"objname":"large"}` + strings.Repeat(`,{"objname":"large"}`, 3)) // 32 MiB, of which no more than a slab is held
	wanted := map[string]int64{one.String(): 4 * large, many.String(): 100 * items * (items - 1) / 2}
	var reading sync.WaitGroup
	var mu sync.Mutex
	done, refused := 0, 0
	for reader := range readers {
		reading.Go(func() {
			list := one.String()
			if reader%2 == 0 {
				list = many.String()
			}
			body := fmt.Sprintf(`{"strm":true,"coer":true,"in":[%s]}`, list)
			request, err := http.NewRequest("GET", "http://"+node.Native+"/v1/ml/moss/"+bucket, strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			size, err := bytesOfMembers(response.Body)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case response.StatusCode == http.StatusServiceUnavailable:
				refused++
			case err != nil || response.StatusCode != http.StatusOK || size != wanted[list]:
				t.Errorf("status %d, %d bytes of %d: %v", response.StatusCode, size, wanted[list], err)
			default:
				done++
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
	t.Logf("%d batches were whole, %d told to come back; at most %d MiB resident", done, refused, peak>>20)
	if done == 0 {
		t.Error("no batch was whole")
	}
	if err := node.Await(t.Context(), "everything is given back", func(m process.Metrics) bool { return m["troupe_slabs_in_use"] == 0 }); err != nil {
		t.Error(err)
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// bytesOfMembers reads a tar to its end.
func bytesOfMembers(from io.Reader) (size int64, err error) {
	reader := tar.NewReader(from)
	for {
		if _, err := reader.Next(); err == io.EOF {
			return size, nil
		} else if err != nil {
			return size, err
		}
		n, err := io.Copy(io.Discard, reader)
		if size += n; err != nil {
			return size, err
		}
	}
}
