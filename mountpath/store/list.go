package store

import (
	"strings"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// ListRequest asks for a page of a bucket's names on this mountpath.
type ListRequest struct {
	Bucket    objects.Bucket
	Prefix    string
	After     string
	Delimiter string
	Limit     int  // entries, at least 1
	Whole     bool // entries hold the whole record
	Markers   messages.Markers
}

// List returns the bucket's names on this mountpath, in byte order: those with
// the prefix and after After, names that hold the delimiter behind the prefix
// rolled up into one common prefix each. Everything in it is durable. The scan
// skips a rolled-up prefix by seeking, so a page costs what is in it.
func (s *Store) List(r ListRequest) (*messages.ObjectPage, error) {
	const op errs.Op = "store.List"
	lower := layout.ObjectKey(nil, r.Bucket.ID, r.Prefix)
	upper := layout.PrefixEnd(lower)
	if from := r.start(); from != nil && string(from) > string(lower) {
		lower = from
	}
	if upper != nil && string(lower) >= string(upper) {
		return &messages.ObjectPage{}, nil
	}
	scan, err := s.index.Scan(lower, upper)
	if err != nil {
		return nil, errs.E(op, r.Bucket, err)
	}
	defer func() { _ = scan.Close() }() // after a panic; else it is closed by then
	page := &messages.ObjectPage{Entries: make([]messages.ObjectEntry, 0, r.Limit)}
	metas := make([]objects.Meta, 0, r.Limit)
	for ok := scan.Next(); ok; {
		name := layout.ObjectName(scan.Key())
		value, err := scan.Value()
		if err == nil {
			metas = metas[:len(metas)+1]
			err = r.decode(value, &metas[len(metas)-1])
		}
		if err != nil {
			s.indexError(objects.Key{Bucket: r.Bucket, Name: string(name)}, err)
			return nil, errs.E(op, objects.Key{Bucket: r.Bucket, Name: string(name)}, err, scan.Close())
		}
		meta := &metas[len(metas)-1]
		if meta.Deleted && (!r.shows(meta) || r.rollUp(string(name)) != "") {
			*meta = objects.Meta{}
			metas = metas[:len(metas)-1]
			ok = scan.Next()
			continue
		}
		if len(page.Entries) == r.Limit {
			page.More = true
			break
		}
		if rolled := r.rollUp(string(name)); rolled != "" {
			*meta = objects.Meta{}
			metas = metas[:len(metas)-1]
			page.Entries = append(page.Entries, messages.ObjectEntry{Name: rolled})
			end := layout.PrefixEnd(layout.ObjectKey(nil, r.Bucket.ID, rolled))
			ok = end != nil && scan.SeekGE(end)
			continue
		}
		page.Entries = append(page.Entries, messages.ObjectEntry{Name: string(name), Meta: meta})
		if len(metas) == cap(metas) {
			metas = make([]objects.Meta, 0, 16) // the last look, which tells whether there is more
		}
		ok = scan.Next()
	}
	if err := scan.Err(); err != nil {
		s.indexError(objects.Key{Bucket: r.Bucket}, err)
		return nil, errs.E(op, r.Bucket, err, scan.Close())
	}
	if err := scan.Close(); err != nil {
		return nil, errs.E(op, r.Bucket, err)
	}
	return page, nil
}

// shows reports whether the page has a delete marker, unless it would be rolled up: no
// common prefix is made of one.
func (r ListRequest) shows(marker *objects.Meta) bool {
	return r.Markers == messages.AllMarkers || r.Markers == messages.UnsettledMarkers && marker.Unsettled
}

// decode reads of a record what the entries of the page hold.
func (r ListRequest) decode(value []byte, meta *objects.Meta) error {
	if !r.Whole {
		return layout.DecodeEntry(value, meta)
	}
	whole, err := layout.DecodeRecord(value)
	if err == nil {
		*meta = *whole
	}
	return err
}

// start returns the index key at which names after After begin; nil: at the
// prefix. An After that is itself a common prefix of this listing stands for all
// names it rolls up.
func (r ListRequest) start() []byte {
	if r.After == "" {
		return nil
	}
	if r.rollUp(r.After) == r.After {
		return layout.PrefixEnd(layout.ObjectKey(nil, r.Bucket.ID, r.After))
	}
	return append(layout.ObjectKey(nil, r.Bucket.ID, r.After), 0) // the next possible name
}

// rollUp returns the common prefix that a name is rolled up into, or "".
func (r ListRequest) rollUp(name string) string {
	if r.Delimiter == "" || !strings.HasPrefix(name, r.Prefix) {
		return ""
	}
	at := strings.Index(name[len(r.Prefix):], r.Delimiter)
	if at < 0 {
		return ""
	}
	return name[:len(r.Prefix)+at+len(r.Delimiter)]
}
