package supervisors

import (
	"context"
	"io"

	"github.com/troupe-storage/troupe/actors/xaction"
	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// nodeObjects gives jobs and extensions the node's objects over its gateway: they
// take the same way as requests from outside, with the same limits.
type nodeObjects struct{ gateway *gateway.Gateway }

// Buckets implements xaction.Objects.
func (n nodeObjects) Buckets() []*objects.BucketDoc { return n.gateway.Buckets() }

// Bucket implements xaction.Objects.
func (n nodeObjects) Bucket(name string) (*objects.BucketDoc, error) { return n.gateway.Bucket(name) }

// List implements xaction.Objects.
func (n nodeObjects) List(ctx context.Context, request messages.ListObjects) (*messages.ObjectPage, error) {
	doc, err := n.live(ctx, request.Bucket)
	if err != nil {
		return nil, err
	}
	return n.gateway.List(ctx, doc, gateway.ListRequest{
		Prefix: request.Prefix, After: request.After, Delimiter: request.Delimiter, Limit: request.Limit,
	})
}

// Head implements xaction.Objects.
func (n nodeObjects) Head(ctx context.Context, key objects.Key) (*objects.Meta, error) {
	doc, err := n.live(ctx, key.Bucket)
	if err != nil {
		return nil, err
	}
	return n.gateway.Head(ctx, doc, key.Name, "")
}

// Open implements xaction.Objects.
func (n nodeObjects) Open(ctx context.Context, key objects.Key) (*objects.Meta, io.ReadCloser, error) {
	doc, err := n.live(ctx, key.Bucket)
	if err != nil {
		return nil, nil, err
	}
	object, err := n.gateway.Open(ctx, doc, key.Name, "")
	if err != nil {
		return nil, nil, err
	}
	return object.Meta, &payload{Reader: object.Reader(0, object.Meta.Size), object: object}, nil
}

// payload is an open object's bytes; closing them closes the object.
type payload struct {
	io.Reader
	object *gateway.Object
}

// Close implements io.Closer.
func (p *payload) Close() error {
	p.object.Close()
	return nil
}

// Put implements xaction.Objects.
func (n nodeObjects) Put(ctx context.Context, key objects.Key, put xaction.Put) (objects.Receipt, error) {
	doc, err := n.live(ctx, key.Bucket)
	if err != nil {
		return objects.Receipt{}, err
	}
	return n.gateway.Put(ctx, doc, &gateway.Put{Name: key.Name, Draft: put.Draft, Conditions: put.Conditions, Size: put.Size, Body: put.Body})
}

// Delete implements xaction.Objects.
func (n nodeObjects) Delete(ctx context.Context, key objects.Key, conditions objects.Conditions) error {
	doc, err := n.live(ctx, key.Bucket)
	if err != nil {
		return err
	}
	_, err = n.gateway.Delete(ctx, doc, key.Name, "", conditions)
	return err
}

// live finds the bucket by name and makes sure that it is still the same one; and
// that the job is still to go on.
func (n nodeObjects) live(ctx context.Context, bucket objects.Bucket) (*objects.BucketDoc, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	doc, err := n.gateway.Bucket(bucket.Name)
	if err != nil {
		return nil, err
	}
	if !bucket.ID.IsZero() && doc.ID != bucket.ID {
		return nil, errs.E("supervisors.Objects", bucket, errs.NotFound, objects.ErrNoSuchBucket)
	}
	return doc, nil
}
