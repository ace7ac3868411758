// Package test holds the suites that look at Troupe as a whole. This file is
// the table "Folders are floors" of the architecture as code: which folder may
// import which, and the rules that keep two nodes possible in one process. It
// reads source, it runs nothing.
//
// Every rule has its negative control in testdata/layers: a small tree that
// breaks each of them once, with a comment
//
//	// want "rule"
//
// on the line that must be reported. A rule that stops biting fails the test,
// and so does an exception in the lists below that nothing needs any more.
package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// modulePath is the path that imports of the project begin with.
const modulePath = "github.com/troupe-storage/troupe"

// floor says what a top-level folder may import of the project besides itself.
type floor struct {
	may []string
	why string
}

// floors is the table. A folder that is not in it may hold no Go code: the
// top-level folders are fixed.
func floors() map[string]floor {
	return map[string]floor{
		"objects":     {nil, "what an object is: pure values and functions, no I/O"},
		"messages":    {[]string{"objects"}, "the vocabulary between actors"},
		"api":         {[]string{"objects"}, "the vocabulary over HTTP"},
		"backend":     {[]string{"objects", "api"}, "objects that live elsewhere, reached over HTTP"},
		"actors":      {[]string{"messages", "objects", "backend"}, "how actors are made; they do not know who uses them"},
		"mountpath":   {[]string{"actors", "messages", "objects"}, "a room: it meets cluster and edges only through messages"},
		"cluster":     {[]string{"actors", "messages", "objects"}, "a room: it meets disks and edges only through messages"},
		"httpedge":    {[]string{"actors", "messages", "objects", "api"}, "a room: it meets disks and cluster only through messages"},
		"supervisors": {[]string{"mountpath", "cluster", "httpedge", "actors", "backend", "messages", "api", "objects"}, "the only one that knows everyone"},
		"tools":       {[]string{"api", "objects"}, "operators' code: it speaks HTTP, as everyone outside does"},
		"cmd":         {[]string{"supervisors", "tools", "api", "objects"}, "programs put floors together and hold no decision"},
		"test":        {[]string{"cmd", "supervisors", "tools", "mountpath", "cluster", "httpedge", "actors", "backend", "messages", "api", "objects"}, "whole-system suites may look at anything"},
	}
}

// exception lets one place break one rule, for a reason.
type exception struct {
	rule    string
	file    string // path from the root of the module; a trailing / means everything below
	subject string // what the rule names: a variable, an import, a function
	why     string
}

// exceptions of the project. One that nothing needs is reported.
func exceptions() []exception {
	return []exception{
		{"pure", "objects/slab/slab.go", "golang.org/x/sys/unix.Mmap", "slabs are memory outside of Go's heap; anonymous memory is no I/O"},
		{"pure", "objects/slab/slab.go", "golang.org/x/sys/unix.Munmap", "as above"},
		{"pure", "objects/slab/slab.go", "golang.org/x/sys/unix.Madvise", "as above"},
		{"clock", "httpedge/auth/wire.go", "time", "deadlines of sockets are the kernel's, and take its time"},
		{"clock", "httpedge/gateway/body.go", "time", "as above"},
		{"clock", "httpedge/intra/deadline.go", "time", "as above"},
		{"clock", "httpedge/native/request.go", "time", "as above"},
		{"clock", "httpedge/secured.go", "time", "as above"},
		{"clock", "httpedge/s3api/request.go", "time", "as above"},
		{"clock", "mountpath/disk/attribute.go", "time", "it makes a name that is nobody's"},
		{"clock", "mountpath/index/", "time", "how long to wait for Pebble, which measures by itself; no date among them"},
		{"sleep", "test/together/relay_bench_test.go", "time.Sleep", "a benchmark looks for a second at what idling costs"},
		{"variable", "cmd/troupe/main.go", "version", "the linker writes it: go build -ldflags '-X main.version=…'"},
		{"variable", "objects/slab/debug_on.go", "stacks", "test builds remember who leased a window; release builds have no such variable"},
	}
}

// The project keeps its own rules.
func TestLayers(t *testing.T) {
	root := ".."
	tree, err := readTree(root)
	if err != nil {
		t.Fatal(err)
	}
	// A tree that was not found would pass every rule.
	for _, folder := range []string{"objects", "messages", "mountpath", "test"} {
		if !slices.ContainsFunc(tree.packages, func(p *sourcePackage) bool { return p.floor() == folder }) {
			t.Errorf("no package was found in %s", folder)
		}
	}
	report := check(tree, exceptions())
	for _, one := range report {
		t.Error(one)
	}
	if len(report) == 0 {
		t.Logf("%d packages, %d files, %d rules", len(tree.packages), tree.files, len(rules()))
	}
}

// Negative control: the fixture breaks every rule, and every breach is
// reported, on its line, and nothing else is.
func TestLayersReportEveryBreach(t *testing.T) {
	tree, err := readTree("testdata/layers")
	if err != nil {
		t.Fatal(err)
	}
	want := tree.wants()
	var got []string
	bitten := map[string]bool{}
	for _, one := range check(tree, []exception{
		{"variable", "mountpath/globals.go", "forgiven", "the control of exceptions"},
		{"variable", "mountpath/globals.go", "unneeded", "the control of exceptions that nothing needs"},
	}) {
		got = append(got, one.at())
		bitten[one.rule] = true
	}
	want = append(want, "exceptions: exception")
	slices.Sort(got)
	slices.Sort(want)
	for _, at := range got {
		if !slices.Contains(want, at) {
			t.Errorf("reported, but no breach: %s", at)
		}
	}
	for _, at := range want {
		if !slices.Contains(got, at) {
			t.Errorf("not reported: %s", at)
		}
	}
	for _, r := range rules() {
		if !bitten[r.name] {
			t.Errorf("the fixture does not break the rule %q: nothing shows that it works", r.name)
		}
	}
}

// breach is one place that breaks one rule.
type breach struct {
	rule    string
	file    string
	line    int
	subject string
	text    string
}

func (b breach) String() string { return fmt.Sprintf("%s:%d: %s: %s", b.file, b.line, b.rule, b.text) }

// at is how the fixture's comments name a breach.
func (b breach) at() string {
	if b.line == 0 {
		return b.file + ": " + b.rule
	}
	return fmt.Sprintf("%s:%d: %s", b.file, b.line, b.rule)
}

// check applies every rule to every package, and the exceptions to what they say.
func check(tree *sourceTree, allowed []exception) []breach {
	var report []breach
	needed := make([]bool, len(allowed))
	for _, r := range rules() {
		for _, p := range tree.packages {
			for _, b := range r.check(tree, p) {
				b.rule = r.name
				at := slices.IndexFunc(allowed, func(e exception) bool { return e.covers(b) })
				if at >= 0 {
					needed[at] = true
					continue
				}
				b.text += " (" + r.why + ")"
				report = append(report, b)
			}
		}
	}
	for i, e := range allowed {
		if !needed[i] {
			report = append(report, breach{
				rule: "exception", file: "exceptions",
				text: fmt.Sprintf("nothing needs the exception of %s in %s from %q any more: remove it", e.subject, e.file, e.rule),
			})
		}
	}
	return report
}

func (e exception) covers(b breach) bool {
	inFile := e.file == b.file || strings.HasSuffix(e.file, "/") && strings.HasPrefix(b.file, e.file)
	return e.rule == b.rule && inFile && e.subject == b.subject
}
