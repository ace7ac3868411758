package policy

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"regexp"
	"strings"
	"time"
)

// facts is a request for tests: values by the key's name in lower letters.
type facts map[string][]string

func (f facts) Count(key *Key) int           { return len(f[strings.ToLower(key.String())]) }
func (f facts) Value(key *Key, i int) string { return f[strings.ToLower(key.String())][i] }

// slowDecide is a second evaluator, which shares no code with the first: it goes
// through the text again for each question, with regular expressions, fractions
// and maps. It takes only texts that Parse takes.
func slowDecide(text string, q *Question) Effect {
	var document map[string]any
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		panic(err)
	}
	values := func(name string) []string { return slowValues(q, name) }
	variables := document["Version"] == "2012-10-17"
	best := None
	for _, raw := range slowList(document["Statement"]) {
		s, _ := raw.(map[string]any)
		matches := func(name string, match func(string) bool) bool {
			element, not := s[name], false
			if element == nil {
				element, not = s["Not"+name], true
			}
			if element == nil {
				return true
			}
			found := false
			for _, v := range slowList(element) {
				found = found || match(fmt.Sprint(v))
			}
			return found != not
		}
		if !matches("Action", func(v string) bool {
			if q.Action == OtherAction {
				return v == "*" || strings.EqualFold(v, "s3:*")
			}
			return slowLike(v, q.Action.String(), true, true, nil)
		}) {
			continue
		}
		thing := q.Bucket
		if q.Key != "" {
			thing += "/" + q.Key
		}
		if !matches("Resource", func(v string) bool {
			v = strings.TrimPrefix(v, "arn:aws:s3:::")
			if variables {
				return slowLike(v, thing, true, false, values)
			}
			return slowLike(v, thing, true, false, nil)
		}) {
			continue
		}
		reach := 2
		if element, ok := s["Principal"]; ok {
			reach = slowReach(element, q.Principal)
		} else if element, ok := s["NotPrincipal"]; ok {
			reach = 2
			if slowReach(element, q.Principal) > 0 {
				reach = 0
			}
		}
		if reach == 0 {
			continue
		}
		holds := true
		conditions, _ := s["Condition"].(map[string]any)
		for operator, keys := range conditions {
			for key, wanted := range keys.(map[string]any) { //nolint:forcetypeassert // Parse took it
				var list []string
				for _, w := range slowList(wanted) {
					list = append(list, fmt.Sprint(w))
				}
				expand := values
				if !variables {
					expand = nil
				}
				holds = holds && slowCondition(operator, values(key), list, expand)
			}
		}
		switch {
		case !holds:
		case s["Effect"] == "Deny":
			best = Deny
		case reach == 1:
			best = max(best, AllowAccount)
		default:
			best = max(best, Allow)
		}
	}
	return best
}

