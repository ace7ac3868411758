package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Pebble replays its log up to the first chunk that is damaged. It takes the rest
// for a write that a power cut tore, unless a chunk of a later block says that more
// had been synced. But it does not look at the rest of the damaged block: one bit
// that flips in the last 32 KiB of a log would take every acknowledged record
// behind it along, and nobody would be told. checkLog looks there.
//
// A block is a sequence of chunks, none across its end (pebble: record/record.go,
// "WAL sync chunk format"). Each has the number of its log, so that what a log file
// held before it was used again is not taken for its own, and how many bytes of the
// log had been synced when it was written. The chunks that were written after the
// last of those syncs have no such witness: damage there looks like a torn write.
const (
	logBlockBytes  = 32 << 10
	logHeaderBytes = 19 // checksum 4, length 2, kind 1, log number 4, synced bytes 8

	logFull = 9
	logLast = 12
)

// checkLog returns a corruption error if a chunk of the log is damaged that had
// been synced, as a chunk after it in the same block tells.
func checkLog(file disk.File, name string) error {
	const op errs.Op = "index.checkLog"
	number, ok := logNumber(path.Base(name))
	if !ok {
		return nil
	}
	block := make([]byte, logBlockBytes)
	for begin := int64(0); ; begin += logBlockBytes {
		n, err := file.ReadAt(block, begin)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		rest := block[:n]
		at := 0
		for at < n {
			length, _, ok := logChunk(rest[at:], number)
			if !ok {
				break
			}
			at += length
		}
		if at < n {
			damaged := begin + int64(at)
			if synced := greatestSynced(rest[at:], number); synced > uint64(damaged) {
				return errs.E(op, name, errs.Corrupt, fmt.Errorf("damaged at byte %d, and %d were synced", damaged, synced))
			}
			return nil // the end of the log, or damage that Pebble judges by later blocks
		}
		if n < logBlockBytes {
			return nil
		}
	}
}

// greatestSynced returns the most bytes that a whole chunk in what is left of a
// block says were synced; 0 if there is none. Where the next chunk begins after a
// damaged one is not known: its length may be what is damaged.
func greatestSynced(rest []byte, number uint32) uint64 {
	most := uint64(0)
	for at := 1; at+logHeaderBytes <= len(rest); at++ {
		if length, synced, ok := logChunk(rest[at:], number); ok && length >= logHeaderBytes {
			most = max(most, synced)
			at += length - 1
		}
	}
	return most
}

// logChunk reads the chunk that the rest of a block begins with: its length and how
// many bytes of the log it says were synced. The unused end of a block is one, too.
func logChunk(rest []byte, number uint32) (length int, synced uint64, ok bool) {
	if len(rest) < logHeaderBytes {
		return len(rest), 0, allZero(rest)
	}
	if kind := rest[6]; kind < logFull || kind > logLast || binary.LittleEndian.Uint32(rest[7:]) != number {
		return 0, 0, false
	}
	length = logHeaderBytes + int(binary.LittleEndian.Uint16(rest[4:]))
	if length > len(rest) || binary.LittleEndian.Uint32(rest) != maskedChecksum(rest[6:length]) {
		return 0, 0, false
	}
	return length, binary.LittleEndian.Uint64(rest[11:]), true
}

// logNumber returns the number in the name of a log, as its chunks have it.
func logNumber(name string) (uint32, bool) {
	digits, ok := strings.CutSuffix(name, ".log")
	if !ok {
		return 0, false
	}
	digits, _, _ = strings.Cut(digits, "-") // 000012-001.log: its second file
	number, err := strconv.ParseUint(digits, 10, 64)
	return uint32(number), err == nil
}
