package crash

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/test/model"
)

// content is the bytes of one write: no two writes have the same.
func content(seed uint64, size int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

// digest names bytes in the model.
func digest(b []byte) uint64 { return xxhash.Checksum64(b) }

// payload is a write on its way: bytes, what they hash to, and what comes with them.
type payload struct {
	bytes []byte
	sums  checksum.Sums
	draft objects.Draft
}

func newPayload(seed uint64, size int, draft objects.Draft) *payload {
	p := &payload{bytes: content(seed, size), draft: draft}
	d := checksum.NewDigests(checksum.Want{MD5: true, Sums: []checksum.Algorithm{checksum.CRC32C}})
	d.Write(p.bytes)
	p.sums = d.Sums()
	return p
}

// meta is the record as the gateway would make it.
func (p *payload) meta() objects.Meta {
	return objects.Meta{
		Size: p.sums.Size, XXHash: p.sums.XXHash, ETag: p.sums.ETag(), Checksums: p.sums.Values, Draft: p.draft,
		Modified: time.Unix(epoch, int64(p.sums.XXHash%1_000_000_000)).UTC(), // each its own
	}
}

// value is what the model is told.
func (p *payload) value() *model.Value {
	return &model.Value{Size: p.sums.Size, Digest: p.sums.XXHash, ETag: p.sums.ETag(), Draft: p.draft}
}

// names are the objects of every bucket: ordinary ones, ones whose paths are in
// each other's way, and ones that no filesystem holds as they are.
func names() []string {
	long := make([]byte, 300)
	for i := range long {
		long[i] = 'l'
	}
	return []string{
		"a", "a/b", "a/b/c", "a/d", "x/y/z", "x", "plain", "dir/plain",
		"..", "../a", "a//b", "slash/", "/slash", ".", string(long), "dir/" + string(long) + "/x",
		"nul\x00l", "\u00fcber/\u00f6", ".troupe-escaped/0a/x", ".troupe/index",
	}
}