func slowList(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

func slowReach(element any, who *Who) int {
	if element == "*" {
		return 2
	}
	best := 0
	for _, list := range element.(map[string]any) { //nolint:forcetypeassert // Parse took it
		for _, raw := range slowList(list) {
			v := fmt.Sprint(raw)
			switch {
			case v == "*":
				best = 2
			case who == nil:
			case v == who.ARN || v == who.UserID || v == who.Role && v != "":
				best = 2
			case v == who.Account || v == "arn:aws:iam::"+who.Account+":root" || v == who.ID:
				if who.Type == AccountPrincipal {
					best = 2
				}
				best = max(best, 1)
			}
		}
	}
	return best
}

func slowValues(q *Question, name string) []string {
	name = strings.ToLower(name)
	w := q.Principal
	if w == nil {
		w = &Who{Type: "Anonymous", UserID: "anonymous"}
	}
	some := func(s string) []string {
		if s == "" {
			return nil
		}
		return []string{s}
	}
	switch name {
	case "aws:username":
		return some(w.User)
	case "aws:userid":
		return some(w.UserID)
	case "aws:principaltype":
		return some(string(w.Type))
	case "aws:principalaccount":
		return some(w.Account)
	case "aws:principalarn":
		if w.Role != "" {
			return some(w.Role)
		}
		return some(w.ARN)
	}
	f, _ := q.Conditions.(facts)
	return f[name]
}

// slowLike compares by a regular expression.
func slowLike(pattern, s string, wildcards, fold bool, values func(string) []string) bool {
	tokenize := `(?s)\$\{[^}]*\}|.`
	if values == nil {
		tokenize = `(?s).`
	}
	tokens := regexp.MustCompile(tokenize).FindAllString(pattern, -1)
	expression := "^"
	for _, token := range tokens {
		switch {
		case wildcards && token == "*":
			expression += ".*"
		case wildcards && token == "?":
			expression += "."
		case values != nil && len(token) > 1 && token[0] == '$':
			inside := token[2 : len(token)-1]
			if inside == "*" || inside == "?" || inside == "$" {
				expression += regexp.QuoteMeta(inside)
				continue
			}
			name, other, has := strings.Cut(inside, ",")
			got := values(strings.TrimSpace(name))
			switch {
			case len(got) == 1:
				expression += regexp.QuoteMeta(got[0])
			case has:
				expression += regexp.QuoteMeta(strings.Trim(strings.TrimSpace(other), "'"))
			default:
				return false
			}
		default:
			expression += regexp.QuoteMeta(token)
		}
	}
	flags := "(?s)"
	if fold {
		flags = "(?si)"
	}
	return regexp.MustCompile(flags + expression + "$").MatchString(s)
}

func slowCondition(operator string, got, want []string, values func(string) []string) bool {
	if operator == "Null" {
		for _, w := range want {
			if (strings.ToLower(w) == "true") == (len(got) == 0) {
				return true
			}
		}
		return false
	}
	set, name, found := strings.Cut(operator, ":")
	if !found {
		set, name = "", operator
	}
	exists := strings.HasSuffix(name, "IfExists")
	name = strings.TrimSuffix(name, "IfExists")
	negated := strings.Contains(name, "Not")
	name = strings.Replace(name, "Not", "", 1)
	if len(got) == 0 {
		return exists || set == "ForAllValues" || set == "" && negated
	}
	fits := 0
	for _, g := range got {
		some := false
		for _, w := range want {
			some = some || slowCompare(name, g, w, values)
		}
		if some != negated {
			fits++
		}
	}
	switch {
	case set == "ForAllValues", set == "" && negated:
		return fits == len(got)
	default:
		return fits > 0
	}
}

func slowCompare(name, got, want string, values func(string) []string) bool {
	order := func(cmp int) bool {
		switch strings.TrimPrefix(strings.TrimPrefix(name, "Numeric"), "Date") {
		case "Equals":
			return cmp == 0
		case "LessThan":
			return cmp < 0
		case "LessThanEquals":
			return cmp <= 0
		case "GreaterThan":
			return cmp > 0
		}
		return cmp >= 0
	}
	switch {
	case name == "StringEquals":
		return slowLike(want, got, false, false, values)
	case name == "StringEqualsIgnoreCase":
		return slowLike(want, got, false, true, values)
	case name == "StringLike":
		return slowLike(want, got, true, false, values)
	case name == "Bool":
		return strings.EqualFold(want, got)
	case name == "BinaryEquals":
		return base64.StdEncoding.EncodeToString([]byte(got)) == want
	case name == "IpAddress":
		if !strings.Contains(want, "/") {
			return net.ParseIP(want).Equal(net.ParseIP(got))
		}
		_, network, err := net.ParseCIDR(want)
		return err == nil && network.Contains(net.ParseIP(got))
	case strings.HasPrefix(name, "Arn"):
		a, b := strings.SplitN(want, ":", 6), strings.SplitN(got, ":", 6)
		if len(b) != 6 {
			return false
		}
		for i := range b {
			if want != "*" && !slowLike(a[i], b[i], true, false, values) {
				return false
			}
		}
		return true
	case strings.HasPrefix(name, "Numeric"):
		a, ok := new(big.Rat).SetString(got)
		b, _ := new(big.Rat).SetString(want)
		return ok && order(a.Cmp(b))
	default:
		a, err := time.Parse(time.RFC3339, got)
		b, _ := time.Parse(time.RFC3339, want)
		return err == nil && order(a.Compare(b))
	}
}
