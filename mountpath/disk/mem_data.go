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
}

// touched notes a change of bytes or length.
func (d *fileData) touched() {
	d.dirty = true
	d.lowest = min(d.lowest, d.now.size)
}

// unsynced reports whether a sync has anything to do.
func (d *fileData) unsynced() bool {
	return d.dirty || !maps.EqualFunc(d.attributes, d.syncedAttributes, slices.Equal[[]byte])
}

// syncData makes bytes and length durable, but for what was lost.
func (d *fileData) syncData() {
	if !d.dirty {
		return
	}
	next := d.now.snapshot()
	for index, lost := range d.lost {
		if d.now.at(index) != lost {
			delete(d.lost, index) // written again, or cut
			continue
		}
		next.replace(index, d.synced.at(index))
	}
	next.clearTail(next.size) // an old block may have been longer
	d.synced, d.dirty, d.lowest = next, false, d.now.size
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
func (d *fileData) crash(chance *rand.Rand) *fileData {
	after := &fileData{synced: d.synced.snapshot(), syncedAttributes: d.syncedAttributes}
	if chance != nil && d.unsynced() {
		if d.dirty {
			after.synced = d.crashContent(chance)
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
// the old blocks until then.
func (d *fileData) crashContent(chance *rand.Rand) content {
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
		}
	})
	after.truncate(length)
	after.clearTail(length)
	return after
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
