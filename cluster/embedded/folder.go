package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Where a document of a Folder lies on a shelf: jobs/<id>.json.
const (
	jobsFolder       = "jobs"
	quarantineFolder = "quarantine"
	folderSuffix     = ".json"
)

// folders are the names of all folders.
func folders() []string { return []string{jobsFolder, quarantineFolder, accountsFolder} }

// folderTime is how long a mountpath may take to write a document before it is left
// behind: a disk that hangs must not hold up what is on the others.
const folderTime = 10 * time.Second

// Folder keeps documents of one sort, by id, on the shelves that the node's other
// documents are on. A document counts once more than half of them have it: nothing must
// stand still because one of several disks is broken. Its user writes one document
// at a time.
type Folder struct {
	name      string
	clock     clock.Clock
	documents *Documents
	// busy are the shelves of which a write hangs, by id: they are not asked again, so
	// that at most one goroutine waits for each disk.
	busy sync.Map
}

// copied is one copy of a document: its version, and all of it.
type copied struct {
	version uint64
	content []byte
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *copied) UnmarshalJSON(content []byte) error {
	var head struct {
		Version uint64 `json:"version"`
	}
	if err := json.Unmarshal(content, &head); err != nil {
		return err
	}
	c.version, c.content = head.Version, append([]byte(nil), content...)
	return nil
}

// Quarantine returns the documents of what is quarantined.
func (d *Documents) Quarantine(clock clock.Clock) *Folder {
	return &Folder{name: quarantineFolder, clock: clock, documents: d}
}

// All returns the documents in force, by the ids that they were put under, at the start
// of a node. Copies that a minority has, which never counted or were removed, are removed;
// shelves that are new, or were out of use, have no say and are brought up to date. What
// cannot be read, written or removed is left as it is and told of in unread: a node serves
// its objects whatever has become of these documents.
func (f *Folder) All() (all map[string][]byte, unread []error) {
	const op errs.Op = "embedded.All"
	all = make(map[string][]byte)
	ids := make(map[string]struct{})
	shelves := f.documents.present()
	voters, others := f.documents.counting(shelves)
	for _, s := range shelves {
		list, err := s.List(f.name)
		if err != nil && !errs.Is(errs.NotFound, err) {
			unread = append(unread, errs.E(op, s, err))
		}
		for _, name := range list {
			if id, ok := strings.CutSuffix(name, folderSuffix); ok {
				ids[id] = struct{}{}
			}
		}
	}
	for id := range ids {
		name := f.path(id)
		doc, err := inForce[copied](voters, name, func(c *copied) uint64 { return c.version })
		switch {
		case err != nil:
			unread = append(unread, errs.E(op, name, err))
		case doc != nil:
			all[id] = doc.content
			for _, s := range others {
				if err := f.documents.bounded(s, func() error { return s.Write(name, doc.content) }); err != nil {
					unread = append(unread, errs.E(op, fmt.Sprintf("%s on %s", name, s), err))
				}
			}
		default:
			for _, s := range shelves {
				if err := s.Remove(name); err != nil {
					unread = append(unread, errs.E(op, fmt.Sprintf("%s on %s", name, s), err))
				}
			}
		}
	}
	return all, unread
}

// counting tells the shelves whose documents counted when the node's were read from those
// that were brought into use since. If none of the former is present, all count.
func (d *Documents) counting(shelves []Shelf) (voters, others []Shelf) {
	for _, s := range shelves {
		if d.counted == nil || d.counted[s.ID()] {
			voters = append(voters, s)
		} else {
			others = append(others, s)
		}
	}
	if len(voters) == 0 {
		return shelves, nil
	}
	return voters, others
}

// Put replaces a document on every shelf. It fails if no majority of them
// has it then. The content is a JSON object with a "version" that grows with every
// write of the same id.
func (f *Folder) Put(id string, content []byte) error {
	name := f.path(id)
	return f.everywhere("embedded.Put", id, func(s Shelf) error { return s.Write(name, content) })
}

// Remove removes a document from every shelf; one that is not there is no failure.
func (f *Folder) Remove(id string) error {
	name := f.path(id)
	return f.everywhere("embedded.Remove", id, func(s Shelf) error { return s.Remove(name) })
}

func (f *Folder) path(id string) string { return f.name + "/" + id + folderSuffix }

// everywhere does the same on every shelf, side by side, and fails unless more
// than half of them succeeded.
func (f *Folder) everywhere(op errs.Op, id string, do func(Shelf) error) error {
	f.documents.folders.RLock()
	defer f.documents.folders.RUnlock()
	shelves := f.documents.present()
	answers := make(chan error, len(shelves))
	waiting := 0
	var failures []error
	for _, s := range shelves {
		if _, hangs := f.busy.LoadOrStore(s.ID(), struct{}{}); hangs {
			failures = append(failures, errs.E(op, s, errs.Busy, errors.New("an earlier write hangs")))
			continue
		}
		waiting++
		go func() {
			err := do(s)
			f.busy.Delete(s.ID())
			if err != nil {
				err = errs.E(op, s, err)
			}
			answers <- err
		}()
	}
	late, timer := f.clock.NewTimer(folderTime)
	defer timer.Stop()
	done := 0
	for hangs := false; waiting > 0 && !hangs; {
		select {
		case err := <-answers:
			waiting--
			if err == nil {
				done++
			} else {
				failures = append(failures, err)
			}
		case <-late:
			hangs = true
			failures = append(failures, errs.E(op, errs.Busy, fmt.Errorf("%d of %d mountpaths have not answered within %s", waiting, len(shelves), folderTime)))
		}
	}
	if done*2 <= len(shelves) {
		return errs.E(op, id, errors.Join(failures...))
	}
	return nil
}

// refreshFolder gives a shelf the documents of a folder that the others have, and no
// others. With Documents.folders held.
func (d *Documents) refreshFolder(shelf Shelf, folder string) error {
	newest := make(map[string]*copied)
	names := func(s Shelf) ([]string, error) {
		list, err := s.List(folder)
		if errs.Is(errs.NotFound, err) {
			err = nil
		}
		return list, err
	}
	for _, s := range d.present() {
		if s.ID() == shelf.ID() {
			continue
		}
		list, err := names(s)
		if err != nil {
			return err
		}
		for _, name := range list {
			c, err := read[copied](s, folder+"/"+name)
			if err == nil && c != nil && (newest[name] == nil || c.version > newest[name].version) {
				newest[name] = c
			}
		}
	}
	list, err := names(shelf)
	if err != nil {
		return err
	}
	for _, name := range list {
		if newest[name] == nil {
			if err := shelf.Remove(folder + "/" + name); err != nil {
				return err
			}
		}
	}
	for name, c := range newest {
		if err := shelf.Write(folder+"/"+name, c.content); err != nil {
			return err
		}
	}
	return nil
}
