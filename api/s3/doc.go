// Package s3 has the operations of S3 that a client of Troupe needs, over a
// client.Connection, which signs, repeats and watches them.
//
//	c := s3.Client{Connection: connection}
//	for entry, err := range c.Walk(ctx, s3.Listing{Bucket: "photos", Prefix: "2026/"}) { … }
//
// Keys are taken and returned as they are; escaping for path, query and XML
// happens here. A payload goes with its CRC64NVME, which the server compares before it
// acknowledges; who reads gets the checksum that is stored and compares.
//
// Sentinels of package objects are not made here: use errs.KindOf and client.Code.
//
// Start with client.go; objects.go, listing.go and multipart.go are the operations.
package s3
