package store

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// staged stages slices of a payload of a key and returns the record that names them here.
func (b *stageBench) staged(name string, seq uint64, indices ...uint8) objects.Meta {
	b.Helper()
	payload := objects.Generation{Map: 1, Start: 9, Seq: seq}
	body := bytes.Repeat([]byte{byte(seq)}, 300)
	files, sealing := slicesOf(b.T, payload, body)
	meta := objects.Meta{
		Payload: payload, Where: objects.Slices, Size: sealing.Size, XXHash: sealing.XXHash, Unsettled: true,
		Slicing: &objects.Slicing{Data: testForm.Data, Parity: testForm.Parity, CellBytes: testForm.CellBytes},
	}
	for _, index := range indices {
		t, err := b.BeginStage(testKey(name), StageOptions{Payload: payload, Form: testForm, Index: index, SizeHint: -1})
		b.must(err)
		if index == objects.WholeIndex {
			b.must(t.Append(body))
		} else {
			b.must(t.Append(files[index]))
			meta.Slicing.Members = append(meta.Slicing.Members, objects.Member{Node: objects.NodeDigest("n"), Index: index})
		}
		b.must(t.Seal(sealing))
	}
	return meta
}

func (b *stageBench) put(name string, seq uint64, indices ...uint8) *objects.Meta {
	b.Helper()
	receipt, err := b.PutSlices(testKey(name), b.staged(name, seq, indices...), objects.Conditions{}, objects.Origin{})
	b.must(err)
	return receipt.Meta
}

func (b *stageBench) settleRecord(name string, meta *objects.Meta) {
	b.Helper()
	b.must(b.NoteSettled([]messages.Settlement{{Key: testKey(name), Generation: meta.Generation}}))
}

// reclaimAll has the reclaimer come by twice, and later once more.
func (b *stageBench) reclaimAll() {
	b.Helper()
	for range 3 {
		_, err := b.Reclaim(100)
		b.must(err)
		b.now = b.now.Add(replacedTime)
	}
}

func (b *stageBench) has(meta *objects.Meta, index uint8) bool {
	b.Helper()
	_, err := b.fs.Stat(layout.SlicePath(meta.Payload, index))
	if err != nil && !isNoPayload(err) {
		b.Fatal(err)
	}
	return err == nil
}

// What an unsettled record replaced is kept until it is settled, and for a minute more; a record
// that goes back to it has it for good.
func TestWhatIsNamedAgainIsNotReclaimed(t *testing.T) {
	for _, test := range []struct {
		name    string
		control bool // the queue does not forget what is named again
	}{{"", false}, {"control", true}} {
		t.Run(test.name, func(t *testing.T) {
			b := newStageBench(t)
			first := b.put("cat", 1, 0, 2, objects.WholeIndex)
			b.settleRecord("cat", first)
			first.Unsettled = false
			second := b.put("cat", 2, 1)
			if second.Follows != first.Generation {
				t.Errorf("it follows %v, want %v", second.Follows, first.Generation)
			}
			b.reclaimAll()
			kept, err := b.Kept(testKey("cat"))
			b.must(err)
			if !b.has(first, 0) || !b.has(first, 2) || !b.has(first, objects.WholeIndex) || len(kept) != 1 || kept[0].Generation != first.Generation {
				t.Fatalf("what it replaced has gone, or is not kept: %v", kept)
			}
			queued := slices.Clone(b.reclaim.entries)
			again, err := b.Revive(testKey("cat"), second.Generation, kept[0], 0, objects.Origin{})
			b.must(err)
			if test.control {
				b.reclaim.add(queued...)
			}
			b.settleRecord("cat", again)
			if payloads, _ := b.Reclaimable(); !test.control && payloads != 1 {
				t.Errorf("%d payloads are to be reclaimed", payloads)
			}
			_, err = b.Reclaim(100)
			b.must(err)
			if !b.has(second, 1) {
				t.Error("readers had no minute")
			}
			b.reclaimAll()
			lost := !b.has(first, 0) || !b.has(first, 2) || !b.has(first, objects.WholeIndex)
			if lost != test.control {
				t.Errorf("what is named again was unlinked: %v, want %v", lost, test.control)
			}
			if b.has(second, 1) {
				t.Error("what was gone back from is still there")
			}
			if payloads, bytes := b.Reclaimable(); payloads != 0 || !test.control && bytes != 0 {
				t.Errorf("%d payloads, %d bytes are left to be reclaimed", payloads, bytes)
			}
		})
	}
}

