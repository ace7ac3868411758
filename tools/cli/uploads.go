package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/objects/errs"
)

// unfinished is a JSON line of ls --uploads.
type unfinished struct {
	Bucket    string    `json:"bucket"`
	Key       string    `json:"key"`
	Upload    string    `json:"upload"` // the id
	Initiated time.Time `json:"initiated"`
	Parts     int       `json:"parts"`
	Bytes     int64     `json:"bytes"` // of all parts: what the upload takes on disk
}

// listUploads lists uploads in parts that nobody has completed or aborted: they
// take room and are in no other list.
func listUploads(ctx context.Context, s *Session, c s3.Client, a address, human bool) error {
	for u, err := range c.Uploads(ctx, a.bucket, a.key) {
		if err != nil {
			return err
		}
		parts, err := c.Parts(ctx, a.bucket, u.Key, u.ID)
		if errs.Is(errs.NotFound, err) {
			continue // it ended meanwhile
		}
		if err != nil {
			return err
		}
		line := unfinished{Bucket: a.bucket, Key: u.Key, Upload: u.ID, Initiated: u.Initiated, Parts: len(parts)}
		for _, p := range parts {
			line.Bytes += p.Size
		}
		text := fmt.Sprintf("%s %12s  %s (%s)", instant(u.Initiated), size(line.Bytes, human), u.Key, count(line.Parts, "part"))
		if err := s.Out.Line(line, printable(text)); err != nil {
			return err
		}
	}
	return nil
}

// aborted is a JSON line of rm --uploads.
type aborted struct {
	Op     string `json:"op"` // "abort"
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	Upload string `json:"upload"`
	Status string `json:"status"` // "done", "planned"
}

// abortUploads aborts the uploads of a key, or of all that lie below it.
func abortUploads(ctx context.Context, s *Session, c s3.Client, a address, recursive, dryRun bool, chosen *filter) error {
	prefix := a.key
	if recursive {
		prefix = a.below()
	}
	status, verb := "done", "aborted the upload of "
	if dryRun {
		status, verb = "planned", "would abort the upload of "
	}
	for u, err := range c.Uploads(ctx, a.bucket, prefix) {
		if err != nil {
			return err
		}
		if !recursive && u.Key != a.key || recursive && !chosen.chooses(u.Key[len(prefix):]) {
			continue
		}
		if !dryRun {
			if err := c.Abort(ctx, a.bucket, u.Key, u.ID); err != nil && !errs.Is(errs.NotFound, err) { // it may have ended meanwhile
				return err
			}
		}
		if err := s.Out.result(aborted{"abort", a.bucket, u.Key, u.ID, status}, verb+s3.Address(a.bucket, u.Key)); err != nil {
			return err
		}
	}
	return nil
}
