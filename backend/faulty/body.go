package faulty

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/troupe-storage/troupe/objects/errs"
)

// body is a body with trouble at a byte of it.
type body struct {
	io.ReadCloser
	ctx     context.Context
	name    string
	trouble BodyTrouble
	at      int64 // bytes given

	once   sync.Once
	closed chan struct{}
}

func newBody(ctx context.Context, name string, from io.ReadCloser, trouble BodyTrouble) *body {
	return &body{ReadCloser: from, ctx: ctx, name: name, trouble: trouble, closed: make(chan struct{})}
}

var errCut = errors.New("the connection broke off (on purpose)")

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	const op errs.Op = "faulty.Read"
	left := b.trouble.At - b.at
	if left == 0 {
		switch b.trouble.Kind {
		case Cut:
			return 0, errs.E(op, b.name, errs.Offline, errCut)
		case Ends:
			return 0, io.EOF
		case Stall:
			select {
			case <-b.ctx.Done():
				return 0, errs.E(op, b.name, b.ctx.Err())
			case <-b.closed:
				return 0, errs.E(op, b.name, errs.Canceled, errors.New("the body was closed"))
			}
		}
	}
	if left > 0 && int64(len(p)) > left {
		p = p[:left]
	}
	n, err := b.ReadCloser.Read(p)
	if b.trouble.Kind == Flip && n > 0 && left == 0 {
		p[0] ^= 1
	}
	b.at += int64(n)
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.ReadCloser.Close()
}
