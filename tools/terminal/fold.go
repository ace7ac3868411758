package terminal

import (
	"strings"
	"unicode/utf8"
)

// Indent is how far the lines of an error stand in, behind "troupe: ".
const Indent = "        "

// Fold breaks a text at its spaces, so that no line has more columns than the width
// where that can be. The first line begins in a column, and the others behind the
// indent. What stands in backquotes is a command, and stays whole to be copied. Width 0: nothing is
// known of the screen, and nothing is broken. The text's own line ends stay.
func Fold(text string, column, width int) string {
	var b strings.Builder
	for i, line := range strings.Split(text, "\n") {
		at := column
		if i > 0 {
			b.WriteString("\n" + Indent)
			at = len(Indent)
		}
		for j, word := range words(line) {
			columns := utf8.RuneCountInString(word)
			switch {
			case j == 0:
			case width > 0 && at+1+columns > width:
				b.WriteString("\n" + Indent)
				at = len(Indent)
			default:
				b.WriteByte(' ')
				at++
			}
			b.WriteString(word)
			at += columns
		}
	}
	return b.String()
}

// words splits a line at its spaces, but not within backquotes.
func words(line string) []string {
	var all []string
	begin, quoted := 0, false
	for i, r := range line {
		switch {
		case r == '`':
			quoted = !quoted
		case r == ' ' && !quoted:
			all = append(all, line[begin:i])
			begin = i + 1
		}
	}
	return append(all, line[begin:])
}
