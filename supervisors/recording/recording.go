package recording

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Recording is the life of a node's disks. It goes forward only. Not safe for concurrent use.
type Recording struct {
	replay *disk.Replay
	after  []disk.Replayed // what the last cut has left
}

// Open opens the journal of a node that has ended. It began on empty directories; or on
// what the last cut of another recording has left, where on is not nil. Close closes it.
func Open(path string, on *Recording) (*Recording, error) {
	var from []disk.Replayed
	if on != nil {
		from, on.after = on.after, nil // it changes them
	}
	replay, err := disk.NewReplay(path, from)
	if err != nil {
		return nil, errs.E("recording.Open", errs.IO, err)
	}
	return &Recording{replay: replay}, nil
}

// Close closes the journal.
func (r *Recording) Close() error { return r.replay.Close() }

// Advance goes to a position in the journal, as far as whole entries lead there.
func (r *Recording) Advance(to int64) error {
	if err := r.replay.Advance(to); err != nil {
		return errs.E("recording.Advance", errs.Internal, err)
	}
	return nil
}

// Cut makes the directories of the mountpaths, which must not be there or be empty, as
// a power cut at this position may have left them: what was synced; with chance, of
// what was not synced a random part; torn: with sectors of blocks, too.
func (r *Recording) Cut(chance *rand.Rand, torn bool) error {
	r.after = r.replay.Crash(disk.CrashPolicy{SyncedOnly: chance == nil, Random: chance, Torn: torn})
	for _, m := range r.after {
		if err := write(m); err != nil {
			return errs.E("recording.Cut", m.Dir, errs.IO, err)
		}
	}
	return nil
}

// write writes a mountpath into its directory.
func write(m disk.Replayed) (err error) {
	if err := os.MkdirAll(m.Dir, 0o755); err != nil {
		return err
	}
	linux, err := disk.NewLinux(m.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, linux.Close()) }()
	return m.Mem.CopyTo(linux)
}

// Compare says where the directories of the mountpaths differ from what the journal says
// up to this position: a journal that leaves something out proves nothing. Only for a
// node that has stopped by itself: a kill leaves what was done and not recorded.
func (r *Recording) Compare() error {
	const op errs.Op = "recording.Compare"
	for _, m := range r.replay.Mountpaths() {
		recorded, err := seen(m.Mem, "", nil)
		if err != nil {
			return errs.E(op, m.Dir, errs.Internal, err)
		}
		linux, err := disk.NewLinux(m.Dir)
		if err != nil {
			return errs.E(op, m.Dir, errs.IO, err)
		}
		there, err := seen(linux, "", nil)
		if err = errors.Join(err, linux.Close()); err != nil {
			return errs.E(op, m.Dir, errs.IO, err)
		}
		for name, want := range recorded {
			if there[name] != want {
				return errs.E(op, filepath.Join(m.Dir, name), errs.Internal, fmt.Errorf("it is %s, and the journal makes it %s", orNothing(there[name]), want))
			}
		}
		for name, is := range there {
			if recorded[name] == "" {
				return errs.E(op, filepath.Join(m.Dir, name), errs.Internal, fmt.Errorf("it is %s, and the journal does not make it", is))
			}
		}
	}
	return nil
}

func orNothing(text string) string {
	if text == "" {
		return "not there"
	}
	return text
}

// seen adds what can be seen below a directory of a filesystem: a line for each name.
func seen(of disk.FS, path string, all map[string]string) (map[string]string, error) {
	if all == nil {
		all = make(map[string]string)
	}
	var dirs []string
	err := of.ReadDir(path, func(entry disk.Entry) bool {
		dirs = append(dirs, filepath.Join(path, entry.Name))
		return true
	})
	if err != nil {
		return nil, err
	}
	for _, name := range dirs {
		info, err := of.Stat(name)
		if err != nil {
			return nil, err
		}
		if info.Dir {
			all[name] = "a directory"
			if _, err := seen(of, name, all); err != nil {
				return nil, err
			}
			continue
		}
		if all[name], err = describe(of, name, info); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// describe tells a file's bytes, by their digest, and its names.
func describe(of disk.FS, name string, info disk.Info) (_ string, err error) {
	file, err := of.OpenFile(name, disk.ReadOnly, 0)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	sum := sha256.New()
	room := make([]byte, 1<<20)
	for at := int64(0); at < info.Size; {
		n, err := file.ReadAt(room[:min(int64(len(room)), info.Size-at)], at)
		if n == 0 {
			return "", fmt.Errorf("it ends at %d of %d bytes: %w", at, info.Size, errors.Join(err, fs.ErrInvalid))
		}
		sum.Write(room[:n])
		at += int64(n)
	}
	attribute, err := file.GetAttr(layout.AttributeName)
	if err != nil && !errors.Is(err, syscall.ENODATA) {
		return "", err
	}
	return fmt.Sprintf("a file of %d bytes (%x) with %d names, attribute %x", info.Size, sum.Sum(nil)[:8], info.Links, attribute), nil
}
