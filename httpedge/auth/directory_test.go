package auth

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/cipher"
	"github.com/troupe-storage/troupe/objects/errs"
)

const (
	annKey, annSecret = "KEYOFANN", "the secret of ann, for nobody else"
	childKey          = "KEYOFCHILD"
	rootKey, rootPass = "rootkey", "root-secret-that-is-longer-than-32-bytes"
)

// people are an account with two pairs of keys, and a user of it.
func people(t *testing.T, seal *cipher.Seal, change ...func(ann, child *objects.User)) *objects.Accounts {
	t.Helper()
	key := func(id, secret string) objects.AccessKey {
		return objects.AccessKey{ID: id, Sealed: seal.Seal([]byte(secret), id)}
	}
	by := seal.Fingerprint().String()
	ann := &objects.User{ID: "a", Number: "111122223333", Seal: by, Keys: []objects.AccessKey{key(annKey, annSecret), key("OTHERKEY", "another secret")}}
	child := &objects.User{ID: "c", Number: ann.Number, Of: "ann", Path: "/team/", Seal: by, Keys: []objects.AccessKey{key(childKey, annSecret)}}
	for _, c := range change {
		c(ann, child)
	}
	return objects.NewAccounts(
		&objects.Account{Kind: objects.AccountUser, Name: "ann", Version: 1, User: ann},
		&objects.Account{Kind: objects.AccountUser, Name: "child", Version: 1, User: child})
}

