package road

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/actors/bucket"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/smap"
)

// share makes a bucket that is the same at all nodes, as those of a cluster are.
func (w *world) share(name string, props objects.BucketProps) *objects.BucketDoc {
	w.t.Helper()
	doc, err := w.members[0].Gateway().CreateBucket(context.Background(), name, props)
	if err != nil {
		w.t.Fatal(err)
	}
	w.shareDoc(doc)
	return doc
}

// shareDoc has all nodes adopt a bucket's document of the first one.
func (w *world) shareDoc(doc *objects.BucketDoc) {
	w.t.Helper()
	for _, m := range w.members[1:] {
		adopt := &messages.AdoptBuckets{Docs: []*objects.BucketDoc{doc}, Reply: messages.NewReply[struct{}]()}
		m.System().Root().Send(m.System().PID("node/"+bucket.Name), adopt)
		if _, err := adopt.Reply.Wait("test.share", patience); err != nil {
			w.t.Fatal(err)
		}
	}
}

// chargeOf is who is in charge of a key, as a node sees it.
func chargeOf(t *testing.T, m *member, doc *objects.BucketDoc, name string) gateway.Charge {
	t.Helper()
	c, err := m.Gateway().Charge(doc, name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// shows is what a node has of a key: the record, and its bytes.
func shows(t *testing.T, m *member, doc *objects.BucketDoc, name string) (*objects.Meta, string) {
	t.Helper()
	kept, err := m.Gateway().Show(doc, name, chargeOf(t, m, doc, name).Epoch, true)
	if err != nil {
		t.Fatal(err)
	}
	if kept.Body == nil {
		return kept.Record, ""
	}
	defer kept.Body.Close()
	content, err := io.ReadAll(kept.Body)
	if err != nil {
		t.Fatal(err)
	}
	return kept.Record, string(content)
}

// agrees compares what the nodes of each key have, delete markers included, with what the
// node in charge has, and returns how many keys there are.
func (w *world) agrees(doc *objects.BucketDoc) int {
	w.t.Helper()
	names := make(map[string]bool)
	for _, m := range w.members {
		if m.Node == nil {
			continue
		}
		for _, v := range m.Roster().Mountpaths {
			list := &messages.ListObjects{Bucket: doc.Bucket, Limit: 100_000, Markers: messages.AllMarkers, Reply: messages.NewReply[*messages.ObjectPage]()}
			m.System().Root().Send(v.Readers[0], list)
			page, err := list.Reply.Wait("test.agrees", patience)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, e := range page.Entries {
				names[e.Name] = true
			}
		}
	}
	for name := range names {
		c := chargeOf(w.t, w.members[0], doc, name)
		first, firstBytes := shows(w.t, w.find(c.Node.ID), doc, name)
		for _, id := range c.AckSet {
			m := w.find(string(id))
			record, content := shows(w.t, m, doc, name)
			switch {
			case isAbsent(record) && isAbsent(first): // one may have dropped the marker, and the other not yet
			case record != nil && record.Unsettled && (first == nil || record.Generation.Compare(first.Generation) > 0):
				// The rest of a write whose outcome is unknown: it counts when this node is in charge.
			case record == nil || first == nil || record.Generation != first.Generation || record.Deleted != first.Deleted || record.ETag != first.ETag || content != firstBytes || record.Writes != first.Writes || len(record.Tags) != len(first.Tags):
				w.t.Fatalf("%s has %d bytes of %+v for %s, and %s, in charge, %d of %+v", m.id, len(content), record, name, c.Node.ID, len(firstBytes), first)
			}
		}
	}
	return len(names)
}

func isAbsent(record *objects.Meta) bool {
	return record == nil || record.Deleted && !record.Unsettled
}

func (w *world) find(id string) *member {
	for _, m := range w.members {
		if m.id == id {
			return m
		}
	}
	w.t.Fatalf("there is no node %s", id)
	return nil
}

// A node keeps a record of another as it is, with its payload, wherever that lies; a
// greater one stays, an equal one is acknowledged, and nothing is done under another
// epoch.
func TestStoreAtAnotherNode(t *testing.T) {
	w := newWorld(t, 3)
	doc := w.share("shared", objects.BucketProps{Copies: 3})
	from, to := w.members[0], w.members[2]
	small, large := "small", strings.Repeat("0123456789abcdef", 300<<10/16)
	single := w.share("single", objects.BucketProps{})
	original := func(name string, size int) *objects.Meta { // of a bucket that is not shared, at whichever node has it
		for _, m := range w.members {
			if c := chargeOf(t, m, single, name); c.Ours() {
				content := large[:size]
				if size == len(small) {
					content = small
				}
				put := &gateway.Put{Name: name, Size: int64(size), Body: &plain{strings.NewReader(content)}}
				receipt, err := m.Gateway().Put(context.Background(), single, put)
				if err != nil {
					t.Fatal(err)
				}
				return receipt.Meta
			}
		}
		panic(name)
	}
	records := map[string]*objects.Meta{"inline": original("inline", len(small)), "file": original("file", len(large))}
	parts := map[string][]objects.Part{}
	chunked := *records["file"]
	chunked.Where, chunked.Path, chunked.PartCount = objects.Chunks, strings.Repeat("0f", 16), 2
	whole := xxhash.New64()
	for i, piece := range []string{large[:200_000], large[200_000:]} {
		sums := checksum.NewDigests(checksum.Want{})
		sums.Write([]byte(piece))
		whole.Write(binary.BigEndian.AppendUint64(nil, sums.Sums().XXHash))
		parts["chunks"] = append(parts["chunks"], objects.Part{
			Number: 3 * (i + 1), Payload: objects.Generation{Map: 1, Start: 9, Seq: uint64(90 + i)}, Size: int64(len(piece)), XXHash: sums.Sums().XXHash, ETag: "00", Modified: chunked.Modified,
		})
	}
	chunked.XXHash = whole.Sum64()
	records["chunks"] = &chunked
	for i, kind := range []string{"inline", "file", "chunks"} {
		t.Run(kind, func(t *testing.T) {
			content := large
			if kind == "inline" {
				content = small
			}
			record := *records[kind]
			record.Generation = objects.Generation{Map: 1, Start: 9, Seq: uint64(10 * (i + 1))}
			record.Payload, record.Unsettled, record.Tags = record.Generation, true, []objects.Pair{{Name: "a", Value: "b"}}
			name := "kept/" + kind
			c := chargeOf(t, from, doc, name)
			c.Node = c.Set.Find(to.id)
			store := func(record objects.Meta, payload bool) (messages.Stored, error) {
				var arrival *gateway.Arrival
				if payload {
					arrival = &gateway.Arrival{Parts: parts[kind], Body: strings.NewReader(content)}
				}
				return from.Gateway().Peers.Store(c, doc, name, &record, arrival)
			}
			other := c
			other.Epoch.Map += 7
			var differs *messages.MapDiffers
			if _, err := from.Gateway().Peers.Store(other, doc, name, &record, nil); !errors.As(err, &differs) {
				t.Fatalf("under another epoch: %v", err)
			}
			if got, err := store(record, false); err != nil || !got.NeedsPayload {
				t.Fatalf("without its payload: %+v, %v", got, err)
			}
			damaged := record
			damaged.XXHash++
			if _, err := store(damaged, true); err == nil {
				t.Fatal("a payload that is not the record's was taken")
			}
			if have, _ := shows(t, to, doc, name); have != nil {
				t.Fatalf("what was refused is there: %+v", have)
			}
			for range 2 {
				if got, err := store(record, true); err != nil || !got.Has {
					t.Fatalf("%+v, %v", got, err)
				}
			}
			have, bytes := shows(t, to, doc, name)
			if have.Generation != record.Generation || have.Payload != record.Payload || have.Writes != record.Writes || !have.Unsettled || bytes != content || len(have.Tags) != 1 {
				t.Fatalf("%d bytes of %+v", len(bytes), have)
			}
			kept, err := from.Gateway().Peers.Show(c, doc, name, true)
			if err != nil {
				t.Fatal(err)
			}
			away, err := io.ReadAll(kept.Body)
			if err != nil || kept.Body.Close() != nil || string(away) != content || kept.Record.Generation != record.Generation || len(kept.Parts) != len(parts[kind]) {
				t.Fatalf("asked from another node: %d bytes of %+v, %v", len(away), kept.Record, err)
			}
			settled := record
			settled.Unsettled = false
			if got, err := store(settled, false); err != nil || !got.Has {
				t.Fatalf("%+v, %v", got, err)
			}
			if have, _ := shows(t, to, doc, name); have.Unsettled {
				t.Fatal("it is not settled")
			}
			lower := record
			lower.Generation.Seq--
			if got, err := store(lower, true); err != nil || got.Has || got.Here == nil || got.Here.Generation != record.Generation {
				t.Fatalf("a lower one: %+v, %v", got, err)
			}
			draft := record // a change of tags needs no payload
			draft.Generation.Seq++
			draft.Tags = nil
			if got, err := store(draft, false); err != nil || !got.Has {
				t.Fatalf("%+v, %v", got, err)
			}
			if have, bytes := shows(t, to, doc, name); have.Generation != draft.Generation || len(have.Tags) != 0 || bytes != content {
				t.Fatalf("%+v", have)
			}
			marker := objects.Meta{Generation: draft.Generation, Deleted: true, Unsettled: true}
			marker.Generation.Seq++
			if got, err := store(marker, false); err != nil || !got.Has {
				t.Fatalf("%+v, %v", got, err)
			}
			if have, _ := shows(t, to, doc, name); !have.Deleted {
				t.Fatalf("%+v", have)
			}
			if got, err := store(record, true); err != nil || got.Here == nil || !got.Here.Deleted {
				t.Fatalf("after the delete: %+v, %v", got, err)
			}
			if err := from.Gateway().Peers.Settled(c.Node, doc, []messages.Settlement{{Key: objects.Key{Bucket: doc.Bucket, Name: name}, Generation: marker.Generation}}); err != nil {
				t.Fatal(err)
			}
			if have, _ := shows(t, to, doc, name); have.Unsettled {
				t.Fatal("the delete is not settled")
			}
		})
	}
	w.quiet()
}

// plain is a reader that has no other methods.
type plain struct{ io.Reader }

// A command is fenced in its key's turn: what was admitted under an epoch that the lanes
// are past does nothing, and what they agree with is done under the version that they
// act on.
func TestLanesRefuseAnotherEpoch(t *testing.T) {
	w := newWorld(t, 2)
	doc := w.share("fenced", objects.BucketProps{Copies: 2})
	m := w.members[0]
	name := "key"
	c := chargeOf(t, m, doc, name)
	key := objects.Key{Bucket: doc.Bucket, Name: name}
	put := func(fence messages.Fence) (objects.Receipt, error) {
		window, err := m.Slabs().Lease(1)
		if err != nil {
			t.Fatal(err)
		}
		defer window.Release()
		p := &messages.PutObject{Key: key, Window: window, Fence: fence, Reply: messages.NewReply[objects.Receipt]()}
		m.System().Root().Send(m.Roster().Owner(key.Digest()).Writer(key.Digest()), p)
		return p.Reply.Wait("test", patience)
	}
	fence := messages.Fence{Set: c.Set, Epoch: c.Epoch, Key: messages.Placing(doc, key.Digest()), Unsettled: true}
	receipt, err := put(fence)
	if err != nil || receipt.Generation.Map != 1 || !receipt.Meta.Unsettled {
		t.Fatalf("%+v, %v", receipt, err)
	}
	w.publish(2) // every node changed its state
	var differs *messages.MapDiffers
	if _, err := put(fence); !errors.As(err, &differs) || differs.Version != 2 {
		t.Fatalf("%v", err)
	}
	fence.Set, fence.Epoch = nil, chargeOf(t, m, doc, name).Epoch
	if receipt, err = put(fence); err != nil || receipt.Generation.Map != 2 {
		t.Fatalf("%+v, %v", receipt, err)
	}
}

// acks reports whether a node is in an ack set.
func acks(set []smap.NodeID, id string) bool { return slices.Contains(set, smap.NodeID(id)) }
