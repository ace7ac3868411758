package objects

import (
	"fmt"
	"unicode/utf8"

	"github.com/OneOfOne/xxhash"
)

// MaxNameBytes is the longest name of an object, in bytes of UTF-8: S3's limit.
const MaxNameBytes = 1024

// digestSeed is AIStore's seed for names and ids; part of the on-disk format,
// since placement follows from it.
const digestSeed = 1103515245

// Key names one object: the bucket it is in and its name there.
type Key struct {
	Bucket Bucket
	Name   string
}

// String returns bucket and name as people say them: "photos/cat.jpg".
func (k Key) String() string { return k.Bucket.Name + "/" + k.Name }

// Digest is the xxhash64 of the key's uname: the number that places the key on
// a node, a mountpath and a lane. Fixed by test vectors: an on-disk format.
func (k Key) Digest() uint64 {
	var room [256]byte
	b := append(room[:0], k.Bucket.Provider...)
	b = append(b, "/@"...)
	if k.Bucket.Namespace == "" {
		b = append(b, '#')
	} else {
		b = append(b, k.Bucket.Namespace...)
	}
	b = append(b, '/')
	b = append(b, k.Bucket.Name...)
	b = append(b, '/')
	b = append(b, k.Name...)
	return xxhash.Checksum64S(b, digestSeed)
}

// NodeDigest is the digest of a node, by the name that AIStore's clients have for it: its id
// after a t, for target.
func NodeDigest(id string) uint64 { return DigestID("t" + id) }

// DigestID is the digest of a node's name or a mountpath's id, for HRW.
func DigestID(id string) uint64 { return xxhash.ChecksumString64S(id, digestSeed) }

// CheckName says why a name cannot be an object's, or nil: empty, longer than
// MaxNameBytes, or not UTF-8.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrObjectName)
	case len(name) > MaxNameBytes:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrNameTooLong, len(name), MaxNameBytes)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: %q is not UTF-8", ErrObjectName, name)
	}
	return nil
}
