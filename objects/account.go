package objects

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// AccountKind says what a document of accounts is about.
type AccountKind string

// The kinds of documents of accounts.
const (
	AccountUser   AccountKind = "user"
	AccountPolicy AccountKind = "policy"
	AccountRole   AccountKind = "role"
)

// AccountKinds are all of them.
func AccountKinds() []AccountKind { return []AccountKind{AccountUser, AccountPolicy, AccountRole} }

// Limits of accounts.
const (
	// MaxAccounts bounds the documents of accounts, those of what was removed among them:
	// 10,000 of 2 KiB are 20 MiB on each node.
	MaxAccounts = 10_000
	// MaxAccountBytes bounds one document, as JSON.
	MaxAccountBytes = 256 << 10
	// MaxPolicyBytes bounds the text of one policy.
	MaxPolicyBytes = 20 << 10
	// MaxAccessKeys bounds the access keys of a user.
	MaxAccessKeys = 16
	// MaxAttached bounds the policies of a user or a role, attached ones and its own.
	MaxAttached = 20
	// MinSecretKey is the length of the shortest secret key that is taken.
	MinSecretKey = 8
	maxSecretKey = 128
	maxNameBytes = 64
)

// AccountID names a document of accounts.
type AccountID struct {
	Kind AccountKind
	Name string
}

// String implements fmt.Stringer.
func (id AccountID) String() string { return string(id.Kind) + " " + id.Name }

// Account is a document of accounts: exactly one of User, Policy and Role is set, or none
// where it was Removed. An immutable value.
type Account struct {
	Kind    AccountKind `json:"kind"`
	Name    string      `json:"name"`
	Version uint64      `json:"version"` // counts its changes, from 1; goes on when a name is made again
	// Removed: there is no such thing any more. The document stays, so that nobody who has
	// an older one brings it back.
	Removed bool         `json:"removed,omitempty"`
	User    *User        `json:"user,omitempty"`
	Policy  *NamedPolicy `json:"policy,omitempty"`
	Role    *Role        `json:"role,omitempty"`
}

// ID names the document.
func (a *Account) ID() AccountID { return AccountID{a.Kind, a.Name} }

// User is an account, or, with Of, a user of one. An account may do everything with what
// it owns; a user of one starts with nothing.
type User struct {
	ID      string `json:"id"`     // canonical id: 64 hexadecimal digits, or as imported; a user's is its own
	Number  string `json:"number"` // of the ARN: 12 digits; a user's is its account's
	Display string `json:"display,omitempty"`
	Email   string `json:"email,omitempty"`
	Path    string `json:"path,omitempty"` // of the ARN; empty: /
	Of      string `json:"of,omitempty"`   // name of the account; empty: it is one
	// Seal is the fingerprint of the seal of all Keys; empty: there are none.
	Seal     string                     `json:"seal,omitempty"`
	Keys     []AccessKey                `json:"keys,omitempty"`
	Policies []string                   `json:"policies,omitempty"` // named ones
	Inline   map[string]json.RawMessage `json:"inline,omitempty"`   // its own, by name
	Disabled bool                       `json:"disabled,omitempty"`
	Created  time.Time                  `json:"created"`
}

// AccessKey is a pair of keys of a user, whose secret is sealed with the access key as
// additional data (cipher.Seal).
type AccessKey struct {
	ID       string    `json:"id"`
	Sealed   []byte    `json:"sealed"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires,omitzero"` // zero: never
	Disabled bool      `json:"disabled,omitempty"`
}

// NamedPolicy is a policy that users and roles may have.
type NamedPolicy struct {
	Text json.RawMessage `json:"text"`
}

// Role is what users may take on for a while.
type Role struct {
	Of        string                     `json:"of"` // name of the account
	Trust     json.RawMessage            `json:"trust"`
	Policies  []string                   `json:"policies,omitempty"`
	Inline    map[string]json.RawMessage `json:"inline,omitempty"`
	Longest   time.Duration              `json:"longest,omitempty"` // of a session; 0: one hour
	NotBefore time.Time                  `json:"not_before,omitzero"`
}

