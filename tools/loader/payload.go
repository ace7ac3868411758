package loader

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
)

// arenaBytes is the length of the arena. Below 4 MiB, so that it stays a small
// part of memory; prime, so that pieces of a payload whose distance is any
// multiple of a sector, page or slab differ: a server that mixes them up is found out.
const arenaBytes = 4194301

// payloads makes the content of every object of a load out of one arena of
// random bytes: byte i of an object is arena[(phase+i) mod len(arena)], where the
// phase follows from the key's digest. So content costs nothing to make, cannot
// be compressed, and can be checked by comparison.
//
// Immutable; safe for concurrent use.
type payloads struct {
	arena []byte
}

// newPayloads fills the arena from the seed.
func newPayloads(seed uint64) *payloads {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	p := &payloads{arena: make([]byte, arenaBytes)}
	// Read of a ChaCha8 never fails.
	_, _ = rand.NewChaCha8(key).Read(p.arena)
	return p
}

// phase returns where in the arena the object with this digest begins.
func (p *payloads) phase(digest uint64) int64 {
	return int64(mix64(digest+1) % uint64(len(p.arena)))
}

// appendPieces appends the content of an object to pieces, without copying it.
// The pieces are the arena's: only read.
func (p *payloads) appendPieces(pieces [][]byte, digest uint64, size int64) [][]byte {
	return p.appendSlice(pieces, digest, 0, size)
}

// appendSlice does the same for the part of it that begins at offset.
func (p *payloads) appendSlice(pieces [][]byte, digest uint64, offset, size int64) [][]byte {
	at := (p.phase(digest) + offset) % int64(len(p.arena))
	for size > 0 {
		n := min(size, int64(len(p.arena))-at)
		pieces = append(pieces, p.arena[at:at+n])
		size -= n
		at = 0
	}
	return pieces
}

// append appends a copy of the content of an object to b.
func (p *payloads) append(b []byte, digest uint64, size int64) []byte {
	at := p.phase(digest)
	for size > 0 {
		n := min(size, int64(len(p.arena))-at)
		b = append(b, p.arena[at:at+n]...)
		size -= n
		at = 0
	}
	return b
}

// matches reports whether piece is what the object with this digest holds from offset on.
func (p *payloads) matches(piece []byte, digest uint64, offset int64) bool {
	at := (p.phase(digest) + offset) % int64(len(p.arena))
	for len(piece) > 0 {
		n := min(int64(len(piece)), int64(len(p.arena))-at)
		if !bytes.Equal(piece[:n], p.arena[at:at+n]) {
			return false
		}
		piece = piece[n:]
		at = 0
	}
	return true
}
