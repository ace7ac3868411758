package policy

import (
	"encoding/base64"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// comparison is what an operator does with one value of the request and one of
// the policy.
type comparison uint8

const (
	equalText comparison = iota // also with wildcards: the pattern knows
	equalARN
	equalBytes
	equalBool
	equalNumber
	lessNumber
	lessEqualNumber
	greaterNumber
	greaterEqualNumber
	equalDate
	lessDate
	lessEqualDate
	greaterDate
	greaterEqualDate
	inNetwork
	isNull
)

// quantifier is how an operator goes about several values.
type quantifier uint8

const (
	one quantifier = iota
	forAll
	forAny
)

// operator is an operator of conditions, taken apart. Immutable.
type operator struct {
	comparison comparison
	quantifier quantifier
	negated    bool
	wildcards  bool
	fold       bool
	ifExists   bool
}

// operatorNamed returns the operator of a name, as "ForAllValues:StringLikeIfExists".
func operatorNamed(name string) (operator, bool) {
	var o operator
	base := name
	switch {
	case strings.HasPrefix(base, "ForAllValues:"):
		o.quantifier, base = forAll, base[len("ForAllValues:"):]
	case strings.HasPrefix(base, "ForAnyValue:"):
		o.quantifier, base = forAny, base[len("ForAnyValue:"):]
	}
	base, o.ifExists = strings.CutSuffix(base, "IfExists")
	switch base {
	case "StringEquals":
	case "StringNotEquals":
		o.negated = true
	case "StringEqualsIgnoreCase":
		o.fold = true
	case "StringNotEqualsIgnoreCase":
		o.fold, o.negated = true, true
	case "StringLike":
		o.wildcards = true
	case "StringNotLike":
		o.wildcards, o.negated = true, true
	case "NumericEquals":
		o.comparison = equalNumber
	case "NumericNotEquals":
		o.comparison, o.negated = equalNumber, true
	case "NumericLessThan":
		o.comparison = lessNumber
	case "NumericLessThanEquals":
		o.comparison = lessEqualNumber
	case "NumericGreaterThan":
		o.comparison = greaterNumber
	case "NumericGreaterThanEquals":
		o.comparison = greaterEqualNumber
	case "DateEquals":
		o.comparison = equalDate
	case "DateNotEquals":
		o.comparison, o.negated = equalDate, true
	case "DateLessThan":
		o.comparison = lessDate
	case "DateLessThanEquals":
		o.comparison = lessEqualDate
	case "DateGreaterThan":
		o.comparison = greaterDate
	case "DateGreaterThanEquals":
		o.comparison = greaterEqualDate
	case "Bool":
		o.comparison = equalBool
	case "BinaryEquals":
		o.comparison = equalBytes
	case "IpAddress":
		o.comparison = inNetwork
	case "NotIpAddress":
		o.comparison, o.negated = inNetwork, true
	case "ArnEquals", "ArnLike":
		o.comparison, o.wildcards = equalARN, true
	case "ArnNotEquals", "ArnNotLike":
		o.comparison, o.wildcards, o.negated = equalARN, true, true
	case "Null":
		o.comparison = isNull
		return o, !o.ifExists && o.quantifier == one
	default:
		return o, false
	}
	return o, true
}

// operand is one value of a condition in a policy. Immutable; what it has goes by
// the comparison.
type operand struct {
	text    pattern
	arn     [6]pattern
	bytes   string
	boolean bool
	number  float64
	date    time.Time
	network netip.Prefix
}

// compileOperand reads a value for an operator; a message says what is wrong.
func compileOperand(o operator, value string, variables bool) (v operand, wrong string) {
	invalid := "Invalid value for the condition's operator: " + strconv.Quote(value)
	ok := true
	switch o.comparison {
	case equalText:
		v.text, wrong = compilePattern(value, patternOptions{wildcards: o.wildcards, variables: variables})
		v.text.fold = o.fold
		return v, wrong
	case equalARN:
		words := splitARN(value)
		if len(words) != len(v.arn) {
			// One "*" is any ARN, as the documentation's examples have it.
			if value != "*" {
				return v, invalid
			}
			words = []string{"*", "*", "*", "*", "*", "*"}
		}
		for i, word := range words {
			if v.arn[i], wrong = compilePattern(word, patternOptions{wildcards: true, variables: variables}); wrong != "" {
				return v, wrong
			}
		}
	case equalBytes:
		b, err := base64.StdEncoding.DecodeString(value)
		v.bytes, ok = string(b), err == nil
	case equalBool, isNull:
		v.boolean, ok = parseBool(value)
	case equalNumber, lessNumber, lessEqualNumber, greaterNumber, greaterEqualNumber:
		v.number, ok = parseNumber(value)
	case equalDate, lessDate, lessEqualDate, greaterDate, greaterEqualDate:
		v.date, ok = parseDate(value)
	case inNetwork:
		v.network, ok = parseNetwork(value)
	}
	if !ok {
		return v, invalid
	}
	return v, ""
}

func parseBool(s string) (value, ok bool) {
	if strings.EqualFold(s, "true") {
		return true, true
	}
	return false, strings.EqualFold(s, "false")
}

// parseNumber reads a decimal number of at most 32 characters; not what only a
// programming language calls a number.
func parseNumber(s string) (float64, bool) {
	if s == "" || len(s) > 32 {
		return 0, false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' {
			return 0, false
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}

// parseDate reads a date of ISO 8601 in the forms that the W3C's note has, or
// seconds since 1970.
func parseDate(s string) (time.Time, bool) {
	if n := len(s); n == 0 || n > 40 {
		return time.Time{}, false
	}
	digits := strings.TrimLeft(s, "-0123456789") == "" && strings.LastIndexByte(s, '-') <= 0
	if digits && len(s) != len("2006") {
		seconds, err := strconv.ParseInt(s, 10, 64)
		return time.Unix(seconds, 0), err == nil
	}
	layout := ""
	switch len(s) {
	case len("2006"):
		layout = "2006"
	case len("2006-01"):
		layout = "2006-01"
	case len("2006-01-02"):
		layout = "2006-01-02"
	case len("2006-01-02T15:04Z"):
		layout = "2006-01-02T15:04Z07:00"
	default:
		layout = time.RFC3339
		if len(s) == len("2006-01-02T15:04+01:00") && s[16] != ':' {
			layout = "2006-01-02T15:04Z07:00"
		}
	}
	t, err := time.Parse(layout, s)
	return t, err == nil
}

// parseNetwork reads an address, or a network whose host bits do not count.
func parseNetwork(s string) (netip.Prefix, bool) {
	if strings.IndexByte(s, '/') < 0 {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, false
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

// condition is an operator with a key and its values. Immutable.
type condition struct {
	operator operator
	key      Key
	operands []operand
}

// holds reports whether the condition holds for a question.
func (c *condition) holds(q *Question) bool {
	o := &c.operator
	count := q.count(&c.key)
	if o.comparison == isNull {
		for i := range c.operands {
			if c.operands[i].boolean == (count == 0) {
				return true
			}
		}
		return false
	}
	if count == 0 {
		return o.ifExists || o.quantifier == forAll || o.negated && o.quantifier == one
	}
	switch o.quantifier {
	case forAll:
		for i := range count {
			if c.anyOperand(q, i) == o.negated {
				return false
			}
		}
		return true
	case forAny:
		for i := range count {
			if c.anyOperand(q, i) != o.negated {
				return true
			}
		}
		return false
	default:
		for i := range count {
			if c.anyOperand(q, i) {
				return !o.negated
			}
		}
		return o.negated
	}
}

// anyOperand reports whether a value of the request is one of the policy's.
func (c *condition) anyOperand(q *Question, i int) bool {
	value := q.value(&c.key, i)
	switch c.operator.comparison {
	case equalText:
		for j := range c.operands {
			if c.operands[j].text.matchString(value, q) {
				return true
			}
		}
	case equalARN:
		for j := range c.operands {
			if matchARN(&c.operands[j].arn, value, q) {
				return true
			}
		}
	case equalBytes:
		for j := range c.operands {
			if c.operands[j].bytes == value {
				return true
			}
		}
	case equalBool:
		b, ok := parseBool(value)
		for j := range c.operands {
			if ok && c.operands[j].boolean == b {
				return true
			}
		}
	case inNetwork:
		a, err := netip.ParseAddr(value)
		a = a.Unmap().WithZone("")
		for j := range c.operands {
			if err == nil && c.operands[j].network.Contains(a) {
				return true
			}
		}
	case equalNumber, lessNumber, lessEqualNumber, greaterNumber, greaterEqualNumber:
		n, ok := parseNumber(value)
		for j := range c.operands {
			order := 0
			switch want := c.operands[j].number; {
			case n < want:
				order = -1
			case n > want:
				order = 1
			}
			if ok && inOrder(c.operator.comparison-equalNumber, order) {
				return true
			}
		}
	default:
		t, ok := parseDate(value)
		for j := range c.operands {
			if ok && inOrder(c.operator.comparison-equalDate, t.Compare(c.operands[j].date)) {
				return true
			}
		}
	}
	return false
}

// inOrder reports whether an order is that of the comparison: equal, less, less or
// equal, greater, greater or equal.
func inOrder(which comparison, order int) bool {
	switch which {
	case 0:
		return order == 0
	case 1:
		return order < 0
	case 2:
		return order <= 0
	case 3:
		return order > 0
	default:
		return order >= 0
	}
}

// matchARN compares an ARN word by word: a wildcard does not go over a colon, but
// in the last word.
func matchARN(patterns *[6]pattern, value string, q *Question) bool {
	for i := range patterns {
		word := value
		if i < len(patterns)-1 {
			var found bool
			if word, value, found = strings.Cut(value, ":"); !found {
				return false
			}
		}
		if !patterns[i].matchString(word, q) {
			return false
		}
	}
	return true
}