// Accounts are all documents of accounts, those of what was removed among them. An
// immutable value; nil is none.
type Accounts struct {
	docs map[AccountID]*Account
}

// NewAccounts returns the newest of the documents of each name.
func NewAccounts(docs ...*Account) *Accounts { return (*Accounts)(nil).With(docs...) }

// With returns accounts with documents in place of older ones.
func (a *Accounts) With(docs ...*Account) *Accounts {
	next := &Accounts{docs: make(map[AccountID]*Account, a.Len()+len(docs))}
	if a != nil {
		maps.Copy(next.docs, a.docs)
	}
	for _, d := range docs {
		if have := next.docs[d.ID()]; have == nil || have.Version < d.Version {
			next.docs[d.ID()] = d
		}
	}
	return next
}

// Len is the number of documents.
func (a *Accounts) Len() int {
	if a == nil {
		return 0
	}
	return len(a.docs)
}

// Version is that of a document, of what was removed, too; 0: there never was one.
func (a *Accounts) Version(id AccountID) uint64 {
	if a == nil || a.docs[id] == nil {
		return 0
	}
	return a.docs[id].Version
}

// Find returns a document; nil: there is no such thing, or it was removed.
func (a *Accounts) Find(kind AccountKind, name string) *Account {
	if a == nil {
		return nil
	}
	if d := a.docs[AccountID{kind, name}]; d != nil && !d.Removed {
		return d
	}
	return nil
}

