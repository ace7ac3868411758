package cli

import (
	"context"
	"errors"

	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// S3 copies at most 5 GiB in one request; what is larger is copied in parts.
const (
	maxCopyBytes  = 5 << 30
	copyPartBytes = 512 << 20
)

// copyObject has the server copy an object; no byte passes through here.
// etag is what the source must be.
func (t *transfers) copyObject(ctx context.Context, from, to address, size int64, etag string, m *meter) (s3.Written, error) {
	p := s3.Copy{FromBucket: from.bucket, FromKey: from.key, Bucket: to.bucket, Key: to.key, IfMatch: etag}
	if !t.attributes.IsZero() {
		p.Replace = &t.attributes
	}
	switch {
	case from == to && t.move:
		return s3.Written{}, errs.E("move", from.String(), errs.Invalid, errors.New("source and target are the same object"))
	case from == to && p.Replace == nil:
		return s3.Written{}, Advise(errs.E("copy", from.String(), errs.Invalid, errors.New("source and target are the same object")),
			"with --metadata or --content-type an object may be copied onto itself")
	}
	if size < maxCopyBytes {
		written, err := requested(ctx, t, func() (s3.Written, error) { return t.s3.Copy(ctx, p) })
		if err == nil {
			m.add(size)
		}
		return written, err
	}
	o, err := t.s3.Head(ctx, from.bucket, from.key)
	if err != nil {
		return s3.Written{}, err
	}
	attributes := t.attributes
	if p.Replace == nil {
		attributes = o.Attributes
		if o.TagCount > 0 {
			if attributes.Tags, err = t.s3.Tags(ctx, from.bucket, from.key); err != nil {
				return s3.Written{}, err
			}
		}
	}
	id, err := t.s3.CreateUpload(ctx, to.bucket, to.key, attributes)
	if err != nil {
		return s3.Written{}, err
	}
	written, err := t.copyParts(ctx, p, id, o.Size, m)
	if err != nil {
		err = errors.Join(err, t.abandon(ctx, to.bucket, to.key, id))
	}
	return written, err
}

func (t *transfers) copyParts(ctx context.Context, p s3.Copy, id string, size int64, m *meter) (s3.Written, error) {
	partBytes := partBytesFor(copyPartBytes, size)
	parts := make([]s3.Part, (size+partBytes-1)/partBytes)
	workers := newCrew(t.parallel)
	for i := range parts {
		if workers.failed() != nil || ctx.Err() != nil {
			break
		}
		workers.Go(func() error {
			offset := int64(i) * partBytes
			length := min(partBytes, size-offset)
			part, err := requested(ctx, t, func() (s3.Part, error) {
				return t.s3.CopyPart(ctx, p, id, i+1, offset, offset+length-1)
			})
			if err == nil {
				parts[i] = part
				m.add(length)
			}
			return err
		})
	}
	if err := errors.Join(workers.Wait(), context.Cause(ctx)); err != nil {
		return s3.Written{}, err
	}
	return t.s3.Complete(ctx, p.Bucket, p.Key, id, parts, checksum.Value{})
}
