package node

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/test/s3client"
)

// A user of a node that is alone is there after a start. With another seed the user is
// answered 503 and the root pair served; with both, or when the root secret is changed while
// the node runs, secrets are sealed anew, and no disk has them readable.
func TestSeedOfANode(t *testing.T) {
	dir := t.TempDir()
	keys := sigv4.Credentials{AccessKey: "KEYOFANN", SecretKey: "the-secret-of-ann"}
	seed := func(name, text string) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	one, other := seed("one", strings.Repeat("1", 40)), seed("other", strings.Repeat("2", 40))
	const first, second = "the first root secret", "the second root secret, of 32 bytes"
	with := func(root, file, before string) func(*supervisors.Config) {
		return func(c *supervisors.Config) {
			c.RootAccessKey, c.RootSecretKey, c.SealKeyFile, c.SealKeyFileBefore = "root", root, file, before
		}
	}
	asked := func(n *supervisors.Node, keys sigv4.Credentials, want int) {
		t.Helper()
		client := s3client.New(n.S3(), keys)
		defer client.Close()
		answer, err := client.Get(t.Context(), "nothing", "there")
		if err != nil {
			t.Fatal(err)
		}
		if answer.Status != want {
			t.Errorf("%s is answered %d, want %d: %s", keys.AccessKey, answer.Status, want, answer.Body)
		}
	}
	root := func(secret string) sigv4.Credentials {
		return sigv4.Credentials{AccessKey: "root", SecretKey: secret}
	}
	run := func(change func(*supervisors.Config), test func(n *supervisors.Node)) {
		t.Helper()
		n := start(t, dir, 2, change)
		test(n)
		stop(t, n)
	}
	run(with(first, "", ""), func(n *supervisors.Node) {
		sealed, seal := n.SealSecret(keys.AccessKey, keys.SecretKey)
		change := func(accessKey string) error {
			_, err := n.ChangeAccount(t.Context(), func(*objects.Accounts) (*objects.Account, error) {
				return &objects.Account{Kind: objects.AccountUser, Name: "ann", User: &objects.User{
					ID: "ann", Number: "111122223333", Seal: seal, Keys: []objects.AccessKey{{ID: accessKey, Sealed: sealed}},
				}}, nil
			})
			return err
		}
		if err := change("root"); err == nil {
			t.Error("a user was given the access key of the root pair")
		}
		asked(n, keys, http.StatusForbidden)
		if err := change(keys.AccessKey); err != nil {
			t.Fatal(err)
		}
		asked(n, keys, http.StatusForbidden)
	})
	run(with(second, "", ""), func(n *supervisors.Node) {
		asked(n, keys, http.StatusServiceUnavailable)
		asked(n, root(second), http.StatusNotFound)
	})
	run(with(first, "", ""), func(n *supervisors.Node) {
		asked(n, keys, http.StatusForbidden)
		var next supervisors.Config
		with(second, "", "")(&next)
		next.Data = []string{dir}
		if err := n.Reload(next); err != nil {
			t.Fatal(err)
		}
		asked(n, keys, http.StatusForbidden)
		asked(n, root(second), http.StatusNotFound)
	})
	run(with(first, "", ""), func(n *supervisors.Node) { asked(n, keys, http.StatusServiceUnavailable) }) // the control: it was sealed anew
	run(with(second, one, ""), func(n *supervisors.Node) { asked(n, keys, http.StatusServiceUnavailable) })
	run(with(first, one, seed("root", second)), func(n *supervisors.Node) { // a root secret in a file is the same seed
		asked(n, keys, http.StatusForbidden)
	})
	run(with(first, other, one), func(n *supervisors.Node) { asked(n, keys, http.StatusForbidden) })
	run(with(second, other, ""), func(n *supervisors.Node) { asked(n, keys, http.StatusForbidden) })
	for _, text := range []string{keys.SecretKey, first, second, strings.Repeat("2", 40)} {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(path)
			if strings.Contains(string(content), text) {
				t.Errorf("%q is in %s", text, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
