package terminal

import (
	"os"

	"golang.org/x/sys/unix"
)

// Is reports whether something is written to, or read from, a terminal.
func Is(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// Size is how many columns and lines a terminal has; zero: it is none.
type Size struct{ Width, Height int }

// SizeOf returns the size of what is written to.
func SizeOf(stream any) Size {
	file, ok := stream.(*os.File)
	if !ok {
		return Size{}
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return Size{}
	}
	return Size{Width: int(size.Col), Height: int(size.Row)}
}
