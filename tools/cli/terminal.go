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

// terminalSize returns the size of what is written to, zero if it is no terminal.
func terminalSize(stream any) screen {
	file, ok := stream.(*os.File)
	if !ok {
		return screen{}
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return screen{}
	}
	return screen{width: int(size.Col), height: int(size.Row)}
}
