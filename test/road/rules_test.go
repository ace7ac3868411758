package road

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/s3client"
)

// broken stands between a node and the others, and leaves out what a rule asks for. The
// zero value leaves out nothing.
type broken struct {
	gateway.Peers
	loseStores   atomic.Bool // a store fails, and nobody is asked
	loseRecords  atomic.Bool // as loseStores, but for uploads: those are sent
	fakeStores   atomic.Bool // a store is acknowledged, and nobody is asked
	loseSettled  atomic.Bool // nobody is told what is settled
	fakeConfirms atomic.Bool // a read is confirmed, and nobody is asked
	stayHome     atomic.Bool // nobody is asked for what this node cannot read
	gives        atomic.Int64
	confirms     atomic.Int64
	parts        atomic.Int64 // sent
	keys         atomic.Int64 // of all questions

	beforeHeld  atomic.Pointer[func()] // is called once, before uploads under way are asked for
	beforeShare atomic.Pointer[func()] // is called once, before another node is asked to share one
}

// Store implements gateway.Peers.
func (b *broken) Store(c gateway.Charge, bucket *objects.BucketDoc, name string, record *objects.Meta, payload *gateway.Arrival) (messages.Stored, error) {
	switch {
	case b.loseStores.Load(), b.loseRecords.Load():
		return messages.Stored{}, &messages.NodeAway{Node: c.Node.ID, Reason: "the test wants it so", Begun: true}
	case b.fakeStores.Load():
		return messages.Stored{Has: true}, nil
	}
	return b.Peers.Store(c, bucket, name, record, payload)
}

// Confirm implements gateway.Peers.
func (b *broken) Confirm(set *messages.NodeSet, node *messages.NodeView, keys []gateway.Confirmation) ([]int, error) {
	b.confirms.Add(1)
	b.keys.Add(int64(len(keys)))
	if b.fakeConfirms.Load() {
		return nil, nil
	}
	return b.Peers.Confirm(set, node, keys)
}

// Show implements gateway.Peers.
func (b *broken) Show(c gateway.Charge, bucket *objects.BucketDoc, name string, payload bool) (gateway.Kept, error) {
	if b.stayHome.Load() && c.Within > 0 {
		return gateway.Kept{}, &messages.NodeAway{Node: c.Node.ID, Reason: "the test wants it so"}
	}
	return b.Peers.Show(c, bucket, name, payload)
}

// Give implements gateway.Peers.
func (b *broken) Give(node *messages.NodeView, bucket *objects.BucketDoc, name string, record *objects.Meta, wanted gateway.Wanted) (io.ReadCloser, error) {
	b.gives.Add(1)
	if b.stayHome.Load() {
		return nil, &messages.NodeAway{Node: node.ID, Reason: "the test wants it so"}
	}
	return b.Peers.Give(node, bucket, name, record, wanted)
}

// StorePart implements gateway.Peers.
func (b *broken) StorePart(c gateway.Charge, bucket *objects.BucketDoc, name, uploadID string, part *objects.Part, payload io.Reader) error {
	b.parts.Add(1)
	switch {
	case b.loseStores.Load():
		return &messages.NodeAway{Node: c.Node.ID, Reason: "the test wants it so", Begun: true}
	case b.fakeStores.Load():
		return nil
	}
	return b.Peers.StorePart(c, bucket, name, uploadID, part, payload)
}

// KeepUpload implements gateway.Peers.
func (b *broken) KeepUpload(c gateway.Charge, bucket *objects.BucketDoc, upload *objects.Upload, parts []objects.Part, writes uint64) ([]int, error) {
	switch {
	case b.loseStores.Load():
		return nil, &messages.NodeAway{Node: c.Node.ID, Reason: "the test wants it so", Begun: true}
	case b.fakeStores.Load():
		return nil, nil
	}
	return b.Peers.KeepUpload(c, bucket, upload, parts, writes)
}

// EndUpload implements gateway.Peers.
func (b *broken) EndUpload(c gateway.Charge, bucket *objects.BucketDoc, name, uploadID string, writes uint64) error {
	switch {
	case b.loseStores.Load():
		return &messages.NodeAway{Node: c.Node.ID, Reason: "the test wants it so", Begun: true}
	case b.fakeStores.Load():
		return nil
	}
	return b.Peers.EndUpload(c, bucket, name, uploadID, writes)
}

