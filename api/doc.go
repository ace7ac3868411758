// Package api is the vocabulary over HTTP that both sides share: the JSON that the
// native listener speaks and its Go client reads. sigv4 signs and verifies, client
// asks.
package api
