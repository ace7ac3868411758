package native

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/accounts"
	"github.com/troupe-storage/troupe/httpedge/auth"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/policy"
)

// AccountKeeper keeps users and policies; *supervisors.Node.
type AccountKeeper interface {
	// Accounts returns those that the node goes by.
	Accounts() *objects.Accounts
	// ChangeAccount changes one document; see member.Accounts.ChangeAccount.
	ChangeAccount(ctx context.Context, change func(*objects.Accounts) (*objects.Account, error)) (*objects.Account, error)
	// SealSecret seals a secret key, and tells the fingerprint of the seal.
	SealSecret(accessKey, secret string) (sealed []byte, seal string)
}

const (
	opAccounts errs.Op = "native.accounts"
	// maxAccountRequest bounds the body of a request about users, in bytes.
	maxAccountRequest = 16 << 10
)

// accountRoutes answers requests about users, keys and policies.
type accountRoutes struct {
	keeper AccountKeeper
	now    func() time.Time
}

// AccountRoutes are the routes of api/accounts, for who signs with the root pair.
func AccountRoutes(keeper AccountKeeper, now func() time.Time) []Route {
	a := &accountRoutes{keeper, now}
	return []Route{
		{Path: accounts.UsersPath, Guard: Control, Handle: a.users},
		{Path: accounts.PoliciesPath, Guard: Control, Handle: a.policies},
	}
}

func (a *accountRoutes) users(r *Request) error {
	s, err := r.Segments()
	switch {
	case err != nil:
		return err
	case len(s) == 0:
		return Verbs{get: a.listUsers, post: a.createUser}.Handle(r)
	case len(s) == 1:
		return Verbs{
			get:    func(r *Request) error { return a.showUser(r, s[0]) },
			patch:  func(r *Request) error { return a.patchUser(r, s[0]) },
			remove: func(r *Request) error { return a.removeUser(r, s[0]) },
		}.Handle(r)
	case len(s) == 2 && s[1] == "keys":
		return Verbs{post: func(r *Request) error { return a.createKey(r, s[0]) }}.Handle(r)
	case len(s) == 3 && s[1] == "keys":
		return Verbs{
			patch:  func(r *Request) error { return a.patchKey(r, s[0], s[2]) },
			remove: func(r *Request) error { return a.removeKey(r, s[0], s[2]) },
		}.Handle(r)
	case len(s) == 3 && s[1] == "policies":
		return Verbs{
			put:    func(r *Request) error { return a.attach(r, s[0], s[2]) },
			remove: func(r *Request) error { return a.detach(r, s[0], s[2]) },
		}.Handle(r)
	}
	return Refuse(fasthttp.StatusBadRequest, "", "invalid URL path %q: what there is of a user is keys and policies", r.Path())
}

func (a *accountRoutes) policies(r *Request) error {
	s, err := r.Segments()
	switch {
	case err != nil:
		return err
	case len(s) == 0:
		return Verbs{get: a.listPolicies}.Handle(r)
	case len(s) > 1:
		return Refuse(fasthttp.StatusBadRequest, "", "invalid URL path %q: a policy is %s/NAME", r.Path(), accounts.PoliciesPath)
	}
	return Verbs{
		get:    func(r *Request) error { return a.showPolicy(r, s[0]) },
		put:    func(r *Request) error { return a.putPolicy(r, s[0]) },
		remove: func(r *Request) error { return a.removePolicy(r, s[0]) },
	}.Handle(r)
}

// find returns what there is under a name.
func find(all *objects.Accounts, kind objects.AccountKind, name string) (*objects.Account, error) {
	if doc := all.Find(kind, name); doc != nil {
		return doc, nil
	}
	return nil, errs.E(opAccounts, objects.AccountID{Kind: kind, Name: name}, errs.NotFound, fmt.Errorf("there is no %s %q", kind, name))
}

