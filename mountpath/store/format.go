package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects/errs"
)

// directories are Troupe's own on a mountpath, parents first.
func directories() []string {
	return []string{
		layout.Private, layout.IndexDir, layout.WorkDir, layout.PartsDir, layout.VersionsDir, layout.SlicesDir, layout.TrashDir,
		layout.SidecarsDir, layout.QuarantineDir, layout.BucketsDir, layout.DocumentsDir,
	}
}

// Format makes an empty directory a mountpath. The format file is written last,
// so that a crash on the way leaves a directory that is not a mountpath yet and
// can be formatted again.
func Format(filesystem disk.FS, format layout.Format) error {
	const op errs.Op = "store.Format"
	for _, dir := range directories() {
		if err := filesystem.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return errs.E(op, dir, kindOf(err), err)
		}
	}
	for _, dir := range []string{layout.Private, "."} {
		if err := filesystem.SyncDir(dir); err != nil {
			return errs.E(op, dir, kindOf(err), err)
		}
	}
	content, err := layout.EncodeFormat(&format)
	if err != nil {
		return errs.E(op, err)
	}
	return errs.Wrap(op, WriteFile(filesystem, layout.FormatFile, content))
}

// RaiseFormat makes a mountpath one of the layout that this binary writes, if it is of an
// older one: binaries that know no more than that refuse it from then on. It is durable
// when RaiseFormat returns, before which nothing of the newer layout is written.
func RaiseFormat(filesystem disk.FS, format *layout.Format) error {
	const op errs.Op = "store.RaiseFormat"
	if format.Version >= layout.FormatVersion {
		return nil
	}
	raised := *format
	raised.Version = layout.FormatVersion
	content, err := layout.EncodeFormat(&raised)
	if err != nil {
		return errs.E(op, err)
	}
	if err := WriteFile(filesystem, layout.FormatFile, content); err != nil {
		return errs.E(op, err)
	}
	*format = raised
	return nil
}

// ReadFormat reads what a mountpath says it is; errs.NotFound if the directory
// was never formatted.
func ReadFormat(filesystem disk.FS) (*layout.Format, error) {
	const op errs.Op = "store.ReadFormat"
	content, err := ReadFile(filesystem, layout.FormatFile)
	if err != nil {
		return nil, errs.E(op, err)
	}
	format, err := layout.DecodeFormat(content)
	if err != nil {
		return nil, errs.E(op, err)
	}
	return format, nil
}

// makeDirectories makes what a newer release added since the mountpath was formatted.
func (s *Store) makeDirectories() error {
	made := false
	for _, dir := range directories() {
		switch err := s.fs.Mkdir(dir, 0o755); {
		case err == nil:
			made = true
		case !errors.Is(err, fs.ErrExist):
			return errs.E("store.makeDirectories", dir, kindOf(err), err)
		}
	}
	if made {
		return errs.Wrap("store.makeDirectories", s.fs.SyncDir(layout.Private))
	}
	return nil
}

// maxSmallFile bounds the files that ReadFile reads: format and documents.
const maxSmallFile = 4 << 20

// ReadFile reads a small file of Troupe's own, whole.
func ReadFile(filesystem disk.FS, name string) ([]byte, error) {
	const op errs.Op = "store.ReadFile"
	file, err := filesystem.OpenFile(name, disk.ReadOnly, 0)
	if err != nil {
		return nil, errs.E(op, name, kindOf(err), err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, errs.E(op, name, kindOf(err), err)
	}
	if info.Size > maxSmallFile {
		return nil, errs.E(op, name, errs.Corrupt, fmt.Errorf("%d bytes, at most %d", info.Size, maxSmallFile))
	}
	content := make([]byte, info.Size)
	if n, err := file.ReadAt(content, 0); n < len(content) {
		return nil, errs.E(op, name, kindOf(err), err)
	}
	return content, nil
}

// WriteFile replaces a small file of Troupe's own, durably and whole: written
// beside it, synced, renamed over it, and the directory synced.
func WriteFile(filesystem disk.FS, name string, content []byte) (err error) {
	const op errs.Op = "store.WriteFile"
	next := name + ".next"
	file, err := filesystem.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	if err != nil {
		return errs.E(op, name, kindOf(err), err)
	}
	_, err = file.WriteAt(content, 0)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = filesystem.Rename(next, name)
	}
	if err == nil {
		err = filesystem.SyncDir(path.Dir(name))
	}
	if err != nil {
		return errs.E(op, name, kindOf(err), err)
	}
	return nil
}
