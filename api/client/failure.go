package client

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// maxFailureBytes bounds how much of an error's document is read.
const maxFailureBytes = 64 << 10

// Failure is an answer that says no. It is found in an error with errors.As.
type Failure struct {
	Status    int    // of HTTP
	Code      string // S3's error code; empty for the native API and where there was no body
	Message   string // the server's words; empty where it had none (HEAD)
	RequestID string // names the request in the server's log; may be empty
	// RetryAfter is what the server asked to wait; 0: it did not.
	RetryAfter time.Duration
}

// Error implements error.
func (f *Failure) Error() string {
	switch {
	case f.Message == "" && f.Code == "":
		return fmt.Sprintf("status %d", f.Status)
	case f.Code == "":
		return fmt.Sprintf("%s (status %d)", f.Message, f.Status)
	}
	return fmt.Sprintf("%s (%s)", f.Message, f.Code)
}

// Kind says what the failure means to a caller: by S3's code where there is one,
// else by status.
func (f *Failure) Kind() errs.Kind {
	switch f.Code {
	case "BucketAlreadyExists", "BucketAlreadyOwnedByYou":
		return errs.Exists
	case "RequestTimeout":
		return errs.Busy
	case "ExpiredToken", "InvalidToken", "AuthorizationHeaderMalformed":
		return errs.Denied
	}
	switch f.Status {
	case http.StatusNotFound:
		return errs.NotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		return errs.Denied
	case http.StatusConflict, http.StatusPreconditionFailed, http.StatusNotModified:
		return errs.Conflict
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return errs.Busy
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return errs.Offline
	case http.StatusInsufficientStorage:
		return errs.NoSpace
	}
	if f.Status >= 300 && f.Status < 500 {
		return errs.Invalid
	}
	return errs.Internal
}

// passes reports whether the same request may succeed later.
func (f *Failure) passes() bool {
	switch f.Status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return f.Code == "RequestTimeout"
}

// AsFailure returns the server's answer in an error, nil if there is none.
func AsFailure(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return nil
}

// WrongServer reports whether whoever is at the endpoint cannot be talked to as it
// is given: the certificate is none that is trusted, of another name, or out of
// date, or there is no HTTPS. The same request fails until something is changed.
func WrongServer(err error) bool {
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate) || errors.Is(err, http.ErrSchemeMismatch)
}

// Code returns S3's code in an error, empty if there is none.
func Code(err error) string {
	if f := AsFailure(err); f != nil {
		return f.Code
	}
	return ""
}

// ReadFailure reads an answer that says no, S3's XML or native JSON, and closes
// its body.
func ReadFailure(response *http.Response) *Failure {
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxFailureBytes))
	f := &Failure{Status: response.StatusCode, RequestID: response.Header.Get("x-amz-request-id")}
	if seconds, bad := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 31); bad == nil {
		f.RetryAfter = time.Duration(seconds) * time.Second
	}
	if err == nil {
		f.parse(body)
	}
	if said := response.Header.Get("Hdr-Error"); f.Message == "" && said != "" {
		f.parse([]byte(said))
	}
	return f
}

// ParseErrorDocument reads S3's error document, which a CompleteMultipartUpload or a copy
// may answer behind a status of 200; nil if the body is none.
func ParseErrorDocument(body []byte) *Failure {
	f := &Failure{Status: http.StatusInternalServerError}
	f.parse(body)
	if f.Code == "" {
		return nil
	}
	switch f.Code {
	case "SlowDown", "ServiceUnavailable":
		f.Status = http.StatusServiceUnavailable
	case "NoSuchUpload", "NoSuchKey", "NoSuchBucket":
		f.Status = http.StatusNotFound
	case "PreconditionFailed":
		f.Status = http.StatusPreconditionFailed
	case "InvalidPart", "InvalidPartOrder", "EntityTooSmall", "EntityTooLarge", "BadDigest", "InvalidRequest":
		f.Status = http.StatusBadRequest
	}
	return f
}

// parse takes code and message from an error's document.
func (f *Failure) parse(body []byte) {
	body = bytes.TrimSpace(body)
	switch {
	case bytes.HasPrefix(body, []byte("{")):
		var document struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(body, &document) == nil {
			f.Message = document.Message
		}
	case bytes.HasPrefix(body, []byte("<")):
		var document struct {
			XMLName   xml.Name `xml:"Error"`
			Code      string
			Message   string
			RequestID string `xml:"RequestId"`
		}
		if xml.Unmarshal(body, &document) == nil {
			f.Code, f.Message = document.Code, document.Message
			if document.RequestID != "" {
				f.RequestID = document.RequestID
			}
		}
	case len(body) > 0 && len(body) < 1000:
		f.Message = strings.Join(strings.Fields(string(body)), " ")
	}
}
