package together

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/process/nodes"
	"github.com/troupe-storage/troupe/test/s3client"
)

// Consul goes away, and a node is killed before it is back: keys that only that node has
// are 503, and so are writes of those that it shares; all others are served. Consul comes
// back and has lost all it had: nobody makes another cluster of that, and nothing is
// written back as long as a node of the map is missing that might know better. With the
// node, what was lost is there again, under the same lineage, and the cluster goes on:
// nodes return, buckets are made, nodes join. Lost once more, with all nodes there, no
// request for an object fails.
func TestConsulLosesAll(t *testing.T) {
	t.Parallel()
	const each = 6
	w := newWorld(t, nodes.Config{Mountpaths: 2})
	ctx := t.Context()
	names, err := w.Spread(ctx, bucket, each)
	w.must(err)
	for _, of := range names {
		for _, name := range of {
			for _, in := range []string{bucket, twice} {
				if answer, err := w.s3[0].Put(ctx, in, name, []byte(name)); err != nil || !answer.OK() {
					t.Fatalf("%s: %v %+v", name, err, answer)
				}
			}
		}
	}
	before, err := w.Map(ctx)
	w.must(err)
	l := w.startLoad(bucket, 3, 48)
	l2 := w.startLoad(twice, 3, 48)
	l.More(100)

	const dead = 2
	w.must(w.Consul.Kill())
	w.must(w.Nodes[dead].Kill())
	w.awaitSaid("both others miss it", string(messages.ClusterNodeSilent), 2)
	served := func(when string) {
		t.Helper()
		for at := range dead {
			for owner, of := range names {
				for i, name := range of {
					read := w.surely
					if owner == dead {
						read = w.get
					}
					status, body := read(at, name)
					if owner == dead && status != http.StatusServiceUnavailable || owner != dead && (status != http.StatusOK || body != name) {
						t.Errorf("%s: %s of node %d at node %d: %d %s", when, name, owner, at, status, body)
					}
					owners := owners(before, twice, name, 2)
					shared := slices.Contains(owners, w.Nodes[dead].ID)
					write := func() (*s3client.Answer, error) { return w.s3[at].Put(ctx, twice, name, []byte(name)) }
					answer, err := write()
					w.must(err)
					if !shared {
						answer = w.until(write)
					}
					if shared != (answer.Status == http.StatusServiceUnavailable) || !shared && !answer.OK() {
						t.Errorf("%s: writing %s at node %d, kept by %v: %d %s", when, name, at, owners, answer.Status, answer.Body)
					}
					if i == 0 {
						l.More(1) // the load goes on
					}
				}
			}
		}
	}
	served("Consul is away")

	w.must(w.Consul.Wipe())
	w.must(w.Consul.Restart(ctx))
	w.awaitSaid("the leader says why nothing is written back", "the map was lost and is not restored yet", 1)
	if m, err := w.Map(ctx); err == nil {
		t.Errorf("with a node missing there is a map again: version %d", m.Version())
	}
	served("Consul has lost all, and a node is missing")
	for at := range dead {
		if answer, err := w.s3[at].Do(ctx, request("PUT", "made-meanwhile")); err != nil || answer.Status != http.StatusServiceUnavailable {
			t.Errorf("a bucket at node %d, with the map lost: %v %+v", at, err, answer)
		}
	}
	back := time.Now()
	w.must(w.Nodes[dead].Launch())
	w.restored(before, "the map is back")
	t.Logf("the map was back %.1f s after the missing node was", time.Since(back).Seconds())
	w.must(w.AwaitStates(ctx, "up up up"))
	w.must(w.Nodes[dead].AwaitReady(ctx))

	// Lost once more, with all nodes there.
	l.More(100)
	l2.More(100)
	trouble, upsets := l.Trouble()+l2.Trouble(), w.upsets()
	w.must(w.Consul.Kill())
	w.must(w.Consul.Wipe())
	l.More(100)
	back = time.Now()
	w.must(w.Consul.Restart(ctx))
	w.restored(before, "the map is back once more")
	t.Logf("with all nodes there it was back %.1f s after Consul was begun", time.Since(back).Seconds())
	l.More(100)
	l2.More(100)
	if n := l.Trouble() + l2.Trouble() - trouble; n > 0 && w.upsets() == upsets {
		t.Errorf("%d requests for objects were not served when Consul had lost all", n)
	}
	// The cluster goes on: buckets, and who joins it by its name.
	for at := range w.s3 {
		w.must(nodes.Await(ctx, "a bucket is made", func() (bool, string) {
			answer, err := w.s3[at].Do(ctx, request("PUT", "made-afterwards"))
			w.must(err)
			return answer.OK() || answer.Code == "BucketAlreadyOwnedByYou", string(answer.Body)
		}))
	}
	added, err := w.Add(ctx)
	w.must(err)
	w.must(w.AwaitMap(ctx, "a node joins", func(m *smap.Smap) bool {
		_, in := m.Node(added.ID)
		return in && m.Lineage() == before.Lineage()
	}))
	joined := s3client.New(added.S3, w.Keys())
	t.Cleanup(joined.Close)
	w.must(nodes.Await(ctx, "the bucket is there", func() (bool, string) {
		answer, err := joined.Get(ctx, bucket, names[0][0])
		w.must(err)
		return answer.Status == http.StatusOK, string(answer.Body)
	}))
	l.Judge()
	l2.Judge()
}

// restored waits until Consul has a map that continues one.
func (w *world) restored(before *smap.Smap, what string) {
	w.t.Helper()
	w.must(w.AwaitMap(w.t.Context(), what, func(m *smap.Smap) bool {
		if m.Lineage() != before.Lineage() || m.Version() < before.Version() {
			w.t.Fatalf("version %d of %s was followed by %d of %s", before.Version(), before.Lineage(), m.Version(), m.Lineage())
		}
		return true
	}))
}

// owners are the nodes that own a key of a bucket with so many copies.
func owners(m *smap.Smap, bucket, name string, copies int) []smap.NodeID {
	key := objects.Key{Bucket: objects.Bucket{Provider: "ais", Name: bucket}, Name: name}
	return m.View(smap.Key{Digest: key.Digest(), Owners: copies}).Owners
}

// said counts how often nodes wrote something to their logs.
func (w *world) said(text string) int {
	w.t.Helper()
	count := 0
	for _, n := range w.Nodes {
		log, err := os.ReadFile(n.LogPath())
		w.must(err)
		count += bytes.Count(log, []byte(text))
	}
	return count
}

// silences counts how often a node found that another one had been silent for too long.
func (w *world) silences() int { return w.said("event=" + string(messages.ClusterNodeSilent)) }

// upsets counts silences, and how often a node was told that one is down: that is written
// a moment later, also where the silence is over by then.
func (w *world) upsets() int { return w.silences() + w.said("state="+string(smap.Down)) }

// awaitSaid waits until nodes have written something to their logs so often.
func (w *world) awaitSaid(what, text string, count int) {
	w.t.Helper()
	w.must(nodes.Await(w.t.Context(), what, func() (bool, string) {
		n := w.said(text)
		return n >= count, fmt.Sprintf("%q: %d times", text, n)
	}))
}
