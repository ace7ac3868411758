package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// place is where a key is, by one roster. While the set of mountpaths changes, what
// is of a key may still be at its former mountpath.
type place struct {
	roster *messages.Roster
	owner  *messages.MountpathView
	former *messages.MountpathView // nil: the key is at its owner's
	digest uint64
	// holders is how many mountpaths are to hold the key by the mount map; 0: it has no
	// protection. mount is its epoch, where the map places it.
	holders int
	mount   smap.Epoch
}

// holders returns how many mountpaths of this node are to hold a key by its mount map; 0:
// the key has no protection.
func (g *Gateway) holders(key objects.Key) int {
	set := g.lanes()
	if set == nil {
		return 0
	}
	return set.Holders(g.Config.Buckets.Load().Placing(key))
}

// under returns a fence with the mount epoch by which the key was placed.
func (p *place) under(f messages.Fence) messages.Fence {
	f.Holders, f.Mounts, f.Mount = p.holders, nil, p.mount
	if p.holders > 0 {
		f.Mounts = p.roster.Placing()
	}
	return f
}

// place finds a key's place; errs.Offline if its owner cannot be used now.
func (g *Gateway) place(op errs.Op, key objects.Key) (place, error) {
	if err := objects.CheckName(key.Name); err != nil {
		return place{}, errs.E(op, key, errs.Invalid, err)
	}
	p := place{roster: g.Roster.Load(), digest: key.Digest(), holders: g.holders(key)}
	p.owner, p.mount = p.roster.Hold(p.holders, p.digest)
	if p.owner == nil {
		return place{}, errs.E(op, key, errs.Offline, errors.New("the node has no mountpath"))
	}
	if err := p.owner.Away(); err != nil {
		return place{}, errs.E(op, key, errs.Offline, err)
	}
	p.former = p.roster.Former(p.digest)
	return p, nil
}

// turned reports whether the former mountpath may have something newer than the
// owner.
func (p *place) turned() bool { return p.former != nil && p.roster.Transition.Turned }

// maxLooks bounds how often a request follows changes of placement that come while
// it is under way: each takes a job that looks at everything.
const maxLooks = 4

// find reads something of a key: at its owner's; if that has nothing, at its former
// mountpath; if that has nothing either, it may have moved in between, and the owner
// is asked once more.
func find[T any](g *Gateway, op errs.Op, key objects.Key, ask func(*messages.MountpathView, uint64) (T, error)) (T, error) {
	for look := 1; ; look++ {
		value, epoch, err := findOnce(g, op, key, ask)
		if err == nil || look == maxLooks || epoch == g.Roster.Load().Epoch {
			return value, err
		}
	}
}

// findOnce is find by one roster, whose epoch it returns.
func findOnce[T any](g *Gateway, op errs.Op, key objects.Key, ask func(*messages.MountpathView, uint64) (T, error)) (T, uint64, error) {
	var none T
	p, err := g.place(op, key)
	if err != nil {
		return none, g.Roster.Load().Epoch, err
	}
	epoch := p.roster.Epoch
	if p.former == nil {
		value, err := ask(p.owner, p.digest)
		return value, epoch, err
	}
	order, err := g.order(op, key, &p)
	if err != nil {
		return none, epoch, err
	}
	for _, view := range order {
		if err := view.Away(); err != nil {
			return none, epoch, errs.E(op, key, errs.Offline, err)
		}
		var value T
		if value, err = ask(view, p.digest); !errs.Is(errs.NotFound, err) {
			return value, epoch, err
		}
	}
	return none, epoch, err
}

// order is in which order the mountpaths of a key that may be moving are asked. What
// the owner has is as new as what the former mountpath has, unless the change was
// turned round.
func (g *Gateway) order(op errs.Op, key objects.Key, p *place) ([]*messages.MountpathView, error) {
	usual := []*messages.MountpathView{p.owner, p.former, p.owner}
	if !p.turned() {
		return usual, nil
	}
	var newest [2]objects.Generation
	for i, view := range usual[:2] {
		if err := view.Away(); err != nil {
			return nil, errs.E(op, key, errs.Offline, err)
		}
		meta, err := g.record(op, key, view, p.digest)
		switch {
		case err == nil:
			newest[i] = meta.Generation
		case !errs.Is(errs.NotFound, err):
			return nil, err
		}
	}
	if newest[1].Compare(newest[0]) > 0 {
		return []*messages.MountpathView{p.former, p.owner}, nil
	}
	return usual, nil
}

