package policy

// Effect is what a policy says of a question. A greater one counts before a lesser.
type Effect uint8

const (
	// None: nothing is said of it.
	None Effect = iota
	// AllowAccount: it is allowed to the asker's account. In the account of the
	// bucket that is nothing to a user of it unless its own policies allow it, too.
	AllowAccount
	// Allow: it is allowed.
	Allow
	// Deny: it is denied, whatever allows it.
	Deny
)

// String returns the effect in the language's word.
func (e Effect) String() string {
	switch e {
	case AllowAccount:
		return "Allow (to the account)"
	case Allow:
		return "Allow"
	case Deny:
		return "Deny"
	default:
		return "None"
	}
}

// Decide says what the policy means for a question, and which of its statements
// says so first; nil for None. It allocates nothing.
func (p *Policy) Decide(q *Question) (Effect, *Statement) {
	action := q.Action
	if action >= actionCount {
		action = OtherAction
	}
	if !p.actions.has(action) {
		return None, nil
	}
	effect, by := None, (*Statement)(nil)
	for i := range p.statements {
		s := &p.statements[i]
		if !s.actions.has(action) || s.Effect <= effect {
			continue
		}
		if e := s.apply(q); e > effect {
			effect, by = e, s
			if e == Deny {
				break
			}
		}
	}
	return effect, by
}

// apply says what a statement means for a question about one of its actions.
func (s *Statement) apply(q *Question) Effect {
	if !s.aboutResource(q) { // first: most often a literal says no at once
		return None
	}
	reach := s.principals.match(q.Principal)
	if reach == notMeant {
		return None
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(q) {
			return None
		}
	}
	if s.Effect == Allow && reach == byAccount {
		return AllowAccount
	}
	return s.Effect
}

func (s *Statement) aboutResource(q *Question) bool {
	if s.resources == nil {
		return true
	}
	for i := range s.resources {
		if s.resources[i].match(q) {
			return !s.notResources
		}
	}
	return s.notResources
}