// HeldUploads implements gateway.Peers.
func (b *broken) HeldUploads(set *messages.NodeSet, node *messages.NodeView, bucket *objects.BucketDoc, r gateway.HeldUploadsRequest) (*gateway.HeldUploads, error) {
	if do := b.beforeHeld.Swap(nil); do != nil {
		(*do)()
	}
	return b.Peers.HeldUploads(set, node, bucket, r)
}

// ShareUpload implements gateway.Peers.
func (b *broken) ShareUpload(c gateway.Charge, bucket *objects.BucketDoc, name, uploadID string) error {
	if do := b.beforeShare.Swap(nil); do != nil {
		(*do)()
	}
	return b.Peers.ShareUpload(c, bucket, name, uploadID)
}

// Settled implements gateway.Peers.
func (b *broken) Settled(node *messages.NodeView, bucket *objects.BucketDoc, list []messages.Settlement) error {
	if b.loseStores.Load() || b.fakeStores.Load() || b.loseSettled.Load() {
		return errors.New("the test wants it so")
	}
	return b.Peers.Settled(node, bucket, list)
}

// becomes returns the map in which a node is in another state.
func becomes(t *testing.T, m *smap.Smap, id string, states ...smap.State) *smap.Smap {
	t.Helper()
	for _, state := range states {
		node, _ := m.Node(smap.NodeID(id))
		next, err := m.Change().SetState(node.ID, node.Since, state).Done()
		if err != nil {
			t.Fatal(err)
		}
		m = next
	}
	return m
}

// pair is a bucket with two copies, and a key of it with the node in charge of it, the
// other one that keeps it, and one that does not.
type pair struct {
	*world
	doc           *objects.BucketDoc
	name          string
	first, second *member
	other         *member
	ctx           context.Context
	t             *testing.T
	props         objects.BucketProps
	before        *smap.Smap
}

func newPair(t *testing.T, props objects.BucketProps) *pair {
	t.Helper()
	props.Copies = 2
	w := newMovingWorld(t, 3)
	p := &pair{world: w, name: "key", ctx: context.Background(), t: t, props: props, doc: w.share("pair", props)}
	c := chargeOf(t, w.members[0], p.doc, p.name)
	p.first, p.second, p.before = w.find(string(c.AckSet[0])), w.find(string(c.AckSet[1])), c.Set.Map
	for _, m := range w.members {
		if m != p.first && m != p.second {
			p.other = m
		}
	}
	return p
}

func (p *pair) put(m *member, value string) *s3client.Answer {
	p.t.Helper()
	answer, err := m.s3.Put(p.ctx, p.doc.Name, p.name, []byte(value))
	if err != nil {
		p.t.Fatal(err)
	}
	return answer
}

// get returns the value that a node answers with, or its status.
func (p *pair) get(m *member) (string, int) {
	p.t.Helper()
	answer, err := m.s3.Get(p.ctx, p.doc.Name, p.name)
	if err != nil {
		p.t.Fatal(err)
	}
	if answer.Status != http.StatusOK {
		return "", answer.Status
	}
	return string(answer.Body), answer.Status
}

func (p *pair) want(m *member, value string, status int) {
	p.t.Helper()
	if got, s := p.get(m); got != value || s != status {
		p.t.Fatalf("node %s answers %q with status %d, want %q with %d", m.id, got, s, value, status)
	}
}

// A node that was replaced and does not know it reads nothing old and writes nothing:
// who replaced it is at another epoch. Without the question it reads what was there.
func TestReplacedNodeReadsNothingOld(t *testing.T) {
	p := newPair(t, objects.BucketProps{})
	must(t, p.put(p.other, "old"), nil)
	down := becomes(t, p.before, p.first.id, smap.Down)
	p.adoptAt(p.second, down)
	p.adoptAt(p.other, down)
	p.acts(down, p.second, p.other)
	must(t, p.put(p.other, "new"), nil)
	p.want(p.second, "new", http.StatusOK)
	p.want(p.first, "", http.StatusServiceUnavailable)
	if answer := p.put(p.first, "lost"); answer.Status != http.StatusServiceUnavailable {
		t.Fatalf("who was replaced wrote: %+v", answer)
	}
	p.want(p.other, "new", http.StatusOK)
	p.first.peers.fakeConfirms.Store(true)
	p.first.peers.fakeStores.Store(true)
	if got, _ := p.get(p.first); got == "new" || got == "" {
		t.Fatalf("without the question it answers %q: the test says nothing", got)
	}
}

