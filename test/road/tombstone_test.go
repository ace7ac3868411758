package road

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/soak"
)

// counted is what a node has of a bucket: records, delete markers included, and entries of
// the journal of markers, of all buckets.
func (w *world) counted(m *member, doc *objects.BucketDoc) (records, entries int) {
	w.t.Helper()
	for _, v := range m.Roster().Mountpaths {
		list := &messages.ListObjects{Bucket: doc.Bucket, Limit: 100_000, Markers: messages.AllMarkers, Reply: messages.NewReply[*messages.ObjectPage]()}
		m.System().Root().Send(v.Readers[0], list)
		page, err := list.Reply.Wait("test.counted", patience)
		if err != nil {
			w.t.Fatal(err)
		}
		all := objects.Generation{Map: 1 << 62}
		journal := &messages.ListTombstones{Before: all, Limit: 100_000, Reply: messages.NewReply[*messages.TombstonePage]()}
		m.System().Root().Send(v.Readers[0], journal)
		marked, err := journal.Reply.Wait("test.counted", patience)
		if err != nil {
			w.t.Fatal(err)
		}
		records, entries = records+len(page.Entries), entries+len(marked.List)
	}
	return records, entries
}

// awaitEmpty waits until nodes have nothing of a bucket.
func (w *world) awaitEmpty(doc *objects.BucketDoc, nodes ...*member) {
	w.t.Helper()
	end := time.Now().Add(patience)
	for _, m := range nodes {
		for {
			records, entries := w.counted(m, doc)
			if records == 0 && entries == 0 {
				break
			}
			if time.Now().After(end) {
				kept, dropped := m.Gateway().Tombstones()
				w.t.Fatalf("%s has %d records and %d entries; it kept %d and dropped %d", m.id, records, entries, kept, dropped)
			}
			<-time.After(20 * time.Millisecond)
		}
	}
}

// putAndDelete writes and deletes so many keys, each at the node in charge of it.
func (w *world) putAndDelete(doc *objects.BucketDoc, prefix string, count int) {
	w.t.Helper()
	const writers = 16
	failures := make(chan error, writers)
	var done sync.WaitGroup
	for i := range writers {
		done.Go(func() {
			for n := i; n < count; n += writers {
				name, ctx := fmt.Sprint(prefix, n), context.Background()
				c, err := w.members[0].Gateway().Charge(doc, name)
				if err != nil {
					failures <- err
					return
				}
				g := w.find(c.Node.ID).Gateway()
				if _, err = g.Put(ctx, doc, &gateway.Put{Name: name, Size: 5, Body: bytes.NewReader([]byte("value"))}); err == nil {
					_, err = g.Delete(ctx, doc, name, "", objects.Conditions{})
				}
				if err != nil {
					failures <- err
					return
				}
			}
		})
	}
	done.Wait()
	close(failures)
	for err := range failures {
		w.t.Fatal(err)
	}
}

// A workload of puts and deletes leaves an index as small as before, at all owners.
func TestTombstonesGo(t *testing.T) { tombstonesGo(t, 600) }

func tombstonesGo(t *testing.T, count int) {
	w := newMovingWorld(t, 3)
	doc := w.share("pair", objects.BucketProps{Copies: 2})
	w.putAndDelete(doc, "", count)
	w.awaitEmpty(doc, w.members...)
	dropped := int64(0)
	for _, m := range w.members {
		_, by := m.Gateway().Tombstones()
		dropped += by
	}
	if dropped != int64(2*count) {
		t.Fatalf("%d markers were dropped, of %d keys at two nodes", dropped, count)
	}
	w.quiet()
}

// The same with 20,000 keys, a thousand at a time.
func TestTombstonesGoSoak(t *testing.T) {
	slice := soak.Begin(t, soak.Row{Name: "tombstones", Unit: "keys put and deleted at two nodes, whose indexes are empty afterwards", Goal: 20_000})
	for slice.More() {
		tombstonesGo(t, 1000)
		slice.Add(1000, slice.Next()+1000)
	}
}