func (a *accountRoutes) listUsers(r *Request) error {
	answer := accounts.Users{Users: []accounts.User{}}
	for _, doc := range a.keeper.Accounts().All(objects.AccountUser) {
		answer.Users = append(answer.Users, userOf(doc))
	}
	return r.JSON(answer)
}

func (a *accountRoutes) showUser(r *Request, name string) error {
	doc, err := find(a.keeper.Accounts(), objects.AccountUser, name)
	if err != nil {
		return err
	}
	return r.JSON(userOf(doc))
}

// key makes an access key of a pair, its secret sealed.
func (a *accountRoutes) key(accessKey, secretKey *string) (key objects.AccessKey, seal string, err error) {
	if *accessKey == "" {
		*accessKey = auth.NewAccessKey()
	}
	if *secretKey == "" {
		*secretKey = auth.NewSecretKey()
	}
	err = objects.CheckAccessKey(*accessKey)
	if err == nil {
		err = objects.CheckSecretKey(*secretKey)
	}
	if err != nil {
		return key, "", errs.E(opAccounts, "access key", errs.Invalid, err)
	}
	sealed, seal := a.keeper.SealSecret(*accessKey, *secretKey)
	return objects.AccessKey{ID: *accessKey, Sealed: sealed, Created: a.now().UTC()}, seal, nil
}

func (a *accountRoutes) createUser(r *Request) error {
	var n accounts.NewUser
	if err := r.Decode(maxAccountRequest, &n); err != nil {
		return err
	}
	key, seal, err := a.key(&n.AccessKey, &n.SecretKey)
	if err != nil {
		return err
	}
	if n.ID == "" {
		id := make([]byte, 32)
		_, _ = rand.Read(id) // never fails
		n.ID = hex.EncodeToString(id)
	}
	doc, err := a.keeper.ChangeAccount(r.Context(), func(all *objects.Accounts) (*objects.Account, error) {
		if all.Find(objects.AccountUser, n.Name) != nil {
			return nil, errs.E(opAccounts, n.Name, errs.Exists, fmt.Errorf("there is a user %q already", n.Name))
		}
		u := &objects.User{
			ID: n.ID, Display: n.Display, Email: n.Email, Of: n.Of, Seal: seal, Keys: []objects.AccessKey{key}, Created: key.Created,
		}
		if n.Of == "" {
			number, err := rand.Int(rand.Reader, big.NewInt(1_000_000_000_000))
			if err != nil {
				return nil, err
			}
			u.Number = fmt.Sprintf("%012d", number)
		} else {
			account, err := find(all, objects.AccountUser, n.Of)
			if err != nil {
				return nil, err
			}
			u.Number = account.User.Number
		}
		return &objects.Account{Kind: objects.AccountUser, Name: n.Name, User: u}, nil
	})
	if err != nil {
		return err
	}
	return r.JSON(accounts.Created{User: userOf(doc), AccessKey: n.AccessKey, SecretKey: n.SecretKey})
}

// changeUser changes a copy of a user.
func (a *accountRoutes) changeUser(r *Request, name string, change func(*objects.User) error) (*objects.Account, error) {
	return a.keeper.ChangeAccount(r.Context(), func(all *objects.Accounts) (*objects.Account, error) {
		was, err := find(all, objects.AccountUser, name)
		if err != nil {
			return nil, err
		}
		u := *was.User // Inline is changed by nobody here
		u.Keys, u.Policies = slices.Clone(u.Keys), slices.Clone(u.Policies)
		if err := change(&u); err != nil {
			return nil, err
		}
		return &objects.Account{Kind: objects.AccountUser, Name: name, User: &u}, nil
	})
}

// answerChange is changeUser for requests that are answered with the user.
func (a *accountRoutes) answerChange(r *Request, name string, change func(*objects.User) error) error {
	doc, err := a.changeUser(r, name, change)
	if err != nil {
		return err
	}
	return r.JSON(userOf(doc))
}

