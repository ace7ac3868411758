package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The summary is what CI believes: it must tell a failure from a success in
// everything that go test can say. The sources are real packages, the events
// are those of the real go command.
func TestSummaryOfRealRuns(t *testing.T) {
	const header = "package p\nimport \"testing\"\n"
	tests := []struct {
		name   string
		source string
		args   []string
		noSkip bool
		good   bool
		last   string // the closing line
		says   string // must be in the output
	}{
		{"passes", header + "func TestA(t *testing.T) {}\nfunc TestB(t *testing.T) {}", nil, true, true, "2 passed, 0 failed, 0 skipped", "2 tests"},
		{"fails", header + "func TestA(t *testing.T) {}\nfunc TestB(t *testing.T) { t.Error(\"the reason\") }", nil, false, false, "1 passed, 1 failed, 0 skipped", "the reason"},
		{"skips", header + "func TestA(t *testing.T) {}\nfunc TestB(t *testing.T) { t.Skip(\"no tool\") }", nil, false, true, "1 passed, 0 failed, 1 skipped", "no tool"},
		{"skips where it must not", header + "func TestA(t *testing.T) {}\nfunc TestB(t *testing.T) { t.Skip(\"no tool\") }", nil, true, false, "1 passed, 0 failed, 1 skipped", "nothing may be skipped"},
		{"counts leaves", header + "func TestA(t *testing.T) { t.Run(\"x\", func(t *testing.T) {}); t.Run(\"y\", func(t *testing.T) { t.Run(\"z\", func(t *testing.T) { t.Error(\"deep\") }) }) }", nil, false, false, "1 passed, 1 failed, 0 skipped", "deep"},
		{"a slash in a name", header + "func TestA(t *testing.T) { t.Run(\"x/y\", func(t *testing.T) { t.Error(\"deep\") }) }", nil, false, false, "0 passed, 1 failed, 0 skipped", "deep"},
		{"a parent fails by itself", header + "func TestA(t *testing.T) { t.Run(\"x\", func(t *testing.T) {}); t.Error(\"alone\") }", nil, false, false, "1 passed, 1 failed, 0 skipped", "alone"},
		{"does not compile", header + "func TestA(t *testing.T) { undefined() }", nil, false, false, "0 passed, 1 failed, 0 skipped", "undefined: undefined"},
		{"vet refuses", header + "import \"fmt\"\nfunc TestA(t *testing.T) { fmt.Printf(\"%d\", \"x\") }", nil, false, false, "0 passed, 1 failed, 0 skipped", "wrong type"},
		{"panics", header + "func TestA(t *testing.T) { panic(\"out of it\") }", nil, false, false, "0 passed, 1 failed, 0 skipped", "out of it"},
		{"exits", header + "import \"os\"\nfunc TestMain(m *testing.M) { m.Run(); os.Exit(3) }\nfunc TestA(t *testing.T) {}", nil, false, false, "1 passed, 1 failed, 0 skipped", "FAIL\tp"},
		{"exits in a test", header + "import \"os\"\nfunc TestA(t *testing.T) { os.Exit(4) }", nil, false, false, "0 passed, 1 failed, 0 skipped", "was running: TestA"},
		{"takes too long", header + "func TestA(t *testing.T) { select {} }\nfunc TestB(t *testing.T) { t.Parallel() }", []string{"-timeout=1s"}, false, false, "0 passed, 1 failed, 0 skipped", "timed out"},
		{"no tests", "package p\n", nil, false, false, "0 passed, 0 failed, 0 skipped", "no test ran"},
		{"nothing chosen", header + "func TestA(t *testing.T) {}", []string{"-run=None"}, false, false, "0 passed, 0 failed, 0 skipped", "no test ran"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "go.mod"), "module p\n\ngo 1.26\n")
			write(t, filepath.Join(dir, "p_test.go"), test.source)
			command := exec.Command("go", append([]string{"test", "-json", "-count=1"}, append(test.args, ".")...)...)
			command.Dir = dir
			events, _ := command.Output() // the exit code is what the summary has to find out
			good, said := summarise(t, events, test.noSkip)
			if good != test.good || !strings.HasSuffix(said, "\n"+test.last+"\n") && said != test.last+"\n" || !strings.Contains(said, test.says) {
				t.Errorf("good %v, want %v; want the last line %q and somewhere %q in\n%s", good, test.good, test.last, test.says, said)
			}
		})
	}
}

// Several runs in one stream add up, also of the same package.
func TestSummaryAddsRuns(t *testing.T) {
	run := `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"pass","Package":"p","Elapsed":0.1}
`
	failing := strings.ReplaceAll(run, "pass", "fail")
	good, said := summarise(t, []byte(run+failing+run), false)
	if good || !strings.HasSuffix(said, "2 passed, 1 failed, 0 skipped\n") {
		t.Errorf("good %v, said\n%s", good, said)
	}
	// A stream that was cut: go test was killed, or the machine had no memory left.
	good, said = summarise(t, []byte(run+`{"Action":"start","Package":"q"}`+"\n"), false)
	if good || !strings.Contains(said, "q: no end was reported") {
		t.Errorf("good %v, said\n%s", good, said)
	}
	good, said = summarise(t, nil, false)
	if good {
		t.Errorf("an empty stream is good: %s", said)
	}
}

func summarise(t *testing.T, events []byte, noSkip bool) (bool, string) {
	t.Helper()
	var out bytes.Buffer
	s := newSummary(&out)
	s.noSkip = noSkip
	if err := s.read(bufio.NewReader(bytes.NewReader(events))); err != nil {
		t.Fatal(err)
	}
	return s.finish(), out.String()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
