package membership

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/httpedge/auth"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/test/consul"
	"github.com/troupe-storage/troupe/test/s3client"
)

// createUser makes an account with a pair of keys at a node.
func (n *node) createUser(t *testing.T, name, number string) sigv4.Credentials {
	t.Helper()
	keys := sigv4.Credentials{AccessKey: auth.NewAccessKey(), SecretKey: auth.NewSecretKey()}
	sealed, seal := n.SealSecret(keys.AccessKey, keys.SecretKey)
	_, err := n.ChangeAccount(t.Context(), func(*objects.Accounts) (*objects.Account, error) {
		return &objects.Account{Kind: objects.AccountUser, Name: name, User: &objects.User{
			ID: strings.Repeat(number[10:], 32), Number: number, Seal: seal, Keys: []objects.AccessKey{{ID: keys.AccessKey, Sealed: sealed}},
		}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// disable disables or enables a user.
func (n *node) disable(ctx context.Context, name string, is bool) error {
	_, err := n.ChangeAccount(ctx, func(all *objects.Accounts) (*objects.Account, error) {
		doc := all.Find(objects.AccountUser, name)
		if doc == nil {
			return nil, errors.New("there is no such user")
		}
		user := *doc.User
		user.Disabled = is
		return &objects.Account{Kind: doc.Kind, Name: name, User: &user}, nil
	})
	return err
}

// asked is what a node answers who signs so, over S3 and at its control: status and code.
func (n *node) asked(t *testing.T, keys sigv4.Credentials) string {
	t.Helper()
	client := s3client.New(n.S3(), keys)
	defer client.Close()
	answer, err := client.Get(t.Context(), "photos", "cat.jpg")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := bytes.Cut(answer.Body, []byte("<Code>"))
	code, _, _ = bytes.Cut(code, []byte("</Code>"))
	control := s3client.New(n.Native(), keys)
	defer control.Close()
	// A control request of the native listener, which only the root pair may make.
	told, err := control.Get(t.Context(), "v1", "quarantine")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s, %d", answer.Status, code, told.Status)
}

// finds returns the files below directories in which a text is.
func finds(t *testing.T, text string, dirs ...string) (found []string) {
	t.Helper()
	encoded := base64.StdEncoding.EncodeToString([]byte(text))
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) { // it went since it was listed
				return nil
			}
			if bytes.Contains(content, []byte(text)) || bytes.Contains(content, []byte(encoded)) {
				found = append(found, path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return found
}

// Who is disabled at one node is refused at every one when the change returns, a user may do
// nothing yet, and no secret lies in Consul, on a disk, or in a log.
func TestDisabledEverywhere(t *testing.T) {
	w := newWorld(t)
	var log lockedLog
	names := []string{"one", "two", "three"}
	for _, name := range names {
		w.nodes[name] = &node{config: w.config(name)}
		w.nodes[name].config.Log.SetOutput(&log)
		w.start(name)
	}
	w.wait("three nodes are up and own keys", func(v *messages.ClusterView) bool { return states(v) == "up up up, 3 own keys" })
	w.nodes["one"].create(t, "photos", http.StatusOK)
	keys := w.nodes["one"].createUser(t, "ann", "111122223333")
	other := w.nodes["two"].createUser(t, "bob", "444455556666")
	wrong := sigv4.Credentials{AccessKey: keys.AccessKey, SecretKey: other.SecretKey}
	root := sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey}
	everywhere := func(what string, keys sigv4.Credentials, want string) {
		t.Helper()
		for _, name := range names {
			if got := w.nodes[name].asked(t, keys); got != want {
				t.Errorf("%s at %s: %s, want %s", what, name, got, want)
			}
		}
	}
	everywhere("the root pair", root, "404 NoSuchKey, 200")
	everywhere("a user", keys, "403 AccessDenied, 403")
	everywhere("a user with another's secret", wrong, "403 SignatureDoesNotMatch, 403")
	for round := range 3 {
		at := w.nodes[names[round%3]]
		if err := at.disable(t.Context(), "ann", true); err != nil {
			t.Fatal(err)
		}
		everywhere("a user who is disabled", keys, "403 InvalidAccessKeyId, 403")
		everywhere("another one", other, "403 AccessDenied, 403")
		if err := at.disable(t.Context(), "ann", false); err != nil {
			t.Fatal(err)
		}
		everywhere("a user who is enabled again", keys, "403 AccessDenied, 403")
	}

	var dirs []string
	for _, name := range names {
		dirs = append(dirs, w.nodes[name].config.Data...)
	}
	if found := finds(t, keys.AccessKey, dirs...); len(found) != 6 { // the control: the documents are there
		t.Errorf("the access key is in %d files of the disks: %v", len(found), found)
	}
	for _, secret := range []string{keys.SecretKey, other.SecretKey, strings.Repeat("0f", 32)} {
		if found := finds(t, secret, dirs...); len(found) > 0 {
			t.Errorf("a secret is in %v", found)
		}
		if strings.Contains(log.String(), secret) {
			t.Error("a secret is in the log")
		}
		if all := w.exported(t); strings.Contains(all, secret) || strings.Contains(all, base64.StdEncoding.EncodeToString([]byte(secret))) {
			t.Error("a secret is in Consul")
		}
	}
	if all := w.exported(t); !strings.Contains(all, keys.AccessKey) { // the control
		t.Errorf("the access key is not in Consul: %s", all)
	}
}

// exported is all that Consul has, values decoded.
func (w *world) exported(t *testing.T) string {
	t.Helper()
	binary, err := consul.Binary()
	if err != nil {
		t.Fatal(err)
	}
	text, err := exec.CommandContext(t.Context(), binary, "kv", "export", "-http-addr=http://"+w.server.Address, "troupe/").Output()
	if err != nil {
		t.Fatal(err)
	}
	var entries []struct{ Key, Value string }
	if err := json.Unmarshal(text, &entries); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, e := range entries {
		value, err := base64.StdEncoding.DecodeString(e.Value)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %s\n", e.Key, value)
	}
	return all.String()
}
