// Package cli runs the client commands of the real binary against a real node:
// what they do, print and return, and what is left when either side is killed in
// the middle.
//
// Between client and node stands a gate (gate.go): it lets so many bytes pass and
// then holds the rest, so that a test kills where it wants to and not when it
// happens to.
//
// Start with cli_test.go.
package cli