func (a *accountRoutes) patchUser(r *Request, name string) error {
	var c accounts.Change
	if err := r.Decode(maxAccountRequest, &c); err != nil {
		return err
	}
	if c.Disabled == nil {
		return Refuse(fasthttp.StatusBadRequest, "", "the change of user %q changes nothing", name)
	}
	return a.answerChange(r, name, func(u *objects.User) error {
		u.Disabled = *c.Disabled
		return nil
	})
}

// drop removes a document, and returns what it was.
func (a *accountRoutes) drop(r *Request, kind objects.AccountKind, name string) (was *objects.Account, err error) {
	_, err = a.keeper.ChangeAccount(r.Context(), func(all *objects.Accounts) (*objects.Account, error) {
		if was, err = find(all, kind, name); err != nil {
			return nil, err
		}
		return &objects.Account{Kind: kind, Name: name, Removed: true}, nil
	})
	return was, err
}

func (a *accountRoutes) removeUser(r *Request, name string) error {
	was, err := a.drop(r, objects.AccountUser, name)
	if err != nil {
		return err
	}
	return r.JSON(userOf(was))
}

// keyOf returns an access key of a user.
func keyOf(u *objects.User, accessKey string) (*objects.AccessKey, error) {
	for i := range u.Keys {
		if u.Keys[i].ID == accessKey {
			return &u.Keys[i], nil
		}
	}
	return nil, errs.E(opAccounts, accessKey, errs.NotFound, fmt.Errorf("the user has no access key %q", accessKey))
}

func (a *accountRoutes) createKey(r *Request, name string) error {
	var n accounts.NewKey
	if err := r.Decode(maxAccountRequest, &n); err != nil {
		return err
	}
	if n.Overlap < 0 || n.Overlap > accounts.MaxOverlap || n.Overlap != 0 && n.Replaces == "" {
		return Refuse(fasthttp.StatusBadRequest, "", "overlap_seconds %d is not from 0 to %d, or no key is replaced", n.Overlap, accounts.MaxOverlap)
	}
	key, seal, err := a.key(&n.AccessKey, &n.SecretKey)
	if err != nil {
		return err
	}
	doc, err := a.changeUser(r, name, func(u *objects.User) error {
		if u.Seal != "" && u.Seal != seal {
			return errs.E(opAccounts, name, errs.Conflict, fmt.Errorf("the keys of user %q are sealed with seed %s, and not yet with %s; who has both seeds seals them anew within seconds", name, u.Seal, seal))
		}
		if n.Replaces != "" {
			before, err := keyOf(u, n.Replaces)
			if err != nil {
				return err
			}
			// a key that ends sooner is not made good for longer
			if end := key.Created.Add(time.Duration(n.Overlap) * time.Second); before.Expires.IsZero() || end.Before(before.Expires) {
				before.Expires = end
			}
		}
		u.Seal, u.Keys = seal, append(u.Keys, key)
		return nil
	})
	if err != nil {
		return err
	}
	return r.JSON(accounts.Created{User: userOf(doc), AccessKey: n.AccessKey, SecretKey: n.SecretKey})
}

func (a *accountRoutes) patchKey(r *Request, name, accessKey string) error {
	var c accounts.KeyChange
	if err := r.Decode(maxAccountRequest, &c); err != nil {
		return err
	}
	if c.Disabled == nil && c.Expires == nil {
		return Refuse(fasthttp.StatusBadRequest, "", "the change of access key %q changes nothing", accessKey)
	}
	return a.answerChange(r, name, func(u *objects.User) error {
		key, err := keyOf(u, accessKey)
		if err != nil {
			return err
		}
		if c.Disabled != nil {
			key.Disabled = *c.Disabled
		}
		if c.Expires != nil {
			key.Expires = c.Expires.UTC()
		}
		return nil
	})
}

