package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// isTerminal reports whether something is written to, or read from, a terminal.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// sameTerminal reports whether answers share a screen with progress bars.
func (o *Output) sameTerminal() bool { return isTerminal(o.out) && isTerminal(o.note) }
