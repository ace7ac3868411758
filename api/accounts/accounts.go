// Package accounts is the part of the native API with which users, their access keys and
// named policies are made, shown, changed and removed. It has the JSON that edges and
// clients share, and the client.
//
// Start with Client.
package accounts

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/troupe-storage/troupe/api/client"
)

// Paths on the native listener; all need the root pair.
//
//	GET  /v1/accounts/users               Users
//	POST /v1/accounts/users               NewUser; answers Created
//	GET, PATCH, DELETE  …/users/NAME      User; a PATCH is a Change
//	POST …/users/NAME/keys                NewKey; answers Created
//	PATCH, DELETE  …/users/NAME/keys/KEY  a PATCH is a KeyChange; both answer User
//	PUT, DELETE  …/users/NAME/policies/P  attaches and detaches a named policy; both answer User
//	GET  /v1/accounts/policies            Policies
//	GET, PUT, DELETE  …/policies/NAME     the text of a policy
//
// A change is answered when all nodes that are up go by it. No answer but Created has a
// secret key, and that of a key is never shown again.
const (
	UsersPath    = "/v1/accounts/users"
	PoliciesPath = "/v1/accounts/policies"
)

// User is a user without secrets.
type User struct {
	Name     string    `json:"name"`
	ID       string    `json:"id"`           // canonical id
	Number   string    `json:"number"`       // of its account: 12 digits
	Of       string    `json:"of,omitempty"` // name of the account; empty: it is one
	Display  string    `json:"display,omitempty"`
	Email    string    `json:"email,omitempty"`
	Disabled bool      `json:"disabled"`
	Created  time.Time `json:"created"`
	Version  uint64    `json:"version"` // counts changes
	Keys     []Key     `json:"keys"`
	Policies []string  `json:"policies"` // named ones that are attached
}

// Key is an access key without its secret.
type Key struct {
	AccessKey string     `json:"access_key"`
	Created   time.Time  `json:"created"`
	Expires   *time.Time `json:"expires,omitempty"` // absent: never
	Disabled  bool       `json:"disabled"`
}

// Users is the list of users, by name.
type Users struct {
	Users []User `json:"users"`
}

// NewUser asks for a user with one pair of keys. All but Name may be empty: what is missing
// is made at random.
type NewUser struct {
	Name      string `json:"name"`
	Of        string `json:"of,omitempty"`
	Display   string `json:"display,omitempty"`
	Email     string `json:"email,omitempty"`
	ID        string `json:"id,omitempty"`
	AccessKey string `json:"access_key,omitempty"`
	SecretKey string `json:"secret_key,omitempty"`
}

// NewKey asks for another pair of keys of a user.
type NewKey struct {
	AccessKey string `json:"access_key,omitempty"` // empty: made at random
	SecretKey string `json:"secret_key,omitempty"` // empty: made at random
	// Replaces is an access key of the user that ends Overlap seconds from now; empty: none.
	Replaces string `json:"replaces,omitempty"`
	Overlap  int64  `json:"overlap_seconds,omitempty"` // 0 to MaxOverlap
}

// MaxOverlap is the longest time that a replaced key stays good, in seconds: 90 days.
const MaxOverlap = 90 * 24 * 60 * 60

// Created is a user, and the pair of keys that was made for it.
type Created struct {
	User      User   `json:"user"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"` // shown this once
}

// Change changes a user; nil leaves what is.
type Change struct {
	Disabled *bool `json:"disabled,omitempty"`
}

// KeyChange changes an access key; nil leaves what is.
type KeyChange struct {
	Disabled *bool      `json:"disabled,omitempty"`
	Expires  *time.Time `json:"expires,omitempty"` // from then on it is unknown; the zero time: never
}

// Policy is a named policy.
type Policy struct {
	Name    string          `json:"name"`
	Version uint64          `json:"version"` // counts changes
	Text    json.RawMessage `json:"text,omitempty"`
	Users   []string        `json:"users"` // to whom it is attached
}

