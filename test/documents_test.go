package test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What documents say about the repository is so: links lead somewhere, targets
// of make exist, dependencies are the pinned ones, changelog entries have their
// form. What commands do is tested in test/tour.

// documents returns the paths of the README and of every page below docs.
func documents(t *testing.T) []string {
	t.Helper()
	pages := []string{"../README.md"}
	err := filepath.WalkDir("../docs", func(path string, entry os.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			pages = append(pages, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) < 8 {
		t.Fatalf("only %q were found", pages)
	}
	return pages
}

func readText(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// Every relative link in a document leads to a file, and to a heading in it.
func TestLinksLeadSomewhere(t *testing.T) {
	links := 0
	for _, page := range documents(t) {
		broken, n := brokenLinks(page, readText(t, page))
		links += n
		for _, link := range broken {
			t.Errorf("%s: %s leads nowhere", page, link)
		}
	}
	if links < 20 {
		t.Errorf("only %d links were looked at", links)
	}
}

// brokenLinks returns the relative links of a page that lead nowhere, and how
// many it has.
func brokenLinks(page, text string) (broken []string, count int) {
	for _, match := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
		link := match[1]
		if strings.Contains(link, "://") {
			continue
		}
		count++
		path, anchor, _ := strings.Cut(link, "#")
		target := page
		if path != "" {
			target = filepath.Join(filepath.Dir(page), path)
		}
		if _, err := os.Stat(target); err != nil {
			broken = append(broken, link)
			continue
		}
		if anchor == "" {
			continue
		}
		content, err := os.ReadFile(target)
		if err != nil || !slices.Contains(anchors(string(content)), anchor) {
			broken = append(broken, link)
		}
	}
	return broken, count
}

// anchors returns the names that headings of a page have in links.
func anchors(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			name := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
			name = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(name, "")
			names = append(names, strings.ReplaceAll(name, " ", "-"))
		}
	}
	return names
}

// Negative control: links that lead nowhere are found, others are not reported.
func TestLinksThatLeadNowhereAreFound(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "page.md")
	text := "# A heading, in two parts\n[a](page.md) [b](page.md#a-heading-in-two-parts) [c](#a-heading-in-two-parts) [d](https://example.com/x)\n" +
		"[e](absent.md) [f](page.md#absent) [g](#absent)\n"
	if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	broken, count := brokenLinks(page, text)
	if want := []string{"absent.md", "page.md#absent", "#absent"}; !slices.Equal(broken, want) || count != 6 {
		t.Errorf("of %d links %q lead nowhere, want %q of 6", count, broken, want)
	}
}

// docs/dependencies.md has a row for every module that go.mod requires
// directly, at its version, and for no other.
func TestDependenciesAreNamed(t *testing.T) {
	required := directModules(t, readText(t, "../go.mod"))
	named := moduleRows(readText(t, "../docs/dependencies.md"))
	if len(required) < 10 {
		t.Fatalf("go.mod requires %v", required)
	}
	for _, fault := range differences(required, named) {
		t.Error(fault)
	}
	// Negative control: each kind of difference is reported.
	control := differences(map[string]string{"a": "v1", "b": "v2"}, map[string]string{"b": "v1", "c": "v1"})
	if len(control) != 3 {
		t.Errorf("the control has 3 differences, reported are %q", control)
	}
	pinned := regexp.MustCompile(`honnef.co/go/tools (v\S+)`).FindStringSubmatch(readText(t, "tools/go.mod"))
	row := regexp.MustCompile("(?m)^\\| `honnef.co/go/tools` .*$").FindString(readText(t, "../docs/dependencies.md"))
	if pinned == nil || !strings.Contains(row, pinned[1]) {
		t.Errorf("test/tools/go.mod has staticcheck at %q, docs/dependencies.md says %q", pinned, row)
	}
	pinned = regexp.MustCompile(`hashicorp/consul (v\S+)`).FindStringSubmatch(readText(t, "tools/consul/go.mod"))
	row = regexp.MustCompile("(?m)^\\| `github.com/hashicorp/consul` .*$").FindString(readText(t, "../docs/dependencies.md"))
	if pinned == nil || !strings.Contains(row, pinned[1]) {
		t.Errorf("test/tools/consul/go.mod has Consul at %q, docs/dependencies.md says %q", pinned, row)
	}
}

