package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// copyBufferBytes is the buffer with which files are read and digested.
const copyBufferBytes = 256 << 10

// errChanged says that a file was written to while it was sent.
var errChanged = errors.New("the file changed while it was read")

// uploadFile stores a file under a key.
func (t *transfers) uploadFile(ctx context.Context, path, bucket, key string, m *meter) (s3.Written, error) {
	file, err := os.Open(path)
	if err != nil {
		return s3.Written{}, localError(path, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return s3.Written{}, localError(path, err)
	}
	if !info.Mode().IsRegular() {
		return s3.Written{}, errs.E("upload", path, errs.Invalid, errors.New("it is no regular file"))
	}
	attributes := t.attributes
	if attributes.ContentType == "" {
		if attributes.ContentType, err = contentType(path, file, info.Size()); err != nil {
			return s3.Written{}, localError(path, err)
		}
	}
	if info.Size() >= t.threshold {
		return t.uploadParts(ctx, partedUpload{
			file: file, info: info, path: path, bucket: bucket, key: key, attributes: attributes, meter: m,
		})
	}
	sum, err := t.sumOf(ctx, file, 0, info.Size())
	if err != nil {
		return s3.Written{}, localError(path, err)
	}
	body := bodies{meter: m, open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(file, 0, info.Size())), nil
	}}
	written, err := requested(ctx, t, func() (s3.Written, error) {
		return t.s3.Put(ctx, s3.Put{Bucket: bucket, Key: key, Attributes: attributes, Body: body.next, Size: info.Size(), Sum: sum})
	})
	if code := client.Code(err); code == "BadDigest" || code == "IncompleteBody" || err == nil && changed(file, info) {
		return s3.Written{}, errs.E("upload", path, errs.Conflict, errChanged)
	}
	return written, err
}

// changed reports whether a file is another one than when it was opened.
func changed(file *os.File, before os.FileInfo) bool {
	now, err := file.Stat()
	return err != nil || now.Size() != before.Size() || !now.ModTime().Equal(before.ModTime())
}

// sumOf digests a section of a file, in one of the places for requests so that
// no more is digested at a time than is sent.
func (t *transfers) sumOf(ctx context.Context, file io.ReaderAt, offset, length int64) (checksum.Value, error) {
	return requested(ctx, t, func() (checksum.Value, error) { return sumOf(ctx, file, offset, length) })
}

// sumOf digests a section of a file.
func sumOf(ctx context.Context, file io.ReaderAt, offset, length int64) (checksum.Value, error) {
	h := checksum.CRC64NVME.New()
	section := io.NewSectionReader(file, offset, length)
	n, err := io.CopyBuffer(writeOnly{h}, &interruptibleReader{ctx, section}, make([]byte, min(copyBufferBytes, max(length, 512))))
	if err == nil && n != length {
		err = errChanged
	}
	return checksum.Of(checksum.CRC64NVME, h), err
}

// writeOnly hides whatever else a writer can do, so that the buffer is used.
type writeOnly struct{ io.Writer }

// interruptibleReader ends with its context.
type interruptibleReader struct {
	ctx    context.Context
	reader io.Reader
}

// Read implements io.Reader.
func (r *interruptibleReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.reader.Read(p)
}

// contentType says what a file holds, by its name, else by its first bytes.
func contentType(path string, file io.ReaderAt, size int64) (string, error) {
	if kind := mime.TypeByExtension(filepath.Ext(path)); kind != "" {
		return kind, nil
	}
	if size == 0 {
		return "application/octet-stream", nil
	}
	var begin [512]byte
	n, err := file.ReadAt(begin[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return http.DetectContentType(begin[:n]), nil
}

// uploadStream stores what is read from a stream of unknown length. Parts are
// held in memory until they are stored: at most streamParts of them.
func (t *transfers) uploadStream(ctx context.Context, from io.Reader, bucket, key string, m *meter) (s3.Written, error) {
	attributes := t.attributes
	head := make([]byte, t.partBytes)
	n, err := io.ReadFull(from, head)
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !ended {
		return s3.Written{}, errs.E("upload", "standard input", errs.IO, err)
	}
	head = head[:n]
	if attributes.ContentType == "" {
		if attributes.ContentType = mime.TypeByExtension(filepath.Ext(key)); attributes.ContentType == "" {
			attributes.ContentType = http.DetectContentType(head)
		}
	}
	if ended {
		sum, err := sumOf(ctx, bytes.NewReader(head), 0, int64(n))
		if err != nil {
			return s3.Written{}, err
		}
		body := bodies{meter: m, open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(head)), nil }}
		return t.s3.Put(ctx, s3.Put{Bucket: bucket, Key: key, Attributes: attributes, Body: body.next, Size: int64(n), Sum: sum})
	}
	id, err := t.s3.CreateUpload(ctx, bucket, key, attributes)
	if err != nil {
		return s3.Written{}, err
	}
	written, err := t.streamParts(ctx, from, head, bucket, key, id, m)
	if err != nil {
		// A stream cannot be read again, so its parts are of no use.
		err = errors.Join(err, t.abandon(ctx, bucket, key, id))
	}
	return written, err
}

