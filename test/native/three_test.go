package native_test

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/actors/bucket"
	"github.com/troupe-storage/troupe/cluster/authority"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/supervisors"
)

// startThree starts three nodes with a road between them and one map for good, and
// returns them with a bucket of two copies that all of them have.
func startThree(t *testing.T, name string) []*node {
	t.Helper()
	of, err := authority.New("test", []byte("a secret that is long enough"))
	if err != nil {
		t.Fatal(err)
	}
	var entries []smap.Node
	var seen [3]atomic.Pointer[messages.NodeSet] // what each node sees of the others
	nodes := make([]*node, len(seen))
	for i := range nodes {
		id := fmt.Sprint("n", i)
		entries = append(entries, smap.Node{ID: smap.NodeID(id), Digest: smap.Digest(objects.DigestID(id))})
		identity, err := of.Identity(id, clock.NewSystem())
		if err != nil {
			t.Fatal(err)
		}
		nodes[i] = start(t, func(c *supervisors.Config) {
			c.Road = &supervisors.Road{
				Address: "127.0.0.1:0", Nodes: &seen[i], Server: identity.Server(), Client: identity.Client,
				Peer: func(state tls.ConnectionState) (string, error) { return authority.PeerOf(state) },
			}
		})
	}
	doc, err := nodes[0].Gateway().CreateBucket(t.Context(), name, objects.BucketProps{Copies: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes[1:] {
		adopt := &messages.AdoptBuckets{Docs: []*objects.BucketDoc{doc}, Reply: messages.NewReply[struct{}]()}
		n.System().Root().Send(n.System().PID("node/"+bucket.Name), adopt)
		if _, err := adopt.Reply.Wait("test.startThree", time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := smap.New("lineage", entries...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range nodes {
		set := &messages.NodeSet{Self: string(entries[i].ID), Map: keys}
		for j, n := range nodes {
			set.Nodes = append(set.Nodes, messages.NodeView{
				ID: string(entries[j].ID), Owns: true, Intra: n.Intra(), S3: "http://" + n.S3(), Native: "http://" + n.Native(),
			})
		}
		seen[i].Store(set)
	}
	return nodes
}

// mustSomewhere sends a request about a key to one node after the other until it comes to
// the one in charge, which is the one that sends it nowhere else.
func mustSomewhere(t *testing.T, nodes []*node, method, target, body string) answer {
	t.Helper()
	var said []string
	for _, n := range nodes {
		a := n.do(call{method: method, target: target, body: body})
		if a.status/100 == 2 {
			return a
		}
		if said = append(said, fmt.Sprint(a.status, " ", a.header.Get("Location"), " ", a.body)); a.status/100 != 3 {
			break
		}
	}
	t.Fatalf("%s %s: %q", method, target, said)
	return answer{}
}
