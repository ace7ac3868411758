package together

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/troupe-storage/troupe/test/process/nodes"
	"github.com/troupe-storage/troupe/test/s3client"
	"github.com/troupe-storage/troupe/test/soak"
)

// What one node has acknowledged, another one lists at once, whoever is in charge of the
// key: an object that was written is in the listing, with the size that it has now, and
// one that was deleted is not. With one copy and with two.
func TestListAfterWrite(t *testing.T) {
	t.Parallel()
	l := newLister(t)
	l.list(rand.Uint64(), 2000)
	// Negative control: who looks at a listing that was made before the write says that it
	// is stale.
	l.early = true
	if stale := l.many(0, 200); stale < 100 {
		t.Errorf("of 200 lists that were made before the write, only %d are stale", stale)
	}
}

// The same, for long.
func TestListAfterWriteSoak(t *testing.T) {
	slice := soak.Begin(t, soak.Row{Name: "list-after-write", Unit: "lists after writes at another node", Goal: 100_000})
	l := newLister(t)
	for slice.More() {
		seed, count := slice.Next(), min(5000, int(slice.Left()))
		l.list(seed, count)
		slice.Add(int64(count), seed+1)
	}
}

// lister writes, and lists elsewhere.
type lister struct {
	*world
	early bool // lists are made before what they are to show
}

func newLister(t *testing.T) *lister { return &lister{world: newWorld(t, nodes.Config{Mountpaths: 1})} }

// list fails if any of so many lists is stale.
func (l *lister) list(seed uint64, count int) {
	l.t.Helper()
	if stale := l.many(seed, count); stale > 0 {
		l.t.Errorf("seed %d: %d of %d lists are stale", seed, stale, count)
	}
}

// many makes so many writes, each of a client's own keys, through one node, and a list
// through another one after each, and returns how many lists did not show the write. By
// chance a third of the keys are in the charge of who writes, of who lists, and of neither.
func (l *lister) many(seed uint64, count int) (stale int64) {
	l.t.Logf("seed %d", seed)
	const clients = 8
	var working sync.WaitGroup
	var wrong atomic.Int64
	for number := range clients {
		random := rand.New(rand.NewPCG(seed, uint64(number)))
		working.Go(func() {
			prefix := fmt.Sprintf("list-%d-%d/", seed, number)
			sizes := make(map[string]int64) // of what is there
			for range count / clients {
				key, size := fmt.Sprint(prefix, random.IntN(30)), int64(random.IntN(4000))
				in := []string{bucket, twice}[number%2]
				writer := random.IntN(len(l.s3))
				reader := (writer + 1 + random.IntN(len(l.s3)-1)) % len(l.s3)
				var had map[string]int64
				if l.early {
					had = l.listed(reader, in, prefix)
				}
				if _, there := sizes[key]; there && random.IntN(3) == 0 {
					answer := l.until(func() (*s3client.Answer, error) { return l.s3[writer].Delete(l.t.Context(), in, key) })
					if answer.Status != http.StatusNoContent {
						l.t.Errorf("deleting %s at node %d: %+v", key, writer, answer)
						return
					}
					delete(sizes, key)
				} else {
					answer := l.until(func() (*s3client.Answer, error) { return l.s3[writer].Put(l.t.Context(), in, key, make([]byte, size)) })
					if !answer.OK() {
						l.t.Errorf("writing %s at node %d: %+v", key, writer, answer)
						return
					}
					sizes[key] = size
				}
				if !l.early {
					had = l.listed(reader, in, prefix)
				}
				want, there := sizes[key]
				got, is := had[key]
				if is != there || got != want || len(had) != len(sizes) {
					wrong.Add(1)
					if !l.early {
						l.t.Errorf("%s, written at node %d: node %d lists it: %v, of %d bytes, %d keys; want %v, %d bytes, %d keys",
							key, writer, reader, is, got, len(had), there, want, len(sizes))
					}
				}
			}
		})
	}
	working.Wait()
	return wrong.Load()
}

// listed is what a node lists, sizes by name.
func (l *lister) listed(at int, bucket, prefix string) map[string]int64 {
	var listed []s3client.Listed
	l.must(nodes.Await(l.t.Context(), "a listing", func() (bool, string) {
		var err error
		listed, err = l.s3[at].List(l.t.Context(), bucket, prefix, 1000)
		return err == nil, fmt.Sprint(err)
	}))
	all := make(map[string]int64)
	for _, o := range listed {
		all[o.Key] = o.Size
	}
	return all
}
