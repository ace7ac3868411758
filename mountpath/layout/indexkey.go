package layout

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Kinds of index keys: the first byte of each. Part of the on-disk format.
const (
	// KindObject: the record of a current version.
	KindObject byte = 'o'
	// KindVersion: the record of a noncurrent version or delete marker.
	KindVersion byte = 'v'
	// KindPayload: a payload up to the inline limit, or the parts of an object
	// made from chunks.
	KindPayload byte = 'd'
	// KindUpload: a multipart upload (part 0) and its parts.
	KindUpload byte = 'u'
	// KindIntent: what a crash may have left half done.
	KindIntent byte = 'i'
	// KindReclaim: what is deleted and still takes space.
	KindReclaim byte = 'r'
	// KindJournal: journals, told apart by the byte that follows.
	KindJournal byte = 'x'
)

// Every key begins with its kind and the bucket id:
//
//	o  bucket id 8 │ name, raw
//	v  bucket id 8 │ name, escaped, 00 01 │ generation 24, inverted
//	d  bucket id 8 │ name, escaped, 00 01 │ payload generation 24
//	i  bucket id 8 │ name, escaped, 00 01 │ payload generation 24
//	r  bucket id 8 │ name, escaped, 00 01 │ payload generation 24
//	u  bucket id 8 │ name, escaped, 00 01 │ upload id, escaped, 00 01 │ part 4
//
// Numbers are big-endian. Escaping writes 00 as 00 FF; with the end 00 01 below
// every escaped byte, byte order is the order of names, a name before its
// extensions. Inverted means every bit, so that the newest version comes first.
const (
	bucketAt  = 1
	nameAt    = bucketAt + len(objects.BucketID{})
	partBytes = 4

	escape    = 0x00 // in a name: followed by escapedNUL or endOfName
	escapeNUL = 0xff
	endOfName = 0x01
)

func appendHead(dst []byte, kind byte, b objects.BucketID) []byte {
	return append(append(dst, kind), b[:]...)
}

func appendEscaped(dst []byte, name string) []byte {
	from := 0
	for i := range len(name) {
		if name[i] == escape {
			dst = append(append(dst, name[from:i+1]...), escapeNUL)
			from = i + 1
		}
	}
	return append(append(dst, name[from:]...), escape, endOfName)
}

func appendNameAndGeneration(dst []byte, kind byte, b objects.BucketID, name string, g objects.Generation) []byte {
	return g.AppendTo(appendEscaped(appendHead(dst, kind, b), name))
}

// ObjectKey appends the key of an object's record.
func ObjectKey(dst []byte, b objects.BucketID, name string) []byte {
	return append(appendHead(dst, KindObject, b), name...)
}

// PayloadKey appends the key of a payload in the index.
func PayloadKey(dst []byte, b objects.BucketID, name string, payload objects.Generation) []byte {
	return appendNameAndGeneration(dst, KindPayload, b, name, payload)
}

// VersionKey appends the key of a noncurrent version; the newest of a name sorts first.
func VersionKey(dst []byte, b objects.BucketID, name string, generation objects.Generation) []byte {
	return appendNameAndGeneration(dst, KindVersion, b, name, inverted(generation))
}

// IntentKey appends the key of the intent of a payload.
func IntentKey(dst []byte, b objects.BucketID, name string, payload objects.Generation) []byte {
	return appendNameAndGeneration(dst, KindIntent, b, name, payload)
}

// ReclaimKey appends the key of a reclaim entry.
func ReclaimKey(dst []byte, b objects.BucketID, name string, payload objects.Generation) []byte {
	return appendNameAndGeneration(dst, KindReclaim, b, name, payload)
}

// UploadKey appends the key of a multipart upload itself. Its parts follow it.
func UploadKey(dst []byte, b objects.BucketID, name, uploadID string) []byte {
	return PartKey(dst, b, name, uploadID, 0)
}

// PartKey appends the key of a part of a multipart upload; number is 1 to
// 10,000, and 0 is the upload itself. A number that 32 bits cannot hold panics.
func PartKey(dst []byte, b objects.BucketID, name, uploadID string, number int) []byte {
	if number < 0 || number > 1<<32-1 {
		panic(fmt.Sprintf("layout.PartKey: part %d", number))
	}
	dst = appendEscaped(appendEscaped(appendHead(dst, KindUpload, b), name), uploadID)
	return binary.BigEndian.AppendUint32(dst, uint32(number))
}

func inverted(g objects.Generation) objects.Generation {
	return objects.Generation{Map: ^g.Map, Start: ^g.Start, Seq: ^g.Seq}
}

// ObjectName returns the name in an object's key: a part of it, not a copy; nil
// if the key is too short to be one. It checks nothing else.
func ObjectName(key []byte) []byte {
	if len(key) < nameAt {
		return nil
	}
	return key[nameAt:]
}

// ParseObjectKey reads what ObjectKey wrote. Anything else is errs.Corrupt, as
// for all Parse functions here.
func ParseObjectKey(key []byte) (b objects.BucketID, name string, err error) {
	b, rest, err := cutHead(key, KindObject)
	if err != nil {
		return b, "", badKey("layout.ParseObjectKey", key, err)
	}
	return b, string(rest), nil
}

