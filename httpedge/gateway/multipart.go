package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// CreateUpload begins a multipart upload and returns its id.
func (g *Gateway) CreateUpload(_ context.Context, bucket *objects.BucketDoc, name string, draft objects.Draft, wanted checksum.Wanted) (string, error) {
	const op errs.Op = "gateway.CreateUpload"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", errs.E(op, key, errs.Internal, err)
	}
	upload := objects.Upload{ID: hex.EncodeToString(id[:]), Name: name, Initiated: g.Now(), Checksum: wanted, Draft: draft}
	upload.Class = bucket.Props.Class()
	create := func(fence messages.Fence) (string, error) {
		return change(g, op, key, func(p *place) (string, error) {
			m := &messages.CreateUpload{Key: key, Upload: upload, Fence: p.under(fence), Reply: messages.NewReply[struct{}]()}
			g.System.Root().Send(p.owner.Writer(p.digest), m)
			_, err := m.Reply.WaitOn(g.System.Clock(), op, Deadline)
			return upload.ID, err
		})
	}
	return followMap(g, op, bucket, name, func(c Charge) (string, error) {
		if !c.Plural() {
			return create(c.fence(false))
		}
		upload.Class = objects.Synced
		return g.createShared(op, bucket, key, c, upload.ID, create)
	})
}

// createShared begins an upload here and at all that must have it.
func (g *Gateway) createShared(op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge, id string, create func(messages.Fence) (string, error)) (string, error) {
	release, err := g.uploads.takeAlone(op, uploadRef{key, id}, g.System.Clock(), Deadline)
	if err != nil {
		return "", err
	}
	defer release()
	if _, err = c.others(); err == nil {
		err = c.enough(bucket)
	}
	if err != nil {
		return "", errs.E(op, key, errs.Offline, err)
	}
	fence := c.fence(false)
	if _, err := create(fence); err != nil {
		return "", err
	}
	err = g.share(op, bucket, key, id, c)
	if err == nil {
		err = g.still(op, bucket, key, &fence)
	}
	if err != nil {
		return "", unknown(op, key, err)
	}
	return id, nil
}

// Complete is what a client says when completing an upload.
type Complete struct {
	Name       string
	UploadID   string
	Parts      []messages.CompletePart
	Size       int64  // -1: not given
	Checksum   string // of the whole, in S3's form; empty: not given
	Conditions objects.Conditions
	AnySize    bool // parts may be of any size: the least size is a rule of S3's
}

// CompleteUpload turns the parts of an upload into an object.
func (g *Gateway) CompleteUpload(ctx context.Context, bucket *objects.BucketDoc, c Complete) (objects.Receipt, error) {
	const op errs.Op = "gateway.CompleteUpload"
	key := objects.Key{Bucket: bucket.Bucket, Name: c.Name}
	least := g.MinPartBytes
	if c.AnySize {
		least = 1
	}
	complete := func(fence messages.Fence, p *place) (objects.Receipt, error) {
		if err := g.settleUpload(op, key, c.UploadID, p); err != nil {
			return objects.Receipt{}, err
		}
		if err := g.settle(op, key, p); err != nil {
			return objects.Receipt{}, err
		}
		m := &messages.CompleteUpload{
			Key: key, UploadID: c.UploadID, Parts: c.Parts, MinPartSize: least, Size: c.Size, Checksum: c.Checksum,
			Conditions: c.Conditions, ETag: bucket.Props.ETagKind(), Fence: p.under(fence), Reply: messages.NewReply[objects.Receipt](),
		}
		g.System.Root().Send(p.owner.Writer(p.digest), m)
		return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
	}
	receipt, err := followMap(g, op, bucket, c.Name, func(charge Charge) (objects.Receipt, error) {
		charge.For = originOf(ctx)
		if charge.Plural() {
			ref := uploadRef{key, c.UploadID}
			release, err := g.uploads.takeAlone(op, ref, g.System.Clock(), Deadline)
			if err != nil {
				return objects.Receipt{}, err
			}
			defer release()
			defer g.uploads.forget(ref)
		}
		return agree(g, op, bucket, key, charge, func(fence messages.Fence) (written[objects.Receipt], error) {
			receipt, err := change(g, op, key, func(p *place) (objects.Receipt, error) { return complete(fence, p) })
			return charge.receipt(receipt, nil), err
		})
	})
	if errors.Is(err, objects.ErrNoSuchUpload) {
		err = g.confirmNoUpload(op, bucket, key, c.UploadID, err)
	}
	return receipt, err
}

