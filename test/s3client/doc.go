// Package s3client speaks S3 to a node, for tests that must know every byte they
// send: it signs through api/sigv4 and escapes by itself, so that a key reaches
// the node as it is written, and it repeats nothing by itself, so that a test
// knows how often a request was made.
//
//	client := s3client.New(node.S3, keys)
//	answer, err := client.Do(ctx, s3client.Request{Method: "PUT", Bucket: "b", Key: "k", Body: body})
//	head := client.Head(s3client.Request{…})   // the bytes, for a connection of one's own
//
// An answer of any status is no error: tests judge it. What is an error is that
// no whole answer came.
//
// Start with client.go; request.go makes the bytes, objects.go and multipart.go
// are the operations.
package s3client
