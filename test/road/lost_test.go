package road

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/s3client"
)

// loseDisk takes a mountpath from a node with what is on it, as an operator does whose disk
// has died.
func (m *member) loseDisk(t *testing.T, number int) {
	t.Helper()
	path := m.Roster().Mountpaths[number].Path
	supervisor := m.System().PID("node/" + mountpath.Name)
	disable := &messages.DisableMountpath{Path: path, Reply: messages.NewReply[messages.MountpathStatus]()}
	m.System().Root().Send(supervisor, disable)
	if _, err := disable.Reply.Wait("test.loseDisk", patience); err != nil {
		t.Fatal(err)
	}
	remove := &messages.RemoveMountpath{Path: path, Force: true, Reply: messages.NewReply[messages.MountpathStatus]()}
	m.System().Root().Send(supervisor, remove)
	if _, err := remove.Reply.Wait("test.loseDisk", patience); err != nil {
		t.Fatal(err)
	}
}

// found has a node believe that it has caught up with what it lost.
func (m *member) found(t *testing.T) {
	t.Helper()
	var ids []string
	for _, l := range m.Roster().Lost {
		ids = append(ids, l.ID)
	}
	found := &messages.FoundMountpaths{IDs: ids, Reply: messages.NewReply[struct{}]()}
	m.System().Root().Send(m.System().PID("node/"+mountpath.Name), found)
	if _, err := found.Reply.Wait("test.found", patience); err != nil {
		t.Fatal(err)
	}
}

// statuses asks a node for keys, and counts the answers by status.
func statuses(t *testing.T, m *member, bucket string, names []string) map[int]int {
	t.Helper()
	counts := make(map[int]int)
	for _, name := range names {
		answer, err := m.s3.Get(context.Background(), bucket, name)
		if err != nil {
			t.Fatal(err)
		}
		counts[answer.Status]++
	}
	return counts
}

// losing is three nodes with keys of two copies, of which the first node, in charge of some,
// has lost one of two mountpaths; the others do not know.
func losing(t *testing.T) (w *world, doc *objects.BucketDoc, victim *member, names, lost []string) {
	t.Helper()
	w = newMovingWorld(t, 3)
	doc = w.share("pair", objects.BucketProps{Copies: 2})
	victim = w.members[0]
	view := victim.Roster().Mountpaths[1]
	for i := range 60 {
		name := fmt.Sprint("key-", i)
		answer, err := w.members[i%3].s3.Put(context.Background(), doc.Name, name, []byte(name))
		must(t, answer, err)
		names = append(names, name)
		key := objects.Key{Bucket: doc.Bucket, Name: name}
		if c := chargeOf(t, victim, doc, name); acks(c.AckSet, victim.id) && victim.Roster().Owner(key.Digest()).ID == view.ID {
			lost = append(lost, name)
		}
	}
	if len(lost) < 5 {
		t.Fatalf("only %d keys are on the mountpath", len(lost))
	}
	victim.loseDisk(t, 1)
	return w, doc, victim, names, lost
}

