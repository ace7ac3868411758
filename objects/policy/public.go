package policy

import "strings"

// Public reports whether the policy is public in the sense of Amazon's block of
// public access: a statement allows something to everybody, and no condition of
// it fixes who that is by account, ARN, organisation or network.
func (p *Policy) Public() bool {
	for i := range p.statements {
		if p.statements[i].isPublic() {
			return true
		}
	}
	return false
}

// WithoutPublic returns the policy without the statements that make it public.
func (p *Policy) WithoutPublic() *Policy {
	q := &Policy{Version: p.Version, ID: p.ID, keys: p.keys}
	for i := range p.statements {
		if s := &p.statements[i]; !s.isPublic() {
			q.statements = append(q.statements, *s)
			q.actions.addAll(&s.actions)
		}
	}
	return q
}

func (s *Statement) isPublic() bool {
	if s.Effect != Allow || s.principals == nil || !s.principals.everyone {
		return false
	}
	for i := range s.conditions {
		if s.conditions[i].fixes() {
			return false
		}
	}
	return true
}

// fixes reports whether a condition leaves nobody but those whom it names.
func (c *condition) fixes() bool {
	o := c.operator
	// What holds without the key, or for all but some, fixes nothing.
	if o.negated || o.ifExists || o.quantifier == forAll {
		return false
	}
	switch o.comparison {
	case inNetwork:
		for _, v := range c.operands {
			least := 8
			if v.network.Addr().Is6() {
				least = 32
			}
			if c.key.ID != KeySourceIP || v.network.Bits() < least {
				return false
			}
		}
		return true
	case equalText, equalARN:
	default:
		return false
	}
	switch strings.ToLower(c.key.name) {
	case "aws:principalaccount", "aws:principalarn", "aws:principalorgid", "aws:principalorgpaths", "aws:sourceaccount", "aws:sourcearn",
		"aws:sourceowner", "aws:sourcevpc", "aws:sourcevpce", "aws:userid", "s3:dataaccesspointaccount", "s3:dataaccesspointarn",
		"s3:x-amz-server-side-encryption-aws-kms-key-id":
	default:
		return false
	}
	for _, v := range c.operands {
		if !v.fixed(o.comparison, &c.key) {
			return false
		}
	}
	return true
}

// fixed reports whether a value is without wildcards and variables, but for the
// name of a session after the id of its role.
func (v *operand) fixed(comparison comparison, key *Key) bool {
	if comparison == equalARN {
		for i := range v.arn {
			if !isFixed(&v.arn[i]) {
				return false
			}
		}
		return true
	}
	segments := v.text.segments
	if n := len(segments); key.ID == KeyUserID && n == 2 && segments[1].kind == anyRun {
		return segments[0].kind == literal && strings.HasSuffix(segments[0].text, ":")
	}
	return isFixed(&v.text)
}

func isFixed(p *pattern) bool {
	for _, s := range p.segments {
		if s.kind != literal {
			return false
		}
	}
	return true
}