// acts waits until requests at nodes see a map.
func (p *pair) acts(m *smap.Smap, nodes ...*member) {
	p.t.Helper()
	all := p.members
	p.members = nodes
	p.awaitMap(m)
	p.members = all
}

// A bucket may give up the question: then who was replaced answers with what it has.
func TestRelaxedReadsMayBeOld(t *testing.T) {
	p := newPair(t, objects.BucketProps{Reads: objects.ReadsRelaxed})
	must(t, p.put(p.other, "old"), nil)
	down := becomes(t, p.before, p.first.id, smap.Down)
	p.adoptAt(p.second, down)
	p.adoptAt(p.other, down)
	p.acts(down, p.second, p.other)
	must(t, p.put(p.other, "new"), nil)
	p.want(p.first, "old", http.StatusOK)
	if n := p.first.peers.confirms.Load(); n != 0 {
		t.Fatalf("%d questions were asked", n)
	}
}

// What was acknowledged outlives the node in charge. Without the other store it is gone.
func TestAcknowledgedIsAtBoth(t *testing.T) {
	p := newPair(t, objects.BucketProps{})
	answer := p.put(p.other, "kept")
	must(t, answer, nil)
	down := becomes(t, p.before, p.first.id, smap.Down)
	p.adopt(down)
	p.awaitMap(down)
	p.want(p.other, "kept", http.StatusOK)
	p.want(p.second, "kept", http.StatusOK)

	c := newPair(t, objects.BucketProps{})
	c.first.peers.fakeStores.Store(true)
	must(t, c.put(c.other, "lost"), nil)
	down = becomes(t, c.before, c.first.id, smap.Down)
	c.adopt(down)
	c.awaitMap(down)
	c.want(c.other, "", http.StatusNotFound)
}

// A write that did not get to all is not acknowledged, and not shown before it has: then
// it is everywhere, also a delete. A condition is judged on it likewise.
func TestUnsettledIsSettledFirst(t *testing.T) {
	p := newPair(t, objects.BucketProps{})
	must(t, p.put(p.other, "before"), nil)
	p.first.peers.loseStores.Store(true)
	answer := p.put(p.other, "unknown")
	if answer.Status != http.StatusServiceUnavailable || !bytes.Contains(answer.Body, []byte("outcome is unknown")) {
		t.Fatalf("%+v %s", answer, answer.Body)
	}
	p.want(p.other, "", http.StatusServiceUnavailable)
	list, err := p.second.s3.Do(p.ctx, s3client.Request{Method: "GET", Bucket: p.doc.Name})
	if err != nil || list.Status != http.StatusServiceUnavailable {
		t.Fatalf("it is listed: %v %+v", err, list)
	}
	if have, content := shows(t, p.second, p.doc, p.name); content != "before" {
		t.Fatalf("%s has %+v: the test says nothing", p.second.id, have)
	}
	p.first.peers.loseStores.Store(false)
	p.want(p.other, "unknown", http.StatusOK)
	if _, content := shows(t, p.second, p.doc, p.name); content != "unknown" {
		t.Fatalf("it was shown, and %s has %q", p.second.id, content)
	}

	p.first.peers.loseStores.Store(true)
	gone, err := p.other.s3.Do(p.ctx, s3client.Request{Method: "DELETE", Bucket: p.doc.Name, Key: p.name})
	if err != nil || gone.Status != http.StatusServiceUnavailable {
		t.Fatalf("%v %+v", err, gone)
	}
	p.first.peers.loseStores.Store(false)
	create := s3client.Request{Method: "PUT", Bucket: p.doc.Name, Key: p.name, Body: []byte("again"), Header: []objects.Pair{{Name: "If-None-Match", Value: "*"}}}
	made, err := p.other.s3.Do(p.ctx, create)
	must(t, made, err)
	if made, err = p.other.s3.Do(p.ctx, create); err != nil || made.Status != http.StatusPreconditionFailed {
		t.Fatalf("%v %+v", err, made)
	}
	if n := p.agrees(p.doc); n != 1 {
		t.Fatalf("%d keys", n)
	}
	p.quiet()
}

