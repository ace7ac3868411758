package kill

import (
	"crypto/md5" //nolint:gosec // S3's entity tags are MD5
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/model"
)

// payload returns the bytes of a write; another number, or another size, has
// other bytes everywhere.
func payload(number uint64, size int) []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], number)
	binary.LittleEndian.PutUint64(seed[8:], uint64(size))
	b := make([]byte, size)
	rand.NewChaCha8(seed).Read(b) //nolint:errcheck // it never fails
	return b
}

// mark is the name of the user metadata that tells which write an object is of.
const mark = "mark"

// draft is what a write with a number says beside its bytes.
func draft(number uint64) objects.Draft {
	return objects.Draft{User: []objects.Pair{{Name: mark, Value: strconv.FormatUint(number, 10)}}}
}

// valueOf is what the model holds for bytes that were put in one request.
func valueOf(body []byte, with objects.Draft) *model.Value {
	sum := md5.Sum(body) //nolint:gosec // see the import
	return &model.Value{
		Size: int64(len(body)), Digest: xxhash.Checksum64(body), ETag: hex.EncodeToString(sum[:]), Draft: with,
	}
}

// assembled is what the model holds for an object made of parts.
func assembled(parts [][]byte, with objects.Draft) *model.Value {
	var body, sums []byte
	for _, p := range parts {
		body = append(body, p...)
		sum := md5.Sum(p) //nolint:gosec // see the import
		sums = append(sums, sum[:]...)
	}
	v := valueOf(body, with)
	sum := md5.Sum(sums) //nolint:gosec // see the import
	v.ETag = fmt.Sprintf("%x-%d", sum, len(parts))
	return v
}

// partValue is what the model holds for a part: listings tell its size and tag.
func partValue(body []byte) *model.Value {
	v := valueOf(body, objects.Draft{})
	v.Digest = 0
	return v
}
