// Package xaction is the frame of batch jobs (xactions): a coordinator that keeps
// the list, an actor per job, and the context in which a kind of job does its work.
//
//	edge ──StartJob──▶ xactions ──spawn──▶ job ──goroutine──▶ Kind.Run(*Run)
//	                    │    ▲              │                     │
//	                    │    └──jobEnded────┘◀────────────────────┘ returned
//	                    └──save──▶ recorder ──▶ Store (the disks)
//
// A Kind says what a sort of job is called, which parameters it takes and what it
// does. What it does is a function over a Run, which gives it its parameters, a
// durable checkpoint, progress, pause points, a rate limit, and the node's objects.
//
// A job passes queued, running, paused, stopping and ends as finished, stopped or
// failed. Its document is durable before StartJob is answered. After a restart of
// the node, jobs that ran are begun again from their last checkpoint, paused ones
// stay paused, and those whose kind cannot resume are failed.
//
// Promise: a job that panics or is killed costs nothing but itself. It is recorded
// as failed with the cause, and only a request begins it again.
//
// Words: a checkpoint is what a job needs to go on where it was; a turn is leave to
// begin the next step; the recorder is the worker that writes documents, so that
// the coordinator need not.
//
// Start with kind.go and run.go, then xactions.go.
package xaction
