package s3api

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// S3's error codes that this edge answers with.
const (
	codeAccessDenied            = "AccessDenied"
	codeAccessForbidden         = "AccessForbidden"
	codeBadDigest               = "BadDigest"
	codeBadRequest              = "BadRequest"
	codeBucketAlreadyExists     = "BucketAlreadyExists"
	codeBucketAlreadyOwned      = "BucketAlreadyOwnedByYou"
	codeBucketNotEmpty          = "BucketNotEmpty"
	codeEntityTooLarge          = "EntityTooLarge"
	codeEntityTooSmall          = "EntityTooSmall"
	codeIncompleteBody          = "IncompleteBody"
	codeInsufficientStorage     = "InsufficientStorage" // not S3's: it is never full
	codeInternalError           = "InternalError"
	codeInvalidArgument         = "InvalidArgument"
	codeInvalidBucketName       = "InvalidBucketName"
	codeInvalidDigest           = "InvalidDigest"
	codeInvalidLocation         = "InvalidLocationConstraint"
	codeInvalidPart             = "InvalidPart"
	codeInvalidPartOrder        = "InvalidPartOrder"
	codeInvalidRange            = "InvalidRange"
	codeInvalidRedirect         = "InvalidRedirectLocation"
	codeInvalidRequest          = "InvalidRequest"
	codeInvalidStorageClass     = "InvalidStorageClass"
	codeInvalidTag              = "InvalidTag"
	codeInvalidURI              = "InvalidURI"
	codeKeyTooLong              = "KeyTooLongError"
	codeMalformedTrailer        = "MalformedTrailerError"
	codeMalformedXML            = "MalformedXML"
	codeMessageTooLong          = "MaxMessageLengthExceeded"
	codeMetadataTooLarge        = "MetadataTooLarge"
	codeMethodNotAllowed        = "MethodNotAllowed"
	codeMissingContentLength    = "MissingContentLength"
	codeNoSuchBucket            = "NoSuchBucket"
	codeNoSuchBucketPolicy      = "NoSuchBucketPolicy"
	codeNoSuchConfiguration     = "NoSuchConfiguration"
	codeNoSuchCORS              = "NoSuchCORSConfiguration"
	codeNoSuchKey               = "NoSuchKey"
	codeNoSuchLifecycle         = "NoSuchLifecycleConfiguration"
	codeNoSuchTagSet            = "NoSuchTagSet"
	codeNoSuchUpload            = "NoSuchUpload"
	codeNoSuchVersion           = "NoSuchVersion"
	codeNoSuchWebsite           = "NoSuchWebsiteConfiguration"
	codeNotImplemented          = "NotImplemented"
	codeNoObjectLock            = "ObjectLockConfigurationNotFoundError"
	codeNoReplication           = "ReplicationConfigurationNotFoundError"
	codeNoEncryption            = "ServerSideEncryptionConfigurationNotFoundError"
	codePreconditionFailed      = "PreconditionFailed"
	codeRequestHeaderTooLarge   = "RequestHeaderSectionTooLarge"
	codeRequestTimeout          = "RequestTimeout"
	codeServiceUnavailable      = "ServiceUnavailable"
	codeSlowDown                = "SlowDown"
	codeXAmzContentSHA256Differ = "XAmzContentSHA256Mismatch"
)

// answer is how a code is answered when nothing more particular is known.
type answer struct {
	status  int
	message string
}

