package kill

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/model"
	"github.com/troupe-storage/troupe/test/s3client"
)

// pageKeys is how many keys a page of the inspection's listing has: few, so that
// pages have seams.
const pageKeys = 37

// readers is how many objects are read at a time.
const readers = 8

// unexpectedAnswer is an answer that tells neither a value nor its absence.
type unexpectedAnswer struct {
	key    string
	answer *s3client.Answer
}

// Error implements error.
func (u *unexpectedAnswer) Error() string {
	return fmt.Sprintf("get of %s: %v", u.key, u.answer.Err())
}

// fetch reads an object; nil if there is none.
func fetch(ctx context.Context, client *s3client.Client, bucket, key string) (*model.Value, error) {
	answer, err := client.Get(ctx, bucket, key)
	if err != nil {
		return nil, err
	}
	if answer.Code == "NoSuchKey" {
		return nil, nil
	}
	if !answer.OK() {
		return nil, &unexpectedAnswer{key, answer}
	}
	value := valueOf(answer.Body, objects.Draft{User: []objects.Pair{{Name: mark, Value: answer.Header.Get("x-amz-meta-" + mark)}}})
	tag := answer.ETag()
	if !strings.Contains(tag, "-") && tag != value.ETag {
		return nil, fmt.Errorf("get of %s: the tag says %s, the bytes are %s", key, tag, value.ETag)
	}
	value.ETag = tag
	return value, nil
}

// Inspect reads everything that the node has, by listing and one by one, and
// returns it; the error tells where listing and objects disagree.
func (l *Load) Inspect(ctx context.Context) (map[model.Cell]*model.Value, error) {
	found := make(map[model.Cell]*model.Value)
	listed, err := l.Client.List(ctx, l.Bucket, "", pageKeys)
	if err != nil {
		return nil, err
	}
	byKey := make(map[string]s3client.Listed, len(listed))
	keys := make(map[string]struct{})
	for _, o := range listed {
		byKey[o.Key] = o
		keys[o.Key] = struct{}{}
	}
	for _, w := range l.workers { // all that were ever written, whatever the model holds now
		for _, key := range w.keys {
			keys[key] = struct{}{}
		}
	}
	values, faults := l.fetchAll(ctx, keys)
	for key, value := range values {
		o, isListed := byKey[key]
		switch {
		case value == nil && isListed:
			faults = append(faults, fmt.Errorf("%s is listed and cannot be read", key))
		case value != nil && !isListed:
			faults = append(faults, fmt.Errorf("%s can be read and is not listed", key))
		case value != nil && (o.Size != value.Size || o.ETag != value.ETag):
			faults = append(faults, fmt.Errorf("%s is listed with %d bytes, tag %s, and is %s", key, o.Size, o.ETag, value))
		}
		found[model.Object(objects.Key{Name: key})] = value
	}
	return found, errors.Join(append(faults, l.inspectUploads(ctx, found))...)
}

// fetchAll reads objects side by side.
func (l *Load) fetchAll(ctx context.Context, keys map[string]struct{}) (map[string]*model.Value, []error) {
	var mu sync.Mutex
	values := make(map[string]*model.Value, len(keys))
	var faults []error
	work := make(chan string)
	var group sync.WaitGroup
	for range readers {
		group.Go(func() {
			for key := range work {
				value, err := fetch(ctx, l.Client, l.Bucket, key)
				mu.Lock()
				if err != nil {
					faults = append(faults, err)
				} else {
					values[key] = value
				}
				mu.Unlock()
			}
		})
	}
	for key := range keys {
		work <- key
	}
	close(work)
	group.Wait()
	return values, faults
}

// inspectUploads adds the uploads under way that the model knows, with their
// parts. One that it does not know was created without an answer.
func (l *Load) inspectUploads(ctx context.Context, found map[model.Cell]*model.Value) error {
	listed, err := l.Client.Uploads(ctx, l.Bucket)
	if err != nil {
		return err
	}
	known := make(map[string]objects.Key)
	for _, w := range l.workers { // also those that ended: they must not come back
		for id, key := range w.created {
			known[id] = objects.Key{Name: key.Name}
		}
	}
	isListed := make(map[string]bool)
	var faults []error
	for _, u := range listed {
		isListed[u.UploadID] = true
	}
	for id, key := range known {
		parts, ok, err := l.Client.Parts(ctx, l.Bucket, key.Name, id)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if ok != isListed[id] {
			faults = append(faults, fmt.Errorf("upload %s of %s: listed %v, has parts %v", id, key.Name, isListed[id], ok))
		}
		if !ok {
			continue
		}
		found[model.Upload(key, id)] = &model.Value{}
		for _, p := range parts {
			found[model.Part(key, id, p.Number)] = &model.Value{Size: p.Size, ETag: p.ETag}
		}
	}
	return errors.Join(faults...)
}

// Compare inspects the node and returns everything that must not be: what was
// acknowledged and is not there, what is there and may not, what is half there.
// Doubts are settled by what was found.
func (l *Load) Compare(ctx context.Context) error {
	found, err := l.Inspect(ctx)
	if err != nil {
		return err
	}
	faults := []error{}
	for _, v := range l.Model.Freeze(func() {}).Check(found) {
		faults = append(faults, fmt.Errorf("%w\n  %s", v, strings.Join(l.History(v.Cell.Name), "\n  ")))
	}
	l.Model.Settle(found)
	return errors.Join(faults...)
}
