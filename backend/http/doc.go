// Package http reads objects below a URL: each is a resource whose path is the URL's and
// the object's name. It neither lists nor writes.
//
// Start with Open.
package http