// answerOf is the table of codes: S3's status and S3's words. Codes that come
// from signatures are in it too, though others refuse with them.
// Source: Amazon S3 API Reference, "Error responses", list of error codes.
func answerOf(code string) (answer, bool) {
	switch code {
	case codeAccessDenied:
		return answer{403, "Access Denied"}, true
	case codeAccessForbidden:
		return answer{403, "CORSResponse: CORS is not enabled for this bucket."}, true
	case codeBadDigest:
		return answer{400, "The Content-MD5 or checksum value that you specified did not match what the server received."}, true
	case codeBadRequest:
		return answer{400, "An error occurred when parsing the HTTP request."}, true
	case codeBucketAlreadyExists:
		return answer{409, "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again."}, true
	case codeBucketAlreadyOwned:
		return answer{409, "Your previous request to create the named bucket succeeded and you already own it."}, true
	case codeBucketNotEmpty:
		return answer{409, "The bucket you tried to delete is not empty"}, true
	case codeEntityTooLarge:
		return answer{400, "Your proposed upload exceeds the maximum allowed size"}, true
	case codeEntityTooSmall:
		return answer{400, "Your proposed upload is smaller than the minimum allowed size"}, true
	case codeIncompleteBody:
		return answer{400, "You did not provide the number of bytes specified by the Content-Length HTTP header"}, true
	case codeInsufficientStorage:
		return answer{507, "There is no space left for this write. Reads and deletes work."}, true
	case codeInternalError:
		return answer{500, "We encountered an internal error. Please try again."}, true
	case codeInvalidArgument:
		return answer{400, "Invalid Argument"}, true
	case codeInvalidBucketName:
		return answer{400, "The specified bucket is not valid."}, true
	case codeInvalidDigest:
		return answer{400, "The Content-MD5 you specified was invalid."}, true
	case codeInvalidLocation:
		return answer{400, "The specified location-constraint is not valid"}, true
	case codeInvalidPart:
		return answer{400, "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."}, true
	case codeInvalidPartOrder:
		return answer{400, "The list of parts was not in ascending order. Parts must be ordered by part number."}, true
	case codeInvalidRange:
		return answer{416, "The requested range is not satisfiable"}, true
	case codeInvalidRedirect:
		return answer{400, "The website redirect location must have a prefix of 'http://' or 'https://' or '/'."}, true
	case codeInvalidRequest:
		return answer{400, "Invalid Request"}, true
	case codeInvalidStorageClass:
		return answer{400, "The storage class you specified is not valid"}, true
	case codeInvalidTag:
		return answer{400, "The tag provided was not a valid tag. This error can occur if the tag did not pass input validation."}, true
	case codeInvalidURI:
		return answer{400, "Couldn't parse the specified URI."}, true
	case codeKeyTooLong:
		return answer{400, "Your key is too long"}, true
	case codeMalformedTrailer:
		return answer{400, "The request contained trailing data that was not well-formed or did not conform to our published schema."}, true
	case codeMalformedXML:
		return answer{400, "The XML you provided was not well-formed or did not validate against our published schema"}, true
	case codeMessageTooLong:
		return answer{400, "Your request was too big."}, true
	case codeMetadataTooLarge:
		return answer{400, "Your metadata headers exceed the maximum allowed metadata size"}, true
	case codeMethodNotAllowed:
		return answer{405, "The specified method is not allowed against this resource."}, true
	case codeMissingContentLength:
		return answer{411, "You must provide the Content-Length HTTP header."}, true
	case codeNoSuchBucket:
		return answer{404, "The specified bucket does not exist"}, true
	case codeNoSuchBucketPolicy:
		return answer{404, "The bucket policy does not exist"}, true
	case codeNoSuchConfiguration:
		return answer{404, "The specified configuration does not exist."}, true
	case codeNoSuchCORS:
		return answer{404, "The CORS configuration does not exist"}, true
	case codeNoSuchKey:
		return answer{404, "The specified key does not exist."}, true
	case codeNoSuchLifecycle:
		return answer{404, "The lifecycle configuration does not exist"}, true
	case codeNoSuchTagSet:
		return answer{404, "The TagSet does not exist"}, true
	case codeNoSuchUpload:
		return answer{404, "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."}, true
	case codeNoSuchVersion:
		return answer{404, "The specified version does not exist."}, true
	case codeNoSuchWebsite:
		return answer{404, "The specified bucket does not have a website configuration"}, true
	case codeNotImplemented:
		return answer{501, "A header or query you provided implies functionality that is not implemented."}, true
	case codeNoObjectLock:
		return answer{404, "Object Lock configuration does not exist for this bucket"}, true
	case codeNoReplication:
		return answer{404, "The replication configuration was not found"}, true
	case codeNoEncryption:
		return answer{404, "The server side encryption configuration was not found"}, true
	case codePreconditionFailed:
		return answer{412, "At least one of the pre-conditions you specified did not hold"}, true
	case codeRequestHeaderTooLarge:
		return answer{431, "Your request header section exceeds the maximum allowed size."}, true
	case codeRequestTimeout:
		return answer{400, "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed."}, true
	case codeServiceUnavailable:
		return answer{503, "Service is unable to handle request."}, true
	case codeSlowDown:
		return answer{503, "Please reduce your request rate."}, true
	case codeXAmzContentSHA256Differ:
		return answer{400, "The provided 'x-amz-content-sha256' header does not match what was computed."}, true

	case "InvalidAccessKeyId":
		return answer{403, "The AWS Access Key Id you provided does not exist in our records."}, true
	case "SignatureDoesNotMatch":
		return answer{403, "The request signature we calculated does not match the signature you provided. Check your key and signing method."}, true
	case "RequestTimeTooSkewed":
		return answer{403, "The difference between the request time and the server's time is too large."}, true
	case "ExpiredToken", "InvalidToken":
		return answer{400, "The provided token is malformed, expired or otherwise invalid."}, true
	case "AuthorizationHeaderMalformed", "AuthorizationQueryParametersError", "InvalidSecurity", "MissingSecurityHeader", "InvalidChunkSizeError",
		"MissingAuthenticationToken":
		return answer{400, "The authorization that you provided is not valid."}, true
	}
	return answer{}, false
}

