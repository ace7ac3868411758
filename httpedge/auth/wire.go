package auth

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/httpedge/access"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// StallPolicy is the slowest client that is served. Only time spent waiting for
// the client counts, not time in which the node was busy elsewhere.
type StallPolicy struct {
	Window   time.Duration // default 10 s
	MinBytes int64         // that have to arrive in a window, or the body's end; default 64 KiB
}

// limited reads at most left bytes and fails if there are more.
type limited struct {
	from  io.Reader
	left  int64
	limit int64 // for the message
}

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	// One byte beyond the limit tells a body that ends there from one that does not.
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.from.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, tooLarge(l.limit)
	}
	return n, err
}

// wire reads the bytes of a body as they come from the client: it tells a
// truncated body from a whole one (fasthttp returns io.EOF for both), and a
// slow client from a stalled one.
type wire struct {
	conn     Deadliner
	from     io.Reader
	declared int64 // Content-Length; negative: chunked transfer encoding
	policy   StallPolicy

	record *access.Record // is told what is read
	total  int64          // bytes read
	waited time.Duration  // for the client, in this window
	got    int64          // bytes in this window
	err    error          // final
}

// Read implements io.Reader.
func (w *wire) Read(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	began := time.Now()
	if err := w.conn.SetReadDeadline(began.Add(w.policy.Window - w.waited)); err != nil {
		w.err = errs.E(opBody, errs.Canceled, err)
		return 0, w.err
	}
	n, err := w.from.Read(p)
	w.total += int64(n)
	w.got += int64(n)
	w.record.Received(int64(n))
	w.waited += time.Since(began)
	switch {
	case err == nil && w.got >= w.policy.MinBytes:
		w.got, w.waited = 0, 0
	case err == nil && w.waited >= w.policy.Window:
		err = os.ErrDeadlineExceeded
	}
	if err != nil {
		w.err = w.final(err)
		if n > 0 {
			return n, nil // the error comes with the next call
		}
		return 0, w.err
	}
	return n, nil
}

// final says what the end of the stream means.
func (w *wire) final(err error) error {
	var timeout net.Error
	switch {
	case errors.Is(err, io.EOF):
		if w.declared < 0 && w.isCut() || w.declared >= 0 && w.total != w.declared {
			return incomplete()
		}
		return io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return incomplete()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e := refuse(sigv4.RequestTimeout, "Your socket connection to the server was not read from or written to "+
			"within the timeout period. Idle connections will be closed.")
		e.Err = errs.E(opBody, errs.Canceled, err)
		return e
	default:
		return errs.E(opBody, errs.Canceled, err)
	}
}

// isCut reports whether a body in chunks ended because its client went away
// between two of them: fasthttp returns io.EOF for that too. A stream that has
// seen its last chunk answers io.EOF again without a look at the connection;
// one that has not goes to read another chunk, and a deadline in the past is how
// it betrays itself. (fasthttp v1.77, requestStream.read)
func (w *wire) isCut() bool {
	if err := w.conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return true
	}
	var b [1]byte
	n, err := w.from.Read(b[:])
	return n != 0 || !errors.Is(err, io.EOF)
}

func incomplete() *sigv4.Error {
	e := refuse(sigv4.IncompleteBody, "You did not provide the number of bytes specified by the Content-Length HTTP header")
	e.Err = errs.E(opBody, errs.Invalid, objects.ErrIncompleteBody)
	return e
}
