package kill

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/history"
	"github.com/troupe-storage/troupe/test/process"
)

// A node is killed under writers; each write and each delete that it acknowledged has its
// entry in the history, with the id of the request as the client saw it, before the kill
// and after it. The control: an id that no client saw is in none.
func TestKilledNodeRemembersWhatItAcknowledged(t *testing.T) {
	node := process.ForTest(t, process.Config{Args: []string{"--memory", "256MiB"}})
	s3 := process.ClientForTest(t, node, bucket)
	const (
		writers = 8
		acks    = 40 // of each, at most: the kill comes first
		kills   = 3
	)
	acknowledged := make([]map[string][]string, writers) // of each writer: ids by key
	for w := range acknowledged {
		acknowledged[w] = make(map[string][]string)
	}
	for kill := range kills {
		ctx, cancel := context.WithCancel(t.Context())
		var half sync.WaitGroup // of the writers have got as far
		half.Add(writers)
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				told := false
				defer func() {
					if !told {
						half.Done()
					}
				}()
				for i := 0; ctx.Err() == nil; i++ {
					key := fmt.Sprintf("w%d/%d", w, i%5)
					size := 100
					if i%4 == 3 {
						size = 100 << 10 // a file
					}
					answer, err := s3.Put(ctx, bucket, key, payload(uint64(i), size))
					if err != nil || !answer.OK() {
						return // the node was killed
					}
					acknowledged[w][key] = append(acknowledged[w][key], answer.Header.Get("x-amz-request-id"))
					if i%7 == 6 {
						if answer, err = s3.Delete(ctx, bucket, key); err != nil || !answer.OK() {
							return
						}
						acknowledged[w][key] = append(acknowledged[w][key], answer.Header.Get("x-amz-request-id"))
					}
					if i == acks/2 {
						told = true
						half.Done()
					}
				}
			})
		}
		half.Wait()
		if err := node.Kill(); err != nil {
			t.Fatal(err)
		}
		cancel()
		group.Wait()
		if err := node.Restart(t.Context()); err != nil {
			t.Fatalf("after kill %d: %v", kill, err)
		}
	}
	connection, err := client.New(client.Config{Endpoint: "http://" + node.Native, Credentials: process.Keys()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(connection.Close)
	ask := history.Client{Control: client.Control{Connection: connection}}
	total := 0
	for _, keys := range acknowledged {
		for key, ids := range keys {
			answer, err := ask.Get(t.Context(), bucket, key, history.MaxLimit)
			if err != nil {
				t.Fatal(err)
			}
			if len(answer.Unanswered) > 0 || answer.More {
				t.Fatalf("%s: %+v", key, answer)
			}
			for _, id := range append(slices.Clone(ids), "never") {
				entries := 0
				for _, e := range answer.Entries {
					if e.Request == id {
						entries++
					}
				}
				if want := map[bool]int{true: 0, false: 1}[id == "never"]; entries != want {
					t.Errorf("%s: request %s has %d entries, want %d", key, id, entries, want)
				}
			}
			total += len(ids)
		}
	}
	if total < kills*writers*acks/2 {
		t.Errorf("%d writes were acknowledged, too few to say anything", total)
	}
	t.Logf("%d acknowledged over %d kills, all recorded", total, kills)
}
