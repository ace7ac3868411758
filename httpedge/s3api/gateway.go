package s3api

import (
	"context"
	"io"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// Gateway is what this edge needs of httpedge/gateway, whose method comments
// are the contract. Safe for concurrent use. Errors carry an errs.Kind and,
// where a client can tell the difference, a sentinel of package objects.
type Gateway interface {
	Buckets() []*objects.BucketDoc
	Bucket(name string) (*objects.BucketDoc, error)
	CreateBucket(ctx context.Context, name string, props objects.BucketProps) (*objects.BucketDoc, error)
	DeleteBucket(ctx context.Context, name string) error

	Put(ctx context.Context, bucket *objects.BucketDoc, put *gateway.Put) (objects.Receipt, error)
	Head(ctx context.Context, bucket *objects.BucketDoc, name, versionID string) (*objects.Meta, error)
	Open(ctx context.Context, bucket *objects.BucketDoc, name, versionID string) (*objects.Meta, Payload, error)
	Delete(ctx context.Context, bucket *objects.BucketDoc, name, versionID string, c objects.Conditions) (messages.ObjectDeleted, error)
	DeleteElsewhere(ctx context.Context, bucket *objects.BucketDoc, list []gateway.Deletion) []gateway.Deleted
	ChangeDraft(ctx context.Context, bucket *objects.BucketDoc, name string, change messages.DraftChange) (*objects.Meta, error)
	List(ctx context.Context, bucket *objects.BucketDoc, r gateway.ListRequest) (*messages.ObjectPage, error)

	CreateUpload(ctx context.Context, bucket *objects.BucketDoc, name string, draft objects.Draft, wanted checksum.Wanted) (string, error)
	PutPart(ctx context.Context, bucket *objects.BucketDoc, uploadID string, number int, put *gateway.Put) (objects.Part, error)
	CompleteUpload(ctx context.Context, bucket *objects.BucketDoc, c gateway.Complete) (objects.Receipt, error)
	AbortUpload(ctx context.Context, bucket *objects.BucketDoc, name, uploadID string) error
	ListParts(ctx context.Context, bucket *objects.BucketDoc, name, uploadID string, after, limit int) (*messages.PartPage, error)
	ListUploads(ctx context.Context, bucket *objects.BucketDoc, prefix, afterName, afterID string, limit int) (*messages.UploadPage, error)
}

// Payload is an opened object's bytes, as *gateway.Object offers them. Its owner
// closes it exactly once or hands it to Send. Not safe for concurrent use.
type Payload interface {
	// Begin makes sure that length bytes from offset can be read, as far as that can be
	// told before the answer begins.
	Begin(offset, length int64) error
	// Send makes length bytes from offset the response's body and takes the
	// payload over.
	Send(ctx *fasthttp.RequestCtx, offset, length int64)
	// Reader returns length bytes from offset; the payload must stay open meanwhile.
	Reader(offset, length int64) io.Reader
	// Part returns where the part that was uploaded with number n (from 1) lies;
	// an object that is not chunked is its own part 1.
	Part(n int) (offset, length int64, ok bool)
	// Close gives back what the payload holds. Idempotent.
	Close()
}

// Over makes the node's gateway usable by this edge.
func Over(g *gateway.Gateway) Gateway { return nodeGateway{g} }

// nodeGateway differs from *gateway.Gateway in Open alone, which returns an
// interface here so that a test can open an object without a node.
type nodeGateway struct{ *gateway.Gateway }

// Open implements Gateway.
func (g nodeGateway) Open(ctx context.Context, bucket *objects.BucketDoc, name, versionID string) (*objects.Meta, Payload, error) {
	object, err := g.Gateway.Open(ctx, bucket, name, versionID)
	if err != nil {
		return nil, nil, err
	}
	return object.Meta, object, nil
}
