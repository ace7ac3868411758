package hostile_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/s3client"
)

// wireTime bounds the wait for an answer on a connection of our own; longer than
// any patience of the node.
const wireTime = 60 * time.Second

// wire is a connection to the node on which anything may be written.
type wire struct {
	*testing.T
	conn   *net.TCPConn
	reader *bufio.Reader
}

// dial connects to the node's S3 listener. The caller hangs up.
func (a *arena) dial() *wire {
	a.Helper()
	conn, err := net.Dial("tcp", a.node.S3)
	if err != nil {
		a.Fatalf("the node takes no connections: %v\n%s", err, a.node.Log())
	}
	if err := conn.SetDeadline(time.Now().Add(wireTime)); err != nil {
		a.Fatal(err)
	}
	return &wire{T: a.T, conn: conn.(*net.TCPConn), reader: bufio.NewReader(conn)}
}

// send writes; that the node hangs up meanwhile is the node's right.
func (w *wire) send(text string) (went bool) {
	_, err := io.WriteString(w.conn, text)
	return err == nil
}

// answer reads one answer; nil: the node hung up without one.
func (w *wire) answer(method string) *s3client.Answer {
	w.Helper()
	response, err := http.ReadResponse(w.reader, &http.Request{Method: method})
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			w.Errorf("the node neither answers nor hangs up within %s", wireTime)
		}
		return nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		w.Errorf("the body of an answer: %v", err)
	}
	return &s3client.Answer{Status: response.StatusCode, Header: response.Header, Body: body, Code: s3client.ErrorCode(body)}
}

// rest reads answers until the node hangs up or says no more.
func (w *wire) rest() (answers []*s3client.Answer) {
	w.Helper()
	for {
		answer := w.answer("GET")
		if answer == nil {
			return answers
		}
		answers = append(answers, answer)
	}
}

// finish says that nothing more will come; what the node says is still read.
func (w *wire) finish() {
	_ = w.conn.CloseWrite() // the node may have hung up
}

// hangUp ends the connection as a client does that was closed.
func (w *wire) hangUp() { _ = w.conn.Close() }

// vanish ends the connection as a client does whose machine went: by a reset.
func (w *wire) vanish() {
	_ = w.conn.SetLinger(0)
	_ = w.conn.Close()
}

// head returns the signed head of a request with these lines added, and the
// empty line behind it.
func (a *arena) head(r s3client.Request, lines ...string) string {
	a.Helper()
	if r.Bucket == "" && r.Path == "" {
		r.Bucket = bucket
	}
	head, _, err := a.client.Head(r)
	if err != nil {
		a.Fatal(err)
	}
	for _, line := range lines {
		head += line + "\r\n"
	}
	return head + "\r\n"
}

// exchange sends bytes on a connection of their own and returns the first answer.
func (a *arena) exchange(text string) *s3client.Answer {
	a.Helper()
	w := a.dial()
	defer w.hangUp()
	w.send(text)
	w.finish()
	method, _, _ := strings.Cut(text, " ")
	return w.answer(method)
}
