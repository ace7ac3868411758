package gateway

import (
	"context"
	"io"
	"net"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/access"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

// Head returns an object's record, wherever it is.
func (g *Gateway) Head(_ context.Context, bucket *objects.BucketDoc, name, versionID string) (*objects.Meta, error) {
	return elsewhere(g, "gateway.Head", bucket, name, func() (*objects.Meta, error) {
		return g.HeadHere(bucket, name, versionID)
	}, func(c Charge) (*objects.Meta, error) {
		return g.Peers.Record(c, bucket, name, versionID)
	})
}

// HeadHere is Head of an object that this node is in charge of.
func (g *Gateway) HeadHere(bucket *objects.BucketDoc, name, versionID string) (*objects.Meta, error) {
	const op errs.Op = "gateway.Head"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	charge, err := g.charged(op, bucket, name)
	if err != nil {
		return nil, err
	}
	if charge.Plural() {
		began := g.System.Clock().Elapsed()
		_, record, err := shown(g, op, bucket, key, charge, func() (struct{}, *objects.Meta, error) {
			object, err := g.recordMarked(op, key)
			if err != nil {
				return struct{}{}, nil, err
			}
			return struct{}{}, object.Meta, nil
		}, func(struct{}) {})
		if err != nil && goesAround(err) {
			return g.headAround(op, bucket, key, charge, began, err)
		}
		return record, err
	}
	opened, err := find(g, op, key, func(view *messages.MountpathView, digest uint64) (*messages.ObjectOpened, error) {
		return g.openAt(op, &messages.OpenObject{Key: key, VersionID: versionID, RecordOnly: true}, view, digest)
	})
	if err != nil {
		return nil, err
	}
	return opened.Meta, nil
}

// Open opens an object for reading, wherever it is. The caller closes it, or hands
// it to Object.Send, which does.
func (g *Gateway) Open(_ context.Context, bucket *objects.BucketDoc, name, versionID string) (*Object, error) {
	return elsewhere(g, "gateway.Open", bucket, name, func() (*Object, error) {
		return g.OpenHere(bucket, name, versionID)
	}, func(c Charge) (*Object, error) {
		record, err := g.Peers.Record(c, bucket, name, versionID)
		if err != nil {
			return nil, err
		}
		return &Object{
			Meta: record, key: objects.Key{Bucket: bucket.Bucket, Name: name},
			remote: &remote{peers: g.Peers, at: c, bucket: bucket, name: name, record: record},
		}, nil
	})
}

// OpenHere is Open of an object that this node is in charge of.
func (g *Gateway) OpenHere(bucket *objects.BucketDoc, name, versionID string) (*Object, error) {
	const op errs.Op = "gateway.Open"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	charge, err := g.charged(op, bucket, name)
	if err != nil {
		return nil, err
	}
	if charge.Plural() {
		began := g.System.Clock().Elapsed()
		object, _, err := shown(g, op, bucket, key, charge, func() (*Object, *objects.Meta, error) {
			object, err := g.openMarked(op, bucket, key)
			if err != nil {
				return nil, nil, err
			}
			return object, object.Meta, nil
		}, (*Object).Close)
		if err == nil && g.arounds.damaged.has(key, object.Meta.Payload) {
			object.Close()
			err = &ownFailure{errs.E(op, key, errs.Corrupt, errDamaged)}
		}
		if err != nil {
			if goesAround(err) {
				return g.openAround(op, bucket, key, charge, began, err)
			}
			return nil, err
		}
		object.gateway, object.bucket, object.damaged = g, bucket, &g.arounds.damaged
		if object.Meta.Where == objects.Slices {
			if object.sliced, err = g.slicedOf(op, bucket, key, object.Meta); err != nil {
				object.Close()
				return nil, err
			}
		}
		return object, nil
	}
	if _, err := g.place(op, key); err != nil {
		return nil, err
	}
	window, err := g.Slabs.Lease(1)
	if err != nil {
		return nil, errs.E(op, key, err)
	}
	opened, err := find(g, op, key, func(view *messages.MountpathView, digest uint64) (*messages.ObjectOpened, error) {
		return g.openAt(op, &messages.OpenObject{Key: key, VersionID: versionID, Window: window}, view, digest)
	})
	if err != nil {
		window.Release()
		return nil, err
	}
	return &Object{
		Meta: opened.Meta, opened: opened, key: key, slabs: g.Slabs, window: window,
		inline: opened.Meta.Where == objects.Inline, verify: bucket.Props.ValidateWarmGet,
	}, nil
}

// openAt asks one mountpath: a read lane, and the key's write lane if writes
// overtook that.
func (g *Gateway) openAt(op errs.Op, m *messages.OpenObject, view *messages.MountpathView, digest uint64) (*messages.ObjectOpened, error) {
	opened, err := g.open(op, m, view.Reader(digest))
	if messages.Overtaken(err) {
		again := *m // the first may be in somebody's hands
		opened, err = g.open(op, &again, view.Writer(digest))
	}
	return opened, err
}

// open asks one lane.
func (g *Gateway) open(op errs.Op, m *messages.OpenObject, lane pid) (*messages.ObjectOpened, error) {
	m.Reply = messages.NewReply[*messages.ObjectOpened]()
	g.System.Root().Send(lane, m)
	return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
}

// Object is an object opened for reading. Its owner closes it exactly once, or
// hands it to Send. Not safe for concurrent use.
type Object struct {
	Meta *objects.Meta

	key    objects.Key
	opened *messages.ObjectOpened
	slabs  *slab.Pool
	// window is one slab: it holds an inline payload, and files pass through it
	// where the kernel may not send them. Leased before the answer begins, so that
	// there being none is a 503 and not half an answer. nil once it is not needed.
	window *slab.Window
	inline bool // the payload is in the window
	verify bool // the bucket wants every read verified
	// remote is where an object's bytes come from that is at another node; nil: it is
	// here. Then opened, slabs and window are nil.
	remote *remote
	// Of a key that several nodes keep, for who reads it: the body goes on from others
	// where the disk here fails. nil: it fails.
	gateway *Gateway
	bucket  *objects.BucketDoc
	detour  *detour  // where the bytes come from in the place of the disk; nil: from that
	damaged *damaged // is told that the payload here is damaged; nil: nobody is
	// sliced is the payload where it lies in slices, at several nodes; nil: it does not. Then
	// reading is the range that is read of it now, from the byte readingFrom; nil: none.
	sliced      *slicedPayload
	reading     *slicedRead
	readingFrom int64
}

// Begin makes sure that length bytes from an offset can be read as far as that can be told
// before: who answers with them calls it before he says that he will. What lies in slices is
// read as far as its first stripe.
func (o *Object) Begin(offset, length int64) error {
	if o.sliced == nil {
		return nil
	}
	return o.beginSlices(offset, length)
}

// Send makes length bytes from offset the body of the response and takes over
// the object: it is closed when the response has been written or has failed.
// The status and headers (but Content-Length) are the caller's to set.
func (o *Object) Send(ctx *fasthttp.RequestCtx, offset, length int64) {
	switch {
	case length == 0:
		ctx.Response.Header.SetContentLength(0)
		o.Close()
	case o.remote != nil:
		ctx.SetBodyStream(&remoteBody{object: o, Reader: o.remote.read(offset, length)}, int(length))
	case o.sliced != nil:
		body := &slicesBody{slicesReader: slicesReader{object: o, offset: offset, length: length}, conn: ctx.Conn(), record: access.Of(ctx)}
		ctx.SetBodyStream(body, int(length))
	case o.inline:
		ctx.Response.SetBodyRaw(o.window.Slab(0)[offset : offset+length])
		ctx.SetUserValue(closerKey{}, closer{o}) // closed by fasthttp once the response is written
	default:
		if o.detour != nil {
			o.detour.end = offset + length
		}
		conn := ctx.Conn()
		_, kernel := conn.(*net.TCPConn) // it cannot send what has to be encrypted first
		if kernel && !o.verify && o.detour == nil {
			o.release()
		}
		ctx.SetBodyStream(newBody(o, conn, kernel, offset, length).recorded(access.Of(ctx)), int(length))
	}
}

// closerKey is the request's user value that fasthttp closes after the response.
type closerKey struct{}

// closer makes an Object an io.Closer for fasthttp.
type closer struct{ object *Object }

// Close implements io.Closer.
func (c closer) Close() error {
	c.object.Close()
	return nil
}

// Reader returns length bytes from offset, verified where they are the whole
// object; the object must stay open until they are read, and not be sent.
func (o *Object) Reader(offset, length int64) io.Reader {
	if o.remote != nil {
		return o.remote.read(offset, length)
	}
	if o.sliced != nil {
		return &slicesReader{object: o, offset: offset, length: length}
	}
	if o.inline {
		return &rawReader{o.window.Slab(0)[offset : offset+length]}
	}
	if o.detour != nil {
		o.detour.end = offset + length
	}
	o.release() // files pass through the reader's memory
	return &verifiedReader{pieces: o.pieces(offset, length), key: o.key}
}

// Part returns the offset and length of part n (from 1) of a chunked object; ok
// is false if there is no such part. An object that is not chunked is its own
// part 1. Parts of an object at another node are not known here: requests for them
// are relayed.
func (o *Object) Part(n int) (offset, length int64, ok bool) {
	if o.remote != nil {
		return 0, o.Meta.Size, n == 1 && o.Meta.PartCount == 0
	}
	if o.opened.Parts == nil {
		return 0, o.Meta.Size, n == 1
	}
	for _, p := range o.opened.Parts.Parts {
		if p.Number == n {
			return offset, p.Size, true
		}
		offset += p.Size
	}
	return 0, 0, false
}

// Parts returns the parts of a chunked object of this node, in order; nil for others.
// Only to be read.
func (o *Object) Parts() []objects.Part {
	if o.remote != nil || o.opened.Parts == nil {
		return nil
	}
	return o.opened.Parts.Parts
}

// Close gives back what the object holds. Idempotent.
func (o *Object) Close() {
	if o.remote != nil {
		o.remote.close()
		o.release()
		return
	}
	if o.detour != nil {
		o.detour.close()
	}
	if o.reading != nil {
		_ = o.reading.Close() // it was only read
	}
	o.opened.Close()
	o.release()
}

// lease takes a window if there is none.
func (o *Object) lease() (err error) {
	if o.window == nil {
		o.window, err = o.slabs.Lease(1)
	}
	return err
}

// release gives the window back. Idempotent.
func (o *Object) release() {
	if o.window != nil {
		o.window.Release()
		o.window = nil
	}
}

// rawReader reads bytes that are in memory and verified already.
type rawReader struct{ rest []byte }

// Read implements io.Reader.
func (r *rawReader) Read(b []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
