package store

import (
	"bytes"
	"errors"
	"slices"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// mostDestroyed is in how many destroyed buckets of one name a question looks: each is a
// seek in every segment, and who may make buckets can make any number of one name.
const mostDestroyed = 100

// History returns what is recorded of a name: in the buckets given, and in the destroyed
// ones that had the name of the bucket, those of them that went last. The newest come
// first: of one bucket as they came to this mountpath, and of several by generation, of
// which there may be more than one entry. Everything is durable.
func (s *Store) History(m *messages.GetHistory) (*messages.HistoryPage, error) {
	const op errs.Op = "store.History"
	var gone []layout.DestroyedBucket
	err := s.eachDestroyed(func(_ []byte, d *layout.DestroyedBucket) {
		if d != nil && d.Bucket.Name == m.Bucket && !slices.Contains(m.IDs, d.Bucket.ID) {
			gone = append(gone, *d)
		}
	})
	if err != nil {
		s.indexError(objects.Key{}, err)
		return nil, errs.E(op, m.Bucket, err)
	}
	slices.SortFunc(gone, func(a, b layout.DestroyedBucket) int { return b.Destroyed.Compare(a.Destroyed) })
	page := &messages.HistoryPage{More: len(gone) > mostDestroyed}
	ids := slices.Clone(m.IDs)
	for _, d := range gone[:min(len(gone), mostDestroyed)] {
		ids = append(ids, d.Bucket.ID)
	}
	for i, id := range ids {
		key := objects.Key{Bucket: objects.Bucket{ID: id, Name: m.Bucket}, Name: m.Name}
		if err := s.readHistory(key, m.Limit, page); err != nil {
			s.indexError(key, err)
			return nil, failed(op, key, err)
		}
		if i == 0 {
			continue
		}
		slices.SortStableFunc(page.Entries, func(a, b objects.HistoryEntry) int { return a.Compare(&b) })
		if len(page.Entries) > m.Limit { // no more is held than is wanted
			page.Entries, page.More = page.Entries[:m.Limit], true
		}
	}
	return page, nil
}

// readHistory adds the newest entries of one key to a page, from all segments as of one
// moment.
func (s *Store) readHistory(key objects.Key, limit int, page *messages.HistoryPage) error {
	segments := s.history.all()
	scan, err := s.index.Scan(layout.HistoryBounds())
	if err != nil {
		return err
	}
	found := 0
	for _, in := range slices.Backward(segments) {
		lower, upper := layout.MutationBounds(in.number, key.Bucket.ID, key.Name)
		for ok := scan.SeekGE(lower); ok && bytes.Compare(scan.Key(), upper) < 0; ok = scan.Next() {
			if found == limit {
				page.More = true
				return scan.Close()
			}
			entry, err := s.historyEntry(scan)
			if err != nil {
				return errors.Join(err, scan.Close())
			}
			page.Entries = append(page.Entries, entry)
			found++
		}
		if scan.Err() != nil {
			break
		}
	}
	return errors.Join(scan.Err(), scan.Close())
}

// historyEntry reads the entry that a scan is at.
func (s *Store) historyEntry(scan *index.Scan) (objects.HistoryEntry, error) {
	place, err := layout.ParseMutationKey(scan.Key())
	if err != nil {
		return objects.HistoryEntry{}, err
	}
	value, err := scan.Value()
	if err != nil {
		return objects.HistoryEntry{}, err
	}
	m, err := layout.DecodeMutation(value)
	if err != nil {
		return objects.HistoryEntry{}, err
	}
	if m.Generation.IsZero() {
		m.Generation = place.Arrival
	}
	return objects.HistoryEntry{Bucket: place.Bucket, Node: s.format.NodeID, Mountpath: s.format.MountpathID, Mutation: *m}, nil
}
