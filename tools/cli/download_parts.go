package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// partedDownload is an object that is fetched in ranges.
type partedDownload struct {
	from  address
	to    target
	file  *os.File
	note  string // name of the note, below the target's root
	meter *meter
}

// downloadNote is what is remembered of a download under way, beside its file.
// Before a piece is taken for done it is compared with its checksum.
type downloadNote struct {
	ETag      string            `json:"etag"`
	Size      int64             `json:"size"`
	PartBytes int64             `json:"part_bytes"`
	Pieces    map[int]noteValue `json:"pieces"` // by number, from 0
}

// noteValue is a CRC64NVME, as base64 in JSON.
type noteValue []byte

// downloadParts fills a file with an object, several ranges at a time, and goes
// on where an earlier attempt stopped, if the object is still the same.
func (t *transfers) downloadParts(ctx context.Context, d partedDownload) (*s3.Object, error) {
	o, err := t.s3.Head(ctx, d.from.bucket, d.from.key)
	if err != nil {
		return nil, err
	}
	note := t.resumeDownload(&d, o)
	if err := d.file.Truncate(o.Size); err != nil {
		return nil, targetError(d.to, err)
	}
	t.resumable.Add(1)
	var mutex sync.Mutex // of note and sums
	sums := make([]checksum.Piece, (o.Size+note.PartBytes-1)/note.PartBytes)
	workers := newCrew(t.parallel)
	for i := range sums {
		if workers.failed() != nil || ctx.Err() != nil {
			break
		}
		mutex.Lock()
		known := note.Pieces[i]
		mutex.Unlock()
		workers.Go(func() error {
			offset := int64(i) * note.PartBytes
			length := min(note.PartBytes, o.Size-offset)
			sum, fetched, err := t.downloadPart(ctx, &d, o, offset, length, known)
			if err != nil {
				return err
			}
			mutex.Lock()
			defer mutex.Unlock()
			sums[i] = checksum.Piece{Sum: sum.Sum, Size: length}
			if !fetched {
				return nil
			}
			note.Pieces[i] = noteValue(sum.Sum)
			return d.write(note)
		})
	}
	if err := errors.Join(workers.Wait(), context.Cause(ctx)); err != nil {
		return nil, err
	}
	if err := d.check(ctx, o, sums); err != nil {
		// Nobody knows which piece is wrong.
		return nil, errors.Join(err, d.file.Truncate(0), d.forget())
	}
	t.resumable.Add(-1)
	return o, d.forget()
}

// downloadPart fills one range unless an earlier attempt did.
func (t *transfers) downloadPart(ctx context.Context, d *partedDownload, o *s3.Object, offset, length int64, known noteValue) (sum checksum.Value, fetched bool, err error) {
	sum, err = requested(ctx, t, func() (checksum.Value, error) {
		if known != nil {
			have, err := sumOf(ctx, d.file, offset, length)
			if err == nil && bytes.Equal([]byte(have.Sum), known) {
				d.meter.add(length)
				t.resumed.Add(length)
				return have, nil
			}
		}
		fetched = true
		r := &reader{ctx: ctx, client: t.s3, from: d.from, etag: o.ETag, next: offset, end: offset + length}
		defer r.close()
		h := checksum.CRC64NVME.New()
		err := copyCounted(io.MultiWriter(io.NewOffsetWriter(d.file, offset), h), r, d.meter)
		return checksum.Of(checksum.CRC64NVME, h), err
	})
	return sum, fetched, err
}

// check compares the whole with what is stored.
func (d *partedDownload) check(ctx context.Context, o *s3.Object, sums []checksum.Piece) error {
	if want, ok := o.CRC64NVME(); ok {
		got, err := checksum.Combine(checksum.Wanted{Algorithm: checksum.CRC64NVME, Type: checksum.FullObject}, sums)
		if err == nil && got != want {
			err = errs.E("download", d.from.String(), errs.Corrupt, errDiffers)
		}
		return err
	}
	v := newVerifier(o)
	if v.hash == nil {
		return nil
	}
	section := io.NewSectionReader(d.file, 0, o.Size)
	if _, err := io.CopyBuffer(writeOnly{v}, &interruptibleReader{ctx, section}, make([]byte, copyBufferBytes)); err != nil {
		return localError(d.to.path(), err)
	}
	return v.check()
}

// resumeDownload reads the note of an earlier attempt; a new one if there is
// none, or if the object is another one now.
func (t *transfers) resumeDownload(d *partedDownload, o *s3.Object) downloadNote {
	fresh := downloadNote{ETag: o.ETag, Size: o.Size, PartBytes: t.partBytes, Pieces: map[int]noteValue{}}
	body, err := d.to.root.ReadFile(d.note)
	if err != nil {
		return fresh
	}
	var note downloadNote
	if json.Unmarshal(body, &note) != nil || note.ETag != o.ETag || note.Size != o.Size || note.PartBytes < minPartBytes {
		return fresh
	}
	if note.Pieces == nil {
		note.Pieces = map[int]noteValue{}
	}
	return note
}

// write replaces the note.
func (d *partedDownload) write(note downloadNote) error {
	body, err := json.Marshal(note)
	if err != nil {
		return errs.E("download", d.to.path(), errs.Internal, err)
	}
	// Half a note is no JSON, and then nothing is taken for done.
	if err := d.to.root.WriteFile(d.note, body, 0o666); err != nil {
		return targetError(d.to, err)
	}
	return nil
}

// forget removes the note.
func (d *partedDownload) forget() error {
	if err := d.to.root.Remove(d.note); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return targetError(d.to, err)
	}
	return nil
}
