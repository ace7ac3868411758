package store

import (
	"errors"
	"slices"
	"time"

	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

const (
	// historySegments is among how many segments the limits are divided: what is dropped
	// at once, and how much longer than the limit of age an entry can stay. Segments that
	// are full are so many, and so are those that are old, so that a look-up is in twice
	// as many and one.
	historySegments = 16
	// historyNotes is how often the size of a segment is noted while it grows: what came
	// since then is counted after a crash.
	historyNotes = 8
	// mostRecount is how many bytes of a segment are read at most to learn its size: four
	// times as many as a segment has by default.
	mostRecount = 64 << 20
)

// segment is one of the history's segments.
type segment struct {
	layout.Segment
	number uint64
	noted  int64 // Bytes as the index has them
}

// segmentAfter is the one that follows a list of them. Numbers are seconds since 1970, but
// always greater than the last: should the list be damaged, the next is still behind it.
func segmentAfter(segments []segment, now time.Time) segment {
	number := uint64(max(1, now.Unix()))
	if len(segments) > 0 {
		number = max(number, segments[len(segments)-1].number+1)
	}
	return segment{Segment: layout.Segment{Begun: now}, number: number}
}

// openHistory reads which segments there are, and begins the first. History that is
// damaged keeps no store from opening: what can be read of it is kept.
func (s *Store) openHistory(limits HistoryLimits) error {
	const op errs.Op = "store.openHistory"
	h := &s.history
	if h.limits = limits; h.limits == (HistoryLimits{}) {
		h.limits = DefaultHistoryLimits()
	}
	segments, err := s.readSegments()
	damaged := errs.Is(errs.Corrupt, err)
	if damaged {
		s.log.WithError(err).Error("the history of objects is damaged; what came before is kept as far as it can be read")
	} else if err != nil {
		return errs.E(op, err)
	}
	if !s.readOnly && (len(segments) == 0 || damaged) {
		first := segmentAfter(segments, s.now())
		if err := s.noteSegments(first); err != nil {
			return errs.E(op, kindOf(err), err) // what the disk says: nobody waits for what became of it
		}
		segments = append(segments, first)
	}
	h.opened = s.generations.Next()
	h.segments.Store(&segments)
	if !s.readOnly && !h.limits.Off {
		h.current.Store(segments[len(segments)-1].number)
	}
	return nil
}

// readSegments returns the segments that are in the index, oldest first, and those that
// it came to before an error.
func (s *Store) readSegments() (segments []segment, err error) {
	scan, err := s.index.Scan(layout.HistoryBounds())
	if err != nil {
		return nil, err
	}
	for ok := scan.Next(); ok; {
		found, err := readSegment(scan)
		if err != nil {
			return segments, errors.Join(err, scan.Close())
		}
		segments = append(segments, found)
		ok = scan.SeekGE(layout.SegmentKey(nil, found.number+1))
	}
	return segments, errors.Join(scan.Err(), scan.Close())
}

// readSegment reads the segment whose first key a scan is at. Of one that is damaged, and
// of one that begins with an entry, only the number is known, which tells when it was
// begun: that entry came late, to a segment that had been dropped. Either goes with the
// next that is dropped.
func readSegment(scan *index.Scan) (found segment, err error) {
	if found.number, err = layout.SegmentOf(scan.Key()); err != nil {
		return found, err
	}
	found.Begun = time.Unix(int64(found.number), 0)
	if _, err := layout.ParseSegmentKey(scan.Key()); err != nil {
		return found, nil
	}
	value, err := scan.Value()
	if err != nil {
		return found, err
	}
	known, err := layout.DecodeSegment(value)
	if err != nil {
		return found, nil
	}
	found.Segment, found.noted = *known, known.Bytes
	return found, nil
}

// noteSegments writes what is known of segments.
func (s *Store) noteSegments(segments ...segment) error {
	batch := s.index.NewBatch()
	for i := range segments {
		batch.Set(layout.SegmentKey(nil, segments[i].number), layout.AppendSegment(nil, &segments[i].Segment))
	}
	return s.index.Commit(batch)
}

// KeepHistory begins the next segment where the current one is full or old, notes now and
// then how large it is, and drops what there is beyond the limits. Blocks on the disk.
func (s *Store) KeepHistory() error {
	const op errs.Op = "store.KeepHistory"
	h := &s.history
	h.keeping.Lock()
	defer h.keeping.Unlock()
	if s.readOnly || len(h.all()) == 0 {
		return nil
	}
	total := uint64(0)
	if space := s.space.Load(); space != nil {
		total = space.TotalBytes
	}
	if err := s.recount(); err != nil {
		return errs.E(op, err)
	}
	most, now := h.limits.of(total), s.now()
	if err := s.turnSegment(most/historySegments, now); err != nil {
		return errs.E(op, err)
	}
	return errs.Wrap(op, s.trimHistory(most, now))
}

// turnSegment begins the next segment when the current one has as many bytes, or as much
// of the age, as a segment may. The caller holds keeping.
func (s *Store) turnSegment(most int64, now time.Time) error {
	h := &s.history
	segments := s.count()
	current := &segments[len(segments)-1]
	old := h.limits.Age > 0 && now.Sub(current.Begun) >= h.limits.Age/historySegments
	switch {
	case current.Bytes > 0 && (old || current.Bytes >= most):
		following := segmentAfter(segments, now)
		if err := s.noteSegments(*current, following); err != nil {
			return err
		}
		current.noted = current.Bytes
		segments = append(segments, following)
		h.segments.Store(&segments) // before anything is added to it
		if !h.limits.Off {
			h.current.Store(following.number)
		}
	case current.Bytes-current.noted > most/historyNotes:
		return s.noteCurrent()
	}
	return nil
}

// count adds what came meanwhile to the current segment, and returns the segments: the
// caller's, who holds keeping, until others are published.
func (s *Store) count() []segment {
	h := &s.history
	segments := slices.Clone(h.all())
	segments[len(segments)-1].Bytes += h.added.Swap(0)
	h.segments.Store(&segments)
	return slices.Clone(segments)
}

// recount counts, once after the store was opened, what of the current segment was there by
// then: each crash leaves unknown what came since its size was noted, and one crash after
// another would make it grow without an end. What came since then is in added. It is not
// tried again. The caller holds keeping.
func (s *Store) recount() error {
	h := &s.history
	opened := h.opened
	h.opened = objects.Generation{}
	if opened.IsZero() {
		return nil
	}
	segments := slices.Clone(h.all())
	current := &segments[len(segments)-1]
	scan, err := s.index.Scan(layout.SegmentKey(nil, current.number), layout.SegmentKey(nil, current.number+1))
	if err != nil {
		return err
	}
	bytes := int64(0)
	for bytes < mostRecount && scan.Next() {
		place, err := layout.ParseMutationKey(scan.Key())
		if err != nil || place.Arrival.Start == opened.Start && place.Arrival.Seq > opened.Seq {
			continue // the segment's own, or it came since
		}
		value, err := scan.Value()
		if err != nil {
			return errors.Join(err, scan.Close())
		}
		bytes += int64(len(scan.Key()) + len(value))
	}
	if err := errors.Join(scan.Err(), scan.Close()); err != nil {
		return err
	}
	current.Bytes = max(current.Bytes, bytes)
	h.segments.Store(&segments)
	return nil
}

// noteCurrent notes how large the current segment is. The caller holds keeping.
func (s *Store) noteCurrent() error {
	segments := s.count()
	current := &segments[len(segments)-1]
	if current.Bytes == current.noted {
		return nil
	}
	if err := s.noteSegments(*current); err != nil {
		return err
	}
	current.noted = current.Bytes
	s.history.segments.Store(&segments)
	return nil
}

// trimHistory drops the oldest segments: while there are more bytes than may be, or while
// the youngest entry of one is too old. One range is deleted, of all there is before what
// stays: an entry that came late to a segment that was dropped goes with the next. The
// caller holds keeping.
func (s *Store) trimHistory(most int64, now time.Time) error {
	h := &s.history
	segments := h.all()
	bytes := int64(0)
	for i := range segments {
		bytes += segments[i].Bytes
	}
	drop := 0
	for drop < len(segments)-1 {
		ended := segments[drop+1].Begun
		if bytes <= most && (h.limits.Age == 0 || now.Sub(ended) < h.limits.Age) {
			break
		}
		bytes -= segments[drop].Bytes
		drop++
	}
	if drop == 0 {
		return nil
	}
	stay := segments[drop:]
	batch := s.index.NewBatch()
	lower, _ := layout.HistoryBounds()
	batch.DeleteRange(lower, layout.SegmentKey(nil, stay[0].number))
	err := s.eachDestroyed(func(key []byte, d *layout.DestroyedBucket) {
		if d == nil || d.Destroyed.Before(stay[0].Begun) { // nothing is left that names it
			batch.Delete(key)
		}
	})
	if err != nil {
		batch.Close()
		return err
	}
	if err := s.index.Commit(batch); err != nil {
		return err
	}
	stay = slices.Clone(stay)
	h.segments.Store(&stay)
	h.dropped.Add(uint64(drop))
	return nil
}

// closeHistory notes how large the current segment is.
func (s *Store) closeHistory() error {
	h := &s.history
	h.keeping.Lock()
	defer h.keeping.Unlock()
	if s.readOnly || len(h.all()) == 0 || s.index.Err() != nil {
		return nil
	}
	return s.noteCurrent()
}