// While an owner is away nothing of its keys is dropped: it would come back with what was
// deleted. When it is up again, all goes, and nothing has come back.
func TestTombstonesStayWhileAnOwnerIsAway(t *testing.T) {
	const count = 30
	p := newPair(t, objects.BucketProps{})
	var names []string // of the pair's
	for i := 0; len(names) < count; i++ {
		name := fmt.Sprint("k", i)
		if c := chargeOf(t, p.first, p.doc, name); string(c.AckSet[0]) != p.other.id && string(c.AckSet[1]) != p.other.id {
			names = append(names, name)
			if _, err := p.find(c.Node.ID).Gateway().Put(p.ctx, p.doc, &gateway.Put{Name: name, Size: 5, Body: bytes.NewReader([]byte("value"))}); err != nil {
				t.Fatal(err)
			}
		}
	}
	down := becomes(t, p.before, p.second.id, smap.Down)
	p.adopt(down)
	p.awaitMap(down)
	for _, name := range names {
		if _, err := p.first.Gateway().Delete(p.ctx, p.doc, name, "", objects.Conditions{}); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) { // the sweeper has seen them all
		if kept, _ := p.first.Gateway().Tombstones(); kept == count {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the sweeper has not seen them")
		}
	}
	if records, entries := p.counted(p.first, p.doc); records != count || entries != count {
		t.Fatalf("%d records and %d entries are left, want %d", records, entries, count)
	}
	recovering := becomes(t, down, p.second.id, smap.Recovering)
	p.adopt(recovering)
	p.awaitMap(recovering)
	if err := p.second.Gateway().CatchUp(p.ctx, recovering); err != nil {
		t.Fatal(err)
	}
	up := becomes(t, recovering, p.second.id, smap.Up)
	p.adopt(up)
	p.awaitMap(up)
	p.awaitEmpty(p.doc, p.first, p.second)
	last := becomes(t, up, p.first.id, smap.Down)
	p.adopt(last)
	p.awaitMap(last)
	for _, name := range names {
		if answer, err := p.second.s3.Get(p.ctx, p.doc.Name, name); err != nil || answer.Status != http.StatusNotFound {
			t.Fatalf("%s is there again: %v %+v", name, err, answer)
		}
	}
}

// A store that comes after what it brings was deleted and the marker dropped is refused.
// Without the bound it comes back, as soon as the node is in charge.
func TestLateStore(t *testing.T) {
	for _, bound := range []bool{true, false} {
		p := newPair(t, objects.BucketProps{})
		must(t, p.put(p.other, "deleted"), nil)
		record, content := shows(t, p.second, p.doc, p.name)
		if _, err := p.other.Gateway().Delete(p.ctx, p.doc, p.name, "", objects.Conditions{}); err != nil {
			t.Fatal(err)
		}
		p.awaitEmpty(p.doc, p.first, p.second)
		accept := p.second.Gateway().Accept
		if !bound {
			accept = p.second.Gateway().AcceptEqual
		}
		c := chargeOf(t, p.second, p.doc, p.name)
		record.Unsettled = true
		stored, err := accept(p.doc, p.name, c.Epoch, record, &gateway.Arrival{Body: bytes.NewReader([]byte(content))}, objects.Origin{})
		if err != nil || stored.Has == bound || (stored.Covered != 0) != bound {
			t.Fatalf("with bound %v: %+v, %v", bound, stored, err)
		}
		p.want(p.other, "", http.StatusNotFound)
		down := becomes(t, p.before, p.first.id, smap.Down)
		p.adopt(down)
		p.awaitMap(down)
		if bound {
			p.want(p.other, "", http.StatusNotFound)
		} else {
			p.want(p.other, "deleted", http.StatusOK)
		}
	}
}

// A write that is settled late, when markers above it were dropped, gets a greater
// generation and counts: nobody can tell that it was never shown. Objects with a payload in
// a file and deletes go the same way.
func TestRenewedRecord(t *testing.T) {
	for _, size := range []int{4, 100 << 10} {
		p := newPair(t, objects.BucketProps{})
		value := string(payload(5, size))
		p.first.peers.loseStores.Store(true)
		if answer := p.put(p.other, value); answer.Status != http.StatusServiceUnavailable {
			t.Fatalf("%+v", answer)
		}
		p.first.peers.loseStores.Store(false)
		unsettled, _ := shows(t, p.first, p.doc, p.name)
		bury := func() {
			t.Helper()
			for i := range 100 {
				name := fmt.Sprint("marker", i)
				if c := chargeOf(t, p.first, p.doc, name); c.Ours() && string(c.AckSet[1]) == p.second.id {
					if _, err := p.first.Gateway().Delete(p.ctx, p.doc, name, "", objects.Conditions{}); err != nil {
						t.Fatal(err)
					}
				}
			}
			p.awaitEmpty(p.doc, p.second)
		}
		bury()
		p.want(p.other, value, http.StatusOK)
		renewed, content := shows(t, p.second, p.doc, p.name)
		if renewed.Generation.Compare(unsettled.Generation) <= 0 || content != value {
			t.Fatalf("%+v, was %+v", renewed, unsettled)
		}
		if n := p.agrees(p.doc); n == 0 {
			t.Fatal("no key is left")
		}
		p.quiet()
	}
}

// A marker of which the node does not know that it is settled is not kept for that: the
// sweeper asks the node in charge.
func TestForgottenSettlement(t *testing.T) {
	p := newPair(t, objects.BucketProps{})
	must(t, p.put(p.other, "value"), nil)
	p.first.peers.loseSettled.Store(true)
	if _, err := p.other.Gateway().Delete(p.ctx, p.doc, p.name, "", objects.Conditions{}); err != nil {
		t.Fatal(err)
	}
	p.awaitEmpty(p.doc, p.first, p.second)
	p.want(p.other, "", http.StatusNotFound)
}
