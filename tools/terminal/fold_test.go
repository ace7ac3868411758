package terminal

import (
	"strings"
	"testing"
)

// What fails is told in lines that fit the screen, commands in one piece; where there
// is no screen nothing is broken.
func TestFold(t *testing.T) {
	const text = "the job goes on; `troupe job wait ab2cdefg3hijk` waits for it again"
	for _, c := range []struct {
		width int
		want  string
	}{
		{0, text},
		{200, text},
		{60, "the job goes on; `troupe job wait ab2cdefg3hijk`\n        waits for it again"},
		{30, "the job goes on;\n        `troupe job wait ab2cdefg3hijk`\n        waits for it again"},
		{1, "the\n        job\n        goes\n        on;\n        `troupe job wait ab2cdefg3hijk`\n        waits\n        for\n        it\n        again"},
	} {
		if got := Fold(text, len(Indent), c.width); got != c.want {
			t.Errorf("%d columns:\n%s\nwant\n%s", c.width, got, c.want)
		}
	}
	for _, odd := range []string{"", " ", "a  b", "`never closed at all", "naïve café"} {
		if got := Fold(odd, 0, 0); got != odd {
			t.Errorf("%q became %q", odd, got)
		}
	}
	if got := Fold("one\ntwo", 0, 80); got != "one\n        two" {
		t.Errorf("%q", got)
	}
	for width := 20; width < 90; width++ {
		for _, line := range strings.Split(Fold(strings.Repeat("word ", 30), 0, width), "\n") {
			if len(strings.TrimRight(line, " ")) > width {
				t.Errorf("%d columns: %q", width, line)
			}
		}
	}
}