// All returns the documents of a kind by name, without those of what was removed.
func (a *Accounts) All(kind AccountKind) []*Account {
	var list []*Account
	for _, d := range a.Documents() {
		if d.Kind == kind && !d.Removed {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(x, y *Account) int { return strings.Compare(x.Name, y.Name) })
	return list
}

// Documents returns all documents, in no order.
func (a *Accounts) Documents() []*Account {
	if a == nil {
		return nil
	}
	return slices.Collect(maps.Values(a.docs))
}

// Check refuses a document that cannot take its place among the others: errs.Invalid where
// it could nowhere, errs.Exists where another one has its id, access key or e-mail,
// errs.NotFound where it names what is not there, errs.Conflict where others need it.
func (a *Accounts) Check(d *Account) error {
	const op errs.Op = "objects.Check"
	if err := d.check(); err != nil {
		return errs.E(op, d.ID(), errs.Invalid, err)
	}
	if a.Version(d.ID()) == 0 && a.Len() >= MaxAccounts {
		return errs.E(op, d.ID(), errs.NoSpace, fmt.Errorf("there are %d users, policies and roles, or names that were; at most %d", a.Len(), MaxAccounts))
	}
	if d.Removed {
		return errs.Wrap(op, a.unused(d.ID()))
	}
	var of string
	var attached []string
	switch {
	case d.User != nil:
		of, attached = d.User.Of, d.User.Policies
		if err := a.apart(d); err != nil {
			return errs.E(op, d.ID(), errs.Exists, err)
		}
	case d.Role != nil:
		of, attached = d.Role.Of, d.Role.Policies
	}
	if d.User != nil && of == d.Name {
		return errs.E(op, d.ID(), errs.Invalid, errors.New("it would be a user of itself"))
	}
	if was := a.Find(AccountUser, d.Name); d.User != nil && was != nil && was.User.Number != d.User.Number && a.owns(d.Name) {
		return errs.E(op, d.ID(), errs.Conflict, errors.New("its number is that of its users, too: it stays while it has users or roles"))
	}
	if of != "" {
		account := a.Find(AccountUser, of)
		if account == nil || account.User.Of != "" {
			return errs.E(op, d.ID(), errs.NotFound, fmt.Errorf("there is no account %q", of))
		}
		if d.User != nil && d.User.Number != account.User.Number {
			return errs.E(op, d.ID(), errs.Invalid, fmt.Errorf("its number is not that of account %q", of))
		}
		if d.User != nil && a.owns(d.Name) {
			return errs.E(op, d.ID(), errs.Conflict, errors.New("it is an account that has users or roles"))
		}
	}
	for _, name := range attached {
		if a.Find(AccountPolicy, name) == nil {
			return errs.E(op, d.ID(), errs.NotFound, fmt.Errorf("there is no policy %q", name))
		}
	}
	return nil
}

// owns reports whether a user is an account that has users or roles.
func (a *Accounts) owns(name string) bool {
	for _, other := range a.Documents() {
		if !other.Removed && (other.User != nil && other.User.Of == name || other.Role != nil && other.Role.Of == name) {
			return true
		}
	}
	return false
}

// unused refuses to remove what others name.
func (a *Accounts) unused(id AccountID) error {
	if a.Find(id.Kind, id.Name) == nil {
		return errs.E("objects.unused", id, errs.NotFound, errors.New("there is no such thing"))
	}
	for _, other := range a.Documents() {
		var needs bool
		switch {
		case other.Removed:
		case other.User != nil:
			needs = id.Kind == AccountUser && other.User.Of == id.Name || id.Kind == AccountPolicy && slices.Contains(other.User.Policies, id.Name)
		case other.Role != nil:
			needs = id.Kind == AccountUser && other.Role.Of == id.Name || id.Kind == AccountPolicy && slices.Contains(other.Role.Policies, id.Name)
		}
		if needs {
			return errs.E("objects.unused", id, errs.Conflict, fmt.Errorf("%s needs it", other.ID()))
		}
	}
	return nil
}

// apart refuses a user that has what is another one's.
func (a *Accounts) apart(d *Account) error {
	keys := make(map[string]bool, len(d.User.Keys))
	for i := range d.User.Keys {
		keys[d.User.Keys[i].ID] = true
	}
	for _, other := range a.All(AccountUser) {
		u := other.User
		if other.Name == d.Name {
			continue
		}
		switch {
		case u.ID == d.User.ID:
			return fmt.Errorf("user %q has its id", other.Name)
		case u.Email != "" && strings.EqualFold(u.Email, d.User.Email):
			return fmt.Errorf("user %q has its e-mail address", other.Name)
		case u.Of == "" && d.User.Of == "" && u.Number == d.User.Number:
			return fmt.Errorf("account %q has its number", other.Name)
		}
		for i := range u.Keys {
			if keys[u.Keys[i].ID] {
				return fmt.Errorf("access key %s is of user %q", u.Keys[i].ID, other.Name)
			}
		}
	}
	return nil
}

// check refuses what could be nowhere.
func (d *Account) check() error {
	if err := checkAccountName(d.Name); err != nil {
		return err
	}
	bodies := 0
	for _, is := range []bool{d.User != nil, d.Policy != nil, d.Role != nil} {
		if is {
			bodies++
		}
	}
	if d.Removed != (bodies == 0) || bodies > 1 {
		return errors.New("the document says several things, or nothing")
	}
	var err error
	switch d.Kind {
	case AccountUser:
		if d.User != nil {
			err = d.User.check()
		} else if !d.Removed {
			err = errors.New("it is no user")
		}
	case AccountPolicy:
		if d.Policy != nil {
			err = checkPolicyText(d.Policy.Text)
		} else if !d.Removed {
			err = errors.New("it is no policy")
		}
	case AccountRole:
		if d.Role != nil {
			err = d.Role.check()
		} else if !d.Removed {
			err = errors.New("it is no role")
		}
	default:
		err = fmt.Errorf("%q is no kind of account", d.Kind)
	}
	if err != nil {
		return err
	}
	text, err := json.Marshal(d)
	if err == nil && len(text) > MaxAccountBytes {
		err = fmt.Errorf("it would have %d bytes; at most %d", len(text), MaxAccountBytes)
	}
	return err
}

func (u *User) check() error {
	switch {
	case u.ID == "" || len(u.ID) > 128 || !visible(u.ID):
		return fmt.Errorf("id %q is not 1 to 128 visible characters", u.ID)
	case len(u.Number) != 12 || strings.Trim(u.Number, "0123456789") != "":
		return fmt.Errorf("number %q is not 12 digits", u.Number)
	case len(u.Display) > 256 || len(u.Email) > 256 || strings.ContainsFunc(u.Display+u.Email, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("display name and e-mail address are lines of at most 256 bytes")
	case u.Path != "" && (len(u.Path) > 512 || !visible(u.Path) || u.Path[0] != '/' || u.Path[len(u.Path)-1] != '/'):
		return fmt.Errorf("path %q does not begin and end with /", u.Path)
	case len(u.Keys) > MaxAccessKeys:
		return fmt.Errorf("it has %d access keys; at most %d", len(u.Keys), MaxAccessKeys)
	case (u.Seal == "") != (len(u.Keys) == 0):
		return errors.New("the seal of its keys is not known")
	}
	seen := make(map[string]bool)
	for i := range u.Keys {
		k := &u.Keys[i]
		if err := CheckAccessKey(k.ID); err != nil {
			return err
		}
		if seen[k.ID] || len(k.Sealed) == 0 {
			return fmt.Errorf("access key %s is there twice, or has no secret", k.ID)
		}
		seen[k.ID] = true
	}
	return checkAttached(u.Policies, u.Inline)
}

func (r *Role) check() error {
	if r.Of == "" {
		return errors.New("it belongs to no account")
	}
	if r.Longest < 0 || r.Longest > 12*time.Hour {
		return fmt.Errorf("a session lasts %s; at most 12h", r.Longest)
	}
	if err := checkPolicyText(r.Trust); err != nil {
		return err
	}
	return checkAttached(r.Policies, r.Inline)
}

func checkAttached(policies []string, inline map[string]json.RawMessage) error {
	if n := len(policies) + len(inline); n > MaxAttached {
		return fmt.Errorf("it has %d policies; at most %d", n, MaxAttached)
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(policies)))); n != len(policies) {
		return errors.New("a policy is attached twice")
	}
	for name, text := range inline {
		if err := checkAccountName(name); err != nil {
			return err
		}
		if err := checkPolicyText(text); err != nil {
			return fmt.Errorf("policy %q: %w", name, err)
		}
	}
	return nil
}

