// Package s3api speaks Amazon S3's REST protocol: it reads what a client meant
// out of a request, asks the gateway, and writes the answer as S3 does.
//
//	fasthttp ──▶ Handler ──▶ target, query, header     what was asked
//	                │  └───▶ Authenticator             who asks, and the body as signed
//	                ▼
//	          operation (object_put.go, list_v2.go, …) ──▶ Gateway
//	                │
//	                └──▶ headers and XML, or an Error out of the one table in errors.go
//
// One operation is one function in the file named after it; routes.go says
// which method and subresource lead to which. Nothing here knows where an object
// lives, and nothing but errors.go knows S3's error codes' statuses.
//
// Words: a target is the bucket and key of a request; a subresource is a query
// parameter that selects an operation ("?acl"); a document is an XML body.
//
// Promises: whatever S3 has and Troupe has not is answered NotImplemented, never
// with something else; keys are taken from the raw path, decoded once and never
// cleaned; every header that is acted on is copied before the first byte of the
// body is read, so that a trailer can never pass for a header; every response
// names its request.
//
// Source of names, codes and formats: Amazon S3 API Reference, "Actions",
// "Data types", "Error responses"; Amazon S3 user guide.
//
// Start with handler.go, then routes.go, then object_put.go.
package s3api