// streamParts is how many parts of a stream are held in memory at most.
const streamParts = 4

// streamPartBytes is the size of a part of a stream: it doubles every 2,000 parts, so that
// 10,000 parts of 16 MiB at first hold 968 GiB.
func streamPartBytes(first int64, number int) int64 { return first << ((number - 1) / 2000) }

func (t *transfers) streamParts(ctx context.Context, from io.Reader, head []byte, bucket, key, id string, m *meter) (s3.Written, error) {
	workers := newCrew(min(streamParts, t.parallel))
	var stored []*s3.Part // each is its worker's until all have ended
	put := func(number int, payload []byte) {
		into := new(s3.Part)
		stored = append(stored, into)
		workers.Go(func() error {
			sum, err := sumOf(ctx, bytes.NewReader(payload), 0, int64(len(payload)))
			if err != nil {
				return err
			}
			body := bodies{meter: m, open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(payload)), nil }}
			*into, err = requested(ctx, t, func() (s3.Part, error) {
				return t.s3.PutPart(ctx, bucket, key, id, s3.Part{Number: number, Size: int64(len(payload)), Sum: sum}, body.next)
			})
			return err
		})
	}
	put(1, head)
	for number := 2; workers.failed() == nil && ctx.Err() == nil; number++ {
		if number > s3.MaxParts {
			workers.Wait() //nolint:errcheck // this error is the first
			return s3.Written{}, Advise(errs.E("upload", "standard input", errs.Invalid, errors.New("the stream is longer than 10,000 parts")), "choose a greater --part-size")
		}
		payload := make([]byte, streamPartBytes(t.partBytes, number))
		n, err := io.ReadFull(from, payload)
		if n > 0 {
			put(number, payload[:n])
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			workers.Wait() //nolint:errcheck // this error is the first
			return s3.Written{}, errs.E("upload", "standard input", errs.IO, err)
		}
	}
	if err := workers.Wait(); err != nil {
		return s3.Written{}, err
	}
	if ctx.Err() != nil {
		return s3.Written{}, context.Cause(ctx)
	}
	parts := make([]s3.Part, len(stored))
	for i, part := range stored {
		parts[i] = *part
	}
	return t.complete(ctx, bucket, key, id, parts)
}

// complete makes the object of its parts and has the server compare all of it.
func (t *transfers) complete(ctx context.Context, bucket, key, id string, parts []s3.Part) (s3.Written, error) {
	slices.SortFunc(parts, func(a, b s3.Part) int { return a.Number - b.Number })
	pieces := make([]checksum.Piece, len(parts))
	for i, p := range parts {
		pieces[i] = checksum.Piece{Sum: p.Sum.Sum, Size: p.Size}
	}
	whole, err := checksum.Combine(checksum.Wanted{Algorithm: checksum.CRC64NVME, Type: checksum.FullObject}, pieces)
	if err != nil {
		return s3.Written{}, errs.E("complete upload", errs.Internal, err)
	}
	written, err := t.s3.Complete(ctx, bucket, key, id, parts, whole)
	if client.Code(err) == "NoSuchUpload" {
		// An answer that was lost: the object tells.
		o, headErr := t.s3.Head(ctx, bucket, key)
		if headErr == nil {
			if stored, ok := o.CRC64NVME(); ok && stored == whole {
				return s3.Written{ETag: o.ETag}, nil
			}
		}
	}
	return written, err
}

// abandon ends an upload that is of no use, also after Ctrl-C.
func (t *transfers) abandon(ctx context.Context, bucket, key, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonWithin)
	defer cancel()
	err := t.s3.Abort(ctx, bucket, key, id)
	if err == nil || errs.Is(errs.NotFound, err) {
		return nil
	}
	return fmt.Errorf("the parts of upload %s stay until they expire: %w", id, err)
}