// checkPolicyText judges the text of a policy. It sees that it is a JSON object, and no
// more: the parser of the policy language has its place here.
func checkPolicyText(text json.RawMessage) error {
	if len(text) > MaxPolicyBytes {
		return fmt.Errorf("the policy has %d bytes; at most %d", len(text), MaxPolicyBytes)
	}
	if !json.Valid(text) || bytes.TrimLeft(text, " \t\r\n")[0] != '{' {
		return errors.New("the policy is no JSON object")
	}
	return nil
}

// checkAccountName takes the names that IAM takes.
func checkAccountName(name string) error {
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("+=,.@_-", c) >= 0) {
			return fmt.Errorf("%q is not a name of letters, digits and +=,.@_-", name)
		}
	}
	if name == "" || len(name) > maxNameBytes {
		return fmt.Errorf("a name has 1 to %d characters, and %q has %d", maxNameBytes, name, len(name))
	}
	return nil
}

// CheckAccessKey refuses what cannot be an access key: it is a part of a credential scope,
// divided by slashes.
func CheckAccessKey(id string) error {
	if len(id) < 3 || len(id) > 128 || !visible(id) || strings.ContainsAny(id, "/,=:\"&<>") {
		return fmt.Errorf("access key %q is not 3 to 128 visible characters without / , = : \" & < >", id)
	}
	return nil
}

// CheckSecretKey refuses what cannot be a secret key. It does not repeat it.
func CheckSecretKey(secret string) error {
	if len(secret) < MinSecretKey || len(secret) > maxSecretKey || !visible(secret) {
		return fmt.Errorf("a secret key has %d to %d visible characters", MinSecretKey, maxSecretKey)
	}
	return nil
}

// visible reports whether a text is of ASCII that can be seen.
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
