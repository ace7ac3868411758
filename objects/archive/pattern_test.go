package archive

import (
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/objects/errs"
)

// A regular expression that grows to hundreds of thousands of steps would take a third of a
// gigabyte to compile, and seconds for each name; those that people write are taken.
func TestRegularExpressionsThatAreTooLarge(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("(.?){1000}", 400), strings.Repeat(`\pL{1000}`, 450), strings.Repeat("x{999}", 600), strings.Repeat("(a?){10,}", 400) + "(b{100}){10}" + strings.Repeat("(c{9}){99}", 9),
	} {
		if p, err := NewPattern(Regexp, text); !errs.Is(errs.Invalid, err) || !strings.Contains(err.Error(), "steps") {
			t.Errorf("%.20q…, of %d bytes: %v, %v", text, len(text), p.mode, err)
		}
	}
	for _, text := range []string{
		strings.Repeat("a", MaxPatternBytes), strings.Repeat("a|", MaxPatternBytes/2-1) + "b", strings.Repeat(".", MaxPatternBytes), strings.Repeat("(a)", MaxPatternBytes/3),
		strings.Repeat("a*", MaxPatternBytes/2), "[0-9a-f]{64}", "^train/[0-9]{4,1000}\\.(png|jpe?g)$", "(?i)" + strings.Repeat("é", 1000), ".{1000}",
	} {
		if _, err := NewPattern(Regexp, text); err != nil {
			t.Errorf("%.20q…, of %d bytes: %v", text, len(text), err)
		}
	}
}
