package http

import (
	"context"
	"errors"
	"io"

	"github.com/troupe-storage/troupe/objects/errs"
)

// body gives what was asked for of a response, and no less.
type body struct {
	ctx   context.Context
	name  string
	from  io.ReadCloser
	left  int64 // bytes to come; negative: up to the end
	sized bool  // so many have to come
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	const op errs.Op = "http.Read"
	if b.left == 0 {
		return 0, io.EOF
	}
	if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.from.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
	}
	switch {
	case err == nil || b.left == 0:
		return n, nil
	case !errors.Is(err, io.EOF) || b.sized:
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return n, errs.E(op, b.name, kindOf(b.ctx, err), err)
	}
	return n, io.EOF
}

// Close implements io.Closer.
func (b *body) Close() error { return b.from.Close() }
