package mover

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

const (
	// pageNames is how many names are listed together: between two checkpoints.
	pageNames = 256
	// together is how many keys move side by side: they wait for syncs, mostly.
	together = 8
	// maxPasses bounds the passes: writes that keep coming to a source say that the
	// placement is not in force for those who write.
	maxPasses = 16
)

// position is where a move is: its checkpoint. The order is that of its fields.
type position struct {
	Pass    int    `json:"pass"`    // from 1
	From    int    `json:"from"`    // number of the source, in the order of the parameters
	Bucket  string `json:"bucket"`  // id; empty: before the first
	Uploads bool   `json:"uploads"` // the bucket's objects are done
	Name    string `json:"name"`    // the last name that is done
	Upload  string `json:"upload"`  // likewise the last upload of it
	Moved   int64  `json:"moved"`   // in this pass
	Failed  int64  `json:"failed"`  // in this pass
}

// positionVersion is the version of the checkpoint.
const positionVersion = 1

// walk is one run of the job.
type walk struct {
	*Mover
	run    *xaction.Run
	from   []string
	target *target
	at     position
	// whole says that the pass began with this run. Only such a one that finds nothing
	// ends the job: a mountpath that was away may have settled what the pass had gone by.
	whole bool
}

// run is the job.
func (m *Mover) run(r *xaction.Run) error {
	var p Parameters
	if err := r.Parameters(&p); err != nil {
		return err
	}
	if err := m.check(&p); err != nil { // a mountpath may have gone since
		return errs.E("mover.Run", errs.Invalid, err)
	}
	w := &walk{Mover: m, run: r, from: p.From, target: newTarget(p.Placement), at: position{Pass: 1}, whole: true}
	if len(w.from) == 0 {
		for _, v := range m.Roster.Load().Mountpaths {
			w.from = append(w.from, v.ID)
		}
		slices.Sort(w.from) // the same order after a restart
	}
	version, err := r.Restore(&w.at)
	if err != nil {
		return err
	}
	if version > 0 {
		w.at.Pass, w.whole = 1, false // passes are counted from here: each run may need another one
	}
	for {
		if err := w.pass(); err != nil {
			return err
		}
		switch {
		case !w.whole:
		case w.at.Moved == 0 && w.at.Failed == 0:
			return nil
		case w.at.Moved == 0:
			return errs.E("mover.Run", errs.Conflict, fmt.Errorf("%d objects or uploads could not be moved and are where they were; the failures of the job name the last of them", w.at.Failed))
		case w.at.Pass == maxPasses:
			return errs.E("mover.Run", errs.Conflict, fmt.Errorf("after %d passes there still is something to move: are new writes sent to the new placement?", w.at.Pass))
		}
		w.at, w.whole = position{Pass: w.at.Pass + 1}, true
		if err := r.Checkpoint(positionVersion, &w.at); err != nil {
			return err
		}
	}
}

// pass looks at every source once, from where it is.
func (w *walk) pass() error {
	for ; w.at.From < len(w.from); w.at.From++ {
		for _, bucket := range w.buckets() {
			id := bucket.ID.String()
			if id < w.at.Bucket {
				continue
			}
			if id != w.at.Bucket {
				w.at.Bucket, w.at.Uploads, w.at.Name, w.at.Upload = id, false, "", ""
			}
			if !w.at.Uploads {
				if err := w.objects(bucket); err != nil {
					return err
				}
				w.at.Uploads, w.at.Name, w.at.Upload = true, "", ""
			}
			if err := w.uploads(bucket); err != nil {
				return err
			}
		}
		w.at.Bucket, w.at.Uploads, w.at.Name, w.at.Upload = "", false, "", ""
	}
	return nil
}

