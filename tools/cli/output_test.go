package cli

import (
	"strings"
	"testing"
)

// A table never breaks its lines on a terminal: what does not fit is written as
// blocks. What goes into a file or a pipe keeps its columns whatever they hold.
func TestTablesFitTheTerminal(t *testing.T) {
	heading := []string{"NAME", "STATE", "CAUSE"}
	rows := [][]string{{"d0", "ok", ""}, {"a-long-name", "full", ""}}
	const table = "NAME         STATE\nd0           ok\na-long-name  full\n"
	for _, c := range []struct {
		width int
		want  string
	}{
		{0, "NAME         STATE  CAUSE\nd0           ok     \na-long-name  full   \n"},
		{80, table}, {18, table},
		{17, "name   d0\nstate  ok\n\nname   a-long-name\nstate  full\n"},
	} {
		var b strings.Builder
		writeFitting(&b, heading, rows, c.width)
		if b.String() != c.want {
			t.Errorf("%d columns:\n%s\nwant\n%s", c.width, b.String(), c.want)
		}
	}
	var b strings.Builder
	if writeFitting(&b, heading, nil, 80); b.String() != "NAME  STATE  CAUSE\n" {
		t.Errorf("no rows: %q", b.String())
	}
}
