package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/archive"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Indexes of the members of shards are files that are named by the payload that they are
// of, which never changes. They are derived: written without sync, believed only if their
// checksum and their stamp are right, and lost at any time. They go with the payload, with
// the first doubt about it, and the oldest where there are too many.

const (
	// membersPart is what they may take of a filesystem: one in so many bytes.
	membersPart = 100
	// maxMembers is how many there are at most: of each, some 80 bytes are kept in memory.
	maxMembers = 100_000
)

// memberFiles are the indexes of members that are beside a store's payloads. Safe for
// concurrent use; the zero value has not looked yet.
type memberFiles struct {
	mu     sync.Mutex
	loaded bool
	files  map[objects.Generation]memberFile
	bytes  int64
}

type memberFile struct {
	bytes int64
	made  time.Time
}

// ReadMembers reads the index of the members of a shard, which may have most bytes at most;
// errs.NotFound if none is kept that is right. One that is not is removed.
func (s *Store) ReadMembers(key objects.Key, stamp archive.Stamp, most int64) (*archive.Index, int64, error) {
	const op errs.Op = "store.ReadMembers"
	one := s.reads.begin()
	defer s.reads.end(one)
	file, err := s.fs.OpenFile(layout.MembersPath(stamp.Payload), disk.ReadOnly, 0)
	if err != nil && absent(err) == nil {
		return nil, 0, errs.E(op, key, errs.NotFound, err)
	}
	if err != nil {
		s.diskError(key, err)
		return nil, 0, errs.E(op, key, kindOf(err), err)
	}
	defer file.Close() // it is only read
	info, err := file.Stat()
	if err != nil {
		s.diskError(key, err)
		return nil, 0, errs.E(op, key, kindOf(err), err)
	}
	if info.Size > most {
		return nil, 0, errs.E(op, key, errs.Invalid, fmt.Errorf("%w: an index of %d bytes, at most %d", archive.ErrLimit, info.Size, most))
	}
	content := make([]byte, info.Size)
	if n, err := file.ReadAt(content, 0); n < len(content) {
		s.diskError(key, err)
		return nil, 0, errs.E(op, key, kindOf(err), err)
	}
	index, err := archive.ParseIndex(content, stamp)
	if err != nil {
		s.log.WithError(err).WithField("key", key.String()).Info("the index of a shard's members is not one that can be used; it is removed")
		s.forgetMembers(stamp.Payload)
		return nil, 0, errs.E(op, key, errs.NotFound, err)
	}
	return index, info.Size, nil
}

// KeepMembers keeps the index of the members of a shard, if there is room for it: else it
// fails with NoSpace, and nothing is worse than before.
func (s *Store) KeepMembers(key objects.Key, payload objects.Generation, content []byte) (err error) {
	const op errs.Op = "store.KeepMembers"
	if s.readOnly {
		return errs.E(op, key, errs.Offline, errors.New("the mountpath is only read"))
	}
	size := int64(len(content))
	if err := s.admitWrite(op, key, claim{bytes: size, files: 1}); err != nil {
		return err
	}
	m := &s.members
	m.mu.Lock()
	defer m.mu.Unlock()
	s.loadMembers()
	if err := s.roomForMembers(op, key, size); err != nil {
		return err
	}
	name := layout.MembersPath(payload)
	next := name + layout.MembersNext
	for _, dir := range []string{layout.MembersDir, path.Dir(name)} {
		if err := s.fs.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			s.diskError(key, err)
			return errs.E(op, key, kindOf(err), err)
		}
	}
	file, err := s.fs.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	if err == nil {
		_, err = file.WriteAt(content, 0)
		err = errors.Join(err, file.Close())
	}
	if err == nil {
		err = s.fs.Rename(next, name)
	}
	if err != nil {
		s.diskError(key, err)
		return errs.E(op, key, kindOf(err), errors.Join(err, absent(s.fs.Remove(next))))
	}
	m.bytes += size - m.files[payload].bytes
	m.files[payload] = memberFile{size, s.now()}
	return nil
}

// roomForMembers removes the oldest until there is room for another one. With members.mu
// held.
func (s *Store) roomForMembers(op errs.Op, key objects.Key, size int64) error {
	m := &s.members
	most := int64(s.Space().TotalBytes / membersPart)
	if most == 0 {
		most = size // not measured yet: this one alone
	}
	if size > most {
		return errs.E(op, key, errs.NoSpace, fmt.Errorf("an index of %d bytes, where all of them may take %d", size, most))
	}
	if m.bytes+size <= most && len(m.files) < maxMembers {
		return nil
	}
	type aged struct {
		payload objects.Generation
		memberFile
	}
	all := make([]aged, 0, len(m.files))
	for payload, file := range m.files {
		all = append(all, aged{payload, file})
	}
	slices.SortFunc(all, func(a, b aged) int { return cmp.Or(a.made.Compare(b.made), a.payload.Compare(b.payload)) })
	// A sixteenth more than is needed, so that this is not done for each.
	for i := 0; i < len(all) && (m.bytes+size > most-most/16 || len(m.files) >= maxMembers-maxMembers/16); i++ {
		if err := absent(s.fs.Remove(layout.MembersPath(all[i].payload))); err != nil {
			s.diskError(key, err)
			return errs.E(op, key, kindOf(err), err)
		}
		m.bytes -= all[i].bytes
		delete(m.files, all[i].payload)
	}
	return nil
}

// loadMembers finds what an earlier store has kept. With members.mu held. What cannot be
// looked at is left out, and found when it is read; what was being written goes.
func (s *Store) loadMembers() {
	m := &s.members
	if m.loaded {
		return
	}
	m.loaded, m.files = true, make(map[objects.Generation]memberFile)
	for _, dir := range s.namesIn(layout.MembersDir) {
		dir = layout.MembersDir + "/" + dir
		for _, name := range s.namesIn(dir) {
			full := dir + "/" + name
			if strings.HasSuffix(name, layout.MembersNext) && !s.readOnly {
				_ = s.fs.Remove(full) // else the next store does
				continue
			}
			payload, err := objects.ParseGeneration(name)
			if err != nil || layout.MembersPath(payload) != full {
				continue
			}
			if info, err := s.fs.Stat(full); err == nil && info.Regular {
				m.files[payload] = memberFile{info.Size, info.Modified}
				m.bytes += info.Size
			}
		}
	}
}

// namesIn are the names in a directory, as far as it can be read.
func (s *Store) namesIn(dir string) (names []string) {
	err := s.fs.ReadDir(dir, func(e disk.Entry) bool {
		names = append(names, e.Name)
		return true
	})
	if err != nil {
		s.diskError(objects.Key{}, err)
	}
	return names
}

// forgetMembers removes the index of a payload's members, if there is one. What cannot be
// removed is found not to be right when it is read, or goes when it is old.
func (s *Store) forgetMembers(payload objects.Generation) {
	if s.readOnly {
		return
	}
	m := &s.members
	m.mu.Lock()
	defer m.mu.Unlock()
	s.loadMembers()
	file, ok := m.files[payload]
	if !ok {
		return
	}
	if err := absent(s.fs.Remove(layout.MembersPath(payload))); err != nil {
		s.diskError(objects.Key{}, err)
		return
	}
	m.bytes -= file.bytes
	delete(m.files, payload)
}

// Members returns how many indexes of members are kept, and their bytes.
func (s *Store) Members() (files int, bytes int64) {
	m := &s.members
	m.mu.Lock()
	defer m.mu.Unlock()
	s.loadMembers()
	return len(m.files), m.bytes
}
