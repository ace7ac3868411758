// Package client is the Go client of Troupe's HTTP: a Connection signs, sends and
// repeats requests, and Control asks the native API with it. The operations of
// S3 are in api/s3, on the same Connection.
//
//	caller ──Request──▶ Connection ──signed──▶ node
//	   ▲                    │  ▲                 │
//	   │                    └──┴── again, later ─┤ 503, a lost connection
//	   └──────── response or Failure ────────────┘
//
// Promises: a request whose failure may pass (503, 429, 500, a connection that
// broke) is repeated, after what Retry-After says and no sooner than an
// exponential backoff, for as long as the configured patience; every attempt is
// signed anew. A server that stops sending or taking bytes is noticed. An error
// carries its kind (objects/errs) and, where the server answered, a *Failure.
//
// Start with connection.go.
package client
