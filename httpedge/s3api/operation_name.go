package s3api

import (
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/httpedge/access"
)

// operationName is what S3's access logs call what a request asks for:
// REST.METHOD.RESOURCE.
// Source: Amazon S3 user guide, "Amazon S3 server access log format", and the
// operations in its examples.
func (r *request) operationName(subresource string) string {
	method, level := r.method, r.target.level()
	copies := method == fasthttp.MethodPut && level == levelObject && r.header.copySource.ok
	if copies {
		method = "COPY"
	}
	var resource string
	switch {
	case method == fasthttp.MethodOptions:
		resource = "PREFLIGHT"
	case subresource == "" && r.isForm():
		resource = "OBJECT"
	case subresource == "":
		resource = [...]string{levelService: "SERVICE", levelBucket: "BUCKET", levelObject: "OBJECT"}[level]
	case subresource == "uploadId" && r.method == fasthttp.MethodPut:
		resource = "PART"
	case subresource == "uploadId":
		resource = "UPLOAD"
	case subresource == "delete":
		resource = "MULTI_OBJECT_DELETE"
	case subresource == "versions":
		resource = "BUCKETVERSIONS"
	default:
		resource = strings.ToUpper(strings.ReplaceAll(subresource, "-", "_"))
		if level == levelObject && subresource != "uploads" {
			resource = "OBJECT_" + resource
		}
	}
	return "REST." + method + "." + resource
}

// signedBy is how a caller's signature is told in an access log.
func signedBy(caller sigv4.Identity) access.Signed {
	by := access.Signed{Version: "SigV4", Place: "AuthHeader"}
	if caller.Version2 {
		by.Version = "SigV2"
	}
	if caller.Presigned {
		by.Place = "QueryString"
	}
	return by
}
