package loader

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// multipart stores an object as a multipart upload: it begins one, puts the parts
// one after the other, and completes it. An upload that fails on a connection
// that is whole is aborted, so that nothing is left behind.
//
// (Amazon S3: CreateMultipartUpload, UploadPart, CompleteMultipartUpload,
// AbortMultipartUpload)
func (w *worker) multipart(ctx context.Context, digest uint64, size int64, now time.Time) outcome {
	_, document, end := w.step(ctx, "POST", "uploads=", nil, now)
	if end.code != "" {
		return end
	}
	id := element(document, "UploadId")
	if id == "" {
		return w.fault(codeProtocol, "the answer to the beginning of an upload names none")
	}
	query := "uploadId=" + string(appendEscaped(nil, id))
	list := append(w.parts[:0], "<CompleteMultipartUpload>"...)
	for part, offset := 1, int64(0); part == 1 || offset < size; part++ {
		length := min(w.run.load.PartBytes, size-offset)
		pieces := w.run.payloads.appendSlice(nil, digest, offset, length)
		_, _, end = w.step(ctx, "PUT", "partNumber="+strconv.Itoa(part)+"&"+query, pieces, time.Now())
		if end.code != "" {
			return w.abort(ctx, query, end)
		}
		if len(w.etag) == 0 {
			return w.abort(ctx, query, w.fault(codeProtocol, fmt.Sprintf("the answer to part %d has no ETag", part)))
		}
		list = append(list, "<Part><PartNumber>"...)
		list = strconv.AppendInt(list, int64(part), 10)
		list = append(list, "</PartNumber><ETag>"...)
		list = append(list, strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(w.etag)...)
		list = append(list, "</ETag></Part>"...)
		offset += length
	}
	list = append(list, "</CompleteMultipartUpload>"...)
	w.parts = list
	answer, document, end := w.step(ctx, "POST", query, [][]byte{list}, time.Now())
	switch {
	case end.code != "":
		return w.abort(ctx, query, end)
	case !bytes.Contains(document, []byte("CompleteMultipartUploadResult")):
		// S3 may begin to answer before it knows, and then says so with status 200.
		return w.abort(ctx, query, w.fault(documentCode(answer.status, document), "the upload was not completed: "+element(document, "Message")))
	}
	return outcome{bytes: size, class: answer.class}
}

// step asks for one step of an upload and reads the answer, whose ETag is then in
// w.etag. It connects again if the server ended the connection in between. The
// document is valid until the next step.
func (w *worker) step(ctx context.Context, method, query string, body [][]byte, now time.Time) (response, []byte, outcome) {
	if err := w.connect.connect(ctx); err != nil {
		return response{}, nil, outcome{code: codeConnect, example: err.Error(), broken: true}
	}
	var size int64
	for _, piece := range body {
		size += int64(len(piece))
	}
	w.pieces = append(append(w.pieces[:0], w.requests.upload(method, w.name, query, size, now)), body...)
	answer, end := w.ask(now)
	if end.code != "" {
		return answer, nil, end
	}
	if answer.status != 200 && answer.status != 204 {
		end := w.refused(Multipart, answer)
		if answer.close {
			w.connect.drop()
		}
		return answer, nil, end
	}
	w.etag = string(answer.etag)
	w.page.kept, w.page.limit = w.page.kept[:0], maxErrorBytes
	if answer.hasBody(Multipart) {
		if _, err := w.connect.reader.body(answer, &w.page); err != nil {
			return answer, nil, w.lost(err)
		}
	}
	if answer.close {
		w.connect.drop() // the next step connects again
	}
	return answer, w.page.kept, outcome{}
}

// abort aborts an upload that failed, and returns how it failed: whether the
// server heeds it changes nothing about that.
func (w *worker) abort(ctx context.Context, query string, failed outcome) outcome {
	if !failed.broken {
		_, _, end := w.step(ctx, "DELETE", query, nil, time.Now())
		failed.broken = end.broken
	}
	return failed
}
