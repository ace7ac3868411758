package client

import (
	"context"
	"errors"
	"io"
	"net"
	"time"
)

// errStalled is why a transfer was cut: the other side sent nothing for too long.
var errStalled = errors.New("the server stopped sending")

// watchedSocket fails a write that the other side takes no byte of for too long.
// Reads are watched above, where it is known that an answer is due.
type watchedSocket struct {
	net.Conn
	stall time.Duration
}

// Write implements io.Writer.
func (s *watchedSocket) Write(p []byte) (int, error) {
	if err := s.Conn.SetWriteDeadline(time.Now().Add(s.stall)); err != nil {
		return 0, err
	}
	return s.Conn.Write(p)
}

// watchedBody ends a response whose bytes stop coming. It is used by one
// goroutine at a time.
type watchedBody struct {
	io.ReadCloser
	stall  time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func newWatchedBody(body io.ReadCloser, stall time.Duration, cancel context.CancelCauseFunc) *watchedBody {
	timer := time.AfterFunc(stall, func() { cancel(errStalled) })
	timer.Stop() // until somebody reads
	return &watchedBody{body, stall, timer, cancel}
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.stall)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop() // the reader may take its time
	return n, err
}

// Close implements io.Closer.
func (b *watchedBody) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
