package clients_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/process/nodes"
)

// packageFiles are the suite over AIStore's Python package, method by method. The last
// one judges what the others have covered.
var packageFiles = []string{
	"native/test_client.py", "native/test_cluster.py", "native/test_bucket.py", "native/test_object.py",
	"native/test_group.py", "native/test_batch.py", "native/test_local.py", "native/test_absent.py", "native/test_methods.py",
}

// Each public method of the package works on one node and on three, each test through
// another of them, or is refused by name and waits for a step of docs/build-native.md.
// The Python files say which (native/covers.py).
func TestPackage(t *testing.T) {
	t.Parallel()
	path := tools(t, "python3", "pytest")
	t.Run("one node", func(t *testing.T) {
		t.Parallel()
		node := process.ForTest(t, process.Config{Dir: filepath.Join(t.TempDir(), "node")})
		report(t, newPytest(t, path, append(node.Environment(), "TROUPE_NATIVES="+node.URL(node.Native))), packageFiles...)
		if err := node.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("three nodes", func(t *testing.T) {
		t.Parallel()
		c := nodes.ForTest(t, nodes.Config{Args: nodes.AccessLog()})
		var natives []string
		for _, n := range c.Nodes {
			natives = append(natives, n.URL(n.Native))
		}
		report(t, newPytest(t, path, append(c.Nodes[0].Environment(), "TROUPE_NATIVES="+strings.Join(natives, " "))), packageFiles...)
		for i, n := range c.Nodes {
			if err := n.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			accesses, err := c.Accesses(i)
			if err != nil {
				t.Fatal(err)
			}
			if len(accesses) < 50 {
				t.Errorf("node %d answered %d requests: the suite went past it", i, len(accesses))
			}
		}
	})
}

// Negative control of the suite: a test that does not call what it says it covers fails.
func TestCoversIsJudged(t *testing.T) {
	path := tools(t, "python3", "pytest")
	results, output, err := newPytest(t, path, []string{
		"TROUPE_S3=http://127.0.0.1:1", "TROUPE_ACCESS=a", "TROUPE_SECRET=b", "TROUPE_NATIVES=http://127.0.0.1:1",
	}).run("native/testdata/control.py")
	if err == nil {
		t.Error("pytest ended with 0")
	}
	got := map[string]string{}
	for _, result := range results {
		got[result.Name] = result.Outcome
		if result.Outcome == "failed" && !strings.Contains(result.Text, "covers Client.cluster, and did not call it") {
			t.Errorf("%s failed because of something else: %s", result.Name, result.Text)
		}
	}
	if got["test_calls_what_it_covers"] != "passed" || got["test_calls_half_of_it"] != "failed" || len(got) != 2 {
		t.Errorf("got %v\n%s", got, output)
	}
}
