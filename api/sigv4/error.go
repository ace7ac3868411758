package sigv4

import (
	"strconv"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Code is an S3 error code. The S3 edge's table gives each its HTTP status.
type Code string

// The codes that this package and httpedge/auth answer with.
const (
	AccessDenied                      Code = "AccessDenied"
	AuthorizationHeaderMalformed      Code = "AuthorizationHeaderMalformed"
	AuthorizationQueryParametersError Code = "AuthorizationQueryParametersError"
	EntityTooLarge                    Code = "EntityTooLarge"
	IncompleteBody                    Code = "IncompleteBody"
	InvalidAccessKeyID                Code = "InvalidAccessKeyId"
	InvalidArgument                   Code = "InvalidArgument"
	InvalidChunkSizeError             Code = "InvalidChunkSizeError"
	InvalidRequest                    Code = "InvalidRequest"
	InvalidToken                      Code = "InvalidToken"
	InvalidURI                        Code = "InvalidURI"
	ExpiredToken                      Code = "ExpiredToken"
	MalformedTrailerError             Code = "MalformedTrailerError"
	MissingContentLength              Code = "MissingContentLength"
	NotImplemented                    Code = "NotImplemented"
	RequestTimeTooSkewed              Code = "RequestTimeTooSkewed"
	RequestTimeout                    Code = "RequestTimeout"
	SignatureDoesNotMatch             Code = "SignatureDoesNotMatch"
	XAmzContentSHA256Mismatch         Code = "XAmzContentSHA256Mismatch"
)

// Error is a refusal in S3's words. It wraps an errs.Error, so that a caller
// that knows no S3 still learns the kind. Immutable.
type Error struct {
	Code    Code
	Message string
	// Details are further elements of the XML answer, in order: for example
	// StringToSign and CanonicalRequest, which let a client find its mistake.
	// They hold what the client sent and nothing secret.
	Details []objects.Pair
	// Err says of which kind the refusal is, and the cause if there is one.
	Err error
}

// Error implements error.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Detail returns the value of a detail, or "".
func (e *Error) Detail(name string) string {
	for _, d := range e.Details {
		if d.Name == name {
			return d.Value
		}
	}
	return ""
}

const (
	opVerify errs.Op = "sigv4.Verify"
	opChunk  errs.Op = "sigv4.ChunkReader"
)

func denied(code Code, message string, details ...objects.Pair) *Error {
	return &Error{Code: code, Message: message, Details: details, Err: &errs.Error{Op: opVerify, Kind: errs.Denied}}
}

func invalid(code Code, message string, details ...objects.Pair) *Error {
	return &Error{Code: code, Message: message, Details: details, Err: &errs.Error{Op: opVerify, Kind: errs.Invalid}}
}

func invalidArgument(message, name string, value []byte) *Error {
	return invalid(InvalidArgument, message,
		objects.Pair{Name: "ArgumentName", Value: name}, objects.Pair{Name: "ArgumentValue", Value: string(value)})
}

func invalidURI() *Error { return invalid(InvalidURI, "Couldn't parse the specified URI.") }

// malformed is a fault of the credentials' form, in the words of the place that they came from.
func (c *claim) malformed(message string, details ...objects.Pair) *Error {
	if c.presigned {
		return invalid(AuthorizationQueryParametersError, message, details...)
	}
	return invalid(AuthorizationHeaderMalformed, "The authorization header is malformed; "+message, details...)
}

func missingParameters() *Error {
	return invalid(AuthorizationQueryParametersError,
		"Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "+
			"X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.")
}

func severalMechanisms(value []byte) *Error {
	return invalidArgument("Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "+
		"Signature query string parameter or the Authorization header should be specified", "Authorization", value)
}

func otherMechanism() *Error {
	return invalid(InvalidRequest,
		"The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
}

func notSigned(names []string) *Error {
	return denied(AccessDenied, "There were headers present in the request which were not signed",
		objects.Pair{Name: "HeadersNotSigned", Value: strings.Join(names, ", ")})
}

func skewed(requestTime string, now time.Time, allowed time.Duration) *Error {
	return denied(RequestTimeTooSkewed, "The difference between the request time and the current time is too large.",
		objects.Pair{Name: "RequestTime", Value: requestTime},
		objects.Pair{Name: "ServerTime", Value: now.UTC().Format(time.RFC3339)},
		objects.Pair{Name: "MaxAllowedSkewMilliseconds", Value: strconv.FormatInt(allowed.Milliseconds(), 10)})
}

// mismatch explains a wrong signature with the texts that the server signed.
func (s *scratch) mismatch(c *claim) *Error {
	return denied(SignatureDoesNotMatch,
		"The request signature we calculated does not match the signature you provided. Check your key and signing method.",
		objects.Pair{Name: "AWSAccessKeyId", Value: string(c.accessKey)},
		objects.Pair{Name: "StringToSign", Value: string(s.toSign)},
		objects.Pair{Name: "SignatureProvided", Value: string(c.signature)},
		objects.Pair{Name: "CanonicalRequest", Value: string(s.canonical)})
}

// badChunk is a fault of an aws-chunked body.
func badChunk(code Code, kind errs.Kind, message string, cause error) *Error {
	return &Error{Code: code, Message: message, Err: &errs.Error{Op: opChunk, Kind: kind, Err: cause}}
}

func incompleteBody() *Error {
	return badChunk(IncompleteBody, errs.Invalid,
		"You did not provide the number of bytes specified by the Content-Length HTTP header", objects.ErrIncompleteBody)
}
