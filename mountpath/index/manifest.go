package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Pebble reads its manifest up to the first record that is damaged and takes
// the rest for a write that a power cut tore: what the lost records named is
// then deleted as garbage. But each record is synced before the next is
// written, so that only the last can be torn. checkManifest tells the two apart.
//
// The last record is guarded by a note of how much of the manifest is synced,
// renewed after each sync of it. The note itself is not synced: an old one says
// less, and nothing wrong.
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

// noteName is the file of the note, in the index's directory: manifest number 8
// bytes, synced bytes 8, CRC-32C of both 4, little-endian.
const (
	noteName  = "SYNCED"
	noteBytes = 20
)

// noteSynced notes that so many bytes of a manifest are synced.
func noteSynced(fsys disk.FS, manifest string, bytes int64) error {
	number, ok := manifestNumber(path.Base(manifest))
	if !ok {
		return nil
	}
	note := make([]byte, 0, noteBytes)
	note = binary.LittleEndian.AppendUint64(note, number)
	note = binary.LittleEndian.AppendUint64(note, uint64(bytes))
	note = binary.LittleEndian.AppendUint32(note, maskedChecksum(note))
	file, err := fsys.OpenFile(path.Join(path.Dir(manifest), noteName), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(note, 0)
	return errors.Join(err, file.Close())
}

// notedBytes returns how many bytes of the manifest are known to be synced: 0 if
// there is no note of it, or none that is whole.
func notedBytes(fsys disk.FS, dir, manifest string) (int64, error) {
	file, err := fsys.OpenFile(path.Join(dir, noteName), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer file.Close() // it was only read
	var note [noteBytes]byte
	if n, err := file.ReadAt(note[:], 0); err == io.EOF && n < noteBytes {
		return 0, nil
	} else if err != nil && err != io.EOF {
		return 0, err
	}
	number, ok := manifestNumber(manifest)
	if !ok || binary.LittleEndian.Uint64(note[:]) != number ||
		binary.LittleEndian.Uint32(note[16:]) != maskedChecksum(note[:16]) {
		return 0, nil
	}
	return int64(binary.LittleEndian.Uint64(note[8:])), nil
}

// manifestNumber returns the number in the name of a manifest.
func manifestNumber(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, manifestPrefix)
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, err == nil
}

const manifestPrefix = "MANIFEST-"

// checkManifest returns a corruption error if the manifest has a damaged record
// with a whole one after it, or among what is noted as synced.
func checkManifest(fsys disk.FS, dir, manifest string) error {
	const op errs.Op = "index.checkManifest"
	name := path.Join(dir, manifest)
	file, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return errs.E(op, name, errs.Corrupt, err) // the marker names it
	}
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
	noted, err := notedBytes(fsys, dir, manifest)
	if err != nil {
		return err
	}
	damaged, after := damage(content)
	if damaged < 0 {
		damaged = len(content)
	}
	if int64(damaged) < noted {
		return errs.E(op, name, errs.Corrupt, fmt.Errorf("damaged at byte %d, and %d were synced", damaged, noted))
	}
	if after >= 0 {
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
