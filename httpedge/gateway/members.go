package gateway

import (
	"container/list"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/archive"
	"github.com/troupe-storage/troupe/objects/errs"
)

// memberIndexes are indexes of the members of shards, in memory, by the payload that they
// are of. What is asked for is the youngest; the oldest go. Safe for concurrent use; the
// zero value is ready.
type memberIndexes struct {
	mu    sync.Mutex
	by    map[objects.Generation]*list.Element // of memberIndex
	order list.List                            // the youngest first
	bytes int64

	found, kept, made, missed atomic.Int64
}

// memberIndex is one of them.
type memberIndex struct {
	stamp archive.Stamp
	index *archive.Index // nil: the shard can have none
	bytes int64
}

const (
	// entryBytes is what the table takes for each beside the index.
	entryBytes = 256
	// indexPart is which part of the room for all of them one may take.
	indexPart = 4
)

// find returns the index of a payload; known: it is one that is there, or known that there
// can be none.
func (m *memberIndexes) find(stamp archive.Stamp) (index *archive.Index, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.by[stamp.Payload]
	if e == nil {
		return nil, false
	}
	one := e.Value.(memberIndex)
	if one.stamp != stamp {
		return nil, false
	}
	m.order.MoveToFront(e)
	return one.index, true
}

// put adds an index, for which at most so many bytes are kept.
func (m *memberIndexes) put(one memberIndex, most int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	one.bytes += entryBytes
	m.drop(m.by[one.stamp.Payload])
	if m.by == nil {
		m.by = make(map[objects.Generation]*list.Element)
	}
	m.by[one.stamp.Payload] = m.order.PushFront(one)
	m.bytes += one.bytes
	for m.bytes > most && m.order.Len() > 0 {
		m.drop(m.order.Back())
	}
}

// forget drops the index of a payload.
func (m *memberIndexes) forget(payload objects.Generation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(m.by[payload])
}

// drop takes out an element; nil is none. With mu held.
func (m *memberIndexes) drop(e *list.Element) {
	if e == nil {
		return
	}
	one := m.order.Remove(e).(memberIndex)
	delete(m.by, one.stamp.Payload)
	m.bytes -= one.bytes
}

// MemberIndexesSeen tells of the indexes of members of shards.
type MemberIndexesSeen struct {
	Number int   // in memory
	Bytes  int64 // likewise
	// How often a shard was to be read by one that was found in memory, was read from a disk,
	// was made, or was not to be had, so that the shard was gone through.
	Found, Kept, Made, Missed int64
}

// MemberIndexes tells of the indexes of members of shards.
func (g *Gateway) MemberIndexes() MemberIndexesSeen {
	m := &g.members
	m.mu.Lock()
	number, bytes := m.order.Len(), m.bytes
	m.mu.Unlock()
	return MemberIndexesSeen{Number: number, Bytes: bytes, Found: m.found.Load(), Kept: m.kept.Load(), Made: m.made.Load(), Missed: m.missed.Load()}
}

// indexOf has the mountpath of a shard read the index of its members, or make it; nil: there
// is none now, and the shard is read without.
func (g *Gateway) indexOf(o *Object, format archive.Format) *archive.Index {
	const op errs.Op = "gateway.indexOf"
	stamp := archive.Stamp{Payload: o.Meta.Payload, Size: o.Meta.Size}
	place, err := g.place(op, o.key)
	if err != nil || place.owner.Coordinator == nil || g.MemberIndexBytes <= 0 {
		g.members.missed.Add(1)
		return nil
	}
	m := &messages.GetMemberIndex{
		Key: o.key, Stamp: stamp, Format: format, Verify: o.verify, Most: g.MemberIndexBytes / indexPart,
		Reply: messages.NewReply[messages.MemberIndex](),
	}
	g.System.Root().Send(place.owner.Coordinator, m)
	got, err := m.Reply.WaitOn(g.System.Clock(), op, messages.MembersTime)
	switch {
	case err == nil && got.Made:
		g.members.made.Add(1)
	case err == nil:
		g.members.kept.Add(1)
	default:
		g.members.missed.Add(1)
		if errs.Is(errs.Invalid, err) {
			g.members.put(memberIndex{stamp: stamp}, g.MemberIndexBytes) // asked again, it would be gone through again
		}
		return nil
	}
	g.members.put(memberIndex{stamp: stamp, index: got.Index, bytes: got.Bytes}, g.MemberIndexBytes)
	return got.Index
}

// indexOfFar makes the index of a shard at another node, by going through it. It is kept in
// memory like the others; nil: there is no room for it, and the shard is read without.
func (g *Gateway) indexOfFar(s *Shard) (*archive.Index, error) {
	const op errs.Op = "gateway.indexOfFar"
	meta := s.Object.Meta
	stamp := archive.Stamp{Payload: meta.Payload, Size: meta.Size}
	if _, known := g.members.find(stamp); known || g.MemberIndexBytes <= 0 {
		g.members.missed.Add(1)
		return nil, nil
	}
	limits := s.limits
	limits.Index = g.MemberIndexBytes / indexPart
	reader, err := archive.Open(s.format, s.at, meta.Size, limits)
	if err != nil {
		return nil, errs.E(op, s.Object.key, err)
	}
	text, err := archive.BuildIndex(reader, stamp)
	if errors.Is(err, archive.ErrLimit) {
		g.members.missed.Add(1)
		g.members.put(memberIndex{stamp: stamp}, g.MemberIndexBytes) // asked again, it would be gone through again
		return nil, nil
	}
	if err != nil {
		return nil, errs.E(op, s.Object.key, err)
	}
	index, err := archive.ParseIndex(text, stamp)
	if err != nil {
		return nil, errs.E(op, s.Object.key, err)
	}
	g.members.made.Add(1)
	g.members.put(memberIndex{stamp: stamp, index: index, bytes: int64(len(text)) + 4*int64(index.Len())}, g.MemberIndexBytes)
	return index, nil
}
