package prover

import (
	"crypto/md5" //nolint:gosec // S3's entity tags are MD5
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"

	"github.com/OneOfOne/xxhash"
)

// value is what a cell of the history holds: the bytes of an object by their digest,
// and what came with them. A nil *value is a cell that holds nothing. Of a part only size
// and ETag are known, and nothing of an upload but that it is there.
type value struct {
	Mark   uint64 `json:"mark,omitempty"` // the number of the write, from its metadata
	Size   int64  `json:"size"`
	Digest uint64 `json:"digest,omitempty"` // xxhash64 of all the bytes
	ETag   string `json:"etag"`
}

// equal compares two values, either of which may be nil.
func (v *value) equal(w *value) bool {
	if v == nil || w == nil {
		return v == w
	}
	return *v == *w
}

// String tells the value in a few words.
func (v *value) String() string {
	if v == nil {
		return "nothing"
	}
	return fmt.Sprintf("%d bytes of write %x, etag %s", v.Size, v.Mark, v.ETag)
}

// payload returns the bytes of a write; those of another number, size or seed are others
// everywhere, so that no mixture of two looks whole.
func payload(seed, number uint64, size int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	binary.LittleEndian.PutUint64(key[8:], number)
	binary.LittleEndian.PutUint64(key[16:], uint64(size))
	b := make([]byte, size)
	rand.NewChaCha8(key).Read(b) //nolint:errcheck // it never fails
	return b
}

// valueOf is the value of bytes that are put in one request.
func valueOf(mark uint64, body []byte) *value {
	sum := md5.Sum(body) //nolint:gosec // see the import
	return &value{Mark: mark, Size: int64(len(body)), Digest: xxhash.Checksum64(body), ETag: hex.EncodeToString(sum[:])}
}

// assembled is the value of an object made of parts.
func assembled(mark uint64, parts [][]byte) *value {
	var body, sums []byte
	for _, p := range parts {
		body = append(body, p...)
		sum := md5.Sum(p) //nolint:gosec // see the import
		sums = append(sums, sum[:]...)
	}
	v := valueOf(mark, body)
	sum := md5.Sum(sums) //nolint:gosec // see the import
	v.ETag = fmt.Sprintf("%x-%d", sum, len(parts))
	return v
}

// partOf is the value of a part.
func partOf(body []byte) *value {
	v := valueOf(0, body)
	v.Digest = 0
	return v
}
