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

// Where the document of a job lies on a shelf: jobs/<id>.json.
const (
	jobsFolder = "jobs"
	jobSuffix  = ".json"
)

// jobTime is how long a mountpath may take to write a job's document before it is
// left behind: a disk that hangs must not hold up the jobs of the others.
const jobTime = 10 * time.Second

// Jobs keeps the documents of jobs on the shelves that the node's other documents
// are on. A document counts once more than half of them have it: a job must not
// stand still because one of several disks is broken. Its user writes one document
// at a time.
type Jobs struct {
	clock     clock.Clock
	documents *Documents
	// busy are the shelves of which a write hangs, by id: they are not asked again, so
	// that at most one goroutine waits for each disk.
	busy sync.Map
}

// jobCopy is one copy of a job's document: its version, and all of it.
type jobCopy struct {
	version uint64
	content []byte
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *jobCopy) UnmarshalJSON(content []byte) error {
	var head struct {
		Version uint64 `json:"version"`
	}
	if err := json.Unmarshal(content, &head); err != nil {
		return err
	}
	c.version, c.content = head.Version, append([]byte(nil), content...)
	return nil
}

// Jobs returns the keeper of the documents of jobs.
func (d *Documents) Jobs(clock clock.Clock) *Jobs { return &Jobs{clock: clock, documents: d} }

// All returns the documents in force, by the ids that they were put under. Copies
// that a minority has, of jobs that were never acknowledged or are forgotten, are
// removed. What cannot be
// read or removed is left where it is and told of in unread: a node serves its
// objects whatever has become of its jobs.
func (j *Jobs) All() (all map[string][]byte, unread []error) {
	const op errs.Op = "embedded.Jobs"
	all = make(map[string][]byte)
	ids := make(map[string]struct{})
	shelves := j.documents.present()
	for _, s := range shelves {
		list, err := s.List(jobsFolder)
		if err != nil && !errs.Is(errs.NotFound, err) {
			unread = append(unread, errs.E(op, s, err))
		}
		for _, name := range list {
			if id, ok := strings.CutSuffix(name, jobSuffix); ok {
				ids[id] = struct{}{}
			}
		}
	}
	for id := range ids {
		name := jobName(id)
		doc, err := inForce[jobCopy](shelves, name, func(c *jobCopy) uint64 { return c.version })
		switch {
		case err != nil:
			unread = append(unread, errs.E(op, name, err))
		case doc != nil:
			all[id] = doc.content
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

// PutJob replaces a job's document on every shelf. It fails if no majority of them
// has it then. The content is a JSON object with a "version" that grows with every
// write of the same id.
func (j *Jobs) PutJob(id string, content []byte) error {
	name := jobName(id)
	return j.everywhere("embedded.PutJob", id, func(s Shelf) error { return s.Write(name, content) })
}

// RemoveJob removes a job's document from every shelf; one that is not there is no
// failure.
func (j *Jobs) RemoveJob(id string) error {
	name := jobName(id)
	return j.everywhere("embedded.RemoveJob", id, func(s Shelf) error { return s.Remove(name) })
}

func jobName(id string) string { return jobsFolder + "/" + id + jobSuffix }

// everywhere does the same on every shelf, side by side, and fails unless more
// than half of them succeeded.
func (j *Jobs) everywhere(op errs.Op, id string, do func(Shelf) error) error {
	j.documents.jobs.RLock()
	defer j.documents.jobs.RUnlock()
	shelves := j.documents.present()
	answers := make(chan error, len(shelves))
	waiting := 0
	var failures []error
	for _, s := range shelves {
		if _, hangs := j.busy.LoadOrStore(s.ID(), struct{}{}); hangs {
			failures = append(failures, errs.E(op, s, errs.Busy, errors.New("an earlier write hangs")))
			continue
		}
		waiting++
		go func() {
			err := do(s)
			j.busy.Delete(s.ID())
			if err != nil {
				err = errs.E(op, s, err)
			}
			answers <- err
		}()
	}
	late, timer := j.clock.NewTimer(jobTime)
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
			failures = append(failures, errs.E(op, errs.Busy, fmt.Errorf("%d of %d mountpaths have not answered within %s", waiting, len(shelves), jobTime)))
		}
	}
	if done*2 <= len(shelves) {
		return errs.E(op, id, errors.Join(failures...))
	}
	return nil
}

// refreshJobs gives a shelf the documents of jobs that the others have, and no
// others. With Documents.jobs held.
func (d *Documents) refreshJobs(shelf Shelf) error {
	newest := make(map[string]*jobCopy)
	names := func(s Shelf) ([]string, error) {
		list, err := s.List(jobsFolder)
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
			c, err := read[jobCopy](s, jobsFolder+"/"+name)
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
			if err := shelf.Remove(jobsFolder + "/" + name); err != nil {
				return err
			}
		}
	}
	for name, c := range newest {
		if err := shelf.Write(jobsFolder+"/"+name, c.content); err != nil {
			return err
		}
	}
	return nil
}