func (a *accountRoutes) removeKey(r *Request, name, accessKey string) error {
	return a.answerChange(r, name, func(u *objects.User) error {
		if _, err := keyOf(u, accessKey); err != nil {
			return err
		}
		u.Keys = slices.DeleteFunc(u.Keys, func(k objects.AccessKey) bool { return k.ID == accessKey })
		if len(u.Keys) == 0 {
			u.Seal = ""
		}
		return nil
	})
}

func (a *accountRoutes) attach(r *Request, name, policy string) error {
	return a.answerChange(r, name, func(u *objects.User) error {
		if !slices.Contains(u.Policies, policy) {
			u.Policies = append(u.Policies, policy)
		}
		return nil
	})
}

func (a *accountRoutes) detach(r *Request, name, policy string) error {
	return a.answerChange(r, name, func(u *objects.User) error {
		i := slices.Index(u.Policies, policy)
		if i < 0 {
			return errs.E(opAccounts, policy, errs.NotFound, fmt.Errorf("policy %q is not attached to user %q", policy, name))
		}
		u.Policies = slices.Delete(u.Policies, i, i+1)
		return nil
	})
}

func (a *accountRoutes) listPolicies(r *Request) error {
	all := a.keeper.Accounts()
	answer := accounts.Policies{Policies: []accounts.Policy{}}
	for _, doc := range all.All(objects.AccountPolicy) {
		p := policyOf(all, doc)
		p.Text = nil
		answer.Policies = append(answer.Policies, p)
	}
	return r.JSON(answer)
}

func (a *accountRoutes) showPolicy(r *Request, name string) error {
	all := a.keeper.Accounts()
	doc, err := find(all, objects.AccountPolicy, name)
	if err != nil {
		return err
	}
	return r.JSON(policyOf(all, doc))
}

func (a *accountRoutes) putPolicy(r *Request, name string) error {
	body, err := r.Body(objects.MaxPolicyBytes)
	if err != nil {
		return err
	}
	text := slices.Clone(body)
	if _, err := policy.Parse(text, policy.Identity); err != nil {
		var malformed *policy.Error
		if errors.As(err, &malformed) {
			return errs.E(opAccounts, name, errs.Invalid, fmt.Errorf("policy %q: %w", name, err))
		}
		return err
	}
	doc, err := a.keeper.ChangeAccount(r.Context(), func(*objects.Accounts) (*objects.Account, error) {
		return &objects.Account{Kind: objects.AccountPolicy, Name: name, Policy: &objects.NamedPolicy{Text: text}}, nil
	})
	if err != nil {
		return err
	}
	return r.JSON(policyOf(a.keeper.Accounts(), doc))
}

func (a *accountRoutes) removePolicy(r *Request, name string) error {
	was, err := a.drop(r, objects.AccountPolicy, name)
	if err != nil {
		return err
	}
	return r.JSON(policyOf(nil, was))
}

// userOf is a user as clients see it: without secrets, sealed ones included.
func userOf(doc *objects.Account) accounts.User {
	u := doc.User
	out := accounts.User{
		Name: doc.Name, ID: u.ID, Number: u.Number, Of: u.Of, Display: u.Display, Email: u.Email, Disabled: u.Disabled,
		Created: u.Created, Version: doc.Version, Keys: make([]accounts.Key, len(u.Keys)), Policies: append([]string{}, u.Policies...),
	}
	for i := range u.Keys {
		k := &u.Keys[i]
		out.Keys[i] = accounts.Key{AccessKey: k.ID, Created: k.Created, Expires: dated(k.Expires), Disabled: k.Disabled}
	}
	return out
}

func policyOf(all *objects.Accounts, doc *objects.Account) accounts.Policy {
	out := accounts.Policy{Name: doc.Name, Version: doc.Version, Text: doc.Policy.Text, Users: []string{}}
	for _, user := range all.All(objects.AccountUser) {
		if slices.Contains(user.User.Policies, doc.Name) {
			out.Users = append(out.Users, user.Name)
		}
	}
	return out
}
