package cli

import "github.com/troupe-storage/troupe/tools/terminal"

// sameTerminal reports whether answers share a screen with progress bars.
func (o *Output) sameTerminal() bool { return terminal.Is(o.out) && terminal.Is(o.note) }

// terminalSize returns the size of what is written to, zero if it is no terminal.
func terminalSize(stream any) screen {
	size := terminal.SizeOf(stream)
	return screen{width: size.Width, height: size.Height}
}
