package native_test

import (
	"context"
	"testing"

	"github.com/troupe-storage/troupe/api/accounts"
	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/supervisors"
)

// Users are made, seen and changed by the root pair alone: not by whoever reaches the
// listener, and not by a user. Control: the same requests of the root pair are answered.
func TestAccountsNeedTheRootPair(t *testing.T) {
	n := start(t, nil)
	control := func(accessKey, secretKey string) accounts.Client {
		c, err := client.New(client.Config{Endpoint: "http://" + n.Native(), Credentials: sigv4.Credentials{AccessKey: accessKey, SecretKey: secretKey}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return accounts.Client{Control: client.Control{Connection: c}}
	}
	ctx := context.Background()
	root := control(supervisors.DefaultAccessKey, supervisors.DefaultSecretKey)
	ann, err := root.CreateUser(ctx, accounts.NewUser{Name: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	user := control(ann.AccessKey, ann.SecretKey)
	if _, err := user.Users(ctx); !errs.Is(errs.Denied, err) {
		t.Errorf("a user lists users: %v", err)
	}
	if _, err := user.CreateKey(ctx, "ann", accounts.NewKey{}); !errs.Is(errs.Denied, err) {
		t.Errorf("a user makes a key: %v", err)
	}
	for _, c := range []call{
		{method: "GET", target: accounts.UsersPath}, {method: "POST", target: accounts.UsersPath, body: `{"name":"eve"}`},
		{method: "GET", target: accounts.UsersPath + "/ann"}, {method: "DELETE", target: accounts.UsersPath + "/ann"},
		{method: "PATCH", target: accounts.UsersPath + "/ann", body: `{"disabled":true}`},
		{method: "POST", target: accounts.UsersPath + "/ann/keys", body: "{}"},
		{method: "DELETE", target: accounts.UsersPath + "/ann/keys/" + ann.AccessKey},
		{method: "GET", target: accounts.PoliciesPath}, {method: "PUT", target: accounts.PoliciesPath + "/all", body: "{}"},
	} {
		n.refused(c, 403, "", "root key pair")
	}
	all, err := root.Users(ctx)
	if err != nil || len(all) != 1 || all[0].Version != 1 || len(all[0].Keys) != 1 {
		t.Errorf("something was changed: %+v, %v", all, err)
	}
	if _, err := root.ChangeUser(ctx, "ann", accounts.Change{}); !errs.Is(errs.Invalid, err) {
		t.Errorf("a change of nothing: %v", err)
	}
	if _, err := root.CreateKey(ctx, "ann", accounts.NewKey{Overlap: 1}); !errs.Is(errs.Invalid, err) {
		t.Errorf("an overlap without a key that is replaced: %v", err)
	}
}
