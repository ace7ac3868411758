package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// Recorder writes a journal of all that changes the mountpaths of a node, to be done
// again by a Replay: `troupe prove` cuts the power of a node that way. Nobody else has
// a reason to record. Safe for concurrent use.
//
// An entry is in the journal before the operation returns, and of two changes of names
// on one mountpath the one that happened first comes first. A sync has two entries: what
// is behind the first need not be in it, and before the second it has not happened.
//
// An operation that cannot be recorded fails, and so does every one after it.
type Recorder struct {
	ids atomic.Uint64 // of files, directories and syncs

	mu     sync.Mutex // guards all below, and is held while the journal is written
	file   *os.File
	room   []byte
	mounts uint64
	err    error // why nothing can be recorded any more
}

// NewRecorder makes the journal, a file that must not be there. Close ends it.
func NewRecorder(path string) (*Recorder, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := file.WriteString(journalFormat); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Recorder{file: file}, nil
}

// Disk returns an FS that records what is done to a mountpath in a directory, and
// passes it to the other. What the mountpath holds already is not in the journal.
func (r *Recorder) Disk(dir string, fs FS) (FS, error) {
	r.mu.Lock()
	number := r.mounts
	r.mounts++
	r.mu.Unlock()
	return &recorded{FS: fs, recorder: r, number: number}, r.add(&journalEntry{word: wordMount, mount: number, path: dir})
}

// Close ends the journal: operations that change something fail from now on.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = os.ErrClosed
	}
	return r.file.Close()
}

// mostRoom is what is kept for entries: one of a slab, and its names.
const mostRoom = 256 << 10

// add writes an entry, in one call, so that a kill leaves the beginning of the last one
// at most.
func (r *Recorder) add(e *journalEntry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	r.room = e.appendTo(r.room[:0])
	if _, err := r.file.Write(r.room); err != nil {
		r.err = fmt.Errorf("disk.Recorder: nothing is recorded any more: %w", err)
	}
	if cap(r.room) > mostRoom {
		r.room = nil
	}
	return r.err
}

// recorded is the FS of a Recorder. What changes nothing is the other's own.
type recorded struct {
	FS
	recorder *Recorder
	number   uint64

	// names is held over a change of names and its entry: the journal has them in the
	// order in which they happened.
	names sync.Mutex
}

// change does what changes names or opens one, and records it.
func (d *recorded) change(e journalEntry, do func() error) error {
	d.names.Lock()
	defer d.names.Unlock()
	if err := do(); err != nil {
		return err
	}
	e.mount = d.number
	return d.recorder.add(&e)
}

// sync does a sync between its two entries.
func (d *recorded) sync(e journalEntry, do func() error) error {
	e.mount, e.id = d.number, d.recorder.ids.Add(1)
	if err := d.recorder.add(&e); err != nil {
		return err
	}
	err := do()
	end := journalEntry{word: wordSynced, mount: d.number, id: e.id}
	if err != nil {
		end.word = wordFailed
	}
	return errors.Join(err, d.recorder.add(&end))
}

// OpenFile implements FS.
func (d *recorded) OpenFile(path string, flag int, mode os.FileMode) (File, error) {
	var file File
	id := d.recorder.ids.Add(1)
	err := d.change(journalEntry{word: CallOpen.String(), id: id, path: path, flag: flag}, func() (err error) {
		file, err = d.FS.OpenFile(path, flag, mode)
		return err
	})
	if err != nil {
		return nil, closeAfter(file, err)
	}
	return &recordedFile{File: file, disk: d, id: id}, nil
}

// OpenDir implements FS.
func (d *recorded) OpenDir(path string) (Dir, error) {
	var dir Dir
	id := d.recorder.ids.Add(1)
	err := d.change(journalEntry{word: CallOpenDir.String(), id: id, path: path}, func() (err error) {
		dir, err = d.FS.OpenDir(path)
		return err
	})
	if err != nil {
		return nil, closeAfter(dir, err)
	}
	return &recordedDir{Dir: dir, disk: d, id: id}, nil
}

// Lock implements FS.
func (d *recorded) Lock(path string) (io.Closer, error) {
	var lock io.Closer
	err := d.change(journalEntry{word: CallLock.String(), path: path}, func() (err error) {
		lock, err = d.FS.Lock(path)
		return err
	})
	if err != nil {
		return nil, closeAfter(lock, err)
	}
	return lock, nil
}

