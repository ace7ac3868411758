package index

import (
	"github.com/cockroachdb/pebble/v2"
)

// Batch is a set of changes that happen together or not at all. It belongs to
// one goroutine until it is committed, and to the index from then on; a batch
// that is never committed is closed. Keys and values are copied into it.
type Batch struct {
	index   *Index
	changes *pebble.Batch
	hashes  []uint64 // of the keys that are in flight with it
	pending Pending
}

// NewBatch returns an empty batch of the index.
func (x *Index) NewBatch() *Batch {
	b := x.batches.Get().(*Batch)
	b.index = x
	b.changes = x.db.NewBatch()
	b.hashes = b.hashes[:0]
	return b
}

// Set gives key the value.
func (b *Batch) Set(key, value []byte) {
	op := b.changes.SetDeferred(len(key), len(value))
	copy(op.Key, key)
	copy(op.Value, value)
	b.finish(op)
}

// SetParts gives key the value that is the parts one after the other.
func (b *Batch) SetParts(key []byte, parts ...[]byte) {
	total := 0
	for _, part := range parts {
		total += len(part)
	}
	op := b.changes.SetDeferred(len(key), total)
	copy(op.Key, key)
	rest := op.Value
	for _, part := range parts {
		rest = rest[copy(rest, part):]
	}
	b.finish(op)
}

// Delete removes key, whether it is there or not.
func (b *Batch) Delete(key []byte) {
	op := b.changes.DeleteDeferred(len(key))
	copy(op.Key, key)
	b.finish(op)
}

// DeleteSized removes key, whose value is known to have valueSize bytes: that
// tells compactions how much space waits below. A wrong size costs only that.
func (b *Batch) DeleteSized(key []byte, valueSize int) {
	op := b.changes.DeleteSizedDeferred(len(key), uint32(valueSize))
	copy(op.Key, key)
	b.finish(op)
}

// DeleteRange removes every key from lower up to and without upper.
func (b *Batch) DeleteRange(lower, upper []byte) {
	op := b.changes.DeleteRangeDeferred(len(lower), len(upper))
	copy(op.Key, lower)
	copy(op.Value, upper)
	b.finish(op)
}

// finish ends a deferred operation, which fails only on indexed batches.
func (b *Batch) finish(op *pebble.DeferredBatchOp) {
	if err := op.Finish(); err != nil {
		panic(err)
	}
}

// Len returns how many changes the batch holds.
func (b *Batch) Len() int { return int(b.changes.Count()) }

// Bytes returns how many bytes the batch will take in the log.
func (b *Batch) Bytes() int { return b.changes.Len() }

// Close gives up a batch that was never committed.
func (b *Batch) Close() { b.recycle() }

// recycle gives the batch back to the pool. Nothing may refer to it any more.
func (b *Batch) recycle() {
	x := b.index
	b.release()
	b.index = nil
	x.batches.Put(b)
}

// release gives Pebble's part back.
func (b *Batch) release() {
	if b.changes == nil {
		return
	}
	// A batch without an index or iterators cannot fail to close.
	if err := b.changes.Close(); err != nil {
		panic(err)
	}
	b.changes = nil
}
