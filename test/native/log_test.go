package native_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/supervisors"
)

// What a node logged is told by severity and from an offset on, and as an archive; a
// client's mistake is told as one.
func TestLogIsTold(t *testing.T) {
	n := start(t, nil)
	first := "Troupe "
	told := func(query string) string {
		t.Helper()
		return n.must("GET", "/v1/daemon?what=log"+query, "").body
	}
	n.config.Log.Info("something is told")
	n.config.Log.Warn("something is warned of")
	n.config.Log.Error("something is wrong")
	for severity, want := range map[string][3]bool{"": {true, true, true}, "info": {true, true, true}, "warning": {false, true, true}, "error": {false, false, true}} {
		text := told("&severity=" + severity)
		if !strings.HasPrefix(text, first) {
			t.Errorf("severity %q: %q", severity, text)
		}
		for i, words := range []string{"something is told", "something is warned of", "something is wrong"} {
			if strings.Contains(text, words) != want[i] {
				t.Errorf("severity %q, %q: %q", severity, words, text)
			}
		}
	}
	whole := told("")
	n.config.Log.Info("the next thing")
	if text := told("&offset=" + strconv.Itoa(len(whole))); strings.Count(text, "\n") != 1 || !strings.Contains(text, "the next thing") {
		t.Errorf("after %d bytes: %q", len(whole), text)
	}
	a := n.must("GET", "/v1/daemon?what=log&all=true&severity=error", "")
	zipped, err := gzip.NewReader(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(zipped)
	if header, err := archive.Next(); err != nil || !strings.HasSuffix(header.Name, ".log") {
		t.Fatal(header, err)
	}
	if text, err := io.ReadAll(archive); err != nil || string(text) != told("&severity=error") {
		t.Errorf("%q, %v", text, err)
	}
	if header, err := archive.Next(); err != io.EOF {
		t.Error(header, err)
	}
	for query, words := range map[string]string{"&severity=fatal": "none of info, warning, error", "&offset=-1": "no number of bytes", "&offset=x": "no number of bytes", "&all=maybe": "all"} {
		n.refused(call{method: "GET", target: "/v1/daemon?what=log" + query}, 400, "", words)
	}
	n.restart()
	if text := told(""); strings.Contains(text, "the next thing") || !strings.HasPrefix(text, first) {
		t.Errorf("after a restart: %q", text)
	}
}

// Who needs a token for anything needs it for the log, and no secret of the node's is in
// it, at the level that tells most.
func TestLogTellsNoSecret(t *testing.T) {
	const token, secret = "a-token-that-is-long-enough-to-be-one", "a-root-secret-that-is-long-enough"
	n := start(t, func(c *supervisors.Config) {
		c.NativeAuth, c.NativeToken, c.RootAccessKey, c.RootSecretKey, c.LogLevel = supervisors.NativeAuthToken, token, "root", secret, "debug"
	})
	n.refused(call{method: "GET", target: "/v1/daemon?what=log"}, http.StatusUnauthorized, "", "token")
	bearer := []string{"Authorization", "Bearer " + token}
	n.must("POST", "/v1/buckets/b", action("create-bck", nil), bearer...)
	n.must("PUT", "/v1/objects/b/o", "content", bearer...)
	n.do(call{method: "PUT", target: "/v1/log", body: `{"level":"info"}`, header: []string{"Authorization", "Bearer " + token + "x"}})
	text := n.must("GET", "/v1/daemon?what=log", "", bearer...).body
	if !strings.Contains(text, "node serves") {
		t.Errorf("the log tells nothing: %q", text)
	}
	for _, hidden := range []string{token, secret} {
		if bytes.Contains([]byte(text), []byte(hidden)) {
			t.Errorf("the log tells %q", hidden)
		}
	}
}
