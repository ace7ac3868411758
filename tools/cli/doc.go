// Package cli is the client half of the troupe binary: it speaks S3 for objects
// and the native API for everything else.
//
//	command ──▶ frame.client ──▶ Session: endpoint, keys, output, signals
//	                │               │
//	                │               ├── S3()      api/s3 over api/client
//	                │               ├── Control() native API, signed
//	                │               └── Out       tables for people, JSON for programs
//	                └── an error ──▶ exit code, and what to do about it
//
// A command is a function in a file of its own that describes a cobra.Command
// and hands it, with what it does, to frame.client. It gets a context that Ctrl-C ends, prints through Session.Out, and
// returns an error; it never exits and never prints an error itself.
//
// Promises: every command has --json and then writes one JSON document, or a
// line of JSON each for what may be long, to standard output and nothing else;
// everything meant for people (progress, warnings, errors) goes to standard
// error. Exit codes are those of exit.go. No file is written outside of the
// target that was named, and none appears under its name before it is whole.
//
// Start with frame.go, then session.go.
package cli
