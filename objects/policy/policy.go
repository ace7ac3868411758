package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kind is what a policy is attached to, which says what it may have in it.
type Kind uint8

const (
	// Bucket: statements have principals and are about a bucket and its objects.
	Bucket Kind = iota
	// Identity: of a user or a role, who are its principals; about anything.
	Identity
	// Trust: who may assume a role, which is its resource.
	Trust
	// Session: what of its user's or role's permissions a session has.
	Session
)

// Most bytes of a policy's text, spaces outside of strings not counted.
const (
	MaxBucketBytes   = 20 << 10
	MaxIdentityBytes = 6144
	MaxTrustBytes    = 2048
	MaxSessionBytes  = 2048
	maxTextBytes     = 64 << 10 // spaces counted
)

// Policy is a compiled text. Immutable, safe for concurrent use.
type Policy struct {
	// Version is the one of the language: "2012-10-17" or "2008-10-17", the latter
	// without variables.
	Version string
	ID      string

	statements []Statement
	actions    actions // of all statements
	keys       map[KeyID]struct{}
}

// Statement is a part of a policy that allows or denies. Immutable.
type Statement struct {
	Sid    string
	Index  int // in the text, from 0
	Effect Effect

	actions      actions
	principals   *principals // nil: whoever has the policy
	resources    []resource  // none: a trust policy's
	notResources bool
	conditions   []condition
}

// parser compiles one text.
type parser struct {
	kind      Kind
	variables bool
	policy    *Policy
	sids      map[string]struct{}
}

// Parse compiles a text. The error is an *Error.
func Parse(text []byte, kind Kind) (*Policy, error) {
	p, wrong := parse(text, kind)
	if wrong != nil {
		return nil, wrong
	}
	return p, nil
}

func parse(text []byte, kind Kind) (*Policy, *Error) {
	limit := [...]int{Bucket: MaxBucketBytes, Identity: MaxIdentityBytes, Trust: MaxTrustBytes, Session: MaxSessionBytes}[kind]
	if len(text) > maxTextBytes || significantBytes(text) > limit {
		return nil, &Error{Message: fmt.Sprintf("Normalized policy document exceeds the maximum allowed size of %d bytes", limit)}
	}
	document, wrong := parseDocument(text)
	if wrong != nil {
		return nil, wrong
	}
	p := &parser{
		kind: kind, sids: make(map[string]struct{}),
		policy: &Policy{Version: "2008-10-17", keys: make(map[KeyID]struct{})},
	}
	for i, name := range document.names {
		n := document.nodes[i]
		switch name {
		case "Version":
			if !n.quoted || n.text != "2012-10-17" && n.text != "2008-10-17" {
				return nil, n.fail("The policy must contain a valid version string")
			}
			p.policy.Version = n.text
		case "Id":
			if !n.quoted {
				return nil, n.fail("Invalid policy syntax.")
			}
			p.policy.ID = n.text
		case "Statement":
		default:
			return nil, n.fail("Unknown field " + name)
		}
	}
	p.variables = p.policy.Version == "2012-10-17"
	statements := document.member("Statement")
	if statements == nil {
		return nil, &Error{Message: "Missing required field Statement"}
	}
	list := []*node{statements}
	if statements.kind == listNode {
		list = statements.nodes
	}
	if len(list) == 0 {
		return nil, statements.fail("Could not parse the policy: Statement is empty!")
	}
	for i, n := range list {
		s, wrong := p.statement(n)
		if wrong != nil {
			return nil, wrong
		}
		s.Index = i
		p.policy.statements = append(p.policy.statements, *s)
		p.policy.actions.addAll(&s.actions)
	}
	return p.policy, nil
}

// statement compiles a statement.
func (p *parser) statement(n *node) (*Statement, *Error) {
	if n.kind != objectNode {
		return nil, n.fail("Invalid policy syntax.")
	}
	for i, name := range n.names {
		switch name {
		case "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition":
		default:
			return nil, n.nodes[i].fail("Unknown field " + name)
		}
	}
	s := &Statement{}
	if sid := n.member("Sid"); sid != nil {
		if !sid.quoted {
			return nil, sid.fail("Invalid policy syntax.")
		}
		if _, twice := p.sids[sid.text]; twice && sid.text != "" {
			return nil, sid.fail("Statement IDs (SID) in a single policy must be unique.")
		}
		p.sids[sid.text] = struct{}{}
		s.Sid = sid.text
	}
	if wrong := p.effect(n, s); wrong != nil {
		return nil, wrong
	}
	if wrong := p.principals(n, s); wrong != nil {
		return nil, wrong
	}
	each, wrong := p.statementActions(n, s)
	if wrong != nil {
		return nil, wrong
	}
	if wrong := p.resources(n, s, each); wrong != nil {
		return nil, wrong
	}
	if wrong := p.conditions(n, s, each); wrong != nil {
		return nil, wrong
	}
	return s, nil
}

