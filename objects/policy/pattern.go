package policy

import (
	"strings"
	"unicode/utf8"
)

// segmentKind is what a segment of a pattern stands for.
type segmentKind uint8

const (
	literal  segmentKind = iota
	any1                 // "?": one character
	anyRun               // "*": any characters, or none
	variable             // the value of a key of the request
)

// segment is a piece of a pattern.
type segment struct {
	kind       segmentKind
	text       string // of a literal; of a variable its default
	key        Key
	hasDefault bool
}

// pattern is a text with wildcards and variables, taken apart once. Immutable.
type pattern struct {
	segments []segment
	fold     bool // case does not count
}

// subject is what a pattern is compared with: one string, or a bucket and a key
// with "/" between them, which are never put together.
type subject struct {
	first, second string
	joined        bool
}

func (t *subject) size() int {
	if !t.joined {
		return len(t.first)
	}
	return len(t.first) + 1 + len(t.second)
}

// width is how many bytes the character at i has.
func (t *subject) width(i int) int {
	rest := ""
	switch {
	case i < len(t.first):
		rest = t.first[i:]
	case i == len(t.first):
		return 1
	default:
		rest = t.second[i-len(t.first)-1:]
	}
	_, n := utf8.DecodeRuneInString(rest)
	return n
}

// prefix reports how many bytes of the subject, from i, are the text.
func (t *subject) prefix(i int, text string, fold bool) (int, bool) {
	if !t.joined {
		return prefixOf(t.first[i:], text, fold)
	}
	done := 0
	if i < len(t.first) {
		here := t.first[i:]
		if !fold && len(text) <= len(here) {
			return len(text), here[:len(text)] == text
		}
		if !fold && len(text) > len(here) {
			if text[:len(here)] != here {
				return 0, false
			}
			text, done, here = text[len(here):], len(here), ""
		}
		for text != "" && here != "" {
			n, m, same := sameRune(here, text, fold)
			if !same {
				return 0, false
			}
			here, text, done = here[n:], text[m:], done+n
		}
		i += done
	}
	if text == "" {
		return done, true
	}
	if i == len(t.first) {
		if text[0] != '/' {
			return 0, false
		}
		text, i, done = text[1:], i+1, done+1
	}
	n, same := prefixOf(t.second[i-len(t.first)-1:], text, fold)
	return done + n, same
}

func prefixOf(s, text string, fold bool) (int, bool) {
	if !fold {
		return len(text), strings.HasPrefix(s, text)
	}
	done := 0
	for text != "" {
		if done == len(s) {
			return 0, false
		}
		n, m, same := sameRune(s[done:], text, true)
		if !same {
			return 0, false
		}
		done, text = done+n, text[m:]
	}
	return done, true
}

// sameRune compares the first characters of two strings that are not empty.
func sameRune(a, b string, fold bool) (n, m int, same bool) {
	_, n = utf8.DecodeRuneInString(a)
	_, m = utf8.DecodeRuneInString(b)
	return n, m, a[:n] == b[:m] || fold && strings.EqualFold(a[:n], b[:m])
}

func (p *pattern) matchString(s string, q *Question) bool {
	return p.match(&subject{first: s}, q)
}

// match reports whether the pattern is the whole subject. It needs time of the
// product of both lengths at most: only the last "*" is ever gone back to.
func (p *pattern) match(t *subject, q *Question) bool {
	at, i, size := 0, 0, t.size()
	backSegment, backAt := -1, 0
	for {
		if i == len(p.segments) {
			if at == size {
				return true
			}
		} else {
			s := &p.segments[i]
			switch s.kind {
			case anyRun:
				if i == len(p.segments)-1 {
					return true
				}
				i++
				backSegment, backAt = i, at
				continue
			case any1:
				if at < size {
					at += t.width(at)
					i++
					continue
				}
			default:
				text, ok := s.value(q)
				if !ok {
					return false
				}
				if n, same := t.prefix(at, text, p.fold); same {
					at += n
					i++
					continue
				}
			}
		}
		if backSegment < 0 || backAt >= size {
			return false
		}
		backAt += t.width(backAt)
		at, i = backAt, backSegment
	}
}

// value is what a literal or a variable stands for in a request.
func (s *segment) value(q *Question) (string, bool) {
	if s.kind == literal {
		return s.text, true
	}
	if q != nil && q.count(&s.key) == 1 {
		return q.value(&s.key, 0), true
	}
	return s.text, s.hasDefault
}

// literalPattern is a pattern without variables.
func literalPattern(text string, wildcards bool) pattern {
	p, _ := compilePattern(text, patternOptions{wildcards: wildcards})
	return p
}

// patternOptions say what is special in a text.
type patternOptions struct {
	wildcards, variables bool
}

// compilePattern takes a text apart. A message that is not empty says what is
// wrong with it.
func compilePattern(text string, o patternOptions) (p pattern, wrong string) {
	plain := func(s string) {
		if s == "" {
			return
		}
		if n := len(p.segments); n > 0 && p.segments[n-1].kind == literal {
			p.segments[n-1].text += s
			return
		}
		p.segments = append(p.segments, segment{kind: literal, text: s})
	}
	for text != "" {
		special := ""
		if o.wildcards {
			special = "*?"
		}
		if o.variables {
			special += "$"
		}
		i := strings.IndexAny(text, special)
		if i < 0 {
			plain(text)
			break
		}
		plain(text[:i])
		text = text[i:]
		switch {
		case text[0] == '*':
			if n := len(p.segments); n == 0 || p.segments[n-1].kind != anyRun {
				p.segments = append(p.segments, segment{kind: anyRun})
			}
			text = text[1:]
		case text[0] == '?':
			p.segments = append(p.segments, segment{kind: any1})
			text = text[1:]
		case !strings.HasPrefix(text, "${"):
			plain("$")
			text = text[1:]
		default:
			end := strings.IndexByte(text, '}')
			if end < 0 {
				return pattern{}, "a policy variable has no end: " + text
			}
			inside := text[2:end]
			text = text[end+1:]
			if inside == "*" || inside == "?" || inside == "$" {
				plain(inside)
				continue
			}
			s, wrong := compileVariable(inside)
			if wrong != "" {
				return pattern{}, wrong
			}
			p.segments = append(p.segments, s)
		}
	}
	return p, ""
}

// compileVariable reads "aws:username" or "aws:PrincipalTag/team, 'none'".
func compileVariable(inside string) (segment, string) {
	name, rest, hasDefault := strings.Cut(inside, ",")
	s := segment{kind: variable, hasDefault: hasDefault}
	if hasDefault {
		rest = strings.TrimSpace(rest)
		if len(rest) < 2 || rest[0] != '\'' || rest[len(rest)-1] != '\'' {
			return s, "the default of a policy variable is not in single quotes: ${" + inside + "}"
		}
		s.text = rest[1 : len(rest)-1]
	}
	key, ok := KeyNamed(strings.TrimSpace(name))
	if !ok {
		return s, "unknown policy variable: ${" + inside + "}"
	}
	s.key = key
	return s, ""
}
