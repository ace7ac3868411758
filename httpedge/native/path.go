package native

import (
	"errors"
	"strings"
	"unicode/utf8"
)

var errEncoding = errors.New("the path is not well encoded")

// decode undoes percent-encoding once: "+" is a plus, "%2F" a slash. It refuses
// a broken escape, NUL, and what is not UTF-8.
func decode(s string) (string, error) {
	out := s
	if strings.IndexByte(s, '%') >= 0 {
		b := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			if s[i] != '%' {
				b = append(b, s[i])
				continue
			}
			if i+2 >= len(s) {
				return "", errEncoding
			}
			high, low := unhex(s[i+1]), unhex(s[i+2])
			if high < 0 || low < 0 {
				return "", errEncoding
			}
			b = append(b, byte(high<<4|low))
			i += 2
		}
		out = string(b)
	}
	if strings.IndexByte(out, 0) >= 0 || !utf8.ValidString(out) {
		return "", errEncoding
	}
	return out, nil
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
