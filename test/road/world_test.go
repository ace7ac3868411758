// Package road runs several whole nodes in the test's own process, with the road
// between them over loopback and a fixed map, and asks each of them for everything:
// what one node answers, all of them answer, whoever is in charge of a key.
//
// Start with world_test.go; same_test.go is what must be equal, broken_test.go what
// must not break.
package road

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/cluster/authority"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
	"github.com/troupe-storage/troupe/test/s3client"
)

// patience is how long a test waits for an event that must come.
const patience = time.Minute

// bucketName is the bucket that every node has.
const bucketName = "bucket"

// member is one node of a world.
type member struct {
	*supervisors.Node
	id    string
	nodes atomic.Pointer[messages.NodeSet]
	lanes messages.LaneMap // of a world whose map changes under way
	peers broken           // likewise: what stands between it and the others
	desk  *faults.Desk     // of a world whose disks can be broken
	s3    *s3client.Client
}

// world is some nodes that know each other.
type world struct {
	t         *testing.T
	authority *authority.Authority
	members   []*member
	replaced  chan struct{}
	moving    bool // nodes adopt maps as those of a cluster do
	breaking  bool // nodes have fault desks
}

// newWorld starts nodes, each with a bucket. One node alone has no road.
func newWorld(t *testing.T, count int) *world { return begin(&world{t: t}, count) }

// newMovingWorld is newWorld for maps that change while requests are under way.
func newMovingWorld(t *testing.T, count int) *world { return begin(&world{t: t, moving: true}, count) }

// newBreakingWorld is newMovingWorld for disks that break.
func newBreakingWorld(t *testing.T, count int) *world {
	return begin(&world{t: t, moving: true, breaking: true}, count)
}

func begin(w *world, count int) *world {
	t, moving := w.t, w.moving
	t.Helper()
	a, err := authority.New("test", []byte("a secret that is long enough"))
	if err != nil {
		t.Fatal(err)
	}
	w.authority = a
	for i := range count {
		w.members = append(w.members, w.start(fmt.Sprintf("n%d", i), count > 1))
	}
	switch {
	case moving:
		m := w.keys(1)
		w.adopt(m)
		w.awaitMap(m)
	case count > 1:
		w.publish(1)
	}
	return w
}

func (w *world) identity(id string) *authority.Identity {
	identity, err := w.authority.Identity(id, clock.NewSystem())
	if err != nil {
		w.t.Fatal(err)
	}
	return identity
}

func (w *world) start(id string, road bool) *member {
	w.t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	m := &member{id: id}
	config := supervisors.Config{Native: "127.0.0.1:0", S3: "127.0.0.1:0", MemoryBytes: 128 << 20, LimitHeap: func(int64) {}, InlineBytes: 8 << 10, MinPartBytes: 1, Log: log}
	dir := w.t.TempDir()
	for i := range 2 {
		config.Data = append(config.Data, filepath.Join(dir, fmt.Sprint("d", i)))
	}
	if w.breaking {
		m.desk = faults.New(faults.Options{})
		config.Faults = m.desk
	}
	if road {
		identity := w.identity(id)
		config.Road = &supervisors.Road{
			Address: "127.0.0.1:0", Nodes: &m.nodes, Server: identity.Server(), Client: identity.Client,
			Peer: func(state tls.ConnectionState) (string, error) { return authority.PeerOf(state) },
		}
		if w.moving {
			config.Road.Lanes = &m.lanes
			config.Road.SweepTime = 20 * time.Millisecond // tombstones go under everything that such a world is tested for
			config.Road.Peers = func(p gateway.Peers) gateway.Peers {
				m.peers.Peers = p
				return &m.peers
			}
		}
	}
	node, err := supervisors.Start(config)
	if err != nil {
		w.t.Fatal(err)
	}
	m.Node = node
	m.s3 = s3client.New(node.S3(), sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey})
	w.t.Cleanup(func() { m.stop(w.t) })
	if err := m.s3.CreateBucket(context.Background(), bucketName); err != nil {
		w.t.Fatal(err)
	}
	return m
}

// stop ends a node. Idempotent.
func (m *member) stop(t *testing.T) {
	if m.Node == nil {
		return
	}
	m.s3.Close()
	// An index that died of a broken disk says so.
	if err := m.Stop(); err != nil && (m.desk == nil || !errors.Is(err, faults.ErrInjected) && !errors.Is(err, syscall.EIO)) {
		t.Errorf("node %s did not stop cleanly: %v", m.id, err)
	}
	m.Node = nil
}