// What is being drained is not named again: part of it may be gone.
func TestWhatIsBeingReclaimedIsNotNamed(t *testing.T) {
	b := newStageBench(t)
	first := b.put("cat", 1, 0)
	second := b.put("cat", 2, 1)
	b.settleRecord("cat", second)
	third := *first
	third.Generation = second.Generation
	third.Generation.Map += 2
	_, err := b.Reclaim(1)
	b.must(err)
	b.now = b.now.Add(replacedTime)
	reached, goOn := make(chan struct{}), make(chan struct{})
	_, err = b.fs.Add(disk.Rule{
		Calls: []disk.Call{disk.CallRemove}, Path: layout.SlicePath(first.Payload, 0), Times: 1,
		Wait: func(disk.Operation) { close(reached); <-goOn },
	})
	b.must(err)
	done := make(chan error, 1)
	go func() {
		_, err := b.Reclaim(1)
		done <- err
	}()
	<-reached
	if _, err := b.Store.Store(testKey("cat"), &third, nil, messages.ToSettle, objects.Origin{}); !errs.Is(errs.Busy, err) {
		t.Errorf("%v", err)
	}
	close(goOn)
	b.must(<-done)
	if got, err := b.Store.Store(testKey("cat"), &third, nil, messages.ToSettle, objects.Origin{}); err != nil || !got.NeedsPayload {
		t.Errorf("%+v, %v", got, err)
	}
}

