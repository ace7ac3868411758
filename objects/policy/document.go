package policy

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// nodeKind is what a piece of JSON is.
type nodeKind uint8

const (
	scalarNode nodeKind = iota // string, number, boolean: its text
	nullNode
	listNode
	objectNode
)

// node is a piece of JSON with its place.
type node struct {
	kind   nodeKind
	place  string
	text   string
	quoted bool     // it was a string
	names  []string // of an object's members, in the order of the text
	nodes  []*node  // members, or elements
}

// maxDepth is deeper than any policy: document, statements, statement, Condition,
// operator, key, value.
const maxDepth = 8

// parseDocument reads JSON whole.
func parseDocument(text []byte) (*node, *Error) {
	if trimmed := bytes.TrimLeft(text, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, &Error{Message: "Policies must be valid JSON and the first byte must be '{'"}
	}
	if !utf8.Valid(text) || !json.Valid(text) {
		return nil, invalidJSON("")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return parseNode(d, "", 0)
}

func invalidJSON(place string) *Error {
	return &Error{Message: "This policy contains invalid Json", Place: place}
}

// parseNode reads one value.
func parseNode(d *json.Decoder, place string, depth int) (*node, *Error) {
	token, err := d.Token()
	if err != nil || depth > maxDepth {
		return nil, invalidJSON(place)
	}
	n := &node{place: place}
	switch t := token.(type) {
	case nil:
		n.kind = nullNode
	case bool:
		n.text = strconv.FormatBool(t)
	case json.Number:
		n.text = t.String()
	case string:
		n.text, n.quoted = t, true
	case json.Delim:
		if t == '[' {
			n.kind = listNode
		} else {
			n.kind = objectNode
		}
		for d.More() {
			within := place + "[" + strconv.Itoa(len(n.nodes)) + "]"
			if n.kind == objectNode {
				name, err := d.Token()
				s, ok := name.(string)
				if err != nil || !ok {
					return nil, invalidJSON(place)
				}
				within = s
				if place != "" {
					within = place + "." + s
				}
				if n.member(s) != nil {
					return nil, invalidJSON(within) // twice
				}
				n.names = append(n.names, s)
			}
			child, wrong := parseNode(d, within, depth+1)
			if wrong != nil {
				return nil, wrong
			}
			n.nodes = append(n.nodes, child)
		}
		if _, err := d.Token(); err != nil {
			return nil, invalidJSON(place)
		}
	}
	return n, nil
}

// member returns a member of an object; nil if there is none.
func (n *node) member(name string) *node {
	for i, s := range n.names {
		if s == name && i < len(n.nodes) {
			return n.nodes[i]
		}
	}
	return nil
}

// fail is what is wrong with it.
func (n *node) fail(message string) *Error { return &Error{Message: message, Place: n.place} }

// strings returns a string, or a list of one or more. A message says what else it is.
func (n *node) strings(message string) ([]*node, *Error) {
	list := []*node{n}
	if n.kind == listNode {
		list = n.nodes
	}
	if len(list) == 0 {
		return nil, n.fail(message)
	}
	for _, one := range list {
		if one.kind != scalarNode || !one.quoted {
			return nil, one.fail(message)
		}
	}
	return list, nil
}

// significantBytes counts the bytes of JSON that are no space between its words:
// what Amazon counts.
func significantBytes(text []byte) (n int) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			n++
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			continue
		}
		n++
	}
	return n
}