// AbortUpload ends an upload and reclaims its parts, at all nodes that have it.
func (g *Gateway) AbortUpload(_ context.Context, bucket *objects.BucketDoc, name, uploadID string) error {
	const op errs.Op = "gateway.AbortUpload"
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	_, err := followMap(g, op, bucket, name, func(c Charge) (struct{}, error) {
		if !c.Plural() {
			return struct{}{}, g.abortHere(op, key, uploadID, c.fence(false), nil)
		}
		return struct{}{}, g.abortShared(op, bucket, key, c, uploadID)
	})
	return err
}

// abortShared ends an upload at the other nodes first: nobody has one that this node
// lacks, or it would come back with the next that is in charge.
func (g *Gateway) abortShared(op errs.Op, bucket *objects.BucketDoc, key objects.Key, c Charge, uploadID string) error {
	others, err := c.others()
	if err == nil {
		err = c.enough(bucket)
	}
	if err != nil {
		return errs.E(op, key, errs.Offline, err)
	}
	ref := uploadRef{key, uploadID}
	release, err := g.uploads.takeAlone(op, ref, g.System.Clock(), Deadline)
	if err != nil {
		return err
	}
	defer release()
	g.uploads.forget(ref)
	if err := g.settleOutcome(op, bucket, key, uploadID, c); err != nil {
		return err
	}
	if err := g.endThere(op, bucket, key, uploadID, c, others); err != nil {
		return unknown(op, key, err)
	}
	fence := c.fence(false)
	err = g.abortHere(op, key, uploadID, fence, nil)
	if errs.Is(errs.NotFound, err) {
		if confirmErr := g.confirm(op, bucket, key, c); confirmErr != nil {
			return confirmErr
		}
		return err
	}
	if err == nil {
		err = g.still(op, bucket, key, &fence)
	}
	if err != nil {
		return unknown(op, key, err)
	}
	return nil
}

// ListParts returns the parts of an upload with numbers after after, in order.
func (g *Gateway) ListParts(_ context.Context, bucket *objects.BucketDoc, name, uploadID string, after, limit int) (*messages.PartPage, error) {
	const op errs.Op = "gateway.ListParts"
	c, err := g.charged(op, bucket, name)
	if err != nil {
		return nil, err
	}
	key := objects.Key{Bucket: bucket.Bucket, Name: name}
	list := func() (*messages.PartPage, error) {
		if p, err := g.place(op, key); err == nil && p.turned() { // its parts may be here and there
			if err := g.settleUpload(op, key, uploadID, &p); err != nil {
				return nil, err
			}
		}
		return find(g, op, key, func(view *messages.MountpathView, digest uint64) (*messages.PartPage, error) {
			return g.parts(op, key, uploadID, after, limit, view, digest)
		})
	}
	if !c.Plural() {
		return list()
	}
	return sharedUpload(g, op, bucket, key, uploadID, c, list)
}

// parts asks one mountpath for the parts of an upload.
func (g *Gateway) parts(op errs.Op, key objects.Key, uploadID string, after, limit int, view *messages.MountpathView, digest uint64) (*messages.PartPage, error) {
	m := &messages.ListParts{Key: key, UploadID: uploadID, After: after, Limit: limit, Reply: messages.NewReply[*messages.PartPage]()}
	g.System.Root().Send(view.Reader(digest), m)
	return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
}

// ListUploads returns the uploads under way in a bucket, ordered by name, then id,
// merged from every node that may be in charge of keys.
func (g *Gateway) ListUploads(_ context.Context, bucket *objects.BucketDoc, prefix, afterName, afterID string, limit int) (*messages.UploadPage, error) {
	r := UploadsRequest{Prefix: prefix, AfterName: afterName, AfterID: afterID, Limit: limit}
	if set := g.nodes(); set != nil && limit > 0 {
		return g.listAllUploads("gateway.ListUploads", set, bucket, r)
	}
	return g.listUploads(bucket, r)
}

// listUploads returns a page of the uploads that this node has.
func (g *Gateway) listUploads(bucket *objects.BucketDoc, r UploadsRequest) (*messages.UploadPage, error) {
	const op errs.Op = "gateway.ListUploads"
	view := g.Config.Buckets.Load().Find(bucket.Name)
	if view == nil {
		return nil, errs.E(op, bucket.Bucket, errs.NotFound, objects.ErrNoSuchBucket)
	}
	m := &messages.ListUploads{
		Bucket: bucket.Bucket, Prefix: r.Prefix, AfterName: r.AfterName, AfterID: r.AfterID, Limit: r.Limit,
		Reply: messages.NewReply[*messages.UploadPage](),
	}
	g.System.Root().Send(view.Actor, m)
	return m.Reply.WaitOn(g.System.Clock(), op, Deadline)
}
