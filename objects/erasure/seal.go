package erasure

import (
	"encoding/binary"
	"fmt"

	"github.com/OneOfOne/xxhash"
	"github.com/zeebo/xxh3"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// The checksum of a block is its XXH3 (64 bits, seed 0), combined by exclusive or with the
// xxhash64 of what the block is, and lies behind it, big-endian. What it is:
//
//	24  payload generation
//	 1  slice
//	 1  d
//	 1  p
//	 1  code: how parity is computed
//	 4  bytes of a cell, big-endian
//	 8  stripe, big-endian
//
// On x86 XXH3 takes less than half of what the xxhash64 of payloads takes. It alone leaves
// the codec what it is to reach of the library's speed with AVX-512 and without: CRC64NVME
// is as fast with it and takes three times as long without, CRC-32C has half the bits and
// takes nearly twice as long (docs/benchmarks.md, "Erasure coding"). It is no defence against
// somebody who wants to deceive: between nodes, that is the road's.

// headerBytes is how long what a block is is.
const headerBytes = objects.GenerationBytes + 16

// seals makes and checks the checksums of the cells of one payload. One goroutine's
// at a time.
type seals struct {
	header [headerBytes]byte // of the block asked for last
}

func newSeals(payload objects.Generation, form Form) seals {
	var s seals
	b := append(payload.AppendTo(s.header[:0]), 0, byte(form.Data), byte(form.Parity), codeVandermonde)
	binary.BigEndian.AppendUint32(b, uint32(form.CellBytes))
	return s
}

// whose returns the hash of what a block is.
func (s *seals) whose(slice int, stripe int64) uint64 {
	s.header[objects.GenerationBytes] = byte(slice)
	binary.BigEndian.PutUint64(s.header[headerBytes-8:], uint64(stripe))
	return xxhash.Checksum64(s.header[:])
}

// of returns the checksum of a block.
func (s *seals) of(slice int, stripe int64, block []byte) uint64 {
	return xxh3.Hash(block) ^ s.whose(slice, stripe)
}

// put writes the checksum behind the block of a cell, and returns it.
func (s *seals) put(slice int, stripe int64, cell []byte) uint64 {
	end := len(cell) - sumBytes
	sum := s.of(slice, stripe, cell[:end])
	binary.BigEndian.PutUint64(cell[end:], sum)
	return sum
}

// check returns the checksum that a cell has, and says that it is wrong, or nil.
func (s *seals) check(op errs.Op, slice int, stripe int64, cell []byte) (uint64, error) {
	end := len(cell) - sumBytes
	stored := binary.BigEndian.Uint64(cell[end:])
	return stored, differ(op, slice, stripe, s.of(slice, stripe, cell[:end]), stored)
}

// differ is the error of a checksum that is not what it should be, or nil.
func differ(op errs.Op, slice int, stripe int64, got, want uint64) error {
	if got == want {
		return nil
	}
	return errs.E(op, name(slice, stripe), errs.Corrupt, fmt.Errorf("checksum %016x, want %016x", got, want))
}

// name is how a cell is called in errors.
func name(slice int, stripe int64) string { return fmt.Sprintf("slice %d, stripe %d", slice, stripe) }

// sum is the checksum of a slice as it grows: the xxhash64 of the checksums of its
// blocks, each big-endian; as that of an object in parts is one of theirs. The zero
// value is not ready.
type sum struct {
	hash *xxhash.XXHash64
	room [sumBytes]byte
}

func newSum() sum { return sum{hash: xxhash.New64()} }

func (s *sum) add(block uint64) {
	binary.BigEndian.PutUint64(s.room[:], block)
	s.hash.Write(s.room[:]) // never fails
}

func newSums(n int) []sum {
	sums := make([]sum, n)
	for i := range sums {
		sums[i] = newSum()
	}
	return sums
}
