package cli

import (
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/api/accounts"
)

// Users, keys and policies live through what there is to do about them; a secret is told at
// creation and never again, and who is disabled, or has a key that ended, is unknown.
func TestAuth(t *testing.T) {
	c := start(t)
	as := func(accessKey, secretKey, code string) {
		t.Helper()
		command := c.command(t.Context(), "ls")
		command.Env = append(command.Env, "AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey)
		out, err := command.CombinedOutput()
		if err == nil || !strings.Contains(string(out), code) {
			t.Errorf("%s is answered %q (%v), want %s", accessKey, out, err, code)
		}
	}
	const known, unknown = "AccessDenied", "InvalidAccessKeyId" // what users may do is not judged yet
	ann := document[accounts.Created](t, c.want(0, "auth", "user", "create", "ann", "--json", "--email", "ann@example.com").out)
	if ann.User.Name != "ann" || len(ann.SecretKey) != 40 || len(ann.User.ID) != 64 || len(ann.User.Number) != 12 || len(ann.User.Keys) != 1 {
		t.Errorf("create: %+v", ann.User)
	}
	as(ann.AccessKey, ann.SecretKey, known)
	as(ann.AccessKey, ann.SecretKey+"0", "SignatureDoesNotMatch")
	contains(t, c.want(1, "auth", "user", "create", "ann").err, `there is a user "ann" already`)
	contains(t, c.want(1, "auth", "user", "create", "eve", "--email", "ANN@example.com").err, "e-mail")
	contains(t, c.want(3, "auth", "user", "show", "nobody").err, `there is no user "nobody"`)

	child := document[accounts.Created](t, c.want(0, "auth", "user", "create", "child", "--of", "ann", "--json").out)
	if child.User.Of != "ann" || child.User.Number != ann.User.Number || child.User.ID == ann.User.ID {
		t.Errorf("a user of an account: %+v", child.User)
	}
	as(child.AccessKey, child.SecretKey, known)
	contains(t, c.want(1, "auth", "user", "rm", "ann").err, "user child needs it")

	imported := c.run(strings.NewReader("an imported secret\n"), "auth", "user", "create", "old", "--key", "OLDKEY", "--secret-stdin")
	if imported.code == 0 {
		t.Error("a secret key with a space is taken")
	}
	if strings.Contains(imported.err, "imported secret") {
		t.Errorf("the refusal repeats the secret: %s", imported.err)
	}
	if s := c.run(strings.NewReader("imported-secret\n"), "auth", "user", "create", "old", "--key", "OLDKEY", "--secret-stdin"); s.code != 0 {
		t.Fatalf("import: %+v", s)
	}
	as("OLDKEY", "imported-secret", known)

	c.want(0, "auth", "user", "disable", "ann")
	as(ann.AccessKey, ann.SecretKey, unknown)
	as(child.AccessKey, child.SecretKey, unknown)
	c.want(0, "auth", "user", "enable", "ann")
	as(child.AccessKey, child.SecretKey, known)

	c.want(0, "auth", "key", "disable", "ann", ann.AccessKey)
	as(ann.AccessKey, ann.SecretKey, unknown)
	c.want(0, "auth", "key", "enable", "ann", ann.AccessKey)
	next := document[accounts.Created](t, c.want(0, "auth", "key", "rotate", "ann", ann.AccessKey, "--overlap", "1h", "--json").out)
	as(ann.AccessKey, ann.SecretKey, known)
	as(next.AccessKey, next.SecretKey, known)
	contains(t, c.want(3, "auth", "key", "rotate", "ann", "NOSUCHKEY").err, "NOSUCHKEY")
	c.want(0, "auth", "key", "expire", "ann", ann.AccessKey)
	as(ann.AccessKey, ann.SecretKey, unknown)
	c.want(0, "auth", "key", "expire", "ann", ann.AccessKey, "--never")
	as(ann.AccessKey, ann.SecretKey, known)
	c.want(0, "auth", "key", "rm", "ann", ann.AccessKey)
	as(ann.AccessKey, ann.SecretKey, unknown)
	third := document[accounts.Created](t, c.want(0, "auth", "key", "create", "ann", "--json").out)
	as(third.AccessKey, third.SecretKey, known)

	put := func(text string) said {
		return c.run(strings.NewReader(text), "auth", "policy", "put", "readers")
	}
	if s := put(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::photos/*"}]}`); s.code != 0 {
		t.Fatalf("policy: %+v", s)
	}
	if s := put(`{"Version":"2012-10-17","Statement":[{"Effect":"Perhaps","Action":"s3:GetObject","Resource":"*"}]}`); s.code != 1 || !strings.Contains(s.err, "readers") {
		t.Errorf("a policy with an effect that is none: %+v", s)
	}
	contains(t, c.want(3, "auth", "policy", "attach", "ann", "writers").err, `there is no policy "writers"`)
	c.want(0, "auth", "policy", "attach", "ann", "readers")
	c.want(0, "auth", "policy", "attach", "ann", "readers")
	p := document[accounts.Policy](t, c.want(0, "auth", "policy", "show", "readers", "--json").out)
	if len(p.Users) != 1 || p.Users[0] != "ann" || !strings.Contains(string(p.Text), "s3:GetObject") {
		t.Errorf("policy show: %+v", p)
	}
	contains(t, c.want(1, "auth", "policy", "rm", "readers").err, "user ann needs it")
	c.want(0, "auth", "policy", "detach", "ann", "readers")
	c.want(0, "auth", "policy", "rm", "readers")
	if l := document[accounts.Policies](t, c.want(0, "auth", "policy", "list", "--json").out); len(l.Policies) != 0 {
		t.Errorf("policies: %+v", l)
	}

	shown := c.want(0, "auth", "user", "list", "--json").out + c.want(0, "auth", "user", "show", "ann").out + c.want(0, "auth", "user", "show", "ann", "--json").out
	for _, secret := range []string{ann.SecretKey, next.SecretKey, third.SecretKey, "imported-secret"} {
		if strings.Contains(shown, secret) {
			t.Errorf("a secret is shown again: %s", shown)
		}
	}
	if l := document[accounts.Users](t, c.want(0, "auth", "user", "list", "--json").out); len(l.Users) != 3 || l.Users[0].Name != "ann" || len(l.Users[0].Keys) != 2 {
		t.Errorf("users: %+v", l)
	}
	c.want(0, "auth", "user", "rm", "child")
	as(child.AccessKey, child.SecretKey, unknown)
	c.want(0, "auth", "user", "rm", "ann")
}
