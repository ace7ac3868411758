package cli

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// errDiffers says that what was received is not what was stored.
var errDiffers = errors.New("what was received does not have the checksum of what was stored")

// reader reads an object from an offset to an end and, when the connection
// breaks, goes on where it stopped, from the same version of the object. It
// belongs to one goroutine.
type reader struct {
	ctx    context.Context
	client s3.Client
	from   address
	etag   string
	next   int64 // the byte to be read next
	end    int64 // the one after the last
	body   io.ReadCloser
	broken int // how often in a row the connection broke without a byte
}

// maxBroken is how often in a row a connection may break before a byte comes.
// Every new one has been repeated with patience already.
const maxBroken = 5

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	for {
		if r.next == r.end {
			return 0, io.EOF
		}
		if r.body == nil {
			_, body, err := r.client.Open(r.ctx, s3.Get{
				Bucket: r.from.bucket, Key: r.from.key, Range: fmt.Sprintf("bytes=%d-%d", r.next, r.end-1), IfMatch: r.etag,
			})
			if err != nil {
				return 0, err
			}
			r.body = body
		}
		n, err := r.body.Read(p[:min(int64(len(p)), r.end-r.next)])
		r.next += int64(n)
		if n > 0 {
			r.broken = 0
			return n, nil
		}
		if err == nil {
			continue
		}
		r.close()
		if r.ctx.Err() != nil {
			return 0, context.Cause(r.ctx)
		}
		if r.broken++; r.broken > maxBroken {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, errs.E("get", r.from.String(), errs.Offline, err)
		}
	}
}

// close lets the connection go.
func (r *reader) close() {
	if r.body != nil {
		r.body.Close() //nolint:errcheck // it was only read
		r.body = nil
	}
}

// verifier compares what passes with the checksum that an object has: its
// CRC64NVME, else another one of the whole object that was stored, else its ETag
// where that is an MD5. Objects with none of them are compared by size alone.
type verifier struct {
	object *s3.Object
	want   checksum.Value
	md5    string    // instead of want
	hash   hash.Hash // nil: there is nothing to compare with
}

func newVerifier(o *s3.Object) *verifier {
	v := &verifier{object: o}
	want, found := o.CRC64NVME()
	for _, other := range o.Checksums {
		if !found && other.Type == checksum.FullObject {
			want, found = other, true
		}
	}
	if found {
		v.want, v.hash = want, want.Algorithm.New()
	} else if sum, ok := o.MD5(); ok {
		v.md5, v.hash = sum, md5.New()
	}
	return v
}

// Write implements io.Writer.
func (v *verifier) Write(p []byte) (int, error) {
	if v.hash == nil {
		return len(p), nil
	}
	return v.hash.Write(p)
}

// check returns errDiffers if not what was stored has passed.
func (v *verifier) check() error {
	switch {
	case v.hash == nil:
		return nil
	case v.md5 != "" && hex.EncodeToString(v.hash.Sum(nil)) == v.md5:
		return nil
	case v.md5 == "" && checksum.Of(v.want.Algorithm, v.hash) == v.want:
		return nil
	}
	return errs.E("download", s3.Address(v.object.Bucket, v.object.Key), errs.Corrupt, errDiffers)
}

// open opens an object whole, with what is known of it.
func (t *transfers) open(ctx context.Context, from address) (*s3.Object, *reader, error) {
	o, body, err := t.s3.Open(ctx, s3.Get{Bucket: from.bucket, Key: from.key})
	if err != nil {
		return nil, nil, err
	}
	return o, &reader{ctx: ctx, client: t.s3, from: from, etag: o.ETag, end: o.Size, body: body}, nil
}

// downloadStream writes an object to a stream. What was written before a
// difference was found cannot be taken back; the error tells of it.
func (t *transfers) downloadStream(ctx context.Context, from address, to io.Writer, m *meter) (*s3.Object, error) {
	o, r, err := t.open(ctx, from)
	if err != nil {
		return nil, err
	}
	defer r.close()
	v := newVerifier(o)
	if err := copyCounted(io.MultiWriter(to, v), r, m); err != nil {
		return nil, err
	}
	return o, v.check()
}

// copyCounted copies and counts.
func copyCounted(to io.Writer, from io.Reader, m *meter) error {
	buffer := make([]byte, copyBufferBytes)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return localError("the target", err)
			}
			m.add(int64(n))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// target is where a download goes: a name below a directory that it cannot leave.
type target struct {
	root *os.Root
	name string // relative, checked by checkLocalName or given by the user
}

// path returns the target's path for people.
func (g target) path() string { return filepath.Join(g.root.Name(), g.name) }

// beside returns a name in the target's directory.
func (g target) beside(name string) string { return path.Join(path.Dir(g.name), name) }

// downloadFile stores an object as a file. It appears under its name when it is
// whole and compared, with the object's time. size is what a listing said, -1
// if nothing did.
func (t *transfers) downloadFile(ctx context.Context, from address, to target, size int64, m *meter) (*s3.Object, error) {
	if err := to.root.MkdirAll(path.Dir(to.name), 0o777); err != nil {
		return nil, targetError(to, err)
	}
	if info, err := to.root.Lstat(to.name); err == nil && info.IsDir() {
		return nil, Advise(errs.E("download", from.String(), errs.Exists, fmt.Errorf("%s is a directory", to.path())),
			"keys may have both a and a/b, paths may not: copy one of them elsewhere")
	}
	partName, noteName := partialNames(t.s3.Endpoint(), from, to.name)
	part := to.beside(partName)
	file, err := to.root.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, targetError(to, err)
	}
	defer file.Close()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errs.E("download", to.path(), errs.Busy, errors.New("another program is downloading it"))
	}
	var o *s3.Object
	if size >= t.threshold {
		o, err = t.downloadParts(ctx, partedDownload{from: from, to: to, file: file, note: to.beside(noteName), meter: m})
	} else if o, err = t.downloadWhole(ctx, from, file, m); err != nil {
		err = errors.Join(err, to.root.Remove(part))
	}
	if err != nil {
		return nil, err
	}
	if err := to.root.Chtimes(part, time.Time{}, o.Modified); err != nil {
		return nil, targetError(to, err)
	}
	if err := to.root.Rename(part, to.name); err != nil {
		return nil, targetError(to, err)
	}
	return o, nil
}

// downloadWhole fills a file with an object in one request.
func (t *transfers) downloadWhole(ctx context.Context, from address, file *os.File, m *meter) (*s3.Object, error) {
	return requested(ctx, t, func() (*s3.Object, error) {
		if err := file.Truncate(0); err != nil {
			return nil, localError(file.Name(), err)
		}
		o, r, err := t.open(ctx, from)
		if err != nil {
			return nil, err
		}
		defer r.close()
		v := newVerifier(o)
		if err := copyCounted(io.MultiWriter(file, v), r, m); err != nil {
			return nil, err
		}
		return o, v.check()
	})
}

// targetError says that a target could not be written.
func targetError(to target, err error) error {
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EEXIST) || errors.Is(err, syscall.EISDIR) {
		return Advise(errs.E("download", to.path(), errs.Exists, err),
			"a file stands where a directory is needed, or the other way round: keys may have both a and a/b, paths may not")
	}
	return localError(to.path(), err)
}