// Error is a refusal with one of S3's codes. Make one with Refuse.
type Error struct {
	Code    string
	Message string   // empty: S3's words for the code
	Details []Detail // further elements of the XML, in order
	Header  []Detail // headers of the answer, such as Allow
	Cause   error    // for the log, never for the client
}

// Detail is one further element of an error's XML, or header of its answer.
type Detail struct{ Name, Value string }

// Refuse makes a refusal; an empty message stands for S3's words for the code.
func Refuse(code, message string) *Error { return &Error{Code: code, Message: message} }

// refuse is Refuse as this package says it.
func refuse(code, message string) *Error { return Refuse(code, message) }

// with adds an element to the XML.
func (e *Error) with(name, value string) *Error {
	e.Details = append(e.Details, Detail{name, value})
	return e
}

// argument says which argument was wrong.
func (e *Error) argument(name, value string) *Error {
	return e.with("ArgumentName", name).with("ArgumentValue", value)
}

// because keeps the cause for the log.
func (e *Error) because(err error) *Error {
	e.Cause = err
	return e
}

// Error implements error.
func (e *Error) Error() string {
	s := "s3api: " + e.Code
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Status returns the HTTP status of the code; an unknown code is a fault of the
// request if it is anyone's: 400.
func (e *Error) Status() int {
	if a, ok := answerOf(e.Code); ok {
		return a.status
	}
	return fasthttp.StatusBadRequest
}

// words returns the message for the client.
func (e *Error) words() string {
	if e.Message != "" {
		return e.Message
	}
	a, _ := answerOf(e.Code)
	return a.message
}

// errorOf is THE table from what went wrong below to what S3 says about it.
// The resource decides between a bucket and a key where the error does not.
func errorOf(err error, t target) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var signed *sigv4.Error
	if errors.As(err, &signed) {
		e := refuse(string(signed.Code), signed.Message).because(signed.Err)
		for _, d := range signed.Details {
			e = e.with(d.Name, d.Value)
		}
		return e
	}
	var mismatch *checksum.Mismatch
	var quarantined *messages.Quarantined
	var away *messages.MountpathAway
	var node *messages.NodeAway
	var owners *messages.OwnersAway
	var agreement *messages.AgreementAway
	is := func(sentinel error) bool { return errors.Is(err, sentinel) }
	code := func(c string) *Error { return refuse(c, "").because(err) }
	switch {
	case is(objects.ErrNoSuchBucket):
		return code(codeNoSuchBucket).with("BucketName", t.bucket)
	case is(objects.ErrNoSuchVersion):
		return code(codeNoSuchVersion).with("Key", t.key)
	case is(objects.ErrNoSuchUpload):
		return code(codeNoSuchUpload)
	case is(objects.ErrNoSuchKey):
		return code(codeNoSuchKey).with("Key", t.key)
	case is(objects.ErrBucketExists):
		return code(codeBucketAlreadyOwned).with("BucketName", t.bucket)
	case is(objects.ErrBucketNotEmpty):
		return code(codeBucketNotEmpty).with("BucketName", t.bucket)
	case is(objects.ErrBucketName):
		return code(codeInvalidBucketName).with("BucketName", t.bucket)
	case is(objects.ErrNameTooLong):
		return code(codeKeyTooLong)
	case is(objects.ErrObjectName):
		return code(codeInvalidURI)
	case is(objects.ErrPreconditionFailed):
		return code(codePreconditionFailed)
	case is(objects.ErrInvalidPart):
		return code(codeInvalidPart)
	case is(objects.ErrInvalidPartOrder):
		return code(codeInvalidPartOrder)
	case is(objects.ErrPartTooSmall):
		return code(codeEntityTooSmall)
	case errors.As(err, &mismatch):
		return differs(mismatch).because(err)
	case is(objects.ErrBadDigest):
		return code(codeBadDigest)
	case is(objects.ErrIncompleteBody):
		return code(codeIncompleteBody)
	case is(objects.ErrTooLarge):
		return code(codeEntityTooLarge)
	case is(objects.ErrInvalidRange):
		return code(codeInvalidRange)
	case errors.As(err, &quarantined):
		e := refuse(codeServiceUnavailable, quarantined.Public()).with("QuarantineId", quarantined.ID).because(err)
		if is(objects.ErrOutcomeUnknown) { // elsewhere it may have been carried out
			e.Message += " " + outcomeUnknown
		}
		e.Header = append(e.Header, Detail{"Retry-After", itoa(int64(messages.QuarantineRetry.Seconds()))})
		return e
	case errors.As(err, &away):
		return refuse(codeServiceUnavailable, away.Public()).because(err)
	case errors.As(err, &node):
		return refuse(codeServiceUnavailable, node.Public()).because(err)
	case errors.As(err, &owners):
		return refuse(codeServiceUnavailable, owners.Public()).because(err)
	case errors.As(err, &agreement):
		return refuse(codeServiceUnavailable, agreement.Public()).because(err)
	case is(objects.ErrOutcomeUnknown), is(messages.ErrNoAnswer):
		return refuse(codeServiceUnavailable, outcomeUnknown).because(err)
	case isTimeout(err) && errs.KindOf(err) != errs.Offline:
		return code(codeRequestTimeout)
	}
	switch errs.KindOf(err) {
	case errs.NotFound:
		if t.level() == levelObject {
			return code(codeNoSuchKey).with("Key", t.key)
		}
		return code(codeNoSuchBucket).with("BucketName", t.bucket)
	case errs.Exists:
		return code(codeBucketAlreadyExists)
	case errs.Denied:
		return code(codeAccessDenied)
	case errs.Invalid:
		return refuse(codeInvalidRequest, innermost(err)).because(err)
	case errs.Busy:
		return code(codeSlowDown)
	case errs.NoSpace:
		return code(codeInsufficientStorage)
	case errs.Offline, errs.Canceled:
		return code(codeServiceUnavailable)
	case errs.Conflict:
		return code(codePreconditionFailed)
	default: // Internal, IO, Corrupt
		return code(codeInternalError)
	}
}

