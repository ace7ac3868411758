// Package gateway is where HTTP meets messages: bytes to windows, intent to
// messages, answers to bodies. It knows where a key lives and nothing about S3
// or the native API, whose edges call it.
//
//	s3api, native ──▶ gateway ──message──▶ lane, transfer, reader
//	                     └── window (leased here, pinned there)
//
// Start with Gateway, then upload.go and object.go.
package gateway

import (
	"context"
	"io"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// Gateway serves the edges of one node. Safe for concurrent use.
type Gateway struct{}

// Put is one object (or part) on its way in.
type Put struct {
	Name       string
	Draft      objects.Draft // Class is filled in from the bucket
	Conditions objects.Conditions
	Size       int64     // declared; -1: not known before the end
	Body       io.Reader // read to io.EOF; its own errors (bad chunk signature, short body) end the upload and are returned
	MD5        string    // raw 16 bytes, expected (Content-MD5); empty: not given
	SHA256     string    // raw 32 bytes, expected (x-amz-content-sha256); empty: not given
	Sums       []checksum.Algorithm
	// Expect returns what the client says the checksums are, asked after Body
	// ended (trailers); nil: nothing.
	Expect func() ([]checksum.Value, error)
}

// Buckets returns the live buckets ordered by name. The slice and what it
// points to are shared: only read.
func (g *Gateway) Buckets() []*objects.BucketDoc { return nil }

// Bucket finds a live bucket by name; errs.NotFound (objects.ErrNoSuchBucket) if there is none.
func (g *Gateway) Bucket(name string) (*objects.BucketDoc, error) { return nil, nil }

// CreateBucket makes a bucket; errs.Exists (objects.ErrBucketExists) if its name is taken.
func (g *Gateway) CreateBucket(ctx context.Context, name string, props objects.BucketProps) (*objects.BucketDoc, error) {
	return nil, nil
}

// DeleteBucket destroys an empty bucket; errs.Conflict (objects.ErrBucketNotEmpty) otherwise.
func (g *Gateway) DeleteBucket(ctx context.Context, name string) error { return nil }

// Put stores an object and answers when it is durable at the bucket's class.
func (g *Gateway) Put(ctx context.Context, bucket *objects.BucketDoc, put *Put) (objects.Receipt, error) {
	return objects.Receipt{}, nil
}

// PutPart stores a part of a multipart upload.
func (g *Gateway) PutPart(ctx context.Context, bucket *objects.BucketDoc, uploadID string, number int, put *Put) (objects.Part, error) {
	return objects.Part{}, nil
}

// Head returns an object's record.
func (g *Gateway) Head(ctx context.Context, bucket *objects.BucketDoc, name, versionID string) (*objects.Meta, error) {
	return nil, nil
}

// Open opens an object for reading. The caller closes it, or hands it to
// Object.Send, which does.
func (g *Gateway) Open(ctx context.Context, bucket *objects.BucketDoc, name, versionID string) (*Object, error) {
	return nil, nil
}

// Delete removes an object; one that is not there is no failure unless the conditions need it.
func (g *Gateway) Delete(ctx context.Context, bucket *objects.BucketDoc, name, versionID string, c objects.Conditions) (messages.ObjectDeleted, error) {
	return messages.ObjectDeleted{}, nil
}

// ListRequest asks for a page of a bucket's names.
type ListRequest struct {
	Prefix, After, Delimiter string
	Limit                    int
}

// List returns a page in byte order, merged from every mountpath; it fails
// rather than leave one out.
func (g *Gateway) List(ctx context.Context, bucket *objects.BucketDoc, r ListRequest) (*messages.ObjectPage, error) {
	return nil, nil
}

// CreateUpload begins a multipart upload and returns its id.
func (g *Gateway) CreateUpload(ctx context.Context, bucket *objects.BucketDoc, name string, draft objects.Draft, wanted checksum.Wanted) (string, error) {
	return "", nil
}

// Complete is what a client says when completing an upload.
type Complete struct {
	Name       string
	UploadID   string
	Parts      []messages.CompletePart
	Size       int64  // -1: not given
	Checksum   string // of the whole, in S3's form; empty: not given
	Conditions objects.Conditions
}

// CompleteUpload turns the parts of an upload into an object.
func (g *Gateway) CompleteUpload(ctx context.Context, bucket *objects.BucketDoc, c Complete) (objects.Receipt, error) {
	return objects.Receipt{}, nil
}

// AbortUpload ends an upload and reclaims its parts.
func (g *Gateway) AbortUpload(ctx context.Context, bucket *objects.BucketDoc, name, uploadID string) error {
	return nil
}

// ListParts returns the parts of an upload with numbers after after, in order.
func (g *Gateway) ListParts(ctx context.Context, bucket *objects.BucketDoc, name, uploadID string, after, limit int) (*messages.PartPage, error) {
	return nil, nil
}

// ListUploads returns the uploads under way in a bucket, ordered by name, then id.
func (g *Gateway) ListUploads(ctx context.Context, bucket *objects.BucketDoc, prefix, afterName, afterID string, limit int) (*messages.UploadPage, error) {
	return nil, nil
}

// Deadline is how long a request may wait for one answer of an actor.
const Deadline = 30 * time.Second
