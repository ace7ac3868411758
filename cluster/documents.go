package cluster

import (
	"bytes"

	"github.com/troupe-storage/troupe/objects/errs"
)

const (
	// MaxDocumentBytes is how large a document may be: three quarters of the 512 KiB that
	// Consul takes for a whole transaction, in which values travel as base64, less room
	// for keys.
	MaxDocumentBytes = 376 << 10
	// MaxWrites is how many writes one Commit may have: Consul's limit is 128 in recent
	// and 64 in older versions.
	MaxWrites = 64
)

// Document is a value under a key.
type Document struct {
	Key   string
	Value []byte // nobody changes it
	// Index is when it was last changed; 0: it does not exist.
	Index uint64
	// Stamp is what its writer left with it.
	Stamp uint64
}

// Exists reports whether there is such a document.
func (d Document) Exists() bool { return d.Index != 0 }

// Equal reports whether a document is the same one, unchanged.
func (d Document) Equal(o Document) bool {
	return d.Key == o.Key && d.Index == o.Index && d.Stamp == o.Stamp && bytes.Equal(d.Value, o.Value)
}

// Change says what a Write does.
type Change uint8

const (
	// Replace puts a value in place of the document, or makes it.
	Replace Change = iota
	// Remove removes the document.
	Remove
	// Expect changes nothing: the document is to be at its index.
	Expect
)

// Write is one change, on the condition that the document is still at an index.
type Write struct {
	Change Change
	Key    string
	Value  []byte // of Replace; the callee does not keep it
	// Index is that of the document as it was read; 0: there is none. Remove needs one.
	Index uint64
}

// Put replaces a document by a value.
func (d Document) Put(value []byte) Write {
	return Write{Change: Replace, Key: d.Key, Value: value, Index: d.Index}
}

// Remove removes a document.
func (d Document) Remove() Write { return Write{Change: Remove, Key: d.Key, Index: d.Index} }

// Unchanged expects a document to be as it was read.
func (d Document) Unchanged() Write { return Write{Change: Expect, Key: d.Key, Index: d.Index} }

// CheckWrites refuses as Invalid what no provider takes.
func CheckWrites(op errs.Op, writes []Write) error {
	if len(writes) == 0 || len(writes) > MaxWrites {
		return errs.E(op, errs.Invalid, errorf("%d changes at once are not from 1 to %d", len(writes), MaxWrites))
	}
	keys := make(map[string]bool, len(writes))
	size := 0
	for _, w := range writes {
		size += len(w.Value)
		switch {
		case !validKey(w.Key):
			return errs.E(op, w.Key, errs.Invalid, errorf("a key is made of segments that are neither empty, . nor .., has at most %d bytes and none that cannot be printed", MaxKeyBytes))
		case keys[w.Key]:
			return errs.E(op, w.Key, errs.Invalid, errorf("it is changed twice at once"))
		case size > MaxDocumentBytes:
			return errs.E(op, w.Key, errs.Invalid, errorf("the values have more than %d bytes", MaxDocumentBytes))
		case w.Change == Remove && w.Index == 0:
			return errs.E(op, w.Key, errs.Invalid, errorf("what does not exist cannot be removed"))
		}
		keys[w.Key] = true
	}
	return nil
}
