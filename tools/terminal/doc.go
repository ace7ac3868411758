// Package terminal is what commands know of the screen that they write to: whether
// there is one, how large it is, text that fits it, and bars that leave it readable
// when they are gone.
//
// Start with terminal.go.
package terminal
