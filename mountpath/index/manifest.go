package index

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Pebble reads its manifest up to the first record that is damaged and takes
// the rest for a write that a power cut tore: what the lost records named is
// then deleted as garbage. But each record is synced before the next is
// written, so that only the last can be torn. checkManifest tells the two apart.
//
// The format is that of LevelDB's log (pebble: record/record.go): blocks of
// 32 KiB of chunks, each with a checksum, a length and a position in its record.
const (
	manifestBlockBytes  = 32 << 10
	manifestHeaderBytes = 7 // checksum 4, length 2, position 1

	chunkFull  = 1
	chunkFirst = 2
	chunkLast  = 4
)

// maxManifestBytes bounds what is read of a manifest: far more than one grows to.
const maxManifestBytes = 1 << 30

// checkManifest returns a corruption error if the manifest has a damaged record
// with a whole one after it.
func checkManifest(fsys disk.FS, dir, manifest string) error {
	const op errs.Op = "index.checkManifest"
	name := path.Join(dir, manifest)
	file, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close() // it was only read
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size > maxManifestBytes {
		return errs.E(op, name, errs.Corrupt, fmt.Errorf("it has %d bytes", info.Size))
	}
	content := make([]byte, info.Size)
	if n, err := file.ReadAt(content, 0); err != nil && (err != io.EOF || n < len(content)) {
		return err
	}
	if damaged, after := damage(content); after >= 0 {
		return errs.E(op, name, errs.Corrupt,
			fmt.Errorf("damaged at byte %d, and not torn: a record follows at byte %d", damaged, after))
	}
	return nil
}

// damage returns where the first chunk that cannot be read begins and where,
// after it, a record begins that can; -1 for what is not there.
func damage(content []byte) (damaged, after int) {
	at := 0
	for at < len(content) {
		length, _, ok := chunk(content, at)
		if !ok {
			break
		}
		at += length
	}
	if at >= len(content) {
		return -1, -1
	}
	for next := at + 1; next < len(content); next++ {
		_, position, ok := chunk(content, next)
		if ok && (position == chunkFull || position == chunkFirst) {
			return at, next
		}
	}
	return at, -1
}

// chunk reads the chunk at a byte of a manifest: how many bytes further the
// next one begins, and its position in its record, 0 for the unused end of a block.
func chunk(content []byte, at int) (length int, position byte, ok bool) {
	end := min(len(content), at-at%manifestBlockBytes+manifestBlockBytes)
	rest := content[at:end]
	if len(rest) < manifestHeaderBytes {
		return len(rest), 0, allZero(rest)
	}
	payload := int(binary.LittleEndian.Uint16(rest[4:]))
	position = rest[6]
	if position < chunkFull || position > chunkLast || payload > len(rest)-manifestHeaderBytes {
		return 0, 0, false
	}
	length = manifestHeaderBytes + payload
	if binary.LittleEndian.Uint32(rest) != maskedChecksum(rest[6:length]) {
		return 0, 0, false
	}
	return length, position, true
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// maskedChecksum is LevelDB's: CRC-32C, rotated, so that the checksum of bytes
// that hold checksums is no weaker.
func maskedChecksum(b []byte) uint32 {
	c := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return (c>>15 | c<<17) + 0xa282ead8
}
