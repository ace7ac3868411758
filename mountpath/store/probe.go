package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects/errs"
)

// probeBytes is what a probe writes: a block of every filesystem.
const probeBytes = 4 << 10

// Probe writes a small file, syncs it, reads it and removes it, to see whether the
// disk answers. It blocks for as long as the disk does, and reports nothing to the
// store: who probes judges the answer. Step is called before each call of the disk.
// What it reads may come from memory. One caller at a time.
func (s *Store) Probe(step func()) error {
	written := make([]byte, probeBytes)
	for at := 0; at < len(written); at += 8 {
		binary.BigEndian.PutUint64(written[at:], s.probes.Add(1))
	}
	return try(s.fs, written, step)
}

// Try is Probe for a filesystem that no store is open on.
func Try(fs disk.FS) error { return try(fs, make([]byte, probeBytes), func() {}) }

func try(fs disk.FS, written []byte, step func()) error {
	const op errs.Op = "store.Probe"
	step()
	file, err := fs.OpenFile(layout.ProbeFile, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return errs.E(op, kindOf(err), err)
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
		_, err = file.ReadAt(read, 0)
	}
	if err == nil && !bytes.Equal(read, written) {
		err = fmt.Errorf("what was written is not what was read: %w", syscall.EIO)
	}
	step()
	err = errors.Join(err, file.Close())
	step()
	err = errors.Join(err, absent(fs.Remove(layout.ProbeFile)))
	if err != nil {
		return errs.E(op, kindOf(err), err)
	}
	return nil
}