// differs says which of the things that a client said of its payload is not so.
func differs(m *checksum.Mismatch) *Error {
	switch m.What {
	case "x-amz-content-sha256":
		return refuse(codeXAmzContentSHA256Differ, "").with("ClientComputedContentSHA256", m.Want).with("S3ComputedContentSHA256", m.Got)
	case "Content-MD5":
		return refuse(codeBadDigest, "The Content-MD5 you specified did not match what we received.").with("ExpectedDigest", m.Want).with("CalculatedDigest", m.Got)
	case "size":
		return refuse(codeIncompleteBody, "")
	}
	return refuse(codeBadDigest, "The "+m.What+" you specified did not match the calculated checksum.")
}

// outcomeUnknown is how an answer says that a write may have happened: clients that read
// 503 without it know that it has not.
const outcomeUnknown = "The outcome is unknown: the request may or may not have been carried out."

// isTimeout reports whether a read of the client's body took too long.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// innermost returns the words of the first cause, which say what is wrong with
// the request without telling who in the node noticed.
func innermost(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return strings.TrimPrefix(fmt.Sprint(err), "s3api: ")
		}
		err = next
	}
}

// retryAfterSeconds is what a client that should come back later is told. A
// queue of a mountpath is refused at once rather than kept, so a second is long.
const retryAfterSeconds = 1

// fail answers with an error: S3's XML, or the status alone where there is no body.
func (r *request) fail(err error) {
	e := errorOf(err, r.target)
	status := e.Status()
	if status == fasthttp.StatusInternalServerError { // overload and what is away are told by those who know them
		r.log().WithField("code", e.Code).WithError(err).Warn("s3api: request failed")
	}
	if e.Code != codeRequestTimeout && e.Code != codeIncompleteBody { // nothing more will come
		r.drain()
	}
	r.answer(e)
}

// answer makes the error the whole response.
func (r *request) answer(e *Error) {
	status := e.Status()
	r.record.SetCode(e.Code)
	response := &r.ctx.Response
	response.ResetBody()
	r.ctx.SetStatusCode(status)
	if status == fasthttp.StatusServiceUnavailable {
		r.set("Retry-After", itoa(retryAfterSeconds))
	}
	for _, h := range e.Header {
		r.set(h.Name, h.Value)
	}
	if r.ctx.IsHead() || status == fasthttp.StatusNotModified {
		return
	}
	m := r.newMarkup()
	m.raw("<Error>")
	m.text("Code", e.Code)
	m.text("Message", e.words())
	for _, d := range e.Details {
		m.text(d.Name, printable(d.Value))
	}
	m.text("Resource", printable(r.target.String()))
	m.text("RequestId", r.id)
	m.text("HostId", r.h.config.HostID)
	m.raw("</Error>")
	r.send(m)
}
