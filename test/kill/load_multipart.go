package kill

import (
	"context"
	"slices"
	"strconv"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/model"
	"github.com/troupe-storage/troupe/test/s3client"
)

// multipart takes one of the worker's uploads a step on: it begins one, puts a
// part, completes it or aborts it. Uploads live on over cycles.
func (w *worker) multipart(ctx context.Context) error {
	w.uploads = slices.DeleteFunc(w.uploads, func(u upload) bool {
		value, certain := w.load.Model.Current(model.Upload(u.key, u.id))
		return !certain || value == nil // nothing is to be done with what is in doubt
	})
	if len(w.uploads) < openUploads && w.random.IntN(3) == 0 || len(w.uploads) == 0 {
		return w.createUpload(ctx)
	}
	at := w.random.IntN(len(w.uploads))
	u := w.uploads[at]
	numbers, values := w.load.Model.Parts(u.key, u.id)
	switch n := w.random.IntN(10); {
	case len(numbers) == mostParts || len(numbers) > 0 && n < 2:
		w.uploads = slices.Delete(w.uploads, at, at+1)
		return w.complete(ctx, u, numbers, values)
	case n == 2:
		w.uploads = slices.Delete(w.uploads, at, at+1)
		return w.abort(ctx, u, numbers)
	default:
		return w.putPart(ctx, u, 1+w.random.IntN(mostParts))
	}
}

// createUpload begins an upload. One whose creation was not answered has no
// name in the model: the inspection passes over uploads that it does not know.
func (w *worker) createUpload(ctx context.Context) error {
	number := w.load.number.Add(1)
	key := w.key()
	o := w.begin()
	answer, err := w.load.Client.Do(ctx, s3client.Request{
		Method: "POST", Bucket: w.load.Bucket, Key: key.Name, Query: "uploads=",
		Header: []objects.Pair{{Name: "x-amz-meta-" + mark, Value: strconv.FormatUint(number, 10)}},
	})
	if err != nil || !answer.OK() {
		return w.end("creation of an upload", o, answer, err)
	}
	id, err := s3client.UploadID(answer)
	if err != nil {
		return err
	}
	u := upload{key: key, id: id, number: number}
	w.created[id] = key
	o.Operation = w.load.Model.Begin(model.Change{Cell: model.Upload(key, id), Value: &model.Value{}})
	w.uploads = append(w.uploads, u)
	return w.end("upload of "+key.Name, o, answer, nil)
}

func (w *worker) putPart(ctx context.Context, u upload, part int) error {
	body := payload(w.load.number.Add(1), 1+w.random.IntN(mostLarge/2))
	value := partValue(body)
	o := w.begin(model.Change{Cell: model.Part(u.key, u.id, part), Value: value})
	w.written[u.id+value.ETag] = body
	answer, err := w.load.Client.PutPart(ctx, w.load.Bucket, u.key.Name, u.id, part, body)
	return w.end("part of "+u.key.Name, o, answer, err)
}

// complete assembles the parts that are certain: the object appears, upload and
// parts go, all at once.
func (w *worker) complete(ctx context.Context, u upload, numbers []int, values map[int]*model.Value) error {
	var bodies [][]byte
	var parts []s3client.Part
	for _, n := range numbers {
		if _, certain := w.load.Model.Current(model.Part(u.key, u.id, n)); !certain {
			return nil // a part in doubt: the upload stays open for ever
		}
		bodies = append(bodies, w.written[u.id+values[n].ETag])
		parts = append(parts, s3client.Part{Number: n, ETag: values[n].ETag})
	}
	changes := append(w.gone(u, numbers), model.Change{Cell: model.Object(u.key), Value: assembled(bodies, draft(u.number))})
	o := w.begin(changes...)
	answer, err := w.load.Client.Complete(ctx, w.load.Bucket, u.key.Name, u.id, parts)
	return w.end("completion of "+u.key.Name, o, answer, err)
}

func (w *worker) abort(ctx context.Context, u upload, numbers []int) error {
	for _, n := range numbers {
		if _, certain := w.load.Model.Current(model.Part(u.key, u.id, n)); !certain {
			return nil
		}
	}
	o := w.begin(w.gone(u, numbers)...)
	answer, err := w.load.Client.Abort(ctx, w.load.Bucket, u.key.Name, u.id)
	return w.end("abort of "+u.key.Name, o, answer, err)
}

// gone are the changes of an upload's end.
func (w *worker) gone(u upload, numbers []int) []model.Change {
	changes := []model.Change{{Cell: model.Upload(u.key, u.id)}}
	for _, n := range numbers {
		changes = append(changes, model.Change{Cell: model.Part(u.key, u.id, n)})
	}
	return changes
}