func (p *parser) effect(n *node, s *Statement) *Error {
	effect := n.member("Effect")
	switch {
	case effect == nil:
		return n.fail("Missing required field Effect")
	case effect.quoted && effect.text == "Allow":
		s.Effect = Allow
	case effect.quoted && effect.text == "Deny":
		s.Effect = Deny
	default:
		return effect.fail("Invalid effect: " + effect.text)
	}
	return nil
}

// either returns one of two elements that exclude one another, and whether it is
// the second; nil if there is neither.
func either(n *node, name string) (element *node, not bool, wrong *Error) {
	yes, no := n.member(name), n.member("Not"+name)
	switch {
	case yes != nil && no != nil:
		return nil, false, no.fail("Invalid policy syntax.")
	case no != nil:
		return no, true, nil
	default:
		return yes, false, nil
	}
}

func (p *parser) principals(n *node, s *Statement) *Error {
	const invalid = "Invalid principal in policy"
	element, not, wrong := either(n, "Principal")
	if wrong != nil {
		return wrong
	}
	if p.kind == Identity || p.kind == Session {
		if element != nil {
			return element.fail("Policy document should not specify a principal.")
		}
		return nil
	}
	if element == nil {
		return n.fail("Missing required field Principal")
	}
	if not && s.Effect == Allow {
		return element.fail("Allow with NotPrincipal is not allowed")
	}
	s.principals = &principals{not: not}
	if element.kind == scalarNode && element.quoted && element.text == "*" {
		s.principals.everyone = true
		return nil
	}
	if element.kind != objectNode || len(element.nodes) == 0 {
		return element.fail(invalid)
	}
	for i, kind := range element.names {
		values, wrong := element.nodes[i].strings(invalid)
		if wrong != nil {
			return wrong
		}
		for _, value := range values {
			if !s.principals.add(kind, value.text) {
				return value.fail(invalid)
			}
		}
	}
	return nil
}

// statementActions compiles Action or NotAction; it returns what each of the patterns of
// Action means.
func (p *parser) statementActions(n *node, s *Statement) (each []actions, wrong *Error) {
	const invalid = "Policy has invalid action"
	element, not, wrong := either(n, "Action")
	if wrong != nil {
		return nil, wrong
	}
	if element == nil {
		return nil, n.fail("Missing required field Action")
	}
	values, wrong := element.strings(invalid)
	if wrong != nil {
		return nil, wrong
	}
	for _, value := range values {
		service, name, found := strings.Cut(value.text, ":")
		if value.text != "*" && (!found || service == "" || name == "") {
			return nil, value.fail(invalid)
		}
		set := actionsOf(value.text)
		if p.kind == Bucket && set.isEmpty() {
			return nil, value.fail(invalid)
		}
		each = append(each, set)
		s.actions.addAll(&set)
	}
	if not {
		s.actions = s.actions.complement()
		return nil, nil
	}
	return each, nil
}

// resources compiles Resource or NotResource.
func (p *parser) resources(n *node, s *Statement, each []actions) *Error {
	const invalid = "Policy has invalid resource"
	element, not, wrong := either(n, "Resource")
	if wrong != nil {
		return wrong
	}
	if p.kind == Trust {
		if element != nil {
			return element.fail("Has prohibited field Resource")
		}
		return nil
	}
	if element == nil {
		return n.fail("Missing required field Resource")
	}
	values, wrong := element.strings(invalid)
	if wrong != nil {
		return wrong
	}
	s.notResources = not
	for _, value := range values {
		r, message := compileResource(value.text, p.kind == Bucket, p.variables)
		if message != "" {
			return value.fail(message)
		}
		p.note(r.pattern)
		s.resources = append(s.resources, r)
	}
	if p.kind != Bucket || not {
		return nil
	}
	for _, set := range each {
		if !applies(set, s.resources) {
			return element.fail("Action does not apply to any resource(s) in statement")
		}
	}
	return nil
}

