package bucket

import (
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

var (
	errListings     = errors.New("too many listings of the bucket are under way")
	errListerKilled = errors.New("the listing was killed")
)

// listTime bounds the wait for one page of one mountpath.
const listTime = 20 * time.Second

// listing is what listers have in common: a bucket and its mountpaths.
type listing struct {
	config Config
	bucket objects.Bucket
}

// whole fails if a mountpath of the node is offline: a listing without it would be
// wrong.
func (l *listing) whole(op errs.Op, roster *messages.Roster) error {
	for i := range roster.Mountpaths {
		if err := roster.Mountpaths[i].Away(); err != nil {
			return errs.E(op, l.bucket, errs.Offline, err)
		}
	}
	return nil
}

// objectLister is the worker of one listing of objects: it asks every mountpath
// for a share of the page, merges, and asks again where one runs dry.
type objectLister struct {
	listing
	request *messages.ListObjects
}

// Receive implements actor.Actor.
func (l *objectLister) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		l.request.Reply.Send(l.page())
		ctx.Stop(ctx.Self())
	case *actor.Stopping: // after a panic; else it is answered already
		l.request.Fail(errs.E("bucket.List", l.bucket, errs.Busy, errors.New("the listing failed")))
	}
}

// source is one mountpath's part of a listing.
type source struct {
	view  *messages.MountpathView
	page  *messages.ObjectPage
	next  int // the entry of page that comes next
	reply messages.Reply[*messages.ObjectPage]
}

func (l *objectLister) page() (*messages.ObjectPage, error) {
	const op errs.Op = "bucket.List"
	return steady(&l.listing, op, func(roster *messages.Roster) (*messages.ObjectPage, error) {
		if err := l.whole(op, roster); err != nil {
			return nil, err
		}
		if roster.Transition != nil {
			return l.moving(op, roster)
		}
		return l.merged(op, roster.Mountpaths)
	})
}

// merged returns a page while every key is where it is.
func (l *objectLister) merged(op errs.Op, mountpaths []messages.MountpathView) (*messages.ObjectPage, error) {
	// HRW spreads names evenly: a third more than the share, and a few, so that
	// a mountpath seldom has to be asked twice.
	share := (l.request.Limit*13+len(mountpaths)*10-1)/(len(mountpaths)*10) + 8
	sources := make([]source, len(mountpaths))
	for i := range sources {
		sources[i].view = &mountpaths[i]
		l.ask(&sources[i], l.request.After, share)
	}
	page := &messages.ObjectPage{Entries: make([]messages.ObjectEntry, 0, l.request.Limit)}
	for {
		var least *source
		for i := range sources {
			s := &sources[i]
			if err := l.fill(op, s, share); err != nil {
				return nil, err
			}
			if s.next < len(s.page.Entries) && (least == nil || s.page.Entries[s.next].Name < least.page.Entries[least.next].Name) {
				least = s
			}
		}
		if least == nil {
			return page, nil
		}
		entry := least.page.Entries[least.next]
		if n := len(page.Entries); n > 0 && isSame(&page.Entries[n-1], &entry) {
			least.next++
			continue
		}
		if len(page.Entries) == l.request.Limit {
			page.More = true
			return page, nil
		}
		page.Entries = append(page.Entries, entry)
		least.next++
	}
}

// isSame reports whether an entry of another mountpath is the last one again: the
// same common prefix, or an object that is on its way between the two. Of such an
// object the later record is kept in last.
func isSame(last, entry *messages.ObjectEntry) bool {
	if last.Name != entry.Name || (last.Meta == nil) != (entry.Meta == nil) {
		return false
	}
	if entry.Meta != nil && entry.Meta.Generation.Compare(last.Meta.Generation) > 0 {
		last.Meta = entry.Meta
	}
	return true
}

// ask sends for the entries of one mountpath after a name.
func (l *objectLister) ask(s *source, after string, limit int) {
	m := *l.request
	m.After, m.Limit, m.Reply = after, limit, messages.NewReply[*messages.ObjectPage]()
	s.reply = m.Reply
	l.config.System.Root().Send(s.view.Readers[0], &m)
}

// fill makes sure that a source has an entry, or none any more.
func (l *objectLister) fill(op errs.Op, s *source, share int) error {
	for {
		if s.reply != nil {
			page, err := s.reply.WaitOn(l.config.System.Clock(), op, listTime)
			if err != nil {
				return errs.E(op, l.bucket, fmt.Errorf("mountpath %s: %w", s.view.Path, err))
			}
			s.page, s.next, s.reply = page, 0, nil
		}
		if s.next < len(s.page.Entries) || !s.page.More {
			return nil
		}
		l.ask(s, s.page.Entries[len(s.page.Entries)-1].Name, share)
	}
}

// uploadLister is the worker of one listing of uploads under way.
type uploadLister struct {
	listing
	request *messages.ListUploads
}

// Receive implements actor.Actor.
func (l *uploadLister) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		l.request.Reply.Send(l.page())
		ctx.Stop(ctx.Self())
	case *actor.Stopping: // after a panic; else it is answered already
		l.request.Fail(errs.E("bucket.ListUploads", l.bucket, errs.Busy, errors.New("the listing failed")))
	}
}

// page merges whole pages: uploads are few, so every mountpath is asked for a
// full one.
func (l *uploadLister) page() (*messages.UploadPage, error) {
	const op errs.Op = "bucket.ListUploads"
	return steady(&l.listing, op, func(roster *messages.Roster) (*messages.UploadPage, error) {
		if err := l.whole(op, roster); err != nil {
			return nil, err
		}
		return l.merged(op, roster)
	})
}

// merged asks the mountpaths that keys leave first, as the listing of objects does.
func (l *uploadLister) merged(op errs.Op, roster *messages.Roster) (*messages.UploadPage, error) {
	merged := &messages.UploadPage{}
	var pages [][]objects.Upload
	for _, group := range inOrder(roster) {
		replies := make([]messages.Reply[*messages.UploadPage], len(group))
		for i, view := range group {
			m := *l.request
			m.Reply = messages.NewReply[*messages.UploadPage]()
			replies[i] = m.Reply
			l.config.System.Root().Send(view.Readers[0], &m)
		}
		for i, r := range replies {
			page, err := r.WaitOn(l.config.System.Clock(), op, listTime)
			if err != nil {
				return nil, errs.E(op, l.bucket, fmt.Errorf("mountpath %s: %w", group[i].Path, err))
			}
			pages = append(pages, page.Uploads)
			merged.More = merged.More || page.More
		}
	}
	for {
		least := -1
		for i, p := range pages {
			if len(p) > 0 && (least < 0 || before(&p[0], &pages[least][0])) {
				least = i
			}
		}
		if least < 0 {
			return merged, nil
		}
		upload := &pages[least][0]
		pages[least] = pages[least][1:]
		if n := len(merged.Uploads); n > 0 && sameUpload(&merged.Uploads[n-1], upload) {
			continue
		}
		if len(merged.Uploads) == l.request.Limit {
			merged.More = true
			return merged, nil
		}
		merged.Uploads = append(merged.Uploads, *upload)
	}
}

// before orders uploads by name, then id.
func before(a, b *objects.Upload) bool {
	if a.Name != b.Name {
		return a.Name < b.Name
	}
	return a.ID < b.ID
}