// Link implements FS.
func (d *recorded) Link(oldPath, newPath string) error {
	return d.change(journalEntry{word: CallLink.String(), path: oldPath, newPath: newPath}, func() error { return d.FS.Link(oldPath, newPath) })
}

// Rename implements FS.
func (d *recorded) Rename(oldPath, newPath string) error {
	return d.change(journalEntry{word: CallRename.String(), path: oldPath, newPath: newPath}, func() error { return d.FS.Rename(oldPath, newPath) })
}

// Remove implements FS.
func (d *recorded) Remove(path string) error {
	return d.change(journalEntry{word: CallRemove.String(), path: path}, func() error { return d.FS.Remove(path) })
}

// RemoveDir implements FS.
func (d *recorded) RemoveDir(path string) error {
	return d.change(journalEntry{word: CallRemoveDir.String(), path: path}, func() error { return d.FS.RemoveDir(path) })
}

// Mkdir implements FS.
func (d *recorded) Mkdir(path string, mode os.FileMode) error {
	return d.change(journalEntry{word: CallMkdir.String(), path: path}, func() error { return d.FS.Mkdir(path, mode) })
}

// SyncDir implements FS.
func (d *recorded) SyncDir(path string) error {
	return d.sync(journalEntry{word: CallSyncDir.String(), path: path}, func() error { return d.FS.SyncDir(path) })
}

// SyncAll implements FS.
func (d *recorded) SyncAll() error {
	return d.sync(journalEntry{word: CallSyncAll.String()}, d.FS.SyncAll)
}

// recordedFile is an open file of a recorded. What changes nothing is the other's own.
type recordedFile struct {
	File
	disk *recorded
	id   uint64
}

// record records what has happened to the file.
func (f *recordedFile) record(e journalEntry) error {
	e.mount, e.id = f.disk.number, f.id
	return f.disk.recorder.add(&e)
}

func (f *recordedFile) WriteAt(p []byte, offset int64) (int, error) {
	n, err := f.File.WriteAt(p, offset)
	if n > 0 {
		err = errors.Join(err, f.record(journalEntry{word: CallWrite.String(), offset: offset, data: p[:n]}))
	}
	return n, err
}

func (f *recordedFile) WriteDirect(pieces [][]byte, offset int64) (int64, error) {
	n, err := f.File.WriteDirect(pieces, offset)
	if n > 0 {
		written := bytes.Join(firstBytes(pieces, n), nil)
		err = errors.Join(err, f.record(journalEntry{word: CallWrite.String(), offset: offset, data: written}))
	}
	return n, err
}

func (f *recordedFile) Truncate(size int64) error {
	if err := f.File.Truncate(size); err != nil {
		return err
	}
	return f.record(journalEntry{word: CallTruncate.String(), offset: size})
}

func (f *recordedFile) SetAttr(name string, value []byte) error {
	if err := f.File.SetAttr(name, value); err != nil {
		return err
	}
	return f.record(journalEntry{word: CallSetAttr.String(), newPath: name, data: value})
}

func (f *recordedFile) Sync() error {
	return f.disk.sync(journalEntry{word: CallSync.String(), handle: f.id}, f.File.Sync)
}

func (f *recordedFile) SyncData() error {
	return f.disk.sync(journalEntry{word: CallSyncData.String(), handle: f.id}, f.File.SyncData)
}

func (f *recordedFile) Close() error {
	if err := f.File.Close(); err != nil {
		return err
	}
	return f.record(journalEntry{word: CallClose.String()})
}

// recordedDir is an open directory of a recorded.
type recordedDir struct {
	Dir
	disk *recorded
	id   uint64
}

func (d *recordedDir) Receive(oldPath, name string) error {
	return d.disk.change(journalEntry{word: CallReceive.String(), id: d.id, path: oldPath, newPath: name}, func() error { return d.Dir.Receive(oldPath, name) })
}

func (d *recordedDir) Sync() error {
	return d.disk.sync(journalEntry{word: CallSyncDir.String(), handle: d.id}, d.Dir.Sync)
}

func (d *recordedDir) Close() error {
	if err := d.Dir.Close(); err != nil {
		return err
	}
	return d.disk.recorder.add(&journalEntry{word: CallClose.String(), mount: d.disk.number, id: d.id})
}
