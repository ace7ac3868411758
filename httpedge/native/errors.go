package native

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects/errs"
)

// status is the table from kinds of errors to HTTP statuses of the native API.
func status(kind errs.Kind) int {
	switch kind {
	case errs.NotFound:
		return fasthttp.StatusNotFound
	case errs.Exists, errs.Conflict:
		return fasthttp.StatusConflict
	case errs.Denied:
		return fasthttp.StatusForbidden
	case errs.Invalid:
		return fasthttp.StatusBadRequest
	case errs.Busy, errs.Offline:
		return fasthttp.StatusServiceUnavailable
	case errs.NoSpace:
		return fasthttp.StatusInsufficientStorage
	default:
		return fasthttp.StatusInternalServerError
	}
}

// failure is the JSON body of an error, as AIStore's clients read it.
type failure struct {
	Message    string `json:"message"`
	Method     string `json:"method"`
	Path       string `json:"url_path"`
	RemoteAddr string `json:"remote_addr"`
	Caller     string `json:"caller"`
	Node       string `json:"node"`
	Status     int    `json:"status"`
}

// fail answers with an error; for HEAD it travels in a header.
func (h *Handler) fail(ctx *fasthttp.RequestCtx, err error) {
	code := status(errs.KindOf(err))
	body, marshalErr := json.Marshal(failure{
		Message: err.Error(), Method: string(ctx.Method()), Path: string(ctx.URI().PathOriginal()),
		RemoteAddr: ctx.RemoteAddr().String(), Node: h.NodeID, Status: code,
	})
	if marshalErr != nil {
		body = []byte(`{"status":` + strconv.Itoa(code) + `}`)
	}
	ctx.Response.Reset()
	ctx.SetStatusCode(code)
	if code == fasthttp.StatusServiceUnavailable {
		ctx.Response.Header.Set("Retry-After", "1")
	}
	if ctx.IsHead() {
		ctx.Response.Header.SetBytesV("Hdr-Error", body)
		return
	}
	ctx.SetContentType("application/json")
	ctx.Response.Header.Set("X-Content-Type-Options", "nosniff")
	ctx.SetBody(body)
}

// isTrue reads a boolean as AIStore's clients write it.
func isTrue(s string) bool {
	switch strings.ToLower(s) {
	case "1", "t", "true", "y", "yes", "on":
		return true
	}
	return false
}

func formatNanoseconds(d time.Duration) string { return strconv.FormatInt(d.Nanoseconds(), 10) }