// Policies is the list of named policies by name, without their texts.
type Policies struct {
	Policies []Policy `json:"policies"`
}

// Client makes, shows and changes users. As safe for concurrent use as its Control.
type Client struct{ Control client.Control }

// Users returns all users by name.
func (c Client) Users(ctx context.Context) ([]User, error) {
	var answer Users
	err := c.Control.Get(ctx, UsersPath, nil, &answer)
	return answer.Users, err
}

// User returns one.
func (c Client) User(ctx context.Context, name string) (u User, err error) {
	err = c.Control.Get(ctx, UsersPath+"/"+name, nil, &u)
	return u, err
}

// CreateUser makes a user with a pair of keys.
func (c Client) CreateUser(ctx context.Context, n NewUser) (created Created, err error) {
	err = c.Control.Post(ctx, UsersPath, nil, n, &created)
	return created, err
}

// ChangeUser changes a user.
func (c Client) ChangeUser(ctx context.Context, name string, change Change) (u User, err error) {
	err = c.Control.Do(ctx, http.MethodPatch, UsersPath+"/"+name, nil, change, &u)
	return u, err
}

// RemoveUser removes a user with its keys, and returns what it was.
func (c Client) RemoveUser(ctx context.Context, name string) (u User, err error) {
	err = c.Control.Do(ctx, http.MethodDelete, UsersPath+"/"+name, nil, nil, &u)
	return u, err
}

// CreateKey makes another pair of keys of a user.
func (c Client) CreateKey(ctx context.Context, user string, n NewKey) (created Created, err error) {
	err = c.Control.Post(ctx, UsersPath+"/"+user+"/keys", nil, n, &created)
	return created, err
}

// ChangeKey changes an access key of a user.
func (c Client) ChangeKey(ctx context.Context, user, accessKey string, change KeyChange) (u User, err error) {
	err = c.Control.Do(ctx, http.MethodPatch, UsersPath+"/"+user+"/keys/"+accessKey, nil, change, &u)
	return u, err
}

// RemoveKey removes an access key of a user.
func (c Client) RemoveKey(ctx context.Context, user, accessKey string) (u User, err error) {
	err = c.Control.Do(ctx, http.MethodDelete, UsersPath+"/"+user+"/keys/"+accessKey, nil, nil, &u)
	return u, err
}

// Attach gives a user a named policy, which it may have already.
func (c Client) Attach(ctx context.Context, user, policy string) (u User, err error) {
	err = c.Control.Do(ctx, http.MethodPut, UsersPath+"/"+user+"/policies/"+policy, nil, nil, &u)
	return u, err
}

// Detach takes a named policy from a user.
func (c Client) Detach(ctx context.Context, user, policy string) (u User, err error) {
	err = c.Control.Do(ctx, http.MethodDelete, UsersPath+"/"+user+"/policies/"+policy, nil, nil, &u)
	return u, err
}

// Policies returns the named policies by name.
func (c Client) Policies(ctx context.Context) ([]Policy, error) {
	var answer Policies
	err := c.Control.Get(ctx, PoliciesPath, nil, &answer)
	return answer.Policies, err
}

// Policy returns one with its text.
func (c Client) Policy(ctx context.Context, name string) (p Policy, err error) {
	err = c.Control.Get(ctx, PoliciesPath+"/"+name, nil, &p)
	return p, err
}

// PutPolicy makes a named policy, or gives it another text.
func (c Client) PutPolicy(ctx context.Context, name string, text json.RawMessage) (p Policy, err error) {
	err = c.Control.Do(ctx, http.MethodPut, PoliciesPath+"/"+name, nil, text, &p)
	return p, err
}

// RemovePolicy removes a named policy that is attached to nobody.
func (c Client) RemovePolicy(ctx context.Context, name string) (p Policy, err error) {
	err = c.Control.Do(ctx, http.MethodDelete, PoliciesPath+"/"+name, nil, nil, &p)
	return p, err
}