// directModules returns the versions of the modules that a go.mod requires
// without the mark "indirect".
func directModules(t *testing.T, text string) map[string]string {
	t.Helper()
	modules := map[string]string{}
	inside := false
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line, comment, _ := strings.Cut(lines.Text(), "//")
		words := strings.Fields(line)
		switch {
		case len(words) == 2 && words[0] == "require" && words[1] == "(":
			inside = true
		case len(words) == 1 && words[0] == ")":
			inside = false
		case len(words) == 3 && words[0] == "require" && !strings.Contains(comment, "indirect"):
			modules[words[1]] = words[2]
		case inside && len(words) == 2 && !strings.Contains(comment, "indirect"):
			modules[words[0]] = words[1]
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return modules
}

// moduleRows returns the modules and versions of the page's tables of modules.
func moduleRows(text string) map[string]string {
	text, _, _ = strings.Cut(text, "\n## Tools")
	rows := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (\\S+) \\|").FindAllStringSubmatch(text, -1) {
		rows[row[1]] = row[2]
	}
	return rows
}

func differences(required, named map[string]string) []string {
	var faults []string
	for module, version := range required {
		switch has, ok := named[module]; {
		case !ok:
			faults = append(faults, fmt.Sprintf("docs/dependencies.md does not name %s", module))
		case has != version:
			faults = append(faults, fmt.Sprintf("docs/dependencies.md has %s at %s, go.mod at %s", module, has, version))
		}
	}
	for module := range named {
		if _, ok := required[module]; !ok {
			faults = append(faults, fmt.Sprintf("docs/dependencies.md names %s, which go.mod does not require directly", module))
		}
	}
	return faults
}

// Every "make something" in a document, in code, is a target of the Makefile.
func TestMakeTargetsExist(t *testing.T) {
	makefile := readText(t, "../Makefile")
	seen := 0
	for _, page := range documents(t) {
		for _, match := range regexp.MustCompile("(?m)(?:`|^)make ([a-z]+)").FindAllStringSubmatch(readText(t, page), -1) {
			seen++
			if !regexp.MustCompile(`(?m)^(?:[a-z ]+ )?` + match[1] + `(?: [a-z ]+)?:`).MatchString(makefile) {
				t.Errorf("%s: make %s is no target", page, match[1])
			}
		}
	}
	if seen < 8 {
		t.Errorf("only %d targets are named", seen)
	}
}

// An entry of the changelog has the form that changelog/TEMPLATE asks for.
func TestChangelogHasItsForm(t *testing.T) {
	entries, err := filepath.Glob("../changelog/unreleased/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if fault := changelogFault(filepath.Base(entry), readText(t, entry)); fault != "" {
			t.Errorf("%s: %s", entry, fault)
		}
	}
	for name, text := range map[string]string{ // negative control
		"feature-a": "Feature: A\n\nIt was.\n",
		"fix-b":     "Feature: B\n\nIt was.\n\nIt is.\n",
		"change-c":  "Change: C.\n\nIt was.\n\nIt is.\n",
		"news-d":    "News: D\n\nIt was.\n\nIt is.\n",
	} {
		if changelogFault(name, text) == "" {
			t.Errorf("%s passes:\n%s", name, text)
		}
	}
}

// changelogFault says what is wrong with an entry; empty: nothing.
func changelogFault(name, text string) string {
	first, rest, _ := strings.Cut(text, "\n\n")
	kind, subject, ok := strings.Cut(first, ": ")
	switch {
	case !ok || !slices.Contains([]string{"Feature", "Change", "Fix", "Security"}, kind):
		return "the first line does not begin with Feature, Change, Fix or Security and a colon"
	case !strings.HasPrefix(name, strings.ToLower(kind)+"-"):
		return "its name does not begin with its kind"
	case len(subject) > 80 || strings.Contains(subject, "\n") || strings.HasSuffix(subject, "."):
		return "the subject is no single line of at most 80 characters without a full stop"
	case !strings.Contains(strings.TrimSpace(rest), "\n\n"):
		return "it needs a paragraph about the problem and one about the behaviour"
	}
	return ""
}