func sealOf(t *testing.T, seed string) *cipher.Seal {
	t.Helper()
	s, err := cipher.NewSeal([]byte(seed), "cluster")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// desk is an authenticator with users, and what it logs.
type desk struct {
	*Authenticator
	directory *Directory
	keys      *RootKeys
	log       bytes.Buffer
	now       time.Time
}

func newDesk(seals *cipher.Seals) *desk {
	d := &desk{now: time.Now()}
	log := logrus.New()
	log.SetOutput(&d.log)
	now := func() time.Time { return d.now }
	d.directory = NewDirectory(seals, now, logrus.NewEntry(log))
	d.keys = NewRootKeys(Root{rootKey, rootPass}, now)
	d.Authenticator = New(Options{Credentials: NodeCredentials{d.keys, d.directory}, Previous: d.keys.Previous(), Now: now})
	return d
}

// signed is a request's header that is signed with a pair.
func (d *desk) signed(t *testing.T, accessKey, secret string) *fasthttp.RequestHeader {
	t.Helper()
	return signedHead(t, Root{accessKey, secret}, d.now)
}

// A principal is found by the pair that signed, and nobody signs who is disabled, whose key
// or account is, or whose key has ended.
func TestDirectory(t *testing.T) {
	seal := sealOf(t, "seed")
	for _, c := range []struct {
		what        string
		change      func(d *desk, ann, child *objects.User)
		key, secret string
		code        sigv4.Code // empty: it is let in
		arn         string
	}{
		{"an account", nil, annKey, annSecret, "", "arn:aws:iam::111122223333:root"},
		{"a user of it", nil, childKey, annSecret, "", "arn:aws:iam::111122223333:user/team/child"},
		{"its other key", nil, "OTHERKEY", "another secret", "", "arn:aws:iam::111122223333:root"},
		{"the other key's secret", nil, annKey, "another secret", sigv4.SignatureDoesNotMatch, ""},
		{"the root pair's secret", nil, annKey, rootPass, sigv4.SignatureDoesNotMatch, ""},
		{"a key that nobody has", nil, "NOBODY", annSecret, sigv4.InvalidAccessKeyID, ""},
		{"disabled", func(_ *desk, ann, _ *objects.User) { ann.Disabled = true }, annKey, annSecret, sigv4.InvalidAccessKeyID, ""},
		{"of an account that is disabled", func(_ *desk, ann, _ *objects.User) { ann.Disabled = true }, childKey, annSecret, sigv4.InvalidAccessKeyID, ""},
		{"of one whose user is disabled", func(_ *desk, _, child *objects.User) { child.Disabled = true }, annKey, annSecret, "", "arn:aws:iam::111122223333:root"},
		{"a key that is disabled", func(_ *desk, ann, _ *objects.User) { ann.Keys[0].Disabled = true }, annKey, annSecret, sigv4.InvalidAccessKeyID, ""},
		{"its other key", func(_ *desk, ann, _ *objects.User) { ann.Keys[0].Disabled = true }, "OTHERKEY", "another secret", "", "arn:aws:iam::111122223333:root"},
		{"a key that has ended", func(d *desk, ann, _ *objects.User) { ann.Keys[0].Expires = d.now }, annKey, annSecret, sigv4.InvalidAccessKeyID, ""},
		{"a key that ends", func(d *desk, ann, _ *objects.User) { ann.Keys[0].Expires = d.now.Add(1) }, annKey, annSecret, "", "arn:aws:iam::111122223333:root"},
	} {
		d := newDesk(cipher.NewSeals(seal))
		d.directory.Show(people(t, seal, func(ann, child *objects.User) {
			if c.change != nil {
				c.change(d, ann, child)
			}
		}))
		_, principal, err := d.Identify(d.signed(t, c.key, c.secret))
		if c.code != "" {
			var refused *sigv4.Error
			if !errors.As(err, &refused) || refused.Code != c.code {
				t.Errorf("%s: %v", c.what, err)
			}
			continue
		}
		if err != nil || principal == nil || principal.Root || principal.ARN != c.arn || principal.Account != "ann" {
			t.Errorf("%s: %+v, %v", c.what, principal, err)
		}
		// Until what users may do is judged, they may do nothing.
		if _, err := d.AuthenticateHeader(d.signed(t, c.key, c.secret)); !errs.Is(errs.Denied, err) {
			t.Errorf("%s is let in: %v", c.what, err)
		}
	}
}

// The root pair is known by what it signed with, not by its name: of a user who has the
// access key of a pair before, it is the secret that tells.
func TestRootIsWhoHasItsSecret(t *testing.T) {
	seal := sealOf(t, "seed")
	d := newDesk(cipher.NewSeals(seal))
	d.keys.Change(Root{annKey, "the root secret of before"}, 0)
	d.keys.Change(Root{"newroot", rootPass}, time.Hour)
	d.directory.Show(people(t, seal))
	if _, p, err := d.Identify(d.signed(t, annKey, annSecret)); err != nil || p.Root {
		t.Errorf("a user: %+v, %v", p, err)
	}
	if _, p, err := d.Identify(d.signed(t, annKey, "the root secret of before")); err != nil || !p.Root {
		t.Errorf("the root pair of before: %+v, %v", p, err)
	}
	if _, err := d.AuthenticateHeader(d.signed(t, "newroot", rootPass)); err != nil {
		t.Error(err)
	}
	d.now = d.now.Add(2 * time.Hour)
	if _, _, err := d.Identify(d.signed(t, annKey, "the root secret of before")); !errs.Is(errs.Denied, err) {
		t.Errorf("the overlap has ended: %v", err)
	}
}

// With another seed users are answered that it is the node that cannot, the root pair is let
// in, and the log names user and seal once; with the seed of before all is well again.
func TestSealUnknown(t *testing.T) {
	before, now := sealOf(t, "seed of before"), sealOf(t, "seed of now")
	d := newDesk(cipher.NewSeals(now))
	all := people(t, before)
	d.directory.Show(all)
	d.directory.Show(all)
	if _, _, err := d.Identify(d.signed(t, annKey, annSecret)); !errs.Is(errs.Offline, err) {
		t.Errorf("a user whose secret cannot be opened: %v", err)
	}
	if _, _, err := d.Identify(d.signed(t, "NOBODY", annSecret)); !errs.Is(errs.Denied, err) {
		t.Errorf("a key that nobody has: %v", err)
	}
	if _, err := d.AuthenticateHeader(d.signed(t, rootKey, rootPass)); err != nil {
		t.Error(err)
	}
	text := d.log.String()
	if strings.Count(text, "seal-unknown") != 2 || !strings.Contains(text, before.Fingerprint().String()) || !strings.Contains(text, "user=ann") {
		t.Errorf("the log says: %s", text)
	}
	if d.directory.Sealed() != 2 {
		t.Errorf("%d users", d.directory.Sealed())
	}
	d.directory.OpenWith(cipher.NewSeals(now, before))
	if _, p, err := d.Identify(d.signed(t, annKey, annSecret)); err != nil || p.Name != "ann" || d.directory.Sealed() != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if strings.Contains(d.log.String(), annSecret) {
		t.Error("the secret is in the log")
	}
}

// The root pair costs as many allocations with users as without.
func TestRootAllocates(t *testing.T) {
	seal := sealOf(t, "seed")
	d := newDesk(cipher.NewSeals(seal))
	d.directory.Show(people(t, seal))
	h := d.signed(t, rootKey, rootPass)
	verifier := sigv4.NewVerifier(sigv4.Options{Secret: d.keys.Secret, Now: func() time.Time { return d.now }})
	plain := testing.AllocsPerRun(200, func() {
		target, err := ParseTarget(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verifier.Verify(&sigv4.Request{Method: h.Method(), Path: target.Path, Query: target.Query, Host: h.Host(), Headers: (*headers)(h)}); err != nil {
			t.Fatal(err)
		}
	})
	with := testing.AllocsPerRun(200, func() {
		if _, err := d.AuthenticateHeader(h); err != nil {
			t.Fatal(err)
		}
	})
	if with > plain {
		t.Errorf("%v allocations with users, %v for the signature alone", with, plain)
	}
}

// Keys that are made are of the form that is taken, and no two alike.
func TestNewKeys(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		id, secret := NewAccessKey(), NewSecretKey()
		if objects.CheckAccessKey(id) != nil || objects.CheckSecretKey(secret) != nil || len(id) != 20 || len(secret) != 40 || seen[id] || seen[secret] {
			t.Fatalf("%s %s", id, secret)
		}
		seen[id], seen[secret] = true, true
	}
}
