package s3api

import (
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects"
)

// header is what of a request's headers means anything to S3, copied out in one
// pass before the body is read: afterwards trailers stand among the headers.
// A field is empty where the header was not given.
type header struct {
	contentType        string
	contentEncoding    string
	contentDisposition string
	contentLanguage    string
	cacheControl       string
	expires            string
	redirect           string

	contentMD5    given
	decodedLength given // x-amz-decoded-content-length

	ifMatch           string
	ifNoneMatch       string
	ifModifiedSince   string
	ifUnmodifiedSince string
	ifRange           string
	ifSize            string // x-amz-if-match-size
	ifLastModified    string // x-amz-if-match-last-modified-time
	byteRange         string

	sums              []objects.Pair // x-amz-checksum-ALGORITHM headers: algorithm in lower case, value
	checksumAlgorithm string
	checksumType      string
	checksumMode      string
	sdkAlgorithm      string
	trailer           string // x-amz-trailer

	user    []objects.Pair
	tagging given

	acl               given
	grants            bool // any x-amz-grant-…
	storageClass      string
	encryption        bool // any x-amz-server-side-encryption…, for the object or a copy's source
	lock              bool // any x-amz-object-lock-…, on an object
	lockEnabled       string
	ownership         string
	copies, minCopies string // x-troupe-copies, x-troupe-min-copies
	reads             string // x-troupe-reads
	expectedOwner     string
	writeOffset       bool
	objectSize        string // x-amz-mp-object-size
	attributes        string
	maxParts          string
	partMarker        string
	metadataDirective string
	taggingDirective  string

	copySource              given
	copyRange               given
	copyIfMatch             string
	copyIfNoneMatch         string
	copyIfModifiedSince     string
	copyIfUnmodifiedSince   string
	expectedSourceOwner     string
	origin, requestedMethod string // of a CORS preflight
}

// given is a header whose empty value differs from its absence.
type given struct {
	value string
	ok    bool
}

// The prefixes of families of headers, as fasthttp spells them.
const (
	amazonPrefix   = "X-Amz-"
	userPrefix     = "X-Amz-Meta-"
	checksumPrefix = "X-Amz-Checksum-"
	grantPrefix    = "X-Amz-Grant-"
	ssePrefix      = "X-Amz-Server-Side-Encryption"
	sseCopyPrefix  = "X-Amz-Copy-Source-Server-Side-Encryption"
	lockPrefix     = "X-Amz-Object-Lock-"
)

// read copies the headers of a request. Of a header that came more than once
// the first counts, except for user metadata, whose values are joined by commas
// as S3 does, and for the lists of entity tags, which HTTP joins.
func (h *header) read(from *fasthttp.RequestHeader) {
	for name, value := range from.All() {
		switch string(name) {
		case "Content-Type":
			first(&h.contentType, value)
		case "Content-Encoding":
			join(&h.contentEncoding, value)
		case "Content-Disposition":
			first(&h.contentDisposition, value)
		case "Content-Language":
			first(&h.contentLanguage, value)
		case "Cache-Control":
			join(&h.cacheControl, value)
		case "Expires":
			first(&h.expires, value)
		case "Content-Md5":
			h.contentMD5.set(value)
		case "If-Match":
			join(&h.ifMatch, value)
		case "If-None-Match":
			join(&h.ifNoneMatch, value)
		case "If-Modified-Since":
			first(&h.ifModifiedSince, value)
		case "If-Unmodified-Since":
			first(&h.ifUnmodifiedSince, value)
		case "If-Range":
			first(&h.ifRange, value)
		case "Range":
			first(&h.byteRange, value)
		case "Origin":
			first(&h.origin, value)
		case "Access-Control-Request-Method":
			first(&h.requestedMethod, value)
		case "X-Troupe-Copies":
			first(&h.copies, value)
		case "X-Troupe-Min-Copies":
			first(&h.minCopies, value)
		case "X-Troupe-Reads":
			first(&h.reads, value)
		default:
			if below(name, amazonPrefix) {
				h.readAmazon(name, value)
			}
		}
	}
}

