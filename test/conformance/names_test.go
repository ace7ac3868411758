package conformance

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The list is that of docs/build-s3.md: as many names for each step as its table says, each
// once. Each name of a step that is built has a test, and no test is of another name.
func TestNames(t *testing.T) {
	counted, seen, all := map[string]int{}, map[string]bool{}, tests()
	for _, name := range Names() {
		if seen[name.Name] {
			t.Errorf("%s is listed twice", name.Name)
		}
		seen[name.Name] = true
		step, _, _ := strings.Cut(name.Step, " ") // of two, the table counts neither
		if step == name.Step {
			counted[step]++
		}
		if slices.Contains(Built(), name.Step) && all[name.Name] == nil {
			t.Errorf("%s/%s of step %s has no test", name.Area, name.Name, name.Step)
		}
	}
	if len(seen) != 349 {
		t.Errorf("%d names are listed", len(seen))
	}
	for name := range all {
		if !seen[name] {
			t.Errorf("the test %s is of a name that is not listed", name)
		}
	}
	page, err := os.ReadFile("../../docs/build-s3.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| \*\*(\w+)\*\* \|.* (\d+) \|$`).FindAllStringSubmatch(string(page), -1)
	if len(rows) < 30 {
		t.Fatalf("docs/build-s3.md has %d steps", len(rows))
	}
	for _, row := range rows {
		if want, _ := strconv.Atoi(row[2]); counted[row[1]] != want {
			t.Errorf("step %s: %d names are listed, docs/build-s3.md says %d", row[1], counted[row[1]], want)
		}
		delete(counted, row[1])
	}
	for step := range counted {
		t.Errorf("docs/build-s3.md has no step %s", step)
	}
}

// Amazon's SDK is a tool of tests: the product contains nothing of it.
func TestProductIsFreeOfTheSDK(t *testing.T) {
	said, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../../cmd/troupe").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, said)
	}
	packages := strings.Fields(string(said))
	if !slices.Contains(packages, "github.com/troupe-storage/troupe/httpedge/s3api") {
		t.Fatalf("go list says %d packages, none of them s3api", len(packages))
	}
	for _, name := range packages {
		if strings.HasPrefix(name, "github.com/aws/") {
			t.Errorf("the product contains %s", name)
		}
	}
}
