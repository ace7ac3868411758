package bucket

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

const (
	// uploadTime is how long a multipart upload may be under way before it is
	// aborted and its parts are reclaimed.
	uploadTime = 7 * 24 * time.Hour
	// expiryTime is how often a bucket looks for such uploads.
	expiryTime = time.Hour
	// expiryPage is how many uploads are looked at together.
	expiryPage = 1000
)

// expire says that it is time to look for abandoned uploads.
type expire struct{}

// expirer is the worker that aborts a bucket's abandoned uploads, each in its
// key's turn.
type expirer struct {
	listing
	before time.Time // uploads that began earlier are abandoned
}

// Receive implements actor.Actor.
func (e *expirer) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		aborted, err := e.run()
		log := e.config.System.Log().WithField("bucket", e.bucket.Name)
		if err != nil {
			log.WithError(err).Warn("abandoned uploads cannot be aborted now; it is tried again")
		}
		if aborted > 0 {
			log.WithField("uploads", aborted).Info("abandoned uploads were aborted")
		}
		ctx.Stop(ctx.Self())
	default:
		actors.Unexpected(ctx, e.config.System.Log())
	}
}

func (e *expirer) run() (aborted int, err error) {
	request := &messages.ListUploads{Bucket: e.bucket, Limit: expiryPage}
	for {
		page, err := (&uploadLister{listing: e.listing, request: request}).page()
		if err != nil {
			return aborted, err
		}
		for i := range page.Uploads {
			u := &page.Uploads[i]
			request.AfterName, request.AfterID = u.Name, u.ID
			if !u.Initiated.Before(e.before) {
				continue
			}
			if err := e.abort(u); err != nil {
				return aborted, err
			}
			aborted++
		}
		if !page.More {
			return aborted, nil
		}
	}
}

// abort aborts one upload, at its former mountpath first if it may be moving; one
// that ended meanwhile is as good, and one whose key moved is aborted the next time.
func (e *expirer) abort(u *objects.Upload) error {
	key := objects.Key{Bucket: e.bucket, Name: u.Name}
	roster, digest := e.config.Roster.Load(), key.Digest()
	fence := roster.Fenced(messages.Fence{}, e.holders(key), digest)
	if former := roster.Former(digest); former != nil {
		if err := e.abortAt(key, u.ID, former, true, fence); err != nil {
			return err
		}
	}
	holder, _ := roster.Hold(fence.Holders, digest)
	return e.abortAt(key, u.ID, holder, false, fence)
}

// holders returns how many mountpaths of this node are to hold a key by its mount map.
func (e *expirer) holders(key objects.Key) int {
	if e.config.Lanes == nil {
		return 0
	}
	return e.config.Lanes.Load().Holders(e.config.Published.Load().Placing(key))
}

func (e *expirer) abortAt(key objects.Key, uploadID string, view *messages.MountpathView, former bool, fence messages.Fence) error {
	const op errs.Op = "bucket.Expire"
	if view == nil || view.Offline != "" {
		return errs.E(op, key, errs.Offline)
	}
	m := &messages.AbortUpload{Key: key, UploadID: uploadID, Former: former, Fence: fence, Reply: messages.NewReply[struct{}]()}
	e.config.System.Root().Send(view.Writer(key.Digest()), m)
	if _, err := m.Reply.WaitOn(e.config.System.Clock(), op, changeTime); err != nil && !errs.Is(errs.NotFound, err) {
		return err
	}
	return nil
}