// record reads the record that one mountpath has of a key, a delete marker too.
func (g *Gateway) record(op errs.Op, key objects.Key, view *messages.MountpathView, digest uint64) (*objects.Meta, error) {
	opened, err := g.openAt(op, &messages.OpenObject{Key: key, RecordOnly: true, Tombstones: true}, view, digest)
	if err != nil {
		return nil, err
	}
	return opened.Meta, nil
}

// change writes something of a key at its owner's. A write that met a change of
// placement on its way did nothing, and is done again where the key belongs now.
func change[T any](g *Gateway, op errs.Op, key objects.Key, how func(*place) (T, error)) (T, error) {
	var none T
	for look := 1; ; look++ {
		p, err := g.place(op, key)
		if err != nil {
			return none, err
		}
		if p.former != nil {
			if err := g.awaitReady(op, key, p.roster.Transition); err != nil {
				return none, err
			}
		}
		if err := p.owner.Closed(); err != nil {
			return none, errs.E(op, key, errs.Offline, err)
		}
		value, err := how(&p)
		if look == maxLooks || !errors.Is(err, messages.ErrMoved) {
			return value, err
		}
	}
}

// awaitReady waits until the writes that began before a transition have ended.
func (g *Gateway) awaitReady(op errs.Op, key objects.Key, t *messages.Transition) error {
	if t.Ready == nil {
		return nil
	}
	late, timer := g.System.Clock().NewTimer(Deadline)
	defer timer.Stop()
	select {
	case <-t.Ready:
		return nil
	case <-late:
		return errs.E(op, key, errs.Busy, errors.New("a write that began before the set of mountpaths changed has not ended"))
	}
}

// settle moves what the former mountpath has of an object to its owner, for writes
// that depend on it.
func (g *Gateway) settle(op errs.Op, key objects.Key, p *place) error {
	if p.former == nil {
		return nil
	}
	if err := p.former.Away(); err != nil {
		return errs.E(op, key, errs.Offline, err)
	}
	if _, err := g.record(op, key, p.former, p.digest); err != nil {
		if errs.Is(errs.NotFound, err) {
			return nil // nothing is written there any more
		}
		return err
	}
	return g.within(op, key, func(ctx context.Context, wait func(time.Duration) error) error {
		_, err := g.Mover.Object(ctx, key, p.former, p.owner, wait)
		return err
	})
}

// settleUpload is settle for a multipart upload under way.
func (g *Gateway) settleUpload(op errs.Op, key objects.Key, uploadID string, p *place) error {
	if p.former == nil {
		return nil
	}
	if err := p.former.Away(); err != nil {
		return errs.E(op, key, errs.Offline, err)
	}
	if _, err := g.parts(op, key, uploadID, 0, 1, p.former, p.digest); err != nil {
		if errs.Is(errs.NotFound, err) {
			return nil
		}
		return err
	}
	return g.within(op, key, func(ctx context.Context, wait func(time.Duration) error) error {
		_, err := g.Mover.Upload(ctx, key, uploadID, p.former, p.owner, wait)
		return err
	})
}

// within gives a move a request's time. One that takes longer goes on by itself,
// and the client asks again.
func (g *Gateway) within(op errs.Op, key objects.Key, move func(context.Context, func(time.Duration) error) error) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	late := errs.E(op, key, errs.Busy, errors.New("it is being moved to another mountpath, which takes longer than a request may"))
	timer := g.System.Clock().AfterFunc(Deadline, func() { cancel(late) })
	defer func() { timer.Stop(); cancel(nil) }()
	return move(ctx, func(pause time.Duration) error {
		over, timer := g.System.Clock().NewTimer(pause)
		defer timer.Stop()
		select {
		case <-over:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}

// forget removes what the former mountpath has of an object that has just been
// written at its owner's: nobody reads it any more, and what stays the job removes.
func (g *Gateway) forget(key objects.Key, p *place) {
	if p.former == nil || p.former.Closed() != nil {
		return
	}
	left := messages.Fence{For: objects.Origin{Cause: objects.CauseMove, Other: p.owner.ID}}
	m := &messages.DeleteObject{Key: key, Former: true, Epoch: p.roster.Epoch, Fence: left, Reply: messages.NewReply[messages.ObjectDeleted]()}
	g.System.Root().Send(p.former.Writer(p.digest), m)
}