// readAmazon copies one of Amazon's own headers.
func (h *header) readAmazon(name, value []byte) {
	switch string(name) {
	case "X-Amz-Decoded-Content-Length":
		h.decodedLength.set(value)
	case "X-Amz-If-Match-Size":
		first(&h.ifSize, value)
	case "X-Amz-If-Match-Last-Modified-Time":
		first(&h.ifLastModified, value)
	case "X-Amz-Checksum-Algorithm":
		first(&h.checksumAlgorithm, value)
	case "X-Amz-Checksum-Type":
		first(&h.checksumType, value)
	case "X-Amz-Checksum-Mode":
		first(&h.checksumMode, value)
	case "X-Amz-Sdk-Checksum-Algorithm":
		first(&h.sdkAlgorithm, value)
	case "X-Amz-Trailer":
		join(&h.trailer, value)
	case "X-Amz-Tagging":
		h.tagging.set(value)
	case "X-Amz-Acl":
		h.acl.set(value)
	case "X-Amz-Storage-Class":
		first(&h.storageClass, value)
	case "X-Amz-Website-Redirect-Location":
		first(&h.redirect, value)
	case "X-Amz-Bucket-Object-Lock-Enabled":
		first(&h.lockEnabled, value)
	case "X-Amz-Object-Ownership":
		first(&h.ownership, value)
	case "X-Amz-Expected-Bucket-Owner":
		first(&h.expectedOwner, value)
	case "X-Amz-Source-Expected-Bucket-Owner":
		first(&h.expectedSourceOwner, value)
	case "X-Amz-Write-Offset-Bytes":
		h.writeOffset = true
	case "X-Amz-Mp-Object-Size":
		first(&h.objectSize, value)
	case "X-Amz-Object-Attributes":
		join(&h.attributes, value)
	case "X-Amz-Max-Parts":
		first(&h.maxParts, value)
	case "X-Amz-Part-Number-Marker":
		first(&h.partMarker, value)
	case "X-Amz-Metadata-Directive":
		first(&h.metadataDirective, value)
	case "X-Amz-Tagging-Directive":
		first(&h.taggingDirective, value)
	case "X-Amz-Copy-Source":
		h.copySource.set(value)
	case "X-Amz-Copy-Source-Range":
		h.copyRange.set(value)
	case "X-Amz-Copy-Source-If-Match":
		join(&h.copyIfMatch, value)
	case "X-Amz-Copy-Source-If-None-Match":
		join(&h.copyIfNoneMatch, value)
	case "X-Amz-Copy-Source-If-Modified-Since":
		first(&h.copyIfModifiedSince, value)
	case "X-Amz-Copy-Source-If-Unmodified-Since":
		first(&h.copyIfUnmodifiedSince, value)
	default:
		switch {
		case below(name, userPrefix):
			h.addUser(strings.ToLower(string(name[len(userPrefix):])), string(value))
		case below(name, checksumPrefix):
			h.sums = append(h.sums, objects.Pair{Name: strings.ToLower(string(name[len(checksumPrefix):])), Value: string(value)})
		case below(name, grantPrefix):
			h.grants = true
		case below(name, ssePrefix), below(name, sseCopyPrefix):
			h.encryption = true
		case below(name, lockPrefix):
			h.lock = true
		}
	}
}

// addUser keeps one piece of user metadata.
func (h *header) addUser(name, value string) {
	for i := range h.user {
		if h.user[i].Name == name {
			h.user[i].Value += "," + value
			return
		}
	}
	h.user = append(h.user, objects.Pair{Name: name, Value: value})
}

func (g *given) set(value []byte) {
	if !g.ok {
		*g = given{string(value), true}
	}
}

func first(field *string, value []byte) {
	if *field == "" {
		*field = string(value)
	}
}

func join(field *string, value []byte) {
	if *field == "" {
		*field = string(value)
		return
	}
	*field += ", " + string(value)
}

// below reports whether a header's name belongs to a family.
func below(name []byte, prefix string) bool {
	return len(name) >= len(prefix) && string(name[:len(prefix)]) == prefix
}
