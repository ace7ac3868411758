package layout

import (
	"fmt"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Delete markers that may be dropped one day are in a journal, by when they came here:
//
//	x  t │ arrival 24 │ bucket id 8 │ name, raw      generation of the marker
//
// and what was dropped of a bucket is in another:
//
//	x  d │ bucket id 8                                generations of objects.Bound
//
// Each value is a version byte, generations of 24 bytes, and the CRC of other values.

// TombstoneKey is the key of the entry of a delete marker. Arrival is a generation of this
// node, taken when the marker came.
func TombstoneKey(arrival objects.Generation, b objects.BucketID, name string) []byte {
	key := arrival.AppendTo([]byte{KindJournal, journalTombstone})
	key = append(key, b[:]...)
	return append(key, name...)
}

// ParseTombstoneKey reads what TombstoneKey wrote; anything else is errs.Corrupt.
func ParseTombstoneKey(key []byte) (arrival objects.Generation, b objects.BucketID, name string, err error) {
	const op errs.Op = "layout.ParseTombstoneKey"
	const bucketAt = 2 + objects.GenerationBytes
	if len(key) < bucketAt+len(b) || key[0] != KindJournal || key[1] != journalTombstone {
		return arrival, b, "", badKey(op, key, fmt.Errorf("it is too short, or of another kind"))
	}
	if arrival, err = objects.GenerationOf(key[2:bucketAt]); err != nil {
		return arrival, b, "", badKey(op, key, err)
	}
	copy(b[:], key[bucketAt:])
	return arrival, b, string(key[bucketAt+len(b):]), nil
}

// TombstoneBounds are the bounds of the entries that came after one generation and before
// another; zero: of all of them.
func TombstoneBounds(after, before objects.Generation) (lower, upper []byte) {
	lower, upper = []byte{KindJournal, journalTombstone}, []byte{KindJournal, journalTombstone + 1}
	if !after.IsZero() {
		lower = PrefixEnd(after.AppendTo(lower))
	}
	if !before.IsZero() {
		upper = before.AppendTo([]byte{KindJournal, journalTombstone})
	}
	return lower, upper
}

// DroppedKey is the key of the bound of what was dropped of a bucket.
func DroppedKey(b objects.BucketID) []byte {
	return append([]byte{KindJournal, journalDropped}, b[:]...)
}

// ParseDroppedKey reads what DroppedKey wrote; anything else is errs.Corrupt.
func ParseDroppedKey(key []byte) (b objects.BucketID, err error) {
	if len(key) != 2+len(b) || key[0] != KindJournal || key[1] != journalDropped {
		return b, badKey("layout.ParseDroppedKey", key, fmt.Errorf("%d bytes, or of another kind", len(key)))
	}
	copy(b[:], key[2:])
	return b, nil
}

// DroppedBounds are the bounds of the keys that DroppedKey makes.
func DroppedBounds() (lower, upper []byte) {
	return []byte{KindJournal, journalDropped}, []byte{KindJournal, journalDropped + 1}
}

// AppendGenerations appends the value of either journal.
func AppendGenerations(dst []byte, generations ...objects.Generation) []byte {
	start := len(dst)
	dst = append(dst, ValueVersion)
	for _, g := range generations {
		dst = g.AppendTo(dst)
	}
	return seal(dst, start)
}

// DecodeGenerations reads what AppendGenerations wrote.
func DecodeGenerations(b []byte) ([]objects.Generation, error) {
	const op errs.Op = "layout.DecodeGenerations"
	c, err := openValue(op, ValueVersion, b)
	if err != nil {
		return nil, err
	}
	var list []objects.Generation
	for rest := b[c.at:c.end]; len(rest) > 0; rest = rest[objects.GenerationBytes:] {
		g, err := objects.GenerationOf(rest[:min(len(rest), objects.GenerationBytes)])
		if err != nil {
			return nil, errs.E(op, errs.Corrupt, err)
		}
		list = append(list, g)
	}
	return list, nil
}

// CheckTombstones checks an entry of one of these journals, as an offline check does; an
// entry of another journal passes.
func CheckTombstones(key, value []byte) error {
	if len(key) < 2 || key[0] != KindJournal {
		return nil
	}
	var err error
	switch key[1] {
	case journalTombstone:
		_, _, _, err = ParseTombstoneKey(key)
	case journalDropped:
		_, err = ParseDroppedKey(key)
	default:
		return nil
	}
	if err == nil {
		_, err = DecodeGenerations(value)
	}
	return err
}
