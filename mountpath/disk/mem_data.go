package disk

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// fileData is what a file of Mem holds: as it is now, and as the last sync that
// succeeded left it on stable storage.
type fileData struct {
	now    content
	synced content
	dirty  bool  // something was written or cut since the last sync
	lowest int64 // the smallest size since the last sync: what is beyond may be cut
	// lost are blocks that a failed sync has marked clean: they are read until
	// they are written again, but no sync makes them durable. Empty or nil in
	// the good case.
	lost map[int64]*block

	// Attributes are replaced, never changed in place: snapshots share them.
	attributes       map[string][]byte
	syncedAttributes map[string][]byte

	syncs []*fileSync // that have begun and not ended, oldest first
}

// fileSync is a sync of a file from its beginning to its end: it makes durable what
// there was when it began, and only once it has ended.
type fileSync struct {
	content content // as it was; only if dirty
	dirty   bool    // there was something to do for bytes and length
	touched bool    // something was written or cut since
	lowest  int64   // the smallest size since

	attributes     map[string][]byte
	withAttributes bool
}

// touched notes a change of bytes or length.
func (d *fileData) touched() {
	d.dirty = true
	d.lowest = min(d.lowest, d.now.size)
	for _, s := range d.syncs {
		s.touched = true
		s.lowest = min(s.lowest, d.now.size)
	}
}

// unsynced reports whether a sync has anything to do.
func (d *fileData) unsynced() bool {
	return d.dirty || !maps.EqualFunc(d.attributes, d.syncedAttributes, slices.Equal[[]byte])
}

// begin begins a sync; end or abandon ends it.
func (d *fileData) begin(withAttributes bool) *fileSync {
	s := &fileSync{dirty: d.dirty, lowest: d.now.size, attributes: d.attributes, withAttributes: withAttributes}
	if d.dirty {
		s.content = d.now.snapshot()
	}
	d.syncs = append(d.syncs, s)
	return s
}

// end makes what a sync found at its beginning durable, but for what was lost. Where
// one that began later has ended before, that is so already.
func (d *fileData) end(s *fileSync) {
	at := slices.Index(d.syncs, s)
	if at < 0 {
		return
	}
	if s.dirty {
		next := s.content
		for index, lost := range d.lost {
			if s.content.at(index) == lost {
				next.replace(index, d.synced.at(index))
			}
			if d.now.at(index) != lost {
				delete(d.lost, index) // written again, or cut
			}
		}
		next.clearTail(next.size) // an old block may have been longer
		d.synced, d.dirty, d.lowest = next, s.touched, s.lowest
	}
	if s.withAttributes {
		d.syncedAttributes = s.attributes
	}
	// What began earlier has less to say of the bytes, and of attributes if this
	// one was about them, too.
	kept := d.syncs[:0]
	for i, other := range d.syncs {
		switch {
		case i > at:
			kept = append(kept, other)
		case i < at && other.withAttributes && !s.withAttributes:
			other.dirty = false
			kept = append(kept, other)
		}
	}
	clear(d.syncs[len(kept):])
	d.syncs = kept
}

// abandon ends a sync that failed.
func (d *fileData) abandon(s *fileSync) {
	d.syncs = slices.DeleteFunc(d.syncs, func(other *fileSync) bool { return other == s })
}

// syncData makes bytes and length durable, but for what was lost.
func (d *fileData) syncData() {
	if d.dirty {
		d.end(d.begin(false))
	}
}

// sync makes attributes durable, too.
func (d *fileData) sync() {
	d.syncData()
	d.syncedAttributes = d.attributes
}

// drop marks what was written since the last sync as lost.
func (d *fileData) drop() {
	if !d.dirty {
		return
	}
	d.now.snapshot() // from here on a write makes a new block, and is told from a lost one
	differences(&d.now, &d.synced, d.now.size, func(index int64) {
		if written := d.now.at(index); written != nil {
			if d.lost == nil {
				d.lost = make(map[int64]*block)
			}
			d.lost[index] = written
		}
	})
}

// crash returns what a power cut leaves. Of unsynced attributes each is as it
// is now or as it was; chance is nil for what was synced, and no more.
func (d *fileData) crash(chance *rand.Rand, torn bool) *fileData {
	after := &fileData{synced: d.synced.snapshot(), syncedAttributes: d.syncedAttributes}
	if chance != nil && d.unsynced() {
		if d.dirty {
			after.synced = d.crashContent(chance, torn)
		}
		after.syncedAttributes = d.crashAttributes(chance)
	}
	after.now = after.synced.snapshot()
	after.lowest = after.now.size
	after.attributes = after.syncedAttributes
	return after
}

// crashContent mixes what was synced with what was written since. Each block is
// the new one or the old one (beyond the old length: zeros), and the length is
// anything between. If the file was cut below its synced length, either nothing
// since the sync has happened or the cut has, first of all: the journal holds
// the old blocks until then. If torn, a block may also be half there: each of its
// sectors is the new one or the old one.
func (d *fileData) crashContent(chance *rand.Rand, torn bool) content {
	old := d.synced.snapshot()
	if d.lowest < old.size {
		if chance.IntN(2) == 0 {
			return old
		}
		old.truncate(d.lowest)
	}

	// Here old.size ≤ d.lowest ≤ d.now.size.
	length := old.size + chance.Int64N(d.now.size-old.size+1)
	switch chance.IntN(4) {
	case 0:
		length = old.size
	case 1:
		length = d.now.size
	case 2:
		length = max(old.size, length/blockBytes*blockBytes)
	}

	written := chance.IntN(5) // quarters of the blocks that have reached the disk
	after := d.now.snapshot()
	differences(&d.now, &old, d.now.size, func(index int64) {
		if lost, ok := d.lost[index]; ok && lost == d.now.at(index) || chance.IntN(4) >= written {
			after.replace(index, old.at(index))
		} else if torn && chance.IntN(2) == 0 {
			after.replace(index, tear(chance, d.now.at(index), old.at(index)))
		}
	})
	after.truncate(length)
	after.clearTail(length)
	return after
}

// sectorBytes is what a disk writes whole or not at all.
const sectorBytes = 512

// tear returns a block that has some sectors of one and the others of another; nil is
// a block of zeros.
func tear(chance *rand.Rand, written, old *block) *block {
	if written == nil {
		written = new(block)
	}
	torn := *written
	for at := 0; at < blockBytes; at += sectorBytes {
		switch {
		case chance.IntN(2) == 0:
		case old == nil:
			clear(torn[at : at+sectorBytes])
		default:
			copy(torn[at:at+sectorBytes], old[at:])
		}
	}
	return &torn
}

func (d *fileData) crashAttributes(chance *rand.Rand) map[string][]byte {
	names := slices.Collect(maps.Keys(d.attributes)) // none is ever removed
	slices.Sort(names)
	after := maps.Clone(d.syncedAttributes)
	for _, name := range names {
		old, had := d.syncedAttributes[name]
		if had && slices.Equal(old, d.attributes[name]) || chance.IntN(2) == 0 {
			continue
		}
		if after == nil {
			after = make(map[string][]byte)
		}
		after[name] = d.attributes[name]
	}
	return after
}