// ParsePayloadKey reads what PayloadKey wrote.
func ParsePayloadKey(key []byte) (b objects.BucketID, name string, payload objects.Generation, err error) {
	return parseNameAndGeneration("layout.ParsePayloadKey", key, KindPayload)
}

// ParseVersionKey reads what VersionKey wrote.
func ParseVersionKey(key []byte) (b objects.BucketID, name string, generation objects.Generation, err error) {
	b, name, generation, err = parseNameAndGeneration("layout.ParseVersionKey", key, KindVersion)
	if err != nil {
		return b, "", objects.Generation{}, err
	}
	return b, name, inverted(generation), nil
}

// ParseIntentKey reads what IntentKey wrote.
func ParseIntentKey(key []byte) (b objects.BucketID, name string, payload objects.Generation, err error) {
	return parseNameAndGeneration("layout.ParseIntentKey", key, KindIntent)
}

// ParseReclaimKey reads what ReclaimKey wrote.
func ParseReclaimKey(key []byte) (b objects.BucketID, name string, payload objects.Generation, err error) {
	return parseNameAndGeneration("layout.ParseReclaimKey", key, KindReclaim)
}

// ParseUploadKey reads what UploadKey (part 0) or PartKey wrote.
func ParseUploadKey(key []byte) (b objects.BucketID, name, uploadID string, part int, err error) {
	const op errs.Op = "layout.ParseUploadKey"
	b, rest, err := cutHead(key, KindUpload)
	if err != nil {
		return b, "", "", 0, badKey(op, key, err)
	}
	if name, rest, err = cutEscaped(rest); err != nil {
		return b, "", "", 0, badKey(op, key, err)
	}
	if uploadID, rest, err = cutEscaped(rest); err != nil {
		return b, "", "", 0, badKey(op, key, err)
	}
	if len(rest) != partBytes {
		return b, "", "", 0, badKey(op, key, fmt.Errorf("part of %d bytes, want %d", len(rest), partBytes))
	}
	return b, name, uploadID, int(binary.BigEndian.Uint32(rest)), nil
}

func parseNameAndGeneration(op errs.Op, key []byte, kind byte) (b objects.BucketID, name string, g objects.Generation, err error) {
	b, rest, err := cutHead(key, kind)
	if err == nil {
		name, rest, err = cutEscaped(rest)
	}
	if err == nil {
		g, err = objects.GenerationOf(rest)
	}
	if err != nil {
		return b, "", objects.Generation{}, badKey(op, key, err)
	}
	return b, name, g, nil
}

func cutHead(key []byte, kind byte) (b objects.BucketID, rest []byte, err error) {
	if len(key) < nameAt || key[0] != kind {
		return b, nil, fmt.Errorf("it does not begin with %q and a bucket id", kind)
	}
	copy(b[:], key[bucketAt:])
	return b, key[nameAt:], nil
}

// cutEscaped reads an escaped name and its end.
func cutEscaped(b []byte) (name string, rest []byte, err error) {
	var plain []byte
	from := 0
	for {
		i := bytes.IndexByte(b[from:], escape)
		if i < 0 || from+i+1 == len(b) {
			return "", nil, fmt.Errorf("a name has no end")
		}
		at := from + i
		switch b[at+1] {
		case endOfName:
			if plain == nil {
				return string(b[:at]), b[at+2:], nil
			}
			return string(append(plain, b[from:at]...)), b[at+2:], nil
		case escapeNUL:
			plain = append(plain, b[from:at+1]...)
			from = at + 2
		default:
			return "", nil, fmt.Errorf("a name holds 00 %02x", b[at+1])
		}
	}
}

// badKey reports a key that no function here wrote. At most 64 of its bytes are shown.
func badKey(op errs.Op, key []byte, cause error) error {
	return errs.E(op, fmt.Sprintf("%.64q", key[:min(len(key), 64)]), errs.Corrupt, cause)
}

// PrefixEnd returns the smallest key above every key that begins with prefix,
// or nil if there is none (the prefix is empty or all FF).
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}

func prefixBounds(prefix []byte) (lower, upper []byte) { return prefix, PrefixEnd(prefix) }

// BucketBounds returns the range [lower, upper) of all keys of a kind in a bucket.
func BucketBounds(kind byte, b objects.BucketID) (lower, upper []byte) {
	return prefixBounds(appendHead(nil, kind, b))
}

// NameBounds returns the range [lower, upper) of all keys of a kind and a name:
// KindVersion, KindPayload, KindUpload, KindIntent or KindReclaim. Names that
// begin with this one are not in it.
func NameBounds(kind byte, b objects.BucketID, name string) (lower, upper []byte) {
	return prefixBounds(appendEscaped(appendHead(nil, kind, b), name))
}

// UploadBounds returns the range [lower, upper) of an upload and its parts.
func UploadBounds(b objects.BucketID, name, uploadID string) (lower, upper []byte) {
	return prefixBounds(appendEscaped(appendEscaped(appendHead(nil, KindUpload, b), name), uploadID))
}
