// Package child has the servers that a command starts for itself, to measure them or
// to kill them. None outlives its command: the kernel tells it when that is gone.
//
// Start with child.go.
package child
