package embedded

import "github.com/troupe-storage/troupe/objects/clock"

// Jobs are the documents of jobs.
type Jobs struct{ *Folder }

// Jobs returns the documents of jobs.
func (d *Documents) Jobs(clock clock.Clock) Jobs {
	return Jobs{&Folder{name: jobsFolder, clock: clock, documents: d}}
}

// PutJob is Folder.Put.
func (j Jobs) PutJob(id string, content []byte) error { return j.Put(id, content) }

// RemoveJob is Folder.Remove.
func (j Jobs) RemoveJob(id string) error { return j.Remove(id) }
