package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/objects/errs"
)

// advice says what a person may do about an error; empty if nothing is known
// that the error does not say itself. s is nil if the command is no client.
func advice(err error, s *Session) string {
	var told *advised
	if errors.As(err, &told) {
		return told.advice
	}
	var partly *Partly
	if errors.As(err, &partly) {
		if partly.Resume != "" {
			return partly.Resume
		}
		return advice(partly.First, s)
	}
	flag, variable := "--endpoint", "TROUPE_ENDPOINT"
	if s != nil && s.control {
		flag, variable = "--native", "TROUPE_NATIVE_ENDPOINT"
	}
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	var lookup *net.DNSError
	switch {
	case errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled):
		return ""
	case errors.As(err, &authority):
		return "give the file of the authority that signed the server's certificate with --ca-file or AWS_CA_BUNDLE"
	case errors.As(err, &hostname):
		return "name the server as its certificate does"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "have the server's certificate renewed, or set this machine's clock if it is wrong"
	case errors.As(err, &lookup):
		return "check the host name in " + flag + " or " + variable
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens there: is the node running (troupe serve), and is " + flag + " or " + variable + " its address?"
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return "make room on the target's filesystem and run the same command again: it goes on where it stopped"
	case errors.Is(err, syscall.ENAMETOOLONG):
		return "a name has more than 255 bytes; copy that object alone under another name"
	case errors.Is(err, fs.ErrPermission):
		return "check the permissions of the local file or directory"
	}
	if s == nil {
		return "" // what follows is about what servers answer
	}
	if s.control && isS3Code(client.Code(err)) {
		return "an S3 listener answered, which knows nothing of nodes: is " + flag + " or " + variable + " the address of the native one?"
	}
	if failure := client.AsFailure(err); !s.control && failure != nil && strings.Contains(failure.Message, noNativePath) {
		return "a native listener answered, which has S3 below /s3: add that to " + flag + " or " + variable + ", or give the address of the S3 listener"
	}
	if failure := client.AsFailure(err); failure != nil && strings.Contains(failure.Message, quarantined) {
		return "" // it says what to do
	}
	if text := adviceForCode(client.Code(err), s); text != "" {
		return text
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return "the server speaks http there: change https:// in the endpoint"
	}
	switch errs.KindOf(err) {
	case errs.NotFound:
		if client.AsFailure(err) != nil && !s.control {
			return "see what is there with `troupe ls`"
		}
	case errs.Busy:
		return "the server is busy; try again later, or with a smaller --parallel"
	case errs.Offline:
		return "the server cannot be reached or stopped answering; the same command goes on where it stopped"
	case errs.NoSpace:
		return "the server's mountpaths are full: delete objects, abort uploads that nobody goes on with (`troupe ls --uploads`), or give it more space"
	case errs.Denied:
		return "requests were signed with " + s.keys.describe()
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "the connection was cut; run the same command again"
	}
	return ""
}

// noNativePath is what a native listener says to a request that is S3's.
const noNativePath = "no such path in the native API"

// quarantined is what a node says of what it refuses because its handling panicked.
const quarantined = " is quarantined"

// isS3Code reports whether a code is one that only S3 answers about a path of the
// native API: there is no bucket "v1".
func isS3Code(code string) bool {
	return code == "NoSuchBucket" || code == "InvalidBucketName" || code == "MethodNotAllowed"
}

// adviceForCode is the table from S3's codes to what to do.
func adviceForCode(code string, s *Session) string {
	keys := s.keys.describe()
	switch code {
	case "InvalidAccessKeyId":
		return "the server does not know " + keys + ": set TROUPE_ACCESS_KEY and TROUPE_SECRET_KEY, or name a --profile"
	case "SignatureDoesNotMatch":
		return "the secret key is another one than the server's: requests were signed with " + keys
	case "RequestTimeTooSkewed":
		return "set this machine's clock: it differs from the server's by more than 15 minutes"
	case "AccessDenied":
		return "requests were signed with " + keys
	case "NoSuchBucket":
		return "list the buckets with `troupe ls`, or make it with `troupe mb`"
	case "NoSuchKey":
		return "list the keys with `troupe ls troupe://BUCKET/PREFIX`"
	case "BucketNotEmpty":
		return "`troupe rb --force` deletes the objects first"
	case "InvalidBucketName":
		return "a bucket name has 3 to 63 lower-case letters, digits, dots and hyphens"
	case "KeyTooLongError":
		return "a key has at most 1,024 bytes"
	case "EntityTooSmall":
		return "a part is smaller than the server accepts: choose a greater --part-size"
	case "PreconditionFailed":
		return "the object has changed meanwhile; run the command again"
	case "NotImplemented":
		return "this server does not have that yet"
	}
	return ""
}
