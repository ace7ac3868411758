package loader

import (
	"errors"
	"html"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects/errs"
)

// memoryBucket and fileBucket are how the names of the bare handler's buckets
// begin: "memory-4096" answers with so many bytes from memory, "file-anything"
// is a directory.
const (
	memoryBucket = "memory-"
	fileBucket   = "file-"
)

// Bare is the bare handler: what HTTP itself costs. It reads S3's paths, but no
// signature, and has two kinds of bucket.
//
// In memory-N, GET answers N bytes from memory, or the range it names, HEAD their number, PUT drops
// what it gets, DELETE does nothing.
//
// In file-NAME, PUT writes a file without sync and renames it, GET opens the file
// and lets the kernel send it, HEAD asks for its status, DELETE unlinks it. All
// files of a bucket lie in one directory.
//
// Bare is a reference, not a store: it promises nothing about what is written.
type Bare struct {
	directory string
	content   []byte // arena for answers from memory
	buffers   sync.Pool
	written   atomic.Uint64 // names work files
}

// maxMemoryBytes bounds N of memory-N.
const maxMemoryBytes = 16 << 20

// NewBare returns a bare handler that keeps its files in the directory.
func NewBare(directory string) *Bare {
	return &Bare{
		directory: directory,
		content:   newPayloads(0).append(make([]byte, 0, maxMemoryBytes), 0, maxMemoryBytes),
		buffers:   sync.Pool{New: func() any { return new([128 << 10]byte) }},
	}
}

// Server returns a fasthttp server around the handler, with the settings that
// Troupe's own listeners have where they matter for speed.
func (b *Bare) Server() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      b.Handle,
		Name:                         "bare",
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		ReadBufferSize:               32 << 10,
		WriteBufferSize:              16 << 10,
		ReadTimeout:                  30 * time.Second,
		WriteTimeout:                 60 * time.Second,
		IdleTimeout:                  75 * time.Second,
		Concurrency:                  8192,
		NoDefaultContentType:         true,
		CloseOnShutdown:              true,
		TCPKeepalive:                 true,
		TCPKeepalivePeriod:           60 * time.Second,
	}
}

// ServeBare serves a bare handler on a free loopback port until the stream ends:
// the parent's death ends it too. It writes its address as the first line.
func ServeBare(directory string, lifeline io.Reader, announce io.Writer) error {
	const op errs.Op = "loader.ServeBare"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errs.E(op, errs.IO, err)
	}
	server := NewBare(directory).Server()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if _, err := io.WriteString(announce, listener.Addr().String()+"\n"); err != nil {
		return errs.E(op, errs.IO, errors.Join(err, server.Shutdown()))
	}
	if _, err := io.Copy(io.Discard, lifeline); err != nil {
		return errs.E(op, errs.IO, errors.Join(err, server.Shutdown()))
	}
	if err := errors.Join(server.Shutdown(), <-served); err != nil {
		return errs.E(op, errs.IO, err)
	}
	return nil
}

// Handle answers one request.
func (b *Bare) Handle(ctx *fasthttp.RequestCtx) {
	bucket, key, isObject := strings.Cut(strings.TrimPrefix(string(ctx.URI().PathOriginal()), "/"), "/")
	if !isObject {
		b.bucket(ctx, bucket)
		return
	}
	if size, is := strings.CutPrefix(bucket, memoryBucket); is {
		n, err := strconv.ParseUint(size, 10, 64)
		if err != nil || n > maxMemoryBytes {
			b.refuse(ctx, fasthttp.StatusNotFound, "NoSuchBucket")
			return
		}
		b.memory(ctx, b.content[:n])
		return
	}
	if !isFileBucket(bucket) || !isFileName(key) {
		b.refuse(ctx, fasthttp.StatusBadRequest, "InvalidArgument")
		return
	}
	b.file(ctx, filepath.Join(b.directory, bucket, key))
}

// isFileBucket and isFileName let nothing out of the directory.
func isFileBucket(name string) bool { return strings.HasPrefix(name, fileBucket) && isFileName(name) }

func isFileName(name string) bool {
	return name != "" && !strings.HasPrefix(name, ".") && !strings.ContainsAny(name, "/\x00") && len(name) <= 255
}

// bucket makes or removes a bucket: for files, its directory with all it holds.
func (b *Bare) bucket(ctx *fasthttp.RequestCtx, name string) {
	if !strings.HasPrefix(name, memoryBucket) && !isFileBucket(name) {
		b.refuse(ctx, fasthttp.StatusBadRequest, "InvalidBucketName")
		return
	}
	var err error
	if isFileBucket(name) {
		switch path := filepath.Join(b.directory, name); string(ctx.Method()) {
		case fasthttp.MethodPut:
			err = os.MkdirAll(path, 0o755)
		case fasthttp.MethodDelete:
			err = os.RemoveAll(path)
			ctx.SetStatusCode(fasthttp.StatusNoContent)
		default:
			b.refuse(ctx, fasthttp.StatusNotImplemented, "NotImplemented")
			return
		}
	}
	b.answer(ctx, err)
}

