package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
)

// TestMain builds the binary once.
func TestMain(m *testing.M) { process.Main(m) }

// cluster is a node and what a user has around the client.
type cluster struct {
	t        *testing.T
	node     *process.Node
	client   *s3client.Client
	dir      string // the user's: home, and working directory
	endpoint string // host:port
}

// start starts a node of two mountpaths; without one of its own a test runs beside
// others.
func start(t *testing.T) *cluster {
	t.Helper()
	return startWith(t, process.Config{Mountpaths: 2})
}

// startWith starts a node of a configuration.
func startWith(t *testing.T, config process.Config) *cluster {
	t.Helper()
	node := process.ForTest(t, config)
	return &cluster{t: t, node: node, client: process.ClientForTest(t, node), dir: t.TempDir(), endpoint: node.S3}
}

// gated puts a gate between client and node.
func (c *cluster) gated(bytes int64) *Gate {
	c.t.Helper()
	gate, err := NewGate(c.node.S3, bytes)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { gate.Close() }) //nolint:errcheck // the test is over
	c.endpoint = gate.Address
	return gate
}

// said is what a command printed and returned.
type said struct {
	out, err string
	code     int
}

// command makes a command with the user's surroundings: nothing of whoever runs the test.
func (c *cluster) command(ctx context.Context, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, process.Built(), args...)
	command.Dir = c.dir
	command.Env = []string{"HOME=" + c.dir, "TROUPE_ENDPOINT=" + c.endpoint, "TROUPE_NATIVE_ENDPOINT=" + c.node.Native}
	return command
}

// run runs a command; in is its standard input.
func (c *cluster) run(in io.Reader, args ...string) said {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 3*time.Minute)
	defer cancel()
	command := c.command(ctx, args...)
	var out, errors bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = in, &out, &errors
	if err := command.Run(); err != nil && command.ProcessState == nil {
		c.t.Fatal(err)
	}
	if ctx.Err() != nil {
		c.t.Fatalf("troupe %q took more than 3 minutes:\n%s", args, errors.String())
	}
	return said{out.String(), errors.String(), command.ProcessState.ExitCode()}
}

// want runs a command that must end with an exit code, and returns what it said.
func (c *cluster) want(code int, args ...string) said {
	c.t.Helper()
	s := c.run(nil, args...)
	if s.code != code {
		c.t.Fatalf("troupe %s: exit code %d, want %d\n%s%s\n%s", strings.Join(args, " "), s.code, code, s.out, s.err, c.node.Log())
	}
	return s
}

// contains fails unless a text has all of some others.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in\n%s", part, text)
		}
	}
}

// lines reads lines of JSON, strictly: a name that the type does not have is an error.
func lines[T any](t *testing.T, text string) []T {
	t.Helper()
	var all []T
	for line := range strings.Lines(text) {
		all = append(all, document[T](t, line))
	}
	return all
}

// document reads one document of JSON, as strictly.
func document[T any](t *testing.T, text string) T {
	t.Helper()
	var one T
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&one); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if rest, _ := io.ReadAll(d.Buffered()); strings.TrimSpace(string(rest)) != "" {
		t.Fatalf("more than one document:\n%s", text)
	}
	return one
}

// transfer is a JSON line of cp, mv and sync, the last one included.
type transfer struct {
	Op, Source, Target, Status, ETag, Receipt, Error string
	Bytes, Done, Skipped, Failed, Left, Deleted      int64
	Resumed                                          int64 `json:"resumed_bytes"`
	Seconds                                          float64
}

// last returns the summary.
func last(t *testing.T, out string) transfer {
	t.Helper()
	all := lines[transfer](t, out)
	if len(all) == 0 || all[len(all)-1].Op != "summary" {
		t.Fatalf("no summary at the end of\n%s", out)
	}
	return all[len(all)-1]
}

// failure is the JSON of an error.
type failure struct {
	Error struct {
		Message, Kind, Code, Advice string
		Exit                        int
	}
}

// noise returns bytes that no other seed has.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	source.Read(b) //nolint:errcheck // it never fails
	return b
}

// write makes a file below the user's directory, with its directories.
func (c *cluster) write(name string, content []byte) string {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// read returns a file below the user's directory.
func (c *cluster) read(name string) []byte {
	c.t.Helper()
	content, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		c.t.Fatal(err)
	}
	return content
}

// put stores an object behind the client's back.
func (c *cluster) put(bucket, key string, content []byte) {
	c.t.Helper()
	answer, err := c.client.Put(c.t.Context(), bucket, key, content)
	if err == nil {
		err = answer.Err()
	}
	if err != nil {
		c.t.Fatalf("%q: %v", key, err)
	}
}

// object returns an object's content.
func (c *cluster) object(bucket, key string) []byte {
	c.t.Helper()
	answer, err := c.client.Get(c.t.Context(), bucket, key)
	if err == nil {
		err = answer.Err()
	}
	if err != nil {
		c.t.Fatalf("%q: %v", key, err)
	}
	return answer.Body
}

// names lists what is below a directory of the user's, directories with a slash.
func (c *cluster) names(dir string) []string {
	c.t.Helper()
	var all []string
	root := filepath.Join(c.dir, dir)
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, err := filepath.Rel(root, path)
		if entry.IsDir() {
			name += "/"
		}
		all = append(all, name)
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}
