// Package clients_test lets clients that others wrote loose on a real node:
// boto3, aistore, the AWS command line, s3cmd and rclone, unmodified. What they do and
// expect is in the Python files beside this one, a file or more per client;
// this Go test starts a node for each client, runs the files under pytest,
// reports every Python test as a test of its own, and then looks at what the
// client could not see: the process still lives and ends with 0, and nothing
// outside the mountpaths was touched.
//
//	go test ./test/clients -run TestRclone
//	go test ./test/clients -run TestBoto3 -pytest='-k ranges'
//
// Programs that are absent are a skip, or a failure when TROUPE_NO_SKIP is 1;
// `make tools` installs them.
package clients_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/test/process"
)

var pytestFlags = flag.String("pytest", "", "further arguments of pytest, separated by blanks")

// TestMain builds the binary once for all suites.
func TestMain(m *testing.M) { process.Main(m) }

func TestBoto3(t *testing.T) {
	runSuite(t, suite{files: []string{
		"test_boto3_addressing.py", "test_boto3_conditions.py", "test_boto3_keys.py",
		"test_boto3_listing.py", "test_boto3_multipart.py", "test_boto3_objects.py",
	}})
}

func TestAws(t *testing.T) {
	runSuite(t, suite{program: "aws", files: []string{"test_aws.py"}})
}

func TestS3cmd(t *testing.T) {
	runSuite(t, suite{program: "s3cmd", files: []string{"test_s3cmd.py"}})
}

func TestRclone(t *testing.T) {
	runSuite(t, suite{program: "rclone", files: []string{"test_rclone.py"}})
}

// AIStore's Python package, which is given the native listener and nothing else.
// Over HTTPS it sends a body only to where it was redirected.
func TestAIStore(t *testing.T) {
	_, files := process.AuthorityForTest(t)
	for name, config := range map[string]process.Config{"http": {}, "https": {TLS: &files}} {
		t.Run(name, func(t *testing.T) {
			runSuite(t, suite{config: config, files: []string{"test_aistore.py", "test_aistore_batch.py"}})
		})
	}
}

// Every client over every road: HTTPS, IPv6, both.
func TestEdges(t *testing.T) {
	_, files := process.AuthorityForTest(t)
	for name, config := range map[string]process.Config{
		"https": {TLS: &files}, "ipv6": {Host: "::1"}, "https and ipv6": {TLS: &files, Host: "::1"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, program := range []string{"aws", "rclone", "s3cmd", "curl"} {
				tools(t, program)
			}
			runSuite(t, suite{config: config, files: []string{"test_edges.py"}})
		})
	}
}

// Every Python file must be run by some test above: a new one that nobody
// names would look tested and never run.
func TestEveryFileIsRun(t *testing.T) {
	files, err := filepath.Glob("test_*.py")
	if err != nil {
		t.Fatal(err)
	}
	below, err := filepath.Glob("native/test_*.py")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, below...)
	var source []byte
	for _, name := range []string{"clients_test.go", "cluster_test.go", "native_test.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	for _, file := range files {
		if !bytes.Contains(source, []byte(`"`+file+`"`)) {
			t.Errorf("%s is run by no test", file)
		}
	}
}

// Negative control of the harness: a Python test that fails, is skipped, or
// breaks in its fixture is reported as such, and not lost between the languages.
func TestHarnessReportsWhatPytestSays(t *testing.T) {
	path := tools(t, "python3", "pytest")
	python := newPytest(t, path, []string{"TROUPE_S3=http://127.0.0.1:1", "TROUPE_ACCESS=a", "TROUPE_SECRET=b"})
	results, output, err := python.run("testdata/control.py")
	if err == nil {
		t.Error("pytest ended with 0")
	}
	got := map[string]string{}
	for _, result := range results {
		got[result.Name] = result.Outcome
	}
	want := map[string]string{
		"test_passes": "passed", "test_fails": "failed", "test_is_skipped": "skipped", "test_breaks_before": "failed",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v\n%s", got, want, output)
	}
	if _, _, err := python.run("testdata/no_such_file.py"); err == nil {
		t.Error("a file that is not there made no error")
	}
}

// suite is what one client does to one node.
type suite struct {
	program string         // what has to be installed beside Python and boto3; may be empty
	files   []string       // Python files, run in this order
	config  process.Config // of the node, beside binary and directory
}

// tools returns a PATH on which the programs are, or ends the test.
func tools(t *testing.T, programs ...string) string {
	t.Helper()
	path, err := process.ToolsPath()
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range programs {
		if program == "" {
			continue
		}
		if _, err := process.LookTool(path, program); err != nil {
			process.Missing(t, "%v", err)
		}
	}
	return path
}