// What was on a lost mountpath is unknown where other nodes have it: asked for it, a node
// in charge of it has it from them, or answers 503, and lists nothing; the key is not made
// anew. Once it is
// recovering, others are in charge; it fetches what they have, and then has all. If it
// believed that it had, it would say 404 of what another node has.
func TestLostIsUnknown(t *testing.T) {
	w, doc, victim, names, lost := losing(t)
	m := w.members[1].nodes.Load().Map
	ours := 0
	for _, name := range lost {
		key := objects.Key{Bucket: doc.Bucket, Name: name}
		if !victim.Roster().IsUnknown(key.Digest()) {
			t.Fatalf("%s is not unknown", name)
		}
		if c := chargeOf(t, victim, doc, name); !c.Ours() {
			continue
		}
		ours++
		victim.peers.stayHome.Store(true)
		answer, err := w.members[1].s3.Get(context.Background(), doc.Name, name)
		if err != nil || answer.Status != http.StatusServiceUnavailable {
			t.Fatalf("%s: %v, %+v", name, err, answer)
		}
		victim.peers.stayHome.Store(false)
		if answer, err = w.members[1].s3.Get(context.Background(), doc.Name, name); err != nil || string(answer.Body) != name {
			t.Fatalf("%s, which another node has: %v, %+v", name, err, answer)
		}
		create := s3client.Request{Method: "PUT", Bucket: doc.Name, Key: name, Body: []byte("again"), Header: []objects.Pair{{Name: "If-None-Match", Value: "*"}}}
		if answer, err = w.members[2].s3.Do(context.Background(), create); err != nil || answer.Status != http.StatusServiceUnavailable {
			t.Fatalf("making %s: %v, %+v", name, err, answer)
		}
	}
	if ours == 0 {
		t.Fatal("it is in charge of none of them: the test says nothing")
	}
	if _, err := w.members[1].s3.List(context.Background(), doc.Name, "", 100); err == nil {
		t.Fatal("a list without what it lost")
	}

	m = becomes(t, m, victim.id, smap.Recovering)
	w.adopt(m)
	w.awaitMap(m)
	for _, asked := range w.members {
		if counts := statuses(t, asked, doc.Name, names); counts[http.StatusOK] != len(names) {
			t.Fatalf("asked at %s while it recovers: %v", asked.id, counts)
		}
		if listed, err := asked.s3.List(context.Background(), doc.Name, "", 100); err != nil || len(listed) != len(names) {
			t.Fatalf("listed at %s while it recovers: %d keys, %v", asked.id, len(listed), err)
		}
	}
	if err := victim.Gateway().CatchUp(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if left := victim.Roster().Lost; len(left) != 0 {
		t.Fatalf("it has caught up, and %d mountpaths are lost", len(left))
	}
	m = becomes(t, m, victim.id, smap.Up)
	w.adopt(m)
	w.awaitMap(m)
	if n := w.agrees(doc); n != len(names) {
		t.Fatalf("%d keys, want %d", n, len(names))
	}
	for _, other := range w.members[1:] { // in turn, so that it is in charge of all that it has
		away := becomes(t, m, other.id, smap.Down)
		w.adopt(away)
		w.awaitMap(away)
		if counts := statuses(t, victim, doc.Name, names); counts[http.StatusOK] != len(names) {
			t.Fatalf("without %s: %v", other.id, counts)
		}
		m = becomes(t, away, other.id, smap.Recovering, smap.Up)
	}
	w.quiet()

	w, doc, victim, _, lost = losing(t)
	victim.found(t)
	if counts := statuses(t, w.members[1], doc.Name, lost); counts[http.StatusNotFound] == 0 {
		t.Fatalf("it believes that it has all: %v: the test says nothing", counts)
	}
}

// A node that lost a mountpath is no source for who catches up, unless nobody can need it;
// and it does not say that it has caught up while it may be the only one that had a key.
func TestLostIsNoSource(t *testing.T) {
	w, doc, victim, _, lost := losing(t)
	other := w.members[1]
	m := becomes(t, w.members[1].nodes.Load().Map, other.id, smap.Down) // misses writes that are on the victim, or may be
	m = becomes(t, m, victim.id, smap.Recovering)
	m = becomes(t, m, other.id, smap.Recovering)
	w.adopt(m)
	w.awaitMap(m)
	if err := other.Gateway().CatchUp(t.Context(), m); err == nil {
		t.Fatal("the other has caught up with a node that does not know what it lost")
	}
	if err := victim.Gateway().CatchUp(t.Context(), m); err == nil || len(victim.Roster().Lost) == 0 {
		t.Fatalf("it has caught up (%v), and was the last that had keys", err)
	}
	for _, name := range lost {
		if answer, err := w.members[2].s3.Get(context.Background(), doc.Name, name); err != nil || answer.Status == http.StatusNotFound {
			t.Fatalf("%s: %v, %+v", name, err, answer)
		}
	}

	// In the other order the victim is not the last, and the other need not ask it.
	var names []string
	w, doc, victim, names, _ = losing(t)
	other = w.members[1]
	m = becomes(t, w.members[1].nodes.Load().Map, victim.id, smap.Recovering)
	m = becomes(t, m, other.id, smap.Down, smap.Recovering)
	w.adopt(m)
	w.awaitMap(m)
	for _, node := range []*member{other, victim} {
		if err := node.Gateway().CatchUp(t.Context(), m); err != nil {
			t.Fatalf("%s: %v", node.id, err)
		}
		m = becomes(t, m, node.id, smap.Up)
		w.adopt(m)
		w.awaitMap(m)
	}
	if n := w.agrees(doc); n != len(names) {
		t.Fatalf("%d keys, want %d", n, len(names))
	}
}

// While a node that lost a mountpath recovers under load, each key is one register.
func TestLostUnderLoad(t *testing.T) {
	w := newWorkload(t, 2)
	m := w.keys0()
	w.run(6, func(random *rand.Rand) {
		w.enough(60)
		victim := w.members[0] // the others' documents do not have the bucket
		victim.loseDisk(t, random.IntN(2))
		w.enough(30)
		m = becomes(t, m, victim.id, smap.Recovering)
		w.adoptOneByOne(random, m, nil)
		w.enough(60)
		w.awaitMap(m)
		for victim.Gateway().CatchUp(t.Context(), m) != nil {
			w.enough(1)
		}
		m = becomes(t, m, victim.id, smap.Up)
		w.adoptOneByOne(random, m, nil)
		w.enough(60)
		w.awaitMap(m)
	})
	w.judge()
	w.settleAll()
	w.agrees(w.doc)
	w.quiet()
}
