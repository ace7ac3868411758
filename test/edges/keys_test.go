package edges_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
)

// envFile writes a pair, and what else there is, to the file that a node reads again.
func envFile(t *testing.T, path string, keys sigv4.Credentials, more ...string) {
	t.Helper()
	lines := append([]string{
		"# the root pair", "TROUPE_ROOT_ACCESS_KEY=" + keys.AccessKey, `export TROUPE_ROOT_SECRET_KEY="` + keys.SecretKey + `"`, "",
	}, more...)
	if err := os.WriteFile(path+".new", []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// The root pair changes while clients write and read: who has the old one is
// served until the overlap ends, who has the new one at once, and nobody is refused
// in between. A pair that cannot be changes nothing. No log has a secret in it.
func TestRootPairChangesUnderLoad(t *testing.T) {
	first := sigv4.Credentials{AccessKey: "operator", SecretKey: "first-5ecret-of-root"}
	second := sigv4.Credentials{AccessKey: "operator", SecretKey: "second-5ecret-of-root"}
	third := sigv4.Credentials{AccessKey: "somebody", SecretKey: "third-5ecret-of-root"}
	dir := t.TempDir()
	env, requests := filepath.Join(dir, "env"), filepath.Join(dir, "access.log")
	envFile(t, env, first)
	node := start(t, process.Config{Args: []string{"--env-file", env, "--root-overlap", "1h", "--access-log", requests, "--log-level", "debug"}})

	clientOf := func(keys sigv4.Credentials) *s3client.Client {
		client := s3client.New(node.S3, keys)
		t.Cleanup(client.Close)
		return client
	}
	old, renewed, last := clientOf(first), clientOf(second), clientOf(third)
	if err := old.CreateBucket(t.Context(), "bucket"); err != nil {
		t.Fatal(err)
	}
	code := func(client *s3client.Client) string {
		t.Helper()
		answer, err := client.Get(t.Context(), "bucket", "no-such-key")
		if err != nil {
			t.Fatal(err)
		}
		return answer.Code
	}
	wants := func(when string, codes map[*s3client.Client]string) {
		t.Helper()
		for client, want := range codes {
			if got := code(client); got != want {
				t.Errorf("%s: %s, want %s", when, got, want)
			}
		}
	}
	wants("before", map[*s3client.Client]string{old: "NoSuchKey", renewed: "SignatureDoesNotMatch", last: "InvalidAccessKeyId"})

	// The load: each worker goes on with the pair that it is told.
	var keys atomic.Pointer[s3client.Client]
	keys.Store(old)
	var done atomic.Int64
	stop := make(chan struct{})
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			body := content(200_000)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				client, key := keys.Load(), fmt.Sprintf("w%d/%d", w, i%8)
				if answer, err := client.Put(t.Context(), "bucket", key, body); err != nil || !answer.OK() {
					t.Errorf("put %s: %v, %+v", key, err, answer)
					return
				}
				if answer, err := client.Get(t.Context(), "bucket", key); err != nil || !answer.OK() || len(answer.Body) != len(body) {
					t.Errorf("get %s: %v", key, err)
					return
				}
				done.Add(1)
			}
		})
	}
	progress := func() {
		t.Helper()
		target := done.Load() + 8
		if err := node.Await(t.Context(), "requests of the load", func(process.Metrics) bool { return done.Load() >= target || t.Failed() }); err != nil {
			t.Fatal(err)
		}
	}
	reload := func(text string, count int) {
		t.Helper()
		if err := node.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		logged(t, node, text, count)
	}
	progress()
	envFile(t, env, second)
	reload("root key pair changed", 1)
	wants("in the overlap", map[*s3client.Client]string{old: "NoSuchKey", renewed: "NoSuchKey", last: "InvalidAccessKeyId"})
	progress() // with the old pair
	keys.Store(renewed)
	progress()

	// What cannot be is refused, and nothing changes.
	envFile(t, env, sigv4.Credentials{AccessKey: "operator", SecretKey: "5hort"})
	reload("are refused; the node goes on as it was", 1)
	envFile(t, env, third, "TROUPE_MEMORY=little")
	reload("are refused; the node goes on as it was", 2)
	wants("after refusals", map[*s3client.Client]string{old: "NoSuchKey", renewed: "NoSuchKey", last: "InvalidAccessKeyId"})

	// Another pair, with an overlap: the workers change over. Then none: at once.
	envFile(t, env, third, "TROUPE_MEMORY=2GiB")
	reload("root key pair changed", 2)
	logged(t, node, "need a restart", 1)
	wants("after the second change", map[*s3client.Client]string{old: "InvalidAccessKeyId", renewed: "NoSuchKey", last: "NoSuchKey"})
	keys.Store(last)
	progress()
	close(stop)
	workers.Wait()
	envFile(t, env, first, "TROUPE_LOG_FORMAT=json")
	if err := node.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := node.Restart(t.Context()); err != nil { // the file counts at start too
		t.Fatal(err)
	}
	wants("after a restart", map[*s3client.Client]string{old: "NoSuchKey", renewed: "SignatureDoesNotMatch", last: "InvalidAccessKeyId"})
	if err := node.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{node.LogPath(), requests} {
		said, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(said), "5ecret") || strings.Contains(string(said), "5hort") {
			t.Errorf("%s has a secret in it", path)
		}
		if !strings.Contains(string(said), "operator") { // negative control: of the pair something is there
			t.Errorf("%s says nothing of the access key", path)
		}
	}
}

// An overlap of nothing ends the pair before with the change.
func TestRootPairWithoutOverlap(t *testing.T) {
	first := sigv4.Credentials{AccessKey: "operator", SecretKey: "first-5ecret-of-root"}
	second := sigv4.Credentials{AccessKey: "operator", SecretKey: "second-5ecret-of-root"}
	config := filepath.Join(t.TempDir(), "troupe.yaml")
	env := filepath.Join(t.TempDir(), "env")
	envFile(t, env, first)
	if err := os.WriteFile(config, []byte("root-overlap: 0s\nlog-level: warning\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	node := start(t, process.Config{Args: []string{"--config", config, "--env-file", env}})
	old, renewed := s3client.New(node.S3, first), s3client.New(node.S3, second)
	defer old.Close()
	defer renewed.Close()
	if err := old.CreateBucket(t.Context(), "bucket"); err != nil {
		t.Fatal(err)
	}
	envFile(t, env, second)
	if err := os.WriteFile(config, []byte("root-overlap: 0s\nlog-level: info\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := node.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	logged(t, node, "settings were read again", 1) // which only the new level shows
	if answer, err := renewed.Get(t.Context(), "bucket", "k"); err != nil || answer.Code != "NoSuchKey" {
		t.Errorf("the new pair: %+v, %v", answer, err)
	}
	if answer, err := old.Get(t.Context(), "bucket", "k"); err != nil || answer.Code != "SignatureDoesNotMatch" {
		t.Errorf("the old pair: %+v, %v", answer, err)
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
