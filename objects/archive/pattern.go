package archive

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/troupe-storage/troupe/objects/errs"
)

// MaxPatternBytes is how long the text of a pattern may be.
const MaxPatternBytes = 4096

// maxSteps is how large a regular expression may be once its repetitions are written out:
// each byte of a name is compared with so many places of it at most. Those of an expression
// without repetitions are about as many as its bytes.
const maxSteps = 2 * MaxPatternBytes

// Mode says how a pattern is compared with the names of members. The values are those of
// the parameter archmode.
type Mode string

const (
	// Regexp: the regular expression (RE2) is found anywhere in the name.
	Regexp Mode = "regexp"
	// Prefix: the name begins with the text.
	Prefix Mode = "prefix"
	// Suffix: the name ends with the text.
	Suffix Mode = "suffix"
	// Substring: the text is anywhere in the name.
	Substring Mode = "substr"
	// SampleKey: the name without its extension is the text. WebDataset keeps a sample in
	// files of one such key: the extension begins at the first dot of the last component, so
	// that of "train/0001.seg.png" it is ".seg.png", and the key "train/0001".
	SampleKey Mode = "wdskey"
)

// Pattern chooses members by name. It is immutable; the zero value chooses none.
type Pattern struct {
	mode       Mode
	text       string
	expression *regexp.Regexp
}

// NewPattern returns the pattern of a mode and a text. A mode that there is not, an empty or
// overlong text, and a regular expression with a fault, or of too many steps, are Invalid.
func NewPattern(mode Mode, text string) (Pattern, error) {
	const op errs.Op = "archive.NewPattern"
	p := Pattern{mode: mode, text: text}
	if text == "" || len(text) > MaxPatternBytes {
		return Pattern{}, errs.E(op, errs.Invalid, fmt.Errorf("a pattern of %d bytes, 1 to %d are allowed", len(text), MaxPatternBytes))
	}
	switch mode {
	case Regexp:
		parsed, err := syntax.Parse(text, syntax.Perl)
		if err == nil && stepsOf(parsed) > maxSteps { // before it is compiled, which takes memory for each
			err = fmt.Errorf("a regular expression of %d steps with its repetitions written out, at most %d are allowed", stepsOf(parsed), maxSteps)
		}
		if err != nil {
			return Pattern{}, errs.E(op, errs.Invalid, err)
		}
		expression, err := regexp.Compile(text)
		if err != nil {
			return Pattern{}, errs.E(op, errs.Invalid, err)
		}
		p.expression = expression
	case Prefix, SampleKey:
		p.text = bare(text)
	case Suffix, Substring:
	default:
		return Pattern{}, errs.E(op, errs.Invalid, fmt.Errorf("unknown archmode %q: regexp, prefix, suffix, substr and wdskey are known", mode))
	}
	return p, nil
}

// stepsOf returns about how many steps a regular expression has with its repetitions written
// out, each as often as it may come. What can be parsed has no more than some millions.
func stepsOf(e *syntax.Regexp) int {
	steps := 1
	if e.Op == syntax.OpLiteral {
		steps = len(e.Rune)
	}
	for _, sub := range e.Sub {
		steps += stepsOf(sub)
	}
	if e.Op == syntax.OpRepeat {
		steps *= max(e.Min, e.Max, 1)
	}
	return steps
}

// Matches reports whether the pattern chooses a member of that name, of which one leading
// slash does not count.
func (p Pattern) Matches(name string) bool {
	name = bare(name)
	switch p.mode {
	case Regexp:
		return p.expression.MatchString(name)
	case Prefix:
		return strings.HasPrefix(name, p.text)
	case Suffix:
		return strings.HasSuffix(name, p.text)
	case Substring:
		return strings.Contains(name, p.text)
	case SampleKey:
		return sampleKey(name) == p.text
	}
	return false
}

func sampleKey(name string) string {
	last := strings.LastIndexByte(name, '/') + 1
	if dot := strings.IndexByte(name[last:], '.'); dot >= 0 {
		return name[:last+dot]
	}
	return name
}
