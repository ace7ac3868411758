package offline

import (
	"errors"
	"io/fs"
	"path"
	"time"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects/errs"
)

// The exchange puts the index that was made in RebuiltDir in the place of the old
// one. RebuildFile is durable from before its first step to after its last:
//
//	rebuild.json │ index → index.old-<time>, sync │ index.rebuild → index, sync │ rebuild.json gone
//
// What a cut leaves is told by which directories there are. Until the second
// rename the old index is under one of its two names, and a rebuild begins anew
// with it; after it, the new index is in place, and only rebuild.json is to go.

// unfinished reads what an interrupted exchange left: the directory of the old
// index ("" if there is none), and whether the exchange has come so far that only
// its mark is to go.
func (m *Mount) unfinished() (old string, done bool, err error) {
	const op errs.Op = "offline.unfinished"
	old = layout.IndexDir
	content, err := store.ReadFile(m.FS, layout.RebuildFile)
	if errs.Is(errs.NotFound, err) {
		return old, false, nil
	}
	if err != nil {
		return "", false, errs.E(op, err)
	}
	mark, err := layout.DecodeRebuild(content)
	if err != nil {
		return "", false, errs.E(op, err)
	}
	if mark.Old == "" { // there was none: what is in its place is the new one
		there, err := m.exists(layout.IndexDir)
		return old, there, err
	}
	aside := layout.Private + "/" + path.Base(mark.Old)
	moved, err := m.exists(aside)
	if err != nil || !moved {
		return old, false, err
	}
	placed, err := m.exists(layout.IndexDir)
	return aside, placed, err
}

// exchange puts the new index in place. It returns the path of the old one.
func (m *Mount) exchange(old string, now time.Time) (aside string, err error) {
	const op errs.Op = "offline.exchange"
	there, err := m.exists(old)
	if err != nil {
		return "", errs.E(op, m.Name, errs.IO, err)
	}
	mark := layout.Rebuild{Begun: now.UTC()}
	if there {
		if aside, err = m.asideName(old, now); err != nil {
			return "", errs.E(op, m.Name, errs.IO, err)
		}
		mark.Old = path.Base(aside)
	}
	content, err := layout.EncodeRebuild(&mark)
	if err != nil {
		return "", errs.E(op, err)
	}
	if err := store.WriteFile(m.FS, layout.IndexMadeFile, []byte("1\n")); err != nil {
		return "", errs.E(op, err)
	}
	if err := store.WriteFile(m.FS, layout.RebuildFile, content); err != nil {
		return "", errs.E(op, err)
	}
	if there && old != aside {
		if err := m.FS.Rename(old, aside); err != nil {
			return "", errs.E(op, m.Name, errs.IO, err)
		}
		if err := m.FS.SyncDir(layout.Private); err != nil {
			return "", errs.E(op, m.Name, errs.IO, err)
		}
	}
	if err := m.FS.Rename(layout.RebuiltDir, layout.IndexDir); err != nil {
		return "", errs.E(op, m.Name, errs.IO, err)
	}
	if err := m.FS.SyncDir(layout.Private); err != nil {
		return "", errs.E(op, m.Name, errs.IO, err)
	}
	return aside, m.unmark()
}

// asideName returns where the old index goes: index.old-<time>, in a name that is
// free, or where it is if it was moved already.
func (m *Mount) asideName(old string, now time.Time) (string, error) {
	if old != layout.IndexDir {
		return old, nil
	}
	name := layout.IndexDir + ".old-" + now.UTC().Format("20060102T150405Z")
	for {
		there, err := m.exists(name)
		if err != nil || !there {
			return name, err
		}
		name += "x"
	}
}

// unmark says that the exchange is done.
func (m *Mount) unmark() error {
	if err := m.FS.Remove(layout.RebuildFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errs.E("offline.unmark", m.Name, errs.IO, err)
	}
	if err := m.FS.SyncDir(layout.Private); err != nil {
		return errs.E("offline.unmark", m.Name, errs.IO, err)
	}
	return nil
}

// removeTree removes a directory with all that is in it; none is no failure.
func (m *Mount) removeTree(dir string) error {
	entries, err := m.list(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name)
		if e.Dir {
			err = m.removeTree(name)
		} else {
			err = m.FS.Remove(name)
		}
		if err != nil {
			return err
		}
	}
	if err := m.FS.RemoveDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