// keys is the map of a version: all nodes own keys and serve. From one to the next all
// change their state, so that nothing asked under the one is answered under the other.
func (w *world) keys(version uint64) *smap.Smap {
	var nodes []smap.Node
	for _, x := range w.members {
		nodes = append(nodes, smap.Node{ID: smap.NodeID(x.id), Digest: smap.Digest(objects.DigestID(x.id))})
	}
	m, err := smap.New("lineage", nodes...)
	for err == nil && m.Version() < version {
		change := m.Change()
		for _, node := range m.Nodes() {
			state := smap.Draining
			if node.State == state {
				state = smap.Up
			}
			change.SetState(node.ID, node.Since, state)
		}
		m, err = change.Done()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// set is the nodes as one of them sees them, under a version of the map.
func (w *world) set(self string, version uint64, replaced chan struct{}) *messages.NodeSet {
	set := &messages.NodeSet{Self: self, Map: w.keys(version), Replaced: replaced}
	for _, x := range w.members {
		view := messages.NodeView{ID: x.id, Owns: true}
		if x.Node == nil {
			view.Away = "it was stopped"
		} else {
			view.Intra, view.S3, view.Native = x.Intra(), "http://"+x.S3(), "http://"+x.Native()
		}
		set.Nodes = append(set.Nodes, view)
	}
	return set
}

// publish gives every node a map.
func (w *world) publish(version uint64) {
	before := w.replaced
	w.replaced = make(chan struct{})
	for _, x := range w.members {
		x.nodes.Store(w.set(x.id, version, w.replaced))
	}
	if before != nil {
		close(before)
	}
}

// owner is the node in charge of a key of the bucket, and the first that is not.
func (w *world) owner(name string) (owner, other *member) {
	key := objects.Key{Bucket: objects.Bucket{Provider: "ais", Name: bucketName}, Name: name}
	id := w.keys(1).View(smap.Key{Digest: key.Digest(), Owners: 1}).InCharge
	i := slices.IndexFunc(w.members, func(m *member) bool { return m.id == string(id) })
	return w.members[i], w.members[(i+1)%len(w.members)]
}

// foreign is a key that a node is not in charge of but another is.
func (w *world) foreign(of *member, owner *member) string {
	for i := 0; ; i++ {
		name := fmt.Sprint("key-", i)
		if at, _ := w.owner(name); at == owner && at != of {
			return name
		}
	}
}

// quiet waits until no node holds memory for a payload: nothing was leaked.
func (w *world) quiet() {
	w.t.Helper()
	end := time.Now().Add(patience)
	for _, m := range w.members {
		for m.Node != nil && m.Slabs().InUse() > 0 {
			if time.Now().After(end) {
				w.t.Fatalf("node %s still holds %d slabs", m.id, m.Slabs().InUse())
			}
			<-time.After(10 * time.Millisecond)
		}
	}
}

func must(t *testing.T, answer *s3client.Answer, err error) *s3client.Answer {
	t.Helper()
	if err == nil {
		err = answer.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// adopt has every node that runs adopt a map, as a cluster's membership does; those that
// the map has down are not asked by the others. It does not wait.
func (w *world) adopt(m *smap.Smap) {
	for _, x := range w.members {
		if x.Node != nil {
			w.adoptAt(x, m)
		}
	}
}

// adoptAt has one node adopt a map.
func (w *world) adoptAt(x *member, m *smap.Smap) {
	set := &messages.NodeSet{Self: x.id, Map: m}
	for _, y := range w.members {
		view := messages.NodeView{ID: y.id, Owns: true}
		entry, _ := m.Node(smap.NodeID(y.id))
		switch {
		case entry.State.Away() && y != x:
			view.Away = "it is down"
		case y.Node != nil:
			view.Intra, view.S3, view.Native = y.Intra(), "http://"+y.S3(), "http://"+y.Native()
		}
		set.Nodes = append(set.Nodes, view)
	}
	x.AdoptNodes(set)
}

// awaitMap waits until requests at all nodes that run see a map.
func (w *world) awaitMap(m *smap.Smap) {
	w.t.Helper()
	end := time.Now().Add(patience)
	for _, x := range w.members {
		for x.Node != nil && x.nodes.Load().Map != m {
			if time.Now().After(end) {
				w.t.Fatalf("node %s does not act on version %d", x.id, m.Version())
			}
			<-time.After(time.Millisecond)
		}
	}
}
