package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects/errs"
)

// probeBytes is what a probe writes: a block of every filesystem.
const probeBytes = 4 << 10

// Probe writes a small file, syncs it, reads it from the disk and removes it, to see
// whether the disk answers; where it takes no writes, or has no room, it reads what
// is always there. It blocks for as long as the disk does, and reports nothing to the
// store: who probes judges the answer. Step is called before each call of the disk.
// One caller at a time.
func (s *Store) Probe(step func()) error {
	written := make([]byte, probeBytes)
	for at := 0; at < len(written); at += 8 {
		binary.BigEndian.PutUint64(written[at:], s.probes.Add(1))
	}
	return try(s.disk, written, step)
}

// Try is Probe for a filesystem that no store is open on.
func Try(fs disk.FS) error { return try(fs, make([]byte, probeBytes), func() {}) }

func try(fs disk.FS, written []byte, step func()) error {
	const op errs.Op = "store.Probe"
	err := tryWrite(fs, written, step)
	if TakesNoWrites(err) {
		if reading := tryRead(fs, step); reading != nil {
			err = reading
		}
	}
	if err != nil {
		return errs.E(op, kindOf(err), err)
	}
	return nil
}

// TakesNoWrites reports whether an error says that a disk answers and takes no
// writes now: it is read-only, or has no room.
func TakesNoWrites(err error) bool {
	return errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func tryWrite(fs disk.FS, written []byte, step func()) error {
	step()
	file, err := fs.OpenFile(layout.ProbeFile, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	step()
	_, err = file.WriteAt(written, 0)
	if err == nil {
		step()
		err = file.Sync()
	}
	read := make([]byte, probeBytes)
	if err == nil {
		step()
		_, err = file.ReadDirect(read, 0)
	}
	if err == nil && !bytes.Equal(read, written) {
		err = fmt.Errorf("what was written is not what was read: %w", syscall.EIO)
	}
	step()
	err = errors.Join(err, file.Close())
	step()
	return errors.Join(err, absent(fs.Remove(layout.ProbeFile)))
}

// tryRead reads the beginning of the mountpath's format from the disk.
func tryRead(fs disk.FS, step func()) error {
	step()
	file, err := fs.OpenFile(layout.FormatFile, disk.ReadOnly, 0)
	if err != nil {
		return absent(err)
	}
	step()
	_, err = file.ReadDirect(make([]byte, probeBytes), 0)
	if err == io.EOF {
		err = nil
	}
	step()
	return errors.Join(err, file.Close())
}
