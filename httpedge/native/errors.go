package native

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Refusal is an answer that says no in AIStore's words.
type Refusal struct {
	Status  int    // HTTP status, at least 400
	Type    string // tcode, a name that Go clients test; empty: none
	Message string
	Err     error // the cause, for logs; may be nil
}

// Error implements error.
func (e *Refusal) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Refusal) Unwrap() error { return e.Err }

// Refuse makes a Refusal.
func Refuse(status int, kind, format string, args ...any) *Refusal {
	return &Refusal{Status: status, Type: kind, Message: fmt.Sprintf(format, args...)}
}

// wrongMethod is answered in plain text, unlike everything else.
type wrongMethod struct{ allow string }

// Error implements error.
func (e *wrongMethod) Error() string { return "method not allowed; allowed: " + e.allow }

// The type names (tcode) that clients test.
const (
	typeBucketExists   = "ErrBucketAlreadyExists"
	typeBucketNotFound = "ErrBckNotFound"
	typeRemoteNotFound = "ErrRemoteBckNotFound"
	typeNotFound       = "ErrNotFound"
	typeBusy           = "ErrBusy"
	typeUnsupported    = "ErrUnsupp"
	typeNotImplemented = "ErrNotImpl"
	typeNoSpace        = "ErrCapExceeded"
	typeQuarantined    = "ErrQuarantined" // not AIStore's, which has no such thing
)

// refusalOf turns any error into what is answered. It is the one table from
// kinds of errors to statuses of the native API.
func refusalOf(err error) *Refusal {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal
	}
	var signature *sigv4.Error
	if errors.As(err, &signature) {
		return refusalOfSignature(signature)
	}
	answer := func(status int, kind string) *Refusal {
		return &Refusal{Status: status, Type: kind, Message: err.Error(), Err: err}
	}
	switch errs.KindOf(err) {
	case errs.NotFound:
		return answer(fasthttp.StatusNotFound, typeNotFound)
	case errs.Exists, errs.Conflict:
		return answer(fasthttp.StatusConflict, "")
	case errs.Denied:
		return answer(fasthttp.StatusForbidden, "")
	case errs.Invalid:
		if errors.Is(err, objects.ErrTooLarge) {
			return answer(fasthttp.StatusRequestEntityTooLarge, "")
		}
		return answer(fasthttp.StatusBadRequest, "")
	case errs.Canceled: // the client broke off; the answer is for the log
		return answer(fasthttp.StatusBadRequest, "")
	case errs.Busy:
		return answer(fasthttp.StatusServiceUnavailable, typeBusy)
	case errs.Offline:
		var quarantined *messages.Quarantined
		if errors.As(err, &quarantined) {
			return answer(fasthttp.StatusServiceUnavailable, typeQuarantined)
		}
		return answer(fasthttp.StatusServiceUnavailable, "")
	case errs.NoSpace:
		return answer(fasthttp.StatusInsufficientStorage, typeNoSpace)
	default:
		return answer(fasthttp.StatusInternalServerError, "")
	}
}

func refusalOfSignature(e *sigv4.Error) *Refusal {
	status := fasthttp.StatusBadRequest
	switch e.Code {
	case sigv4.EntityTooLarge:
		status = fasthttp.StatusRequestEntityTooLarge
	case sigv4.RequestTimeout:
		status = fasthttp.StatusRequestTimeout
	default:
		if errs.Is(errs.Denied, e) {
			status = fasthttp.StatusForbidden
		}
	}
	return &Refusal{Status: status, Message: e.Error(), Err: e}
}

// fail answers with an error; for HEAD it travels in a header.
func (r *Request) fail(err error) {
	ctx := r.ctx
	r.drain()
	var method *wrongMethod
	if errors.As(err, &method) {
		ctx.Response.Reset()
		ctx.Error("method not allowed", fasthttp.StatusMethodNotAllowed)
		r.set(requestHeader, r.id)
		ctx.Response.Header.Set("Allow", method.allow)
		return
	}
	refusal := refusalOf(err)
	body, marshalErr := json.Marshal(ais.Failure{
		Type: refusal.Type, Message: refusal.Message, Method: r.method, Path: r.path,
		RemoteAddr: ctx.RemoteAddr().String(), Node: "p[" + r.h.proxyID() + "]", Status: refusal.Status,
	})
	if marshalErr != nil {
		body = []byte(`{"status":` + strconv.Itoa(refusal.Status) + `}`)
	}
	ctx.Response.Reset()
	ctx.SetStatusCode(refusal.Status)
	r.set(requestHeader, r.id)
	var outside *badRange
	if errors.As(err, &outside) {
		ctx.Response.Header.Set(outside.header())
	}
	switch refusal.Status {
	case fasthttp.StatusServiceUnavailable:
		after := 1
		var quarantined *messages.Quarantined
		if errors.As(err, &quarantined) {
			after = int(messages.QuarantineRetry.Seconds())
		}
		ctx.Response.Header.Set("Retry-After", strconv.Itoa(after))
	case fasthttp.StatusUnauthorized:
		ctx.Response.Header.Set("WWW-Authenticate", "Bearer")
	}
	if r.method == head {
		ctx.Response.Header.SetBytesV("Hdr-Error", body)
		return
	}
	ctx.SetContentType("application/json")
	ctx.Response.Header.Set("X-Content-Type-Options", "nosniff")
	ctx.SetBody(body)
}
