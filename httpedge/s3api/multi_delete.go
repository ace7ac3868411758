package s3api

import (
	"encoding/xml"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/objects"
)

// doomed is one object in the document of DeleteObjects.
type doomed struct {
	Key              string
	VersionID        *string `xml:"VersionId"`
	ETag             string
	LastModifiedTime string
	Size             string
}

// deletion is the document of DeleteObjects.
type deletion struct {
	objects []doomed
	quiet   bool
}

// parseDeletion reads the document of DeleteObjects, of 1 to limit keys.
func parseDeletion(text []byte, limit int) (deletion, error) {
	var list deletion
	err := eachChild(text, "Delete", func(d *xml.Decoder, e *xml.StartElement) error {
		switch e.Name.Local {
		case "Quiet":
			var quiet string
			if err := d.DecodeElement(&quiet, e); err != nil {
				return err
			}
			list.quiet = strings.EqualFold(strings.TrimSpace(quiet), "true")
			return nil
		case "Object":
			if len(list.objects) == limit {
				return refuse(codeMalformedXML, "").because(errors.New("more keys than one request may name"))
			}
			var o doomed
			if err := d.DecodeElement(&o, e); err != nil {
				return err
			}
			if o.Key == "" {
				return errShape
			}
			list.objects = append(list.objects, o)
			return nil
		}
		return d.Skip()
	})
	if err == nil && len(list.objects) == 0 {
		err = refuse(codeMalformedXML, "")
	}
	return list, err
}

// deleteObjects answers DeleteObjects: each key by itself, some at a time, and
// an answer about each. S3 asks for a digest of the document.
func deleteObjects(r *request) error {
	bucket, err := r.bucket()
	if err != nil {
		return err
	}
	if !r.header.contentMD5.ok && len(r.header.sums) == 0 && r.header.trailer == "" {
		return refuse(codeInvalidRequest, "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
	}
	text, err := r.readDocument(r.h.config.Limits.DeleteDocument)
	if err != nil {
		return err
	}
	list, err := parseDeletion(text, r.h.config.Limits.MaxDeleteKeys)
	if err != nil {
		return err
	}
	failures := r.deleteAll(bucket, list.objects)

	m := r.newMarkup()
	m.root("DeleteResult")
	for i := range list.objects {
		o := &list.objects[i]
		if failures[i] == nil {
			if !list.quiet {
				m.open("Deleted")
				m.text("Key", o.Key)
				if o.VersionID != nil {
					m.text("VersionId", *o.VersionID)
				}
				m.end("Deleted")
			}
			continue
		}
		m.open("Error")
		m.text("Key", o.Key)
		if o.VersionID != nil {
			m.text("VersionId", *o.VersionID)
		}
		m.text("Code", failures[i].Code)
		m.text("Message", failures[i].words())
		m.end("Error")
	}
	m.end("DeleteResult")
	r.send(m)
	return nil
}

// deleteAll deletes the objects and returns why each could not be; nil: it is
// gone. It returns when the last delete has been answered.
func (r *request) deleteAll(bucket *objects.BucketDoc, list []doomed) []*Error {
	failures := make([]*Error, len(list))
	deletions := make([]gateway.Deletion, len(list))
	for i := range list {
		var err error
		if deletions[i], err = list[i].deletion(); err != nil {
			failures[i] = errorOf(err, target{bucket: r.target.bucket, key: list[i].Key})
		}
	}
	done := r.deleteElsewhere(bucket, list, deletions, failures)
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(r.h.config.Limits.DeleteWorkers, len(list)) {
		workers.Go(func() {
			for i := range next {
				failures[i] = r.deleteOne(bucket, &deletions[i])
			}
		})
	}
	for i := range list {
		if !done[i] && failures[i] == nil {
			next <- i
		}
	}
	close(next)
	workers.Wait()
	return failures
}

// deleteElsewhere has other nodes delete what they are in charge of, and reports what
// they have answered.
func (r *request) deleteElsewhere(bucket *objects.BucketDoc, list []doomed, deletions []gateway.Deletion, failures []*Error) []bool {
	done := make([]bool, len(list))
	if r.h.config.Relay == nil {
		return done
	}
	var asked []gateway.Deletion
	var indices []int
	for i := range list {
		if failures[i] == nil {
			asked, indices = append(asked, deletions[i]), append(indices, i)
		}
	}
	for j, deleted := range r.h.config.Gateway.DeleteElsewhere(r.context, bucket, asked) {
		i := indices[j]
		done[i] = deleted.Done
		if deleted.Err != nil {
			failures[i] = errorOf(deleted.Err, target{bucket: r.target.bucket, key: list[i].Key})
		}
	}
	return done
}

// deletion reads what is asked of one object of many.
func (o *doomed) deletion() (d gateway.Deletion, err error) {
	d.Name = o.Key
	if err := checkKey(o.Key); err != nil {
		return d, err
	}
	if o.VersionID != nil {
		if d.VersionID, err = versionOf(*o.VersionID, true); err != nil {
			return d, err
		}
	}
	modified, _ := time.Parse(time.RFC3339, o.LastModifiedTime)
	if modified.IsZero() {
		modified = parseDate(o.LastModifiedTime)
	}
	d.Conditions, err = deleteConditions(o.ETag, o.Size, modified, o.LastModifiedTime)
	return d, err
}

// deleteOne deletes one object of many. A panic costs that object's answer, not
// the process: the goroutine is not the handler's.
func (r *request) deleteOne(bucket *objects.BucketDoc, d *gateway.Deletion) (failure *Error) {
	defer func() {
		if p := recover(); p != nil {
			r.log().WithFields(map[string]any{"key": d.Name, "panic": p}).Error("s3api: a delete panicked")
			failure = refuse(codeInternalError, "")
		}
	}()
	if _, err := r.h.config.Gateway.Delete(r.context, bucket, d.Name, d.VersionID, d.Conditions); err != nil {
		return errorOf(err, target{bucket: r.target.bucket, key: d.Name})
	}
	return nil
}
