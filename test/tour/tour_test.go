// Package tour_test keeps README.md honest: it pastes the tour's shell blocks
// into bash, line by line as they stand, against a node of its own on free
// ports, starts a node with the example of a settings file, and compares the
// table of settings with what the binary says of itself.
//
//	go test ./test/tour
//
// A client that is absent is a skip of its section, or a failure when
// TROUPE_NO_SKIP is 1; the AWS command line and curl are needed for all of it.
package tour_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/test/process"
)

// Where the README says that a node listens.
const (
	defaultS3     = "127.0.0.1:9000"
	defaultNative = "127.0.0.1:8080"
)

// startCommand is the block that the test replaces by a node of its own.
const startCommand = "make run"

// section is a part of a document with its code blocks.
type section struct {
	title  string
	blocks []block
}

// block is what stands between two fences.
type block struct {
	language string // after the opening fence
	text     string
	line     int // of its first line in the document, from 1
}

// sectionsOf returns the sections of a document that begin with a heading of
// the mark given ("## ", "### "), between the heading from (which begins the
// first section) and the next heading above it.
func sectionsOf(document, from, mark string) []section {
	var sections []section
	inside, fenced := false, false
	for i, line := range strings.Split(document, "\n") {
		switch {
		case strings.HasPrefix(line, "```") && !fenced:
			fenced = true
			if inside {
				s := &sections[len(sections)-1]
				s.blocks = append(s.blocks, block{language: strings.TrimPrefix(line, "```"), line: i + 2})
			}
		case strings.HasPrefix(line, "```"):
			fenced = false
		case fenced && inside:
			s := &sections[len(sections)-1]
			s.blocks[len(s.blocks)-1].text += line + "\n"
		case fenced:
		case line == from:
			inside = true
			sections = append(sections, section{title: strings.TrimLeft(line, "# ")})
		case strings.HasPrefix(line, "## "):
			inside = false
		case inside && strings.HasPrefix(line, mark):
			sections = append(sections, section{title: strings.TrimPrefix(line, mark)})
		}
	}
	return sections
}

func readme(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// shell runs blocks in one directory; what a section exports, the next one has.
type shell struct {
	dir     string
	home    string
	exports string // file of the exported variables
	path    string
}

func newShell(t *testing.T, path string) *shell {
	t.Helper()
	return &shell{dir: t.TempDir(), home: t.TempDir(), exports: filepath.Join(t.TempDir(), "exports"), path: path}
}

// run pastes the shell blocks of a section. It returns what they wrote, with
// every command before what it wrote, and an error if one ended with anything
// but 0.
func (s *shell) run(t *testing.T, part section) (string, error) {
	var script strings.Builder
	// The user's shell goes on after a failure; this one must not.
	fmt.Fprintf(&script, "set -eo pipefail\nif [ -e %[1]q ]; then . %[1]q; fi\nset -x\n", s.exports)
	for _, b := range part.blocks {
		if b.language == "sh" && strings.TrimSpace(b.text) != startCommand {
			fmt.Fprintf(&script, ": README.md, line %d\n%s", b.line, b.text)
		}
	}
	fmt.Fprintf(&script, "{ set +x; } 2>/dev/null\nexport -p > %q\n", s.exports)
	command := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	command.Dir = s.dir
	// A fresh shell: nothing of the settings of whoever runs the test.
	command.Env = []string{"PATH=" + s.path, "HOME=" + s.home, "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"}
	output, err := command.CombinedOutput()
	return string(output), err
}

// need ends the test if a program is absent.
func need(t *testing.T, path string, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := process.LookTool(path, program); err != nil {
			process.Missing(t, "%v", err)
		}
	}
}

// needBoto3 ends the test if Python cannot import boto3.
func needBoto3(t *testing.T, path string) {
	t.Helper()
	need(t, path, "python3")
	python, err := process.LookTool(path, "python3")
	if err != nil {
		t.Fatal(err)
	}
	if said, err := exec.CommandContext(t.Context(), python, "-c", "import boto3").CombinedOutput(); err != nil {
		process.Missing(t, "boto3: %v: %s (run `make tools`)", err, said)
	}
}