// buckets are the live buckets in the order of their ids.
func (w *walk) buckets() []objects.Bucket {
	var list []objects.Bucket
	for _, v := range w.Buckets.Load().All() {
		list = append(list, v.Doc.Bucket)
	}
	slices.SortFunc(list, func(a, b objects.Bucket) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
	return list
}

// source is the mountpath that is walked; errs.Offline if it cannot be read.
func (w *walk) source(op errs.Op) (*messages.MountpathView, error) {
	id := w.from[w.at.From]
	v := view(w.Roster.Load(), id)
	if v == nil {
		return nil, errs.E(op, id, errs.NotFound, errors.New("the mountpath is gone"))
	}
	if err := v.Away(); err != nil {
		return nil, errs.E(op, v.Path, errs.Offline, err)
	}
	return v, nil
}

// objects moves the objects of a bucket that belong elsewhere.
func (w *walk) objects(bucket objects.Bucket) error {
	const op errs.Op = "mover.objects"
	for {
		from, err := w.source(op)
		if err != nil {
			return err
		}
		list := &messages.ListObjects{Bucket: bucket, After: w.at.Name, Limit: pageNames, Markers: messages.AllMarkers, Reply: messages.NewReply[*messages.ObjectPage]()}
		w.System.Root().Send(from.Readers[0], list)
		page, err := list.Reply.WaitOn(w.System.Clock(), op, laneTime)
		if err != nil {
			return err
		}
		keys := make([]item, len(page.Entries))
		for i, e := range page.Entries {
			keys[i].key = objects.Key{Bucket: bucket, Name: e.Name}
		}
		if err := w.moveAll(from, keys); err != nil {
			return errors.Join(err, w.run.Checkpoint(positionVersion, &w.at))
		}
		if len(keys) > 0 {
			w.at.Name = keys[len(keys)-1].key.Name
		}
		if err := w.run.Checkpoint(positionVersion, &w.at); err != nil || !page.More {
			return err
		}
	}
}

// uploads moves the uploads under way of a bucket that belong elsewhere.
func (w *walk) uploads(bucket objects.Bucket) error {
	const op errs.Op = "mover.uploads"
	for {
		from, err := w.source(op)
		if err != nil {
			return err
		}
		list := &messages.ListUploads{Bucket: bucket, AfterName: w.at.Name, AfterID: w.at.Upload, Limit: pageNames, Reply: messages.NewReply[*messages.UploadPage]()}
		w.System.Root().Send(from.Readers[0], list)
		page, err := list.Reply.WaitOn(w.System.Clock(), op, laneTime)
		if err != nil {
			return err
		}
		items := make([]item, len(page.Uploads))
		for i, u := range page.Uploads {
			items[i] = item{key: objects.Key{Bucket: bucket, Name: u.Name}, upload: u.ID}
		}
		if err := w.moveAll(from, items); err != nil {
			return errors.Join(err, w.run.Checkpoint(positionVersion, &w.at))
		}
		if n := len(items); n > 0 {
			w.at.Name, w.at.Upload = items[n-1].key.Name, items[n-1].upload
		}
		if err := w.run.Checkpoint(positionVersion, &w.at); err != nil || !page.More {
			return err
		}
	}
}

// item is an object, or an upload under way.
type item struct {
	key    objects.Key
	upload string // id; empty: the object
}

// moveAll moves those of the items that belong elsewhere, several at a time. What
// is wrong with one of them is noted; what is wrong with a mountpath ends the job.
func (w *walk) moveAll(from *messages.MountpathView, items []item) error {
	var moving sync.WaitGroup
	room := make(chan struct{}, together)
	var moved, failed atomic.Int64
	defer func() {
		moving.Wait()
		w.at.Moved += moved.Load()
		w.at.Failed += failed.Load()
	}()
	var mu sync.Mutex
	var fatal error
	for _, it := range items {
		id := w.target.owner(it.key)
		if id == from.ID {
			continue
		}
		if err := w.run.Turn(); err != nil {
			return err
		}
		mu.Lock()
		err := fatal
		mu.Unlock()
		if err != nil {
			return err
		}
		to := view(w.Roster.Load(), id)
		if to == nil {
			return errs.E("mover.move", id, errs.NotFound, errors.New("the mountpath is gone"))
		}
		room <- struct{}{}
		moving.Go(func() {
			defer func() { <-room }()
			var done Moved
			err := w.run.Apart(messages.HandlesKey(it.key, messages.MoveAccess), func() (err error) {
				done, err = w.moveOne(it, from, to)
				return err
			})
			switch {
			case err == nil && done.Found:
				moved.Add(1)
				w.run.Did(xaction.Amount{Objects: 1, Bytes: done.Bytes})
			case err == nil: // deleted, completed or aborted meanwhile
			case isFatal(err):
				mu.Lock()
				if fatal == nil {
					fatal = err
				}
				mu.Unlock()
			default:
				failed.Add(1)
				w.run.Failed(it.key.String(), err)
			}
		})
	}
	moving.Wait()
	return fatal
}

func (w *walk) moveOne(it item, from, to *messages.MountpathView) (Moved, error) {
	if it.upload != "" {
		return w.Upload(w.run.Context(), it.key, it.upload, from, to, w.run.Wait)
	}
	return w.Object(w.run.Context(), it.key, from, to, w.run.Wait)
}

// isFatal reports whether an error is about a mountpath or the job, so that going
// on with other keys is of no use. What is quarantined is the key alone.
func isFatal(err error) bool {
	var quarantined *messages.Quarantined
	if errors.As(err, &quarantined) {
		return false
	}
	return errors.Is(err, xaction.ErrStop) || errs.Is(errs.Offline, err) || errs.Is(errs.NoSpace, err)
}