// A record is stored where all that it names is staged, and is what was staged; else nothing is
// done, and what is staged stays.
func TestPutSlicesWantsItsSlices(t *testing.T) {
	b := newStageBench(t)
	key := testKey("cat")
	meta := b.staged("cat", 1, 0, 1)
	put := func(change func(*objects.Meta)) error {
		m, slicing := meta, *meta.Slicing
		m.Slicing = &slicing
		change(&m)
		_, err := b.PutSlices(key, m, objects.Conditions{}, objects.Origin{})
		return err
	}
	lacks := put(func(m *objects.Meta) {
		m.Slicing.Members = append(slices.Clone(m.Slicing.Members), objects.Member{Node: objects.NodeDigest("n"), Index: 2})
	})
	if !errs.Is(errs.Busy, lacks) || !errors.Is(lacks, objects.ErrNoSlice) {
		t.Errorf("one is not there: %v", lacks)
	}
	wantKind(t, "another size", put(func(m *objects.Meta) { m.Size++ }), errs.Conflict)
	wantKind(t, "another form", put(func(m *objects.Meta) { m.Slicing.CellBytes++ }), errs.Conflict)
	wantKind(t, "no payload", put(func(m *objects.Meta) { m.Payload = objects.Generation{} }), errs.Invalid)
	if count, _ := b.Staged(); count != 2 {
		t.Fatalf("%d are staged", count)
	}
	stored := meta
	stored.Generation = objects.Generation{Map: 3, Start: 1 << 50, Seq: 1}
	if got, err := b.Store.Store(testKey("dog"), &stored, nil, messages.ToSettle, objects.Origin{}); err != nil || !got.NeedsPayload {
		t.Errorf("what is staged for another key: %+v, %v", got, err)
	}
	got, err := b.Store.Store(key, &stored, nil, messages.ToSettle, objects.Origin{})
	if err != nil || !got.Has || !slices.Equal(got.Indices, []uint8{0, 1}) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := b.Store.Store(key, &stored, nil, messages.ToSettle, objects.Origin{}); err != nil || !slices.Equal(got.Indices, []uint8{0, 1}) {
		t.Errorf("once more: %+v, %v", got, err)
	}
	if _, intents := b.left(); intents != 0 {
		t.Errorf("%d intents are left", intents)
	}
	if count, _ := b.Staged(); count != 0 || len(b.lifetime.staging.payloads) != 0 {
		t.Errorf("%d are staged", count)
	}
	none := stored // a node that is to hold nothing stores the record alone
	none.Generation.Seq++
	none.Payload.Seq = 99
	none.Slicing = &objects.Slicing{Data: 2, Parity: 1, CellBytes: 64, Members: []objects.Member{{Node: 5, Index: 0}}}
	if got, err := b.Store.Store(testKey("dog"), &none, nil, messages.ToSettle, objects.Origin{}); err != nil || !got.Has || got.Indices != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

// What is being committed is not abandoned, whoever asks; and once its batch has failed, it can be.
func TestAbandonedWhileCommitted(t *testing.T) {
	for _, named := range []bool{true, false} {
		b := newStageBench(t)
		key := testKey("cat")
		meta := b.staged("cat", 1, 0)
		c := b.staging.commit(key, meta.Payload, []uint8{0})
		b.must(b.AbandonStage(key, meta.Payload))
		b.now = b.now.Add(StageTime + time.Second)
		if ended, err := b.AbandonOverdue(); err != nil || ended != 0 || !b.has(&meta, 0) {
			t.Errorf("%d were abandoned, %v", ended, err)
		}
		if again := b.staging.commit(key, meta.Payload, []uint8{0}); again == nil {
			t.Error("it counts as abandoned")
		} else {
			again.done(b.staging, false)
		}
		c.done(b.staging, named)
		b.must(b.AbandonStage(key, meta.Payload))
		if b.has(&meta, 0) != named {
			t.Errorf("named %v: the slice is there: %v", named, b.has(&meta, 0))
		}
	}
}

// Small payloads lie in the index of who holds them; what holds nothing has the record alone.
func TestInlinePayloadsOfMembers(t *testing.T) {
	b := newStageBench(t)
	key, body := testKey("cat"), []byte("cat")
	slicing := &objects.Slicing{Data: 2, Parity: 1, CellBytes: 64, Whole: true, Members: []objects.Member{{Node: objects.NodeDigest("n"), Index: 0, Holds: true}}}
	_, sealing := slicesOf(t, testPayload, body)
	receipt, err := b.PutInline(key, objects.Meta{Size: 3, XXHash: sealing.XXHash, Unsettled: true, Slicing: slicing}, body, objects.Conditions{}, objects.Origin{})
	b.must(err)
	first := receipt.Meta
	b.settleRecord("cat", first)
	_, marker, err := b.Bury(key, objects.Conditions{}, 0, objects.Origin{})
	b.must(err)
	b.reclaimAll()
	kept, err := b.Kept(key)
	b.must(err)
	if len(kept) != 1 {
		t.Fatalf("%v are kept", kept)
	}
	again, err := b.Revive(key, marker.Generation, kept[0], 0, objects.Origin{})
	b.must(err)
	b.settleRecord("cat", again)
	b.reclaimAll()
	room := make([]byte, DefaultInlineLimit)
	opened, err := b.Open(key, room)
	if err != nil || !bytes.Equal(room[:opened.Inline], body) {
		t.Fatalf("%+v, %v", opened, err)
	}
	given, err := b.Remap(key, again.Generation, []objects.Member{{Node: 5, Index: 0, Holds: true}}, 0, objects.Origin{})
	b.must(err)
	payload := func() []byte {
		value, err := b.journal(layout.PayloadKey(nil, key.Bucket.ID, key.Name, given.Payload))
		b.must(err)
		return value
	}
	b.reclaimAll()
	if !bytes.Equal(payload(), body) {
		t.Error("what was given away went before that was settled")
	}
	b.settleRecord("cat", given)
	b.reclaimAll()
	if payload() != nil {
		t.Error("what was given away is still there")
	}
}