func toolsPath(t *testing.T) string {
	t.Helper()
	path, err := process.ToolsPath()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Everything in the tour works as it stands, and shows what it says it shows.
func TestTour(t *testing.T) {
	path := toolsPath(t)
	need(t, path, "bash", "aws", "curl")
	parts := sectionsOf(readme(t), "## A tour", "### ")
	if len(parts) < 8 {
		t.Fatalf("the tour has %d sections", len(parts))
	}
	if first := parts[0].blocks; len(first) != 1 || strings.TrimSpace(first[0].text) != startCommand {
		t.Fatalf("the tour begins with %+v, not with %q", first, startCommand)
	}

	sh := newShell(t, path)
	if err := os.CopyFS(filepath.Join(sh.dir, "docs"), os.DirFS("../../docs")); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(sh.dir, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	node := startNode(t, process.Config{Dir: data})
	binary, err := process.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	addresses := strings.NewReplacer(defaultS3, node.S3, defaultNative, node.Native, "bin/troupe", binary)
	for _, part := range parts {
		t.Run(part.title, func(t *testing.T) {
			switch part.title {
			case "boto3":
				needBoto3(t, path)
			case "rclone", "s3cmd":
				need(t, path, part.title)
			}
			for i := range part.blocks {
				part.blocks[i].text = addresses.Replace(part.blocks[i].text)
			}
			output, err := sh.run(t, part)
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, output, node.Log())
			}
			for _, b := range part.blocks {
				if b.language == "text" {
					shows(t, output, b)
				}
			}
			if part.title == "A presigned link" && !strings.Contains(output, "\nHello, Troupe.\n") {
				t.Errorf("the link does not lead to the object:\n%s", output)
			}
		})
	}
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(sh.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range left {
		names = append(names, entry.Name())
	}
	if !t.Failed() && !slices.Equal(names, []string{"data", "docs"}) {
		t.Errorf("the tour leaves %q in its directory", names)
	}
}

// shows reports lines that the README shows and the commands did not write. A
// generation is another one each time.
func shows(t *testing.T, output string, shown block) {
	t.Helper()
	same := func(text string) string {
		return regexp.MustCompile(`generation=[0-9a-f-]+`).ReplaceAllString(strings.ReplaceAll(text, "\r", ""), "generation=")
	}
	for line := range strings.Lines(shown.text) {
		if !strings.Contains(same(output), same(line)) {
			t.Errorf("README.md, line %d shows\n%sThe commands wrote\n%s", shown.line, line, output)
		}
	}
}

// Negative control: a tour with a command that fails, alone or in a pipe, or
// that shows what was not written, is reported.
func TestTourReportsWhatDoesNotWork(t *testing.T) {
	path := toolsPath(t)
	need(t, path, "bash")
	document := "## A tour\n```sh\nmake run\n```\n### works\n```sh\nexport A=1\necho a\n```\n```text\na\n```\n" +
		"### fails\n```sh\ntest $A = 1\ntest $A = 2\necho went on\n```\n### fails in a pipe\n```sh\nfalse | cat\n```\n## else\n```sh\nfalse\n```\n"
	parts := sectionsOf(document, "## A tour", "### ")
	if len(parts) != 4 {
		t.Fatalf("%d sections, want 4: %+v", len(parts), parts)
	}
	sh := newShell(t, path)
	if output, err := sh.run(t, parts[1]); err != nil || !strings.Contains(output, "\na\n") {
		t.Errorf("%v\n%s", err, output)
	}
	if output, err := sh.run(t, parts[2]); err == nil || strings.Contains(output, "\nwent on\n") || !strings.Contains(output, "test 1 = 2") {
		t.Errorf("a command that fails: %v\n%s", err, output)
	}
	if output, err := sh.run(t, parts[3]); err == nil {
		t.Errorf("a command that fails in a pipe: %v\n%s", err, output)
	}
}

// startNode starts a node that ends with the test.
func startNode(t *testing.T, config process.Config) *process.Node {
	t.Helper()
	var err error
	if config.Binary, err = process.Build(t.Context(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	return process.ForTest(t, config)
}

// The example of a settings file is one: the node takes every name and value.
// Its addresses and directories are overridden by flags, as a user may.
func TestExampleOfSettings(t *testing.T) {
	var example string
	for _, s := range sectionsOf(readme(t), "## Settings", "## ") {
		for _, b := range s.blocks {
			if b.language == "yaml" {
				example += b.text
			}
		}
	}
	for _, address := range []string{defaultS3, defaultNative} {
		if !strings.Contains(example, address) {
			t.Errorf("the example does not have %s:\n%s", address, example)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "troupe.yaml")
	if err := os.WriteFile(file, []byte(example), 0o644); err != nil {
		t.Fatal(err)
	}
	node := startNode(t, process.Config{Dir: dir, Mountpaths: 1, Args: []string{"--config", file}})
	if err := node.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	// Negative control: a file with a name that is none is refused.
	if err := os.WriteFile(file, []byte(example+"no-such-setting: 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := node.Restart(t.Context()); err == nil || !strings.Contains(err.Error(), "no-such-setting") {
		t.Errorf("a setting that does not exist: %v", err)
	}
}

// The table of settings names every flag of the node with its default, and no
// flag that is none.
func TestTableOfSettings(t *testing.T) {
	binary, err := process.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	help, err := exec.CommandContext(t.Context(), binary, "serve", "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, help)
	}
	_, table, _ := strings.Cut(readme(t), "\n| setting | default |")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := map[string]string{"config": "", "help": "", "root-access-key": "", "root-secret-key": ""} // not flags of the table, or not flags
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+) \\| ([^|]+) \\|").FindAllStringSubmatch(table, -1) {
		for _, name := range strings.Split(row[1], ",") {
			rows[strings.Trim(name, " `")] = row[2]
		}
	}
	flags := regexp.MustCompile(`(?m)^ +(?:-h, )?--([a-z0-9-]+) .*?(?:\(default "?\[?([^")\]]+)\]?"?\))?$`).FindAllStringSubmatch(string(help), -1)
	if len(flags) < 10 {
		t.Fatalf("%d flags in\n%s", len(flags), help)
	}
	for _, f := range flags {
		row, ok := rows[f[1]]
		delete(rows, f[1])
		if !ok {
			t.Errorf("README.md does not have the setting %s", f[1])
		} else if !strings.Contains(row, f[2]) {
			t.Errorf("README.md says that %s is %q by default; it is %q", f[1], row, f[2])
		}
	}
	delete(rows, "root-access-key")
	delete(rows, "root-secret-key")
	for name := range rows {
		t.Errorf("README.md has the setting %s; serve --help has not", name)
	}
}
