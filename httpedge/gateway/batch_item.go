package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// batchContent is an item that is open. Who took it closes it.
type batchContent struct {
	size  int64
	body  io.Reader // at least size bytes
	close func()
}

// in resolves the item's range against the size of what it is of.
func (i *BatchItem) in(size int64) (offset, length int64, err error) {
	length = i.Length
	switch {
	case i.Start == 0 && (i.Length == 0 || i.Length == -1):
		return 0, size, nil
	case i.Length == -1:
		length = size - i.Start
	}
	if i.Start >= size || length > size-i.Start {
		return 0, 0, errs.E("gateway.BatchItem", i.key(), errs.Invalid, &RangeOutside{Start: i.Start, Length: i.Length, Size: size})
	}
	return i.Start, length, nil
}

// look asks other nodes for the items that are next, and for the one that has its turn.
func (b *Batch) look(turn int) {
	for ; b.looked < len(b.request.Items) && b.looked <= turn+batchAhead; b.looked++ {
		item := &b.request.Items[b.looked]
		if c, err := b.gateway.Charge(item.Bucket, item.Name); err == nil && !c.Ours() {
			b.ahead[b.looked] = b.gateway.fetchItem(item)
		}
	}
}

// take opens the item that has its turn.
func (b *Batch) take(i int) (batchContent, error) {
	item := &b.request.Items[i]
	if f := b.ahead[i]; f != nil {
		delete(b.ahead, i)
		b.closeShard()
		if <-f.ready; f.err == nil || !errs.Is(errs.Busy, f.err) {
			return f.content, f.err
		}
		// There was no memory for what is ahead, or it was replaced all the time.
	}
	if item.Member == "" {
		b.closeShard()
		return b.gateway.openItem(item)
	}
	if b.shard == nil || b.shared.Bucket != item.Bucket || b.shared.Name != item.Name {
		b.closeShard()
		shard, err := b.gateway.openShardAnywhere(item.Bucket, item.Name)
		if err != nil {
			return batchContent{}, err
		}
		b.shard, b.shared = shard, item
	}
	content, err := b.shard.item(item)
	content.close = func() {}
	return content, err
}

// closeShard closes the shard of the item before.
func (b *Batch) closeShard() {
	if b.shard != nil {
		b.shard.Close()
		b.shard, b.shared = nil, nil
	}
}

// openItem opens an item that is an object, wherever it is.
func (g *Gateway) openItem(item *BatchItem) (batchContent, error) {
	object, err := g.Open(context.Background(), item.Bucket, item.Name, "")
	if err != nil {
		return batchContent{}, err
	}
	offset, length, err := item.in(object.Meta.Size)
	if err != nil {
		object.Close()
		return batchContent{}, err
	}
	if object.remote != nil || length == 0 {
		return batchContent{size: length, body: object.Reader(offset, length), close: object.Close}, nil
	}
	at := newObjectAt(g, object)
	return batchContent{size: length, body: io.NewSectionReader(at, offset, length), close: func() {
		at.close()
		object.Close()
	}}, nil
}

// item finds an item that is one of the shard's members. Its content is read before the
// next one is asked for, and the shard closed after it.
func (s *Shard) item(item *BatchItem) (batchContent, error) {
	member, err := s.Member(item.Member)
	if err != nil {
		return batchContent{}, err
	}
	offset, length, err := item.in(member.Size)
	if err != nil {
		return batchContent{}, err
	}
	if s.content == nil {
		if end := s.Object.Meta.Size; s.member.Offset > end-member.Size { // what is behind is not the object's
			return batchContent{}, errs.E("gateway.Batch", item.key(), errs.Invalid, errors.New("a member ends behind the shard"))
		}
		if s.Object.remote != nil {
			return batchContent{size: length, body: s.Object.Reader(s.member.Offset+offset, length)}, nil
		}
		return batchContent{size: length, body: io.NewSectionReader(s.at, s.member.Offset+offset, length)}, nil
	}
	if _, err := io.CopyN(io.Discard, s.content, offset); err != nil {
		return batchContent{}, err
	}
	return batchContent{size: length, body: s.content}, nil
}

// openShardAnywhere is OpenShard of an object wherever it is. Of one at another node,
// ranges are asked for, a slab at a time.
func (g *Gateway) openShardAnywhere(bucket *objects.BucketDoc, name string) (*Shard, error) {
	object, err := g.Open(context.Background(), bucket, name, "")
	if err != nil {
		return nil, err
	}
	object.slabs = g.Slabs
	return g.shardOf(object, name, "")
}

// batchFetch is an item of another node that is asked for before its turn.
type batchFetch struct {
	ready   chan struct{} // closed once content and err are there
	content batchContent
	err     error
}

// fetchItem begins to fetch an item from another node.
func (g *Gateway) fetchItem(item *BatchItem) *batchFetch {
	f := &batchFetch{ready: make(chan struct{})}
	go func() {
		defer close(f.ready)
		defer func() {
			if p := recover(); p != nil { // nobody else would, and the node would end
				f.err = errs.E("gateway.Batch", item.key(), errs.Internal, fmt.Errorf("panic: %v", p))
			}
		}()
		for range maxMaps {
			f.content, f.err = g.holdItem(item)
			var differs *messages.MapDiffers
			if !errs.Is(errs.Busy, f.err) && !errors.As(f.err, &differs) {
				return // by Busy, another payload has taken its place meanwhile
			}
		}
		if !errs.Is(errs.Busy, f.err) && f.err != nil {
			f.err = errs.E("gateway.Batch", item.key(), errs.Busy, f.err)
		}
	}()
	return f
}

// abandon has the content closed once it is there.
func (f *batchFetch) abandon() {
	go func() {
		<-f.ready
		if f.err == nil {
			f.content.close()
		}
	}()
}

// holdItem opens an item of another node. If it fits a slab it is read, so that it is whole
// before its header is written.
func (g *Gateway) holdItem(item *BatchItem) (batchContent, error) {
	const op errs.Op = "gateway.Batch"
	content, err := g.openFar(item)
	if err != nil || content.size == 0 {
		return content, err
	}
	window, err := g.Slabs.Lease(1)
	if err != nil {
		content.close()
		return batchContent{}, errs.E(op, item.key(), err)
	}
	room := window.Slab(0)
	if content.size > int64(len(room)) {
		window.Release()
		return content, nil
	}
	room = room[:content.size]
	_, err = io.ReadFull(content.body, room)
	content.close()
	if err != nil {
		window.Release()
		return batchContent{}, err
	}
	return batchContent{size: content.size, body: bytes.NewReader(room), close: window.Release}, nil
}

// openFar opens an item of another node.
func (g *Gateway) openFar(item *BatchItem) (batchContent, error) {
	if item.Member == "" {
		return g.openItem(item)
	}
	shard, err := g.openShardAnywhere(item.Bucket, item.Name)
	if err != nil {
		return batchContent{}, err
	}
	content, err := shard.item(item)
	if err != nil {
		shard.Close()
		return batchContent{}, err
	}
	content.close = shard.Close
	return content, nil
}
