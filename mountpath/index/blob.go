package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A blob ends with a footer: its checksum, 4 bytes, then what it is of (pebble:
// sstable/blob/blob.go).
const blobFooterBytes = 38

// checkBlob returns a corruption error if the footer of a blob is damaged. Pebble
// finds that, too, and panics when it is about to report it (v2.1.7:
// fileCacheHandle.findOrCreateBlob reports a blob without its metadata): it must
// never come to see such a footer.
func checkBlob(file disk.File, name string) error {
	const op errs.Op = "index.checkBlob"
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size < blobFooterBytes {
		return errs.E(op, name, errs.Corrupt, fmt.Errorf("it has %d bytes, fewer than a footer", info.Size))
	}
	var footer [blobFooterBytes]byte
	if n, err := file.ReadAt(footer[:], info.Size-blobFooterBytes); err != nil && (!errors.Is(err, io.EOF) || n < len(footer)) {
		return err
	}
	if binary.LittleEndian.Uint32(footer[:]) != maskedChecksum(footer[4:]) {
		return errs.E(op, name, errs.Corrupt, errors.New("its footer does not have its checksum"))
	}
	return nil
}
