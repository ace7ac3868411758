package prover

import (
	"context"
	"slices"

	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// upload is an upload under way as its worker knows it.
type upload struct {
	key    string
	id     string
	number uint64 // of the write that it becomes
	parts  []part // by number
}

// part is a part that was acknowledged.
type part struct {
	s3.Part
	body []byte
}

// multipart takes one of the worker's uploads a step on: it begins one, puts a part,
// completes it or aborts it.
func (w *worker) multipart(ctx context.Context) error {
	if len(w.uploads) == 0 || len(w.uploads) < openUploads && w.random.IntN(3) == 0 {
		return w.createUpload(ctx)
	}
	at := w.random.IntN(len(w.uploads))
	u := w.uploads[at]
	switch n := w.random.IntN(8); {
	case len(u.parts) == mostParts || len(u.parts) > 0 && n == 0:
		w.uploads = slices.Delete(w.uploads, at, at+1)
		return w.complete(ctx, u)
	case n == 1:
		w.uploads = slices.Delete(w.uploads, at, at+1)
		gone := w.gone(u) // before it is asked for
		return w.end(u.key, w.load.client.Abort(ctx, bucket, u.key, u.id), false, gone...)
	}
	return w.putPart(ctx, u)
}

// createUpload begins an upload. One whose creation was not answered has no name here:
// inspections pass over uploads that they do not know.
func (w *worker) createUpload(ctx context.Context) error {
	u := &upload{key: w.key(), number: w.next()}
	position := w.load.position()
	id, err := w.load.client.CreateUpload(ctx, bucket, u.key, attributes(u.number))
	if err != nil {
		return w.end(u.key, err, false)
	}
	u.id = id
	w.uploads = append(w.uploads, u)
	return w.end(u.key, nil, false, w.load.history.begin(uploadCell(u.key, id), &value{}, position))
}

// putPart adds the next part.
func (w *worker) putPart(ctx context.Context, u *upload) error {
	number := len(u.parts) + 1
	body := payload(w.load.seed, w.next(), 1+w.random.IntN(mostPart))
	e := w.begin(partCell(u.key, u.id, number), partOf(body))
	put, err := w.load.client.PutPart(ctx, bucket, u.key, u.id, s3.Part{Number: number, Size: int64(len(body))}, bodyOf(body))
	if err == nil {
		u.parts = append(u.parts, part{put, body})
		if put.ETag != e.Value.ETag {
			w.load.find(partCell(u.key, u.id, number), "the answer says ETag %s of %s", put.ETag, e.Value)
		}
	}
	return w.end(u.key, err, false, e)
}

// complete makes the object of the parts that were acknowledged: it appears, and upload
// and parts go, in one step.
func (w *worker) complete(ctx context.Context, u *upload) error {
	var bodies [][]byte
	var parts []s3.Part
	for _, p := range u.parts {
		bodies, parts = append(bodies, p.body), append(parts, p.Part)
	}
	gone := w.gone(u)
	e := w.begin(u.key, assembled(u.number, bodies))
	written, err := w.load.client.Complete(ctx, bucket, u.key, u.id, parts, checksum.Value{})
	relaxed := err == nil && w.isRelaxed(u.key, written.Receipt, 0)
	return w.end(u.key, err, relaxed, append(gone, e)...)
}

// gone says that an upload may end, and its parts with it, those in doubt too.
func (w *worker) gone(u *upload) []*entry {
	entries := []*entry{w.begin(uploadCell(u.key, u.id), nil)}
	for n := range mostParts {
		entries = append(entries, w.begin(partCell(u.key, u.id, n+1), nil))
	}
	return entries
}
