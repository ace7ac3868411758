package soak_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/soak"
)

// The short form is api/sigv4's, and floors below this one know nothing of soaks:
// it runs in processes of its own.
//
// TestMutatedRequestsSoak sends 100,000 mutated requests of each kind: none is
// accepted.
func TestMutatedRequestsSoak(t *testing.T) {
	const batch = 10_000
	slice := soak.Begin(t, soak.Row{Name: "mutated-requests", Unit: "mutated requests of each kind", Goal: 100_000})
	for slice.More() {
		seed := slice.Next() + 1 // 1 is the short form's
		args := []string{
			"test", "-count=1", "-v", "-run", "^TestMutated", "./api/sigv4",
			"-sigv4.mutations=" + strconv.Itoa(batch), "-sigv4.seed=" + strconv.FormatUint(seed, 10),
		}
		if out, err := inModule(t, args...); err != nil {
			slice.Fail(fmt.Sprintf("go %s: %v\n%s", strings.Join(args, " "), err, out))
		}
		slice.Add(batch, slice.Next()+1)
	}
}

// TestSliceFlipsSoak damages cells of erasure-coded slices: each is found, none is served,
// all are healed.
func TestSliceFlipsSoak(t *testing.T) {
	const batch = 10_000
	slice := soak.Begin(t, soak.Row{Name: "slice-flips", Unit: "damaged cells of slices", Goal: 100_000})
	for slice.More() {
		seed := slice.Next() + 2 // 1 is the short form's
		args := []string{
			"test", "-count=1", "-run", "^TestRandomFlips$", "./objects/erasure",
			"-erasure.flips=" + strconv.Itoa(batch), "-erasure.seed=" + strconv.FormatUint(seed, 10),
		}
		if out, err := inModule(t, args...); err != nil {
			slice.Fail(fmt.Sprintf("go %s: %v\n%s", strings.Join(args, " "), err, out))
		}
		slice.Add(batch, slice.Next()+1)
	}
}

// TestSimulationSoak plays the simulation of membership: five nodes, what they agree on,
// and what happens to both, in virtual time.
func TestSimulationSoak(t *testing.T) {
	const batch = 100
	slice := soak.Begin(t, soak.Row{Name: "simulation", Unit: "seeds of the simulation of membership", Goal: 10_000})
	for slice.More() {
		seed := slice.Next() + 1000 // those below are the short form's
		args := []string{
			"test", "-count=1", "-run", "^TestSimulation$", "./cluster/member",
			"-member.seeds=" + strconv.Itoa(batch), "-member.seed=" + strconv.FormatUint(seed, 10),
		}
		if out, err := inModule(t, args...); err != nil {
			slice.Fail(fmt.Sprintf("go %s: %v\n%s", strings.Join(args, " "), err, out))
		}
		slice.Add(batch, slice.Next()+batch)
	}
}

// TestFuzzSoak fuzzes every parser in turn, 50 million runs in all: no panic, no
// hang, no allocation beyond what a target allows. What is found is in the
// target's testdata/fuzz.
func TestFuzzSoak(t *testing.T) {
	const batch = 200_000 // a number and no time: golang/go#75804
	slice := soak.Begin(t, soak.Row{Name: "fuzz", Unit: "runs of parsers", Goal: 50_000_000})
	targets := fuzzTargets(t)
	for slice.More() {
		target := targets[slice.Next()%uint64(len(targets))]
		args := []string{"test", "-run=^$", "-fuzz=^" + target.name + "$", "-fuzztime=" + strconv.Itoa(batch) + "x", "-fuzzminimizetime=1x", target.dir}
		if out, err := inModule(t, args...); err != nil {
			slice.Fail(fmt.Sprintf("go %s: %v\n%s", strings.Join(args, " "), err, out))
		}
		slice.Add(batch, slice.Next()+1)
	}
}

// fuzzTarget is a fuzz target and its package's directory below the module.
type fuzzTarget struct{ name, dir string }

// fuzzTargets returns all of the module.
func fuzzTargets(t *testing.T) []fuzzTarget {
	t.Helper()
	out, err := inModule(t, "list", "-f", `{{$d := .Dir}}{{range .TestGoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}`, "./...")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	root := moduleRoot(t)
	target := regexp.MustCompile(`(?m)^func (Fuzz\w*)\(`)
	var targets []fuzzTarget
	for _, file := range strings.Fields(out) {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		dir, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range target.FindAllSubmatch(source, -1) {
			targets = append(targets, fuzzTarget{string(name[1]), "./" + dir})
		}
	}
	if len(targets) == 0 {
		t.Fatal("there is no fuzz target")
	}
	return targets
}

// inModule runs the go command at the root of the module.
func inModule(t *testing.T, args ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir = moduleRoot(t)
	out, err := command.CombinedOutput()
	return string(out), err
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	root, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	return root
}