// runSuite starts a node, runs the files against it, and inspects what is left.
func runSuite(t *testing.T, s suite) {
	t.Parallel()
	path := tools(t, "python3", "pytest", s.program)
	surroundings := newSurroundings(t)
	s.config.Dir = surroundings.nodeDir
	node := process.ForTest(t, s.config)
	formats := readFormats(t, node)

	report(t, newPytest(t, path, node.Environment()), s.files...)

	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	for path, before := range formats {
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s changed: %v, %q", path, err, after)
		}
	}
	surroundings.check(t)
}

// report runs Python files, and reports each of their tests as one of t's.
func report(t *testing.T, python pytest, files ...string) {
	t.Helper()
	results, output, err := python.run(files...)
	failed := 0
	for _, result := range results {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(result.File), "test_"), ".py") + "/" + result.Name
		t.Run(name, func(t *testing.T) {
			switch result.Outcome {
			case "passed":
			case "skipped":
				process.Missing(t, "%s", result.Text)
			default:
				failed++
				t.Errorf("in %s:\n%s", result.When, result.Text)
			}
		})
	}
	if err != nil && failed == 0 {
		t.Errorf("pytest: %v\n%s", err, output)
	}
	if !t.Failed() && len(results) == 0 {
		t.Errorf("pytest ran no test\n%s", output)
	}
}

// pytest runs Python test files.
type pytest struct {
	t    *testing.T
	path string   // PATH of the tools
	env  []string // further variables
}

func newPytest(t *testing.T, path string, env []string) pytest { return pytest{t, path, env} }

// result is how one Python test ended, as conftest.py writes it.
type result struct {
	File    string  `json:"file"`
	Name    string  `json:"name"`
	When    string  `json:"when"`    // setup, call or teardown
	Outcome string  `json:"outcome"` // passed, failed or skipped
	Seconds float64 `json:"seconds"`
	Text    string  `json:"text"` // the traceback
}

// run runs files and returns what became of every test in them, what pytest
// printed, and an error when pytest did not end with 0.
func (p pytest) run(files ...string) ([]result, string, error) {
	p.t.Helper()
	program, err := process.LookTool(p.path, "python3")
	if err != nil {
		p.t.Fatal(err)
	}
	dir := p.t.TempDir()
	report := filepath.Join(dir, "report.jsonl")
	args := []string{"-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "--confcutdir=.", "--basetemp=" + filepath.Join(dir, "tmp")}
	args = append(args, strings.Fields(*pytestFlags)...)
	command := exec.CommandContext(p.t.Context(), program, append(args, files...)...)
	command.Env = append(os.Environ(), p.env...)
	command.Env = append(command.Env, "PATH="+p.path, "TROUPE_REPORT="+report, "PYTHONDONTWRITEBYTECODE=1", "PYTHONHASHSEED=0")
	output, ended := command.CombinedOutput()

	file, err := os.Open(report)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, string(output), ended
	}
	if err != nil {
		p.t.Fatal(err)
	}
	defer file.Close()
	var results []result
	for decoder := json.NewDecoder(bufio.NewReader(file)); decoder.More(); {
		var one result
		if err := decoder.Decode(&one); err != nil {
			p.t.Fatal(err)
		}
		results = append(results, one)
	}
	return results, string(output), ended
}

// surroundings are the directories around a node. A node writes into its
// mountpaths and nowhere else, whatever keys it is given.
type surroundings struct {
	outer   string
	nodeDir string
}

func newSurroundings(t *testing.T) surroundings {
	outer := t.TempDir()
	s := surroundings{outer: outer, nodeDir: filepath.Join(outer, "node")}
	if err := os.MkdirAll(s.nodeDir, 0o755); err != nil {
		t.Fatal(err)
	}
	return s
}

// check fails when anything but the node's own directories and log is there.
func (s surroundings) check(t *testing.T) {
	want := []string{"node", "node/d0", "node/d1", "node/d2", "node/d3", "node/node.log"}
	var got []string
	err := filepath.WalkDir(s.outer, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == s.outer {
			return err
		}
		name, err := filepath.Rel(s.outer, path)
		if err != nil {
			return err
		}
		got = append(got, name)
		if entry.IsDir() && name != "node" {
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("around the mountpaths there is %q, want %q", got, want)
	}
	// test_boto3_keys.py asks for this one with a key of many dot dots.
	if _, err := os.Lstat("/etc/troupe-was-here"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key escaped to /etc/troupe-was-here: %v", err)
	}
}

// readFormats returns every mountpath's format.json by its path: a key may
// carry that very name, and must not reach the file.
func readFormats(t *testing.T, node *process.Node) map[string][]byte {
	formats := map[string][]byte{}
	for _, mountpath := range node.Mountpaths {
		path := filepath.Join(mountpath, ".troupe", "format.json")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		formats[path] = data
	}
	return formats
}
