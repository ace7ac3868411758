package objects

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/objects/errs"
)

func user(name string, change ...func(*User)) *Account {
	u := &User{ID: "id-" + name, Number: fmt.Sprintf("%012d", len(name)*1000+int(name[0])), Seal: "0011223344556677", Keys: []AccessKey{{ID: "KEY" + name, Sealed: []byte{1}}}}
	for _, c := range change {
		c(u)
	}
	return &Account{Kind: AccountUser, Name: name, Version: 1, User: u}
}

func named(name, text string) *Account {
	return &Account{Kind: AccountPolicy, Name: name, Version: 1, Policy: &NamedPolicy{Text: json.RawMessage(text)}}
}

// A document takes its place only if it fits those that are there; each refusal says which
// kind of mistake it is.
func TestAccountsCheck(t *testing.T) {
	all := NewAccounts(user("ann"), named("read", "{}"), user("bob", func(u *User) { u.Policies = []string{"read"}; u.Email = "bob@example.com" }))
	all = all.With(user("child", func(u *User) { u.Of = "ann"; u.Number = all.Find(AccountUser, "ann").User.Number }))
	for _, c := range []struct {
		what string
		doc  *Account
		kind errs.Kind
		ok   bool
	}{
		{"another user", user("eve"), 0, true},
		{"the same again", user("ann"), 0, true},
		{"a name with a slash", user("a/b"), errs.Invalid, false},
		{"no name", &Account{Kind: AccountUser, User: user("x").User}, errs.Invalid, false},
		{"a name that is too long", user(strings.Repeat("a", 65)), errs.Invalid, false},
		{"another's id", user("eve", func(u *User) { u.ID = "id-ann" }), errs.Exists, false},
		{"another's number", user("eve", func(u *User) { u.Number = all.Find(AccountUser, "ann").User.Number }), errs.Exists, false},
		{"another's e-mail", user("eve", func(u *User) { u.Email = "BOB@example.com" }), errs.Exists, false},
		{"another's access key", user("eve", func(u *User) { u.Keys[0].ID = "KEYbob" }), errs.Exists, false},
		{"an access key twice", user("eve", func(u *User) { u.Keys = append(u.Keys, u.Keys[0]) }), errs.Invalid, false},
		{"an access key without a secret", user("eve", func(u *User) { u.Keys[0].Sealed = nil }), errs.Invalid, false},
		{"an access key with a slash", user("eve", func(u *User) { u.Keys[0].ID = "a/b/c" }), errs.Invalid, false},
		{"keys of no seal", user("eve", func(u *User) { u.Seal = "" }), errs.Invalid, false},
		{"a number that is none", user("eve", func(u *User) { u.Number = "12" }), errs.Invalid, false},
		{"a policy that is not there", user("eve", func(u *User) { u.Policies = []string{"write"} }), errs.NotFound, false},
		{"a policy twice", user("eve", func(u *User) { u.Policies = []string{"read", "read"} }), errs.Invalid, false},
		{"of no account", user("eve", func(u *User) { u.Of = "nobody" }), errs.NotFound, false},
		{"of a user that is no account", user("eve", func(u *User) { u.Of = "child" }), errs.NotFound, false},
		{"of an account, with another number", user("eve", func(u *User) { u.Of = "ann" }), errs.Invalid, false},
		{"an account with users that becomes a user", user("ann", func(u *User) { u.Of = "bob"; u.Number = all.Find(AccountUser, "bob").User.Number }), errs.Conflict, false},
		{"an account that becomes a user of itself", user("bob", func(u *User) { u.Of = "bob" }), errs.Invalid, false},
		{"another number of an account with users", user("ann", func(u *User) { u.Number = "999999999999" }), errs.Conflict, false},
		{"another number of an account without", user("bob", func(u *User) { u.Number = "999999999999" }), 0, true},
		{"removing an account that has users", &Account{Kind: AccountUser, Name: "ann", Removed: true}, errs.Conflict, false},
		{"removing a user", &Account{Kind: AccountUser, Name: "child", Removed: true}, 0, true},
		{"removing a policy that is attached", &Account{Kind: AccountPolicy, Name: "read", Removed: true}, errs.Conflict, false},
		{"removing what is not there", &Account{Kind: AccountRole, Name: "x", Removed: true}, errs.NotFound, false},
		{"a policy", named("write", ` {"Version": "2012-10-17"}`), 0, true},
		{"a policy that is no JSON", named("write", "{"), errs.Invalid, false},
		{"a policy that is no object", named("write", "[]"), errs.Invalid, false},
		{"an empty policy", named("write", ""), errs.Invalid, false},
		{"a policy that is too large", named("write", `{"a":"`+strings.Repeat("x", MaxPolicyBytes)+`"}`), errs.Invalid, false},
		{"a policy of its own that is no JSON", user("eve", func(u *User) { u.Inline = map[string]json.RawMessage{"own": json.RawMessage("x")} }), errs.Invalid, false},
		{"a role", &Account{Kind: AccountRole, Name: "backup", Role: &Role{Of: "ann", Trust: json.RawMessage("{}")}}, 0, true},
		{"a role of nobody", &Account{Kind: AccountRole, Name: "backup", Role: &Role{Trust: json.RawMessage("{}")}}, errs.Invalid, false},
		{"a user that says that it is a policy", &Account{Kind: AccountPolicy, Name: "x", User: user("x").User}, errs.Invalid, false},
		{"nothing", &Account{Kind: AccountUser, Name: "x"}, errs.Invalid, false},
		{"a kind that nobody knows", &Account{Kind: "thing", Name: "x", Removed: true}, errs.Invalid, false},
	} {
		err := all.Check(c.doc)
		if c.ok != (err == nil) || !c.ok && !errs.Is(c.kind, err) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// The newest document of a name counts, in whatever order they come, and one that says that
// there is no such user any more is one.
func TestAccountsMerge(t *testing.T) {
	old, gone := user("ann"), &Account{Kind: AccountUser, Name: "ann", Version: 2, Removed: true}
	for _, all := range []*Accounts{NewAccounts(old, gone), NewAccounts(gone, old), NewAccounts(gone).With(old)} {
		if all.Find(AccountUser, "ann") != nil || all.Version(gone.ID()) != 2 || len(all.All(AccountUser)) != 0 || all.Len() != 1 {
			t.Errorf("a user who was removed is back: %+v", all.Documents())
		}
	}
	var none *Accounts
	if none.Find(AccountUser, "ann") != nil || none.Len() != 0 || none.Check(user("ann")) != nil {
		t.Error("no accounts are some")
	}
}
