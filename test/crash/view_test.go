package crash

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/model"
)

// viewedOf is of how many crash states one is opened to be read first.
const viewedOf = 10

// view opens some of the states that cuts leave as a node does whose filesystem takes
// no writes: to be read only. It returns what the cells held that could be read, nil
// for what was not there: the recovery that follows must find the same. Keys that are
// busy are not among them.
func (v *verifier) view(c *cut, left *disk.Mem, m *machine) (map[model.Cell]*model.Value, error) {
	if v.random.IntN(viewedOf) != 0 {
		return nil, nil
	}
	left.SetReadOnly(true)
	defer left.SetReadOnly(false)
	viewer := *m
	viewer.readOnly = true
	if err := viewer.open(); err != nil {
		if _, made := left.Stat(layout.IndexMadeFile); made != nil {
			return nil, nil // the first start was cut: there is nothing to read yet
		}
		return nil, err
	}
	v.checker.views.Add(1)
	viewed, busy, err := readWhatMay(viewer.store, c.buckets.live)
	v.checker.busy.Add(int64(busy))
	if err == nil {
		err = refusesWrites(viewer.store, c.buckets.live)
	}
	return viewed, errors.Join(err, viewer.store.Close())
}

// readWhatMay reads every object of the live buckets, and counts those that are busy.
func readWhatMay(s *store.Store, buckets []objects.Bucket) (viewed map[model.Cell]*model.Value, busy int, err error) {
	viewed = make(map[model.Cell]*model.Value)
	for _, b := range buckets {
		for _, name := range names() {
			key := objects.Key{Bucket: b, Name: name}
			value, err := readObject(s, key)
			switch {
			case errors.Is(err, objects.ErrOutcomeUnknown):
				busy++
			case err != nil:
				return nil, busy, err
			default:
				viewed[model.Object(key)] = value
			}
		}
		if _, err := s.List(store.ListRequest{Bucket: b, Limit: 1000}); err != nil {
			return nil, busy, err
		}
	}
	return viewed, busy, nil
}

// refusesWrites checks that a store that is only read says so to who writes.
func refusesWrites(s *store.Store, buckets []objects.Bucket) error {
	for _, b := range buckets {
		key, p := objects.Key{Bucket: b, Name: "a write"}, newPayload(1, 100, objects.Draft{})
		if _, err := s.PutInline(key, p.meta(), p.bytes, objects.Conditions{}, objects.Origin{}); !errors.Is(err, syscall.EROFS) {
			return fmt.Errorf("a small write: %v", err)
		}
		if in, err := s.Create(key, objects.Draft{}, -1); !errors.Is(err, syscall.EROFS) {
			return fmt.Errorf("a large write: %v, %v", in, err)
		}
		if _, _, err := s.Delete(key, objects.Conditions{}, objects.Origin{}); err != nil && !errors.Is(err, syscall.EROFS) {
			return fmt.Errorf("a delete: %v", err)
		}
	}
	return nil
}
