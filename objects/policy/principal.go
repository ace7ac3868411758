package policy

import "strings"

// principals is who a statement is about. Immutable.
type principals struct {
	everyone bool
	not      bool                // NotPrincipal
	accounts map[string]struct{} // by number
	arns     map[string]struct{} // of users, roles and sessions of roles
	ids      map[string]struct{} // canonical ids, ids of users
	services []string            // who never asks here
}

// reach is how a principal is meant.
type reach uint8

const (
	notMeant  reach = iota
	byAccount       // its account is
	meantItself
)

// match says how somebody is meant; nil principals (identity policies) mean
// everybody who has the policy.
func (p *principals) match(who *Who) reach {
	if p == nil {
		return meantItself
	}
	r := p.named(who)
	if !p.not {
		return r
	}
	if r == notMeant {
		return meantItself
	}
	return notMeant
}

func (p *principals) named(who *Who) reach {
	if p.everyone {
		return meantItself
	}
	if who == nil {
		return notMeant
	}
	if in(p.arns, who.ARN) || in(p.arns, who.Role) || in(p.ids, who.UserID) {
		return meantItself
	}
	if in(p.accounts, who.Account) || in(p.ids, who.ID) {
		if who.Type == AccountPrincipal {
			return meantItself
		}
		return byAccount
	}
	return notMeant
}

func in(set map[string]struct{}, name string) bool {
	if name == "" {
		return false
	}
	_, ok := set[name]
	return ok
}

// add takes one principal of a type; false if it is none.
func (p *principals) add(kind, value string) bool {
	put := func(set *map[string]struct{}, name string) {
		if *set == nil {
			*set = make(map[string]struct{})
		}
		(*set)[name] = struct{}{}
	}
	if value == "" {
		return false
	}
	switch kind {
	case "AWS":
		switch {
		case value == "*":
			p.everyone = true
		case isAccount(value):
			put(&p.accounts, value)
		case strings.HasPrefix(value, "arn:"):
			words := strings.SplitN(value, ":", 6)
			if len(words) != 6 || !strings.HasPrefix(words[1], "aws") || words[2] != "iam" && words[2] != "sts" || words[3] != "" || !isAccount(words[4]) {
				return false
			}
			if words[2] == "iam" && words[5] == "root" {
				put(&p.accounts, words[4])
				return true
			}
			what, name, found := strings.Cut(words[5], "/")
			known := words[2] == "iam" && (what == "user" || what == "role") || words[2] == "sts" && (what == "assumed-role" || what == "federated-user")
			if !found || name == "" || !known || strings.ContainsAny(name, "*?") {
				return false
			}
			put(&p.arns, value)
		case strings.ContainsAny(value, "*?: /"):
			return false
		default:
			put(&p.ids, value)
		}
	case "CanonicalUser":
		if strings.ContainsAny(value, "*?: /") {
			return false
		}
		put(&p.ids, value)
	case "Service", "Federated":
		if value == "*" {
			return false
		}
		p.services = append(p.services, value)
	default:
		return false
	}
	return true
}

// isAccount reports whether it is the number of an account.
func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