// memory answers from memory.
func (b *Bare) memory(ctx *fasthttp.RequestCtx, content []byte) {
	switch string(ctx.Method()) {
	case fasthttp.MethodGet:
		if part, ok := b.part(ctx, len(content)); ok {
			ctx.Response.SetBodyRaw(content[part.offset : part.offset+part.length])
		}
	case fasthttp.MethodHead:
		ctx.Response.Header.SetContentLength(len(content))
	case fasthttp.MethodPut:
		_, err := b.receive(ctx, io.Discard)
		b.answer(ctx, err)
	case fasthttp.MethodDelete:
		ctx.SetStatusCode(fasthttp.StatusNoContent)
	default:
		b.refuse(ctx, fasthttp.StatusNotImplemented, "NotImplemented")
	}
}

// part returns what is asked for of so many bytes, and sets the status: all of
// them, or the range that the request names. False: it names none that is there,
// and has been told so.
func (b *Bare) part(ctx *fasthttp.RequestCtx, size int) (slice, bool) {
	asked := ctx.Request.Header.Peek(fasthttp.HeaderRange)
	if len(asked) == 0 {
		return slice{0, int64(size)}, true
	}
	first, last, err := fasthttp.ParseByteRange(asked, size)
	if err != nil {
		b.refuse(ctx, fasthttp.StatusRequestedRangeNotSatisfiable, "InvalidRange")
		return slice{}, false
	}
	ctx.SetStatusCode(fasthttp.StatusPartialContent)
	ctx.Response.Header.SetContentRange(first, last, size)
	return slice{int64(first), int64(last - first + 1)}, true
}

// file answers with what a file system does for the request, and no more.
func (b *Bare) file(ctx *fasthttp.RequestCtx, path string) {
	switch string(ctx.Method()) {
	case fasthttp.MethodGet:
		file, err := os.Open(path)
		if err != nil {
			b.answer(ctx, err)
			return
		}
		status, err := file.Stat()
		if err != nil {
			b.answer(ctx, errors.Join(err, file.Close()))
			return
		}
		part, ok := b.part(ctx, int(status.Size()))
		switch {
		case !ok:
			err = file.Close()
		case part.offset > 0:
			_, err = file.Seek(part.offset, io.SeekStart)
		}
		if err != nil {
			b.answer(ctx, errors.Join(err, file.Close()))
			return
		}
		if ok {
			ctx.Response.SetBodyStream(file, int(part.length)) // closes the file
		}
	case fasthttp.MethodHead:
		status, err := os.Stat(path)
		if err != nil {
			b.answer(ctx, err)
			return
		}
		ctx.Response.Header.SetContentLength(int(status.Size()))
	case fasthttp.MethodPut:
		b.answer(ctx, b.write(ctx, path))
	case fasthttp.MethodDelete:
		err := os.Remove(path)
		ctx.SetStatusCode(fasthttp.StatusNoContent)
		b.answer(ctx, err)
	default:
		b.refuse(ctx, fasthttp.StatusNotImplemented, "NotImplemented")
	}
}

// write writes the body to a file beside the path and renames it.
func (b *Bare) write(ctx *fasthttp.RequestCtx, path string) error {
	work := filepath.Join(filepath.Dir(path), ".work-"+strconv.FormatUint(b.written.Add(1), 10))
	file, err := os.OpenFile(work, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	n, err := b.receive(ctx, file)
	if want := ctx.Request.Header.ContentLength(); err == nil && want >= 0 && n != int64(want) {
		err = io.ErrUnexpectedEOF // fasthttp ends a body that breaks off with a plain io.EOF
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(work))
	}
	return os.Rename(work, path)
}

// receive copies the body in pieces of 128 KiB.
func (b *Bare) receive(ctx *fasthttp.RequestCtx, to io.Writer) (int64, error) {
	body := ctx.RequestBodyStream()
	if body == nil {
		return 0, nil
	}
	buffer := b.buffers.Get().(*[128 << 10]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer b.buffers.Put(buffer)
	// Hiding ReadFrom and WriteTo makes the copy use the buffer.
	return io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{body}, buffer[:])
}

// answer turns what the file system said into S3's words.
func (b *Bare) answer(ctx *fasthttp.RequestCtx, err error) {
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		b.refuse(ctx, fasthttp.StatusNotFound, "NoSuchKey")
	default:
		b.refuse(ctx, fasthttp.StatusInternalServerError, "InternalError")
		ctx.Response.SetBodyString("<Error><Code>InternalError</Code><Message>" + html.EscapeString(err.Error()) + "</Message></Error>")
	}
}

// refuse answers with an error document.
func (b *Bare) refuse(ctx *fasthttp.RequestCtx, status int, code string) {
	ctx.Response.Reset()
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/xml")
	ctx.Response.SetBodyString("<Error><Code>" + code + "</Code></Error>")
}
