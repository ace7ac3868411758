package intra

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/messages/wire"
	"github.com/troupe-storage/troupe/objects/errs"
)

// How messages lie in the bodies of questions and answers. A body is one message of
// package wire, which says how nodes of different versions get along and how a question
// is added. Where a payload goes with it, the message is framed: the length of the
// message in 4 bytes, big-endian, the message, and the payload, of the record's size.

const (
	questionBytes = 16 << 20 // the largest question: 1000 keys of 1 KiB with conditions of 8 KiB
	answerBytes   = 64 << 20 // the largest answer: a page of records, each with 64 KiB of metadata at the most
	// frameHead is how many bytes come before a framed message, which is at most
	// questionBytes long.
	frameHead = 4
	// believedBytes is how much memory a length takes before the bytes have come.
	believedBytes = 64 << 10
)

// encode appends a message, which is a wire.Message.
func encode(to []byte, message any) ([]byte, error) {
	m, ok := message.(wire.Message)
	if !ok {
		return nil, errs.E("intra.encode", errs.Internal, fmt.Errorf("%T is no message of package wire", message))
	}
	return wire.Append(to, m)
}

// decode reads a message, which is a wire.Message.
func decode(b []byte, message any) error {
	m, ok := message.(wire.Message)
	if !ok {
		return errs.E("intra.decode", errs.Internal, fmt.Errorf("%T is no message of package wire", message))
	}
	return wire.Decode(b, m)
}

// take reads so many bytes.
func take(from io.Reader, length int64) ([]byte, error) {
	if length <= believedBytes {
		b := make([]byte, length)
		_, err := io.ReadFull(from, b)
		return b, err
	}
	b, err := io.ReadAll(io.LimitReader(from, length))
	if err == nil && int64(len(b)) < length {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// appendFrame appends a framed message, to which the payload is to be appended.
func appendFrame(to []byte, message any) ([]byte, error) {
	at := len(to)
	all, err := encode(append(to, make([]byte, frameHead)...), message)
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(all[at:], uint32(len(all)-at-frameHead))
	return all, nil
}

// unframe reads a framed message. The payload is next in body then.
func unframe(body io.Reader, message any) error {
	var length [frameHead]byte
	if _, err := io.ReadFull(body, length[:]); err != nil {
		return err
	}
	n := int64(binary.BigEndian.Uint32(length[:]))
	if n > questionBytes {
		return fmt.Errorf("a message of %d bytes", n)
	}
	b, err := take(body, n)
	if err != nil {
		return err
	}
	return decode(b, message)
}

// bodyOf is the body of a question, and its length.
func bodyOf(ctx *fasthttp.RequestCtx) (io.Reader, int64, error) {
	body, length := ctx.RequestBodyStream(), int64(ctx.Request.Header.ContentLength())
	if body == nil || length < 0 {
		return nil, 0, errs.E("intra.question", string(ctx.Path()), errs.Invalid, errors.New("a question has a body of known length"))
	}
	return body, length, nil
}

// read reads a question.
func read(ctx *fasthttp.RequestCtx, question any) error {
	body, length, err := bodyOf(ctx)
	if err != nil {
		return err
	}
	if length > questionBytes {
		return errs.E("intra.question", string(ctx.Path()), errs.Invalid, fmt.Errorf("it has %d bytes", length))
	}
	b, err := take(body, length)
	if err == nil {
		err = decode(b, question)
	}
	if err != nil {
		return errs.E("intra.question", string(ctx.Path()), errs.Invalid, err)
	}
	return nil
}

// give makes a message the answer.
func give(ctx *fasthttp.RequestCtx, answer any) error {
	b, err := encode(nil, answer)
	if err != nil {
		return err
	}
	ctx.Response.SetBodyRaw(b)
	return nil
}
