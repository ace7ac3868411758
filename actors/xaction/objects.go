package xaction

import (
	"context"
	"io"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
)

// Objects is the way of a job, or of an actor of one's own, to the node's buckets
// and objects: by messages to the lanes that own them, as requests from outside
// go. The node provides it. Safe for concurrent use; every method blocks, so a
// coordinator leaves it to a worker.
type Objects interface {
	// Buckets returns the live buckets ordered by name; only to be read.
	Buckets() []*objects.BucketDoc
	// Bucket finds a live bucket; errs.NotFound (objects.ErrNoSuchBucket).
	Bucket(name string) (*objects.BucketDoc, error)
	// List returns one page of a bucket's objects in the order of their names. Of
	// the request, Bucket, Prefix, After, Delimiter and Limit count; Reply stays nil.
	List(ctx context.Context, request messages.ListObjects) (*messages.ObjectPage, error)
	// Head returns the record of an object; errs.NotFound.
	Head(ctx context.Context, key objects.Key) (*objects.Meta, error)
	// Open returns an object's record and payload, which the caller closes. A payload
	// that is not what was stored ends in errs.Corrupt instead of io.EOF.
	Open(ctx context.Context, key objects.Key) (*objects.Meta, io.ReadCloser, error)
	// Put stores an object of size bytes (-1: to the end of body) and returns when it
	// is durable at its bucket's class.
	Put(ctx context.Context, key objects.Key, put Put) (objects.Receipt, error)
	// Delete removes an object, if there is one and the conditions hold.
	Delete(ctx context.Context, key objects.Key, conditions objects.Conditions) error
}

// Put is what is stored under a key.
type Put struct {
	Body       io.Reader
	Size       int64 // bytes; -1: not known
	Draft      objects.Draft
	Conditions objects.Conditions
}
