package million_test

import (
	"bytes"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/s3client"
)

func TestManyParts(t *testing.T)            { manyParts(t, 500) }
func TestTenThousandPartsSoak(t *testing.T) { manyParts(t, 10_000) }

// An object of many parts is completed by one commit, whatever their number, and
// is then the sum of its parts.
func manyParts(t *testing.T, count int) {
	if count == 10_000 && os.Getenv("TROUPE_SOAK") == "" {
		t.Skip("TROUPE_SOAK is not set: ten thousand synced parts take a minute")
	}
	_, client := start(t, "--min-part", "1")
	id, answer, err := client.CreateUpload(t.Context(), bucket, "parts")
	if err != nil || !answer.OK() {
		t.Fatal(answer, err)
	}
	parts := make([]s3client.Part, count)
	var next atomic.Int64
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= count || t.Failed() {
					return
				}
				answer, err := client.PutPart(t.Context(), bucket, "parts", id, i+1, body(i))
				if err == nil {
					err = answer.Err()
				}
				if err != nil {
					t.Errorf("part %d: %v", i+1, err)
					return
				}
				parts[i] = s3client.Part{Number: i + 1, ETag: answer.ETag()}
			}
		})
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
	began := time.Now()
	answer, err = client.Complete(t.Context(), bucket, "parts", id, parts)
	took := time.Since(began)
	if err == nil {
		err = answer.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d parts were completed in %s", count, took.Round(time.Millisecond))
	answer, err = client.Get(t.Context(), bucket, "parts")
	if err == nil {
		err = answer.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 0, count*bodyBytes)
	for i := range count {
		want = append(want, body(i)...)
	}
	if !bytes.Equal(answer.Body, want) {
		t.Errorf("%d bytes came back, which are not the %d that were put", len(answer.Body), len(want))
	}
}
