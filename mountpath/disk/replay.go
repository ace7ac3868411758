package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// Replay does in memory what a journal says, up to any position, so that the power of
// the node that was recorded can be cut there. Not safe for concurrent use.
type Replay struct {
	journal *journalReader
	mounts  []Replayed
	numbers []*Mem // by the numbers that entries have
	files   map[uint64]*memFile
	dirs    map[uint64]*memDir
	syncs   map[uint64]func(ok bool) // under way
}

// Replayed is a mountpath of a Replay.
type Replayed struct {
	Dir string // as the node had it
	Mem *Mem
}

// NewReplay opens a journal whose writer has ended. from is what the mountpaths held
// before; those that are not in it were empty. What is in it belongs to the Replay. Close
// closes the journal.
func NewReplay(path string, from []Replayed) (*Replay, error) {
	journal, err := openJournal(path)
	if err != nil {
		return nil, err
	}
	r := &Replay{
		journal: journal, mounts: slices.Clone(from),
		files: make(map[uint64]*memFile), dirs: make(map[uint64]*memDir), syncs: make(map[uint64]func(bool)),
	}
	return r, nil
}

// Close closes the journal.
func (r *Replay) Close() error { return r.journal.file.Close() }

// Position is where the Replay is: behind the last entry that was done.
func (r *Replay) Position() int64 { return r.journal.position }

// Advance does every entry that ends at the position or before. It never goes back.
func (r *Replay) Advance(to int64) error {
	for {
		at := r.journal.position
		var e journalEntry
		err := r.journal.next(&e, to)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.do(&e); err != nil {
			return fmt.Errorf("%s: at %d: %s %s %s: %w", r.journal.file.Name(), at, e.word, e.path, e.newPath, err)
		}
	}
}

// Mountpaths returns the mountpaths as they are at this position, if all that happened
// so far lasts. They belong to the Replay.
func (r *Replay) Mountpaths() []Replayed { return slices.Clone(r.mounts) }

// Crash returns what a power cut at this position leaves of each mountpath, as
// Mem.Crash says; all of them draw from the one source of chance.
func (r *Replay) Crash(policy CrashPolicy) []Replayed {
	after := make([]Replayed, len(r.mounts))
	for i, m := range r.mounts {
		after[i] = Replayed{Dir: m.Dir, Mem: m.Mem.Crash(policy)}
	}
	return after
}

// do does one entry.
func (r *Replay) do(e *journalEntry) error {
	if e.word == wordMount {
		return r.mount(e)
	}
	if e.mount >= uint64(len(r.numbers)) {
		return errJournal
	}
	mem := r.numbers[e.mount]
	switch e.word {
	case wordSynced, wordFailed:
		if end, ok := r.syncs[e.id]; ok {
			delete(r.syncs, e.id)
			end(e.word == wordSynced)
		}
		return nil
	case CallLink.String():
		return mem.Link(e.path, e.newPath)
	case CallRename.String():
		return mem.Rename(e.path, e.newPath)
	case CallRemove.String():
		return mem.Remove(e.path)
	case CallRemoveDir.String():
		return mem.RemoveDir(e.path)
	case CallMkdir.String():
		return mem.Mkdir(e.path, 0o755)
	case CallLock.String():
		file, err := mem.OpenFile(e.path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		return file.Close()
	case CallOpen.String(), CallOpenDir.String():
		return r.open(mem, e)
	case CallClose.String():
		return r.close(e.id)
	case CallReceive.String():
		dir, ok := r.dirs[e.id]
		if !ok {
			return syscall.EBADF
		}
		return dir.Receive(e.path, e.newPath)
	case CallSync.String(), CallSyncData.String(), CallSyncDir.String(), CallSyncAll.String():
		return r.sync(mem, e)
	}
	return r.write(e)
}

// mount begins a mountpath. One whose directory was there before goes on as it is.
func (r *Replay) mount(e *journalEntry) error {
	if e.mount != uint64(len(r.numbers)) {
		return errJournal
	}
	at := slices.IndexFunc(r.mounts, func(m Replayed) bool { return m.Dir == e.path })
	if at < 0 {
		at = len(r.mounts)
		r.mounts = append(r.mounts, Replayed{Dir: e.path, Mem: NewMem(e.mount + 1)})
	}
	r.numbers = append(r.numbers, r.mounts[at].Mem)
	return nil
}

func (r *Replay) open(mem *Mem, e *journalEntry) error {
	if e.word == CallOpenDir.String() {
		dir, err := mem.OpenDir(e.path)
		if err == nil {
			r.dirs[e.id] = dir.(*memDir)
		}
		return err
	}
	file, err := mem.OpenFile(e.path, e.flag, 0o600)
	if err == nil {
		r.files[e.id] = file.(*memFile)
	}
	return err
}

func (r *Replay) close(id uint64) error {
	if file, ok := r.files[id]; ok {
		delete(r.files, id)
		return file.Close()
	}
	if dir, ok := r.dirs[id]; ok {
		delete(r.dirs, id)
		return dir.Close()
	}
	return syscall.EBADF
}

// sync begins a sync. One of what is not there made nothing durable.
func (r *Replay) sync(mem *Mem, e *journalEntry) error {
	file, dir := r.files[e.handle], r.dirs[e.handle]
	switch {
	case e.word == CallSyncAll.String():
		r.syncs[e.id] = mem.beginSyncAll()
	case file != nil:
		r.syncs[e.id] = mem.beginSync(file.node, e.word == CallSync.String())
	case dir != nil:
		r.syncs[e.id] = mem.beginSyncDir(dir.node)
	case e.handle == 0:
		found, err := mem.find(e.path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && found.directory == nil {
			return nil
		}
		if err != nil {
			return err
		}
		r.syncs[e.id] = mem.beginSyncDir(found)
	}
	return nil
}

// write changes an open file.
func (r *Replay) write(e *journalEntry) error {
	file, ok := r.files[e.id]
	if !ok {
		return syscall.EBADF
	}
	switch e.word {
	case CallWrite.String():
		_, err := file.WriteAt(e.data, e.offset)
		return err
	case CallTruncate.String():
		return file.Truncate(e.offset)
	case CallSetAttr.String():
		return file.SetAttr(e.newPath, e.data)
	}
	return errJournal
}