// applies reports whether one of the actions can be done to one of the resources.
func applies(set actions, resources []resource) bool {
	for a, info := range actionTable() {
		for i := range resources {
			able := info.about == aboutBucket && resources[i].buckets || info.about == aboutObject && resources[i].objects
			if set.has(Action(a)) && able {
				return true
			}
		}
	}
	return false
}

// note remembers the keys that a pattern has as variables.
func (p *parser) note(patterns ...pattern) {
	for _, one := range patterns {
		for _, s := range one.segments {
			if s.kind == variable {
				p.policy.keys[s.key.ID] = struct{}{}
			}
		}
	}
}

func (p *parser) conditions(n *node, s *Statement, each []actions) *Error {
	const syntax = "Invalid policy syntax."
	element := n.member("Condition")
	if element == nil {
		return nil
	}
	if element.kind != objectNode {
		return element.fail(syntax)
	}
	for i, name := range element.names {
		keys := element.nodes[i]
		o, ok := operatorNamed(name)
		if !ok {
			return keys.fail("Invalid Condition type : " + name)
		}
		if keys.kind != objectNode || len(keys.nodes) == 0 {
			return keys.fail(syntax)
		}
		for j, name := range keys.names {
			if wrong := p.condition(s, o, name, keys.nodes[j], each); wrong != nil {
				return wrong
			}
		}
	}
	return nil
}

// condition compiles the values of one key under one operator.
func (p *parser) condition(s *Statement, o operator, name string, n *node, each []actions) *Error {
	key, info, known := keyNamed(name)
	if !known {
		service, rest, found := strings.Cut(name, ":")
		foreign := found && service != "" && rest != "" && !strings.EqualFold(service, "aws") && !strings.EqualFold(service, "s3")
		if p.kind == Bucket || !foreign {
			return n.fail("Policy has an invalid condition key")
		}
		key = Key{name: name} // of another service: no request has it
	}
	for _, set := range each {
		if p.kind == Bucket && info.applies != nil && !appliesToAny(set, info.applies) {
			return n.fail("Conditions do not apply to combination of actions and resources in statement")
		}
	}
	values := []*node{n}
	if n.kind == listNode {
		values = n.nodes
	}
	c := condition{operator: o, key: key}
	for _, value := range values {
		if value.kind != scalarNode {
			return value.fail("Invalid policy syntax.")
		}
		v, wrong := compileOperand(o, value.text, p.variables)
		if wrong != "" {
			return value.fail(wrong)
		}
		p.note(v.text)
		p.note(v.arn[:]...)
		c.operands = append(c.operands, v)
	}
	if len(c.operands) == 0 {
		return n.fail("Invalid policy syntax.")
	}
	p.policy.keys[key.ID] = struct{}{}
	s.conditions = append(s.conditions, c)
	return nil
}

func appliesToAny(set actions, applies func(Action) bool) bool {
	if set.has(OtherAction) {
		return true
	}
	for a := range actionCount {
		if set.has(a) && applies(a) {
			return true
		}
	}
	return false
}

// CheckBucket returns an *Error unless all resources of a bucket policy are the
// bucket or in it.
func (p *Policy) CheckBucket(bucket string) error {
	for i := range p.statements {
		for j := range p.statements[i].resources {
			if !p.statements[i].resources[j].bucket.matchString(bucket, nil) {
				return &Error{Message: "Policy has invalid resource", Place: fmt.Sprintf("Statement[%d]", i)}
			}
		}
	}
	return nil
}

// Names reports whether a statement asks for a key, in a condition or as a variable.
func (p *Policy) Names(key KeyID) bool {
	_, ok := p.keys[key]
	return ok
}

// Principals returns the accounts (numbers), ARNs and ids that statements name, each
// once, sorted: whether there are such is known to whoever knows the accounts.
func (p *Policy) Principals() []string {
	all := make(map[string]struct{})
	for i := range p.statements {
		if who := p.statements[i].principals; who != nil {
			maps.Copy(all, who.accounts)
			maps.Copy(all, who.arns)
			maps.Copy(all, who.ids)
		}
	}
	return slices.Sorted(maps.Keys(all))
}
