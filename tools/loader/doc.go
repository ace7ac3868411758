// Package loader is the load generator behind `troupe bench`: it asks an S3
// endpoint for many small things at once and says what that cost the server.
//
//	load ──▶ worker ──keep-alive connection──▶ server ◀── process (CPU, memory)
//	           │ one per connection              ▲
//	           ▼                                 └─ debt (work left behind)
//	        figures, timeline ──merge──▶ result ──▶ table, JSON, plot, comparison
//
// A worker owns one connection and asks one thing at a time: it builds the
// request in a buffer of its own, signs it (AWS Signature Version 4 with
// UNSIGNED-PAYLOAD), writes it, and reads the answer with a parser that knows
// the few header lines that matter. The generator shares its machine with the
// server, so what it spends itself is kept small and is reported too.
//
// The words: a *load* is what to ask for, a *run* is a load that was driven, a
// *row* is a line of the reference table, the *bare handler* is a fasthttp server
// that does no more than HTTP (and, for files, open, write, rename, unlink). It
// runs as a process of its own, from the same binary.
//
// The figure that counts is *server CPU per operation*: user and system time of
// the server's process, work that it left for later included (see debt.go),
// divided by operations. Times on the wall are printed beside it.
//
// Two servers are compared in *pairs*: in each, both are driven once (turns.go,
// comparison.go). A *step* is a number of connections; a *timeline* is a run's
// course, of which plot.go makes a picture.
//
// Promise: counts are exact. Every operation that was begun is counted once, as
// done or as failed by the code that the server gave; a run that was cut short
// reports what it did until then.
//
// Start with load.go, then worker.go; suite.go has the reference run.
package loader
