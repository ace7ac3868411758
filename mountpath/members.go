package mountpath

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/archive"
	"github.com/troupe-storage/troupe/objects/errs"
)

const (
	// maxIndexers is how many shards of a mountpath are gone through at a time.
	maxIndexers = 2
	// maxIndexWaiters bounds who waits for one index.
	maxIndexWaiters = 1024
	// indexRoom is what an indexer verifies files in.
	indexRoom = 256 << 10
)

// UnpackLimit is how many bytes may come out of a compressed shard for one index or one
// request: an archive of a megabyte can unpack to a terabyte, and of more nobody waits for
// the end.
const UnpackLimit = 1 << 40

// indexing is an index of members that is being read or made, and who waits for it. It
// belongs to the coordinator.
type indexing struct {
	pid     *actor.PID
	stamp   archive.Stamp
	since   time.Duration // of the clock's Elapsed
	result  *atomic.Pointer[indexed]
	waiters []*messages.GetMemberIndex
}

// onGetMemberIndex has a worker read or make an index, or joins who waits for it.
func (c *coordinator) onGetMemberIndex(ctx actor.Context, m *messages.GetMemberIndex) {
	const op errs.Op = "mountpath.GetMemberIndex"
	now := c.system.Clock().Elapsed()
	for _, one := range c.indexing {
		if one.stamp != m.Stamp {
			continue
		}
		if now-one.since >= messages.MembersTime || len(one.waiters) == maxIndexWaiters {
			m.Fail(errs.E(op, m.Key, errs.Busy, fmt.Errorf("the index of its members has been made for %s already", now-one.since)))
			return
		}
		one.waiters = append(one.waiters, m)
		return
	}
	switch {
	case c.report.state == messages.MountpathDisabled:
		m.Fail(errs.E(op, m.Key, errs.Offline, fmt.Errorf("the mountpath is %s: %s", c.report.state, c.report.reason)))
		return
	case len(c.indexing) >= maxIndexers:
		m.Fail(errs.E(op, m.Key, errs.Busy, fmt.Errorf("%d indexes of members are being made", len(c.indexing))))
		return
	}
	i := &indexer{system: c.system, store: c.mount.Store, request: *m, stopping: &c.stopping, result: new(atomic.Pointer[indexed])}
	pid, err := c.system.Spawn(ctx, actors.Spec{
		Name: indexerPrefix + strconv.FormatUint(c.custody.transfers.Add(1), 36), Kind: "member indexer", Policy: actors.Policy{NoRestart: true},
		Subject: m.Key.String(), Handles: m.Handles(),
		New:       func() actor.Actor { return i },
		Abandoned: func(any) func() { return c.custody.hold(new(watch)) },
	})
	if err != nil {
		m.Fail(errs.E(op, m.Key, errs.Busy, err))
		return
	}
	c.indexing = append(c.indexing, &indexing{pid: pid, stamp: m.Stamp, since: now, result: i.result, waiters: []*messages.GetMemberIndex{m}})
}

// indexerPrefix begins the names of indexers among a coordinator's children.
const indexerPrefix = "members-"

// indexed is what an indexer came to.
type indexed struct {
	value messages.MemberIndex
	err   error
}

// endIndexing answers who waits for an indexer, which has ended. One that left no result
// panicked, or was killed.
func (c *coordinator) endIndexing(pid *actor.PID) {
	for i, one := range c.indexing {
		if one.pid.Id != pid.Id {
			continue
		}
		c.indexing = slices.Delete(c.indexing, i, i+1)
		result := one.result.Load()
		for _, waiter := range one.waiters {
			if result == nil {
				waiter.Fail(errs.E("mountpath.GetMemberIndex", waiter.Key, errs.Busy, errors.New("the indexer ended before it was through")))
			} else {
				waiter.Reply.Send(result.value, result.err)
			}
		}
		return
	}
}

// indexer finds out where the members of one shard are: it reads the index that is kept, or
// goes through the shard and keeps what it finds. It is a worker: it blocks on its disk,
// lives for one shard, and is never restarted. It holds no lane: the payload that it reads
// is named by its generation.
type indexer struct {
	system  *actors.System
	store   *store.Store
	request messages.GetMemberIndex
	// stopping says that nobody waits any more, and the disk is to be left alone.
	stopping *atomic.Bool
	result   *atomic.Pointer[indexed]
}

// until is a payload that is read for as long as the coordinator is there.
type until struct {
	io.ReaderAt
	stopping *atomic.Bool
}

// ReadAt implements io.ReaderAt.
func (u until) ReadAt(p []byte, offset int64) (int, error) {
	if u.stopping.Load() {
		return 0, errs.E("indexer", errs.Canceled, errors.New("the mountpath is being closed"))
	}
	return u.ReaderAt.ReadAt(p, offset)
}

// Receive implements actor.Actor.
func (i *indexer) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		value, err := i.find()
		i.result.Store(&indexed{value, err}) // the coordinator looks at it once it hears that this has ended
		ctx.Stop(ctx.Self())
	default:
		actors.Unexpected(ctx, i.system.Log())
	}
}

func (i *indexer) find() (messages.MemberIndex, error) {
	m := &i.request
	index, bytes, err := i.store.ReadMembers(m.Key, m.Stamp, m.Most)
	if err == nil {
		return messages.MemberIndex{Index: index, Bytes: bytes + 4*int64(index.Len())}, nil
	}
	if !errs.Is(errs.NotFound, err) {
		return messages.MemberIndex{}, err
	}
	content, err := i.make()
	if err == nil {
		index, err = archive.ParseIndex(content, m.Stamp)
	}
	if err != nil {
		return messages.MemberIndex{}, errs.E("indexer", m.Key, err)
	}
	if err := i.store.KeepMembers(m.Key, m.Stamp.Payload, content); err != nil {
		i.system.Log().WithError(err).WithField("key", m.Key.String()).Info("the index of a shard's members is not kept on the disk")
	}
	return messages.MemberIndex{Index: index, Bytes: int64(len(content)) + 4*int64(index.Len()), Made: true}, nil
}

// make goes through the shard.
func (i *indexer) make() ([]byte, error) {
	const op errs.Op = "indexer.make"
	m := &i.request
	opened, err := i.store.OpenMarked(m.Key, make([]byte, i.store.InlineLimit()))
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	meta := opened.Meta
	if meta.Deleted || meta.Payload != m.Stamp.Payload || meta.Size != m.Stamp.Size {
		return nil, errs.E(op, m.Key, errs.Conflict, errors.New("it was written again meanwhile"))
	}
	if meta.Where != objects.File && meta.Where != objects.Chunks {
		return nil, errs.E(op, m.Key, errs.Invalid, errors.New("its payload is in no file"))
	}
	var room []byte
	if m.Verify {
		room = make([]byte, indexRoom)
	}
	at := messages.NewPayloadAt(m.Key, opened, room)
	defer at.Close() // it was only read
	reader, err := archive.Open(m.Format, until{at, i.stopping}, meta.Size, archive.Limits{Unpacked: UnpackLimit, Index: m.Most})
	if err != nil {
		return nil, err
	}
	return archive.BuildIndex(reader, m.Stamp)
}
