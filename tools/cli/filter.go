package cli

import (
	"regexp"
	"strings"

	"github.com/spf13/pflag"
)

// filter chooses names by globs, in the order in which they were given; the last
// that matches decides, and without any every name is chosen. When the first is
// an include, names that match none are left out.
//
//   - any characters but /     **  any characters     ?  one character but /
//
// A glob without a slash is compared with the last element of a name, one with a
// slash with all of it.
type filter struct{ rules []filterRule }

type filterRule struct {
	include bool
	whole   bool // compared with all of the name
	pattern *regexp.Regexp
}

// add declares --include and --exclude.
func (f *filter) add(flags *pflag.FlagSet) {
	flags.Var(&filterFlag{f, true}, "include", "choose only names that match this glob; may be repeated, the last of --include and --exclude that matches decides")
	flags.Var(&filterFlag{f, false}, "exclude", "leave out names that match this glob")
}

// filterFlag is a flag that adds a rule.
type filterFlag struct {
	filter  *filter
	include bool
}

// String implements pflag.Value.
func (*filterFlag) String() string { return "" }

// Type implements pflag.Value.
func (*filterFlag) Type() string { return "glob" }

// Set implements pflag.Value.
func (g *filterFlag) Set(glob string) error {
	pattern, err := compileGlob(glob)
	if err != nil {
		return err
	}
	g.filter.rules = append(g.filter.rules, filterRule{g.include, strings.Contains(glob, "/"), pattern})
	return nil
}

// compileGlob makes a regular expression of a glob.
func compileGlob(glob string) (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; {
		case strings.HasPrefix(glob[i:], "**/"):
			b.WriteString(`(?:.*/)?`)
			i += 2
		case strings.HasPrefix(glob[i:], "**"):
			b.WriteString(`.*`)
			i++
		case c == '*':
			b.WriteString(`[^/]*`)
		case c == '?':
			b.WriteString(`[^/]`)
		case c == '\\' && i+1 < len(glob):
			i++
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		case c >= 0x80:
			b.WriteByte(c) // a piece of a character, which is never special
		default:
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		}
	}
	b.WriteString(`\z`)
	return regexp.Compile(b.String())
}

// chooses reports whether a name, relative to what was named on the command
// line, is chosen.
func (f *filter) chooses(name string) bool {
	chosen := len(f.rules) == 0 || !f.rules[0].include
	for _, r := range f.rules {
		subject := name
		if !r.whole {
			subject = name[strings.LastIndexByte(strings.TrimSuffix(name, "/"), '/')+1:]
		}
		if r.pattern.MatchString(subject) {
			chosen = r.include
		}
	}
	return chosen
}