// A greater record that another node has, of an earlier time in charge, is found when
// what is here is settled, and counts instead: its payload too, wherever it lies.
func TestGreaterRecordIsTakenOver(t *testing.T) {
	for _, size := range []int{10, 100 << 10} {
		p := newPair(t, objects.BucketProps{})
		p.first.peers.loseStores.Store(true)
		if answer := p.put(p.other, "lower"); answer.Status != http.StatusServiceUnavailable {
			t.Fatalf("%+v", answer)
		}
		p.first.peers.loseStores.Store(false)
		have, _ := shows(t, p.first, p.doc, p.name)
		content := payload(3, size)
		single := p.share("single", objects.BucketProps{})
		var record objects.Meta
		for _, m := range p.members {
			if c := chargeOf(t, m, single, "source"); c.Ours() {
				receipt, err := m.Gateway().Put(p.ctx, single, &gateway.Put{Name: "source", Size: int64(size), Body: bytes.NewReader(content)})
				if err != nil {
					t.Fatal(err)
				}
				record = *receipt.Meta
			}
		}
		record.Generation, record.Unsettled = have.Generation, true
		record.Generation.Seq += 5
		record.Payload = record.Generation
		c := chargeOf(t, p.second, p.doc, p.name)
		arrival := &gateway.Arrival{Body: bytes.NewReader(content), Cut: func() {}}
		if stored, err := p.second.Gateway().Accept(p.doc, p.name, c.Epoch, &record, arrival, objects.Origin{}); err != nil || !stored.Has {
			t.Fatalf("%+v, %v", stored, err)
		}
		p.want(p.other, string(content), http.StatusOK)
		if got, bytes := shows(t, p.first, p.doc, p.name); got.Generation != record.Generation || bytes != string(content) {
			t.Fatalf("%d bytes of %+v", len(bytes), got)
		}
	}
}

// Fewer nodes than the bucket wants take no write, and nothing is done; reads go on.
func TestMinCopies(t *testing.T) {
	p := newPair(t, objects.BucketProps{MinCopies: 2})
	must(t, p.put(p.other, "both"), nil)
	down := becomes(t, p.before, p.second.id, smap.Down)
	p.adopt(down)
	p.awaitMap(down)
	if answer := p.put(p.other, "one"); answer.Status != http.StatusServiceUnavailable || bytes.Contains(answer.Body, []byte("unknown")) {
		t.Fatalf("%+v", answer)
	}
	p.want(p.other, "both", http.StatusOK)
}

// How many nodes a write must be on can be changed while one is away: the next write goes
// by it. How many nodes keep an object stays what it is until a plan has changed it.
func TestMinCopiesChange(t *testing.T) {
	p := newPair(t, objects.BucketProps{MinCopies: 2})
	down := becomes(t, p.before, p.second.id, smap.Down)
	p.adopt(down)
	p.awaitMap(down)
	for _, least := range []int{2, 1, 2} {
		props := p.doc.Props
		props.MinCopies = least
		doc, err := p.members[0].Gateway().SetBucketProps(p.ctx, p.doc.Name, props)
		if err != nil {
			t.Fatal(err)
		}
		p.shareDoc(doc)
		want := http.StatusServiceUnavailable
		if least == 1 {
			want = http.StatusOK
		}
		if answer := p.put(p.other, "value"); answer.Status != want {
			t.Fatalf("min_copies %d: %+v", least, answer)
		}
	}
	p.want(p.other, "value", http.StatusOK)
	props := p.doc.Props
	props.Copies = 3
	doc, err := p.members[0].Gateway().SetBucketProps(p.ctx, p.doc.Name, props)
	if err != nil || doc.Props.Owners() != 2 || doc.Next == nil || doc.Next.Copies != 3 {
		t.Fatalf("%v, %+v", err, doc)
	}
	p.shareDoc(doc)
	if answer := p.put(p.other, "value"); answer.Status != http.StatusServiceUnavailable {
		t.Fatalf("%+v", answer)
	}
	p.want(p.other, "value", http.StatusOK)
}

// Reads that wait for the same node share a question.
func TestConfirmationsAreShared(t *testing.T) {
	p := newPair(t, objects.BucketProps{})
	must(t, p.put(p.other, "value"), nil)
	const readers, each = 16, 20
	done := make(chan error, readers)
	for range readers {
		go func() {
			for range each {
				if _, err := p.first.Gateway().Head(p.ctx, p.doc, p.name, ""); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range readers {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	asked, keys := p.first.peers.confirms.Load(), p.first.peers.keys.Load()
	if keys < readers*each || asked >= keys {
		t.Fatalf("%d questions about %d keys: none is shared", asked, keys)
	}
}
