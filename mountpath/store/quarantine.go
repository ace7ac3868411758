package store

import (
	"encoding/json"
	"errors"
	"path"
	"time"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// quarantined is the content of the file beside one in quarantine, for people.
type quarantined struct {
	Reason  string    `json:"reason"`
	Bucket  string    `json:"bucket"`
	Name    string    `json:"name"`
	Payload string    `json:"payload"`
	Path    string    `json:"path"` // where it was
	When    time.Time `json:"when"`
}

// quarantine moves a file that cannot be trusted out of its name, durably, with
// the reason beside it, and tells of it. Where its own name was, nothing is
// afterwards.
func (s *Store) quarantine(key objects.Key, payload objects.Generation, name string, reason error) error {
	const op errs.Op = "store.quarantine"
	to := layout.QuarantinePath(payload)
	content, err := json.MarshalIndent(quarantined{
		Reason: reason.Error(), Bucket: key.Bucket.String(), Name: key.Name, Payload: payload.String(), Path: name, When: s.now().UTC(),
	}, "", "  ")
	if err != nil {
		return errs.E(op, key, errs.Internal, err)
	}
	// The reason first: a file in quarantine always has one.
	if err := WriteFile(s.fs, layout.ReasonPath(payload), append(content, '\n')); err != nil {
		return errs.E(op, key, err)
	}
	err = s.fs.Rename(name, to)
	if err == nil {
		err = errors.Join(s.fs.SyncDir(layout.QuarantineDir), s.fs.SyncDir(path.Dir(name)))
	}
	if err != nil {
		return failed(op, key, err)
	}
	s.onEvent(Event{Kind: Damaged, Key: key, Err: reason})
	s.log.WithError(reason).WithField("key", key.String()).WithField("quarantine", to).Error("a file that cannot be trusted is in quarantine")
	return nil
}
