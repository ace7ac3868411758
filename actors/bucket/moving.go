package bucket

import (
	"errors"
	"fmt"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// While the set of mountpaths changes, a key that moves is at its former mountpath,
// at its owner's, or at both; it comes to its owner's before it goes from the former
// one. So a listing asks the mountpaths that keys leave first, and the others when
// those have answered: what has gone from a former mountpath by then is found at its
// owner's. Pages are asked for in rounds, so that this holds for every range of
// names, and of two entries of one name the newer counts.

// errUnsteady says that the set of mountpaths changed under a listing more often
// than it can follow.
var errUnsteady = errors.New("the set of mountpaths is being changed; ask again")

// maxLooks bounds how often a listing is begun again because the set changed while
// it was under way: each change takes a job that looks at everything.
const maxLooks = 4

// steady runs a listing until placement is the same at its end as it was at its
// beginning: keys may have moved to a mountpath that was not asked.
func steady[T any](l *listing, op errs.Op, page func(*messages.Roster) (T, error)) (T, error) {
	for range maxLooks {
		roster := l.config.Roster.Load()
		if result, err := page(roster); l.config.Roster.Load().Epoch == roster.Epoch {
			return result, err
		}
	}
	var none T
	return none, errs.E(op, l.bucket, errs.Busy, errUnsteady)
}

// inOrder returns the mountpaths that keys leave, and then the others.
func inOrder(roster *messages.Roster) [2][]*messages.MountpathView {
	var groups [2][]*messages.MountpathView
	for i := range roster.Mountpaths {
		m := &roster.Mountpaths[i]
		if roster.Transition.IsSource(m.ID) {
			groups[0] = append(groups[0], m)
		} else {
			groups[1] = append(groups[1], m)
		}
	}
	return groups
}

// moving returns a page while keys move, round by round.
func (l *objectLister) moving(op errs.Op, roster *messages.Roster) (*messages.ObjectPage, error) {
	page := &messages.ObjectPage{Entries: make([]messages.ObjectEntry, 0, l.request.Limit)}
	for after := l.request.After; ; {
		sources, err := l.round(op, roster, after, l.request.Limit-len(page.Entries)+1)
		if err != nil {
			return nil, err
		}
		until, bounded := l.bound(sources)
		for {
			entry, ok := next(sources, until, bounded)
			if !ok {
				break
			}
			if len(page.Entries) == l.request.Limit {
				page.More = true
				return page, nil
			}
			page.Entries = append(page.Entries, entry)
		}
		if !bounded {
			return page, nil
		}
		after = until
	}
}

// round asks every mountpath for entries after a name, those that keys leave first.
func (l *objectLister) round(op errs.Op, roster *messages.Roster, after string, limit int) ([]source, error) {
	sources := make([]source, 0, len(roster.Mountpaths))
	for _, group := range inOrder(roster) {
		first := len(sources)
		for _, view := range group {
			sources = append(sources, source{view: view})
			l.ask(&sources[len(sources)-1], after, limit)
		}
		for i := first; i < len(sources); i++ {
			s := &sources[i]
			page, err := s.reply.WaitOn(l.config.System.Clock(), op, listTime)
			if err != nil {
				return nil, errs.E(op, l.bucket, fmt.Errorf("mountpath %s: %w", s.view.Path, err))
			}
			s.page = page
		}
	}
	return sources, nil
}

// bound returns the last name up to which every mountpath was looked at; not
// bounded: all names were.
func (l *objectLister) bound(sources []source) (until string, bounded bool) {
	for i := range sources {
		entries := sources[i].page.Entries
		if !sources[i].page.More || len(entries) == 0 {
			continue
		}
		if last := entries[len(entries)-1].Name; !bounded || last < until {
			until, bounded = last, true
		}
	}
	return until, bounded
}

// next takes the entry with the least name from all sources that have it.
func next(sources []source, until string, bounded bool) (least messages.ObjectEntry, ok bool) {
	for i := range sources {
		s := &sources[i]
		if s.next == len(s.page.Entries) {
			continue
		}
		if e := s.page.Entries[s.next]; (!bounded || e.Name <= until) && (!ok || e.Name < least.Name) {
			least, ok = e, true
		}
	}
	if !ok {
		return least, false
	}
	for i := range sources {
		s := &sources[i]
		if s.next == len(s.page.Entries) || s.page.Entries[s.next].Name != least.Name {
			continue
		}
		e := s.page.Entries[s.next]
		s.next++
		if e.Meta != nil && (least.Meta == nil || e.Meta.Generation.Compare(least.Meta.Generation) > 0) {
			least = e
		}
	}
	return least, true
}

// sameUpload reports whether two entries are of one upload, which is moving.
func sameUpload(a, b *objects.Upload) bool { return a.Name == b.Name && a.ID == b.ID }
