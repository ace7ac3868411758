// Package bucket has the actors of buckets: one coordinator for all of a node,
// which makes and destroys them, and under it one actor per bucket, which lists.
//
//	gateway ──CreateBucket──▶ buckets ──spawn──▶ change ──▶ documents, lanes
//	                             ▲                  │
//	                             └──bucketChanged───┘
//
//	gateway ──ListObjects──▶ bucket ──spawn──▶ lister ──ListObjects──▶ read lanes
//
// The coordinators never block: what waits (a document to be durable on every
// mountpath, pages of every mountpath) is a child that lives for one request.
//
// Promise: a listing is merged from every mountpath that owns part of the bucket,
// or it fails.
//
// Start with buckets.go, then lister.go.
package bucket
