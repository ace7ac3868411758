// Package prove runs `troupe prove` as somebody would who wants to know: on nodes that keep
// what they promise, and on nodes whose disks lie, which it must find.
//
//	troupe prove ──starts──▶ troupe serve           finds nothing
//	             ──starts──▶ this test's binary     finds what the lie has lost
//
// Start with prove_test.go; liar_test.go is the lying node.
package prove

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/troupe-storage/troupe/supervisors/faults"
	"github.com/troupe-storage/troupe/test/process"
)

// result is what the command answers with --json, as far as it is looked at here.
type result struct {
	Seed      uint64    `json:"seed"`
	Kills     tally     `json:"kills"`
	PowerCuts tally     `json:"power_cuts"`
	Findings  []finding `json:"findings"`
	Kept      string    `json:"kept"`
	NotProved string    `json:"not_proved"`
}

type finding struct {
	Cut     int    `json:"cut"`
	Kind    string `json:"kind"`
	Verdict string `json:"verdict"`
	What    string `json:"what"`
	Text    string `json:"text"`
}

type tally struct {
	Cuts, Again, Acknowledged, Checked     int
	Lost, Torn, Resurrected, Wrong, Undone int
}

// proof is one run of the command.
type proof struct {
	code   int
	result result
	out    string
	err    string
}

// prove runs the command in a directory of its own, with --json. A lie, if not nil, is
// told by the disks of its nodes.
func prove(t *testing.T, dir string, lie *faults.Disk, arguments ...string) proof {
	t.Helper()
	command := exec.CommandContext(t.Context(), process.Built(), append([]string{"prove", "durability", "--data", dir, "--json"}, arguments...)...)
	if lie != nil {
		told, err := json.Marshal(lie)
		if err != nil {
			t.Fatal(err)
		}
		command.Args = append(command.Args, "--program", os.Args[0])
		command.Env = append(os.Environ(), lieVariable+"="+string(told))
	}
	var out, said bytes.Buffer
	command.Stdout, command.Stderr = &out, &said
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	p := proof{code: command.ProcessState.ExitCode(), out: out.String(), err: said.String()}
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &p.result); err != nil {
			t.Fatalf("%v: %s%s", err, &out, &said)
		}
	}
	return p
}

// isEmpty fails the test if a proof has left anything in its directory.
func isEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if len(entries) > 0 {
		t.Errorf("%s is left in %s", entries[0].Name(), dir)
	}
}

// A node of ours loses nothing, at kills and at power cuts, and the directory is as it was.
func TestNodesKeepWhatTheyAcknowledge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := prove(t, dir, nil, "--cuts", "16", "--seed", "1")
	r := p.result
	if p.code != 0 || len(r.Findings) > 0 {
		t.Fatalf("exit code %d: %s%s", p.code, p.out, p.err)
	}
	if r.Kills.Cuts != 4 || r.PowerCuts.Cuts != 12 || r.Kills.Acknowledged < 4 || r.PowerCuts.Acknowledged < 200 || r.PowerCuts.Checked < 100 || r.PowerCuts.Again == 0 {
		t.Errorf("little was proved: %s", p.out)
	}
	if r.Seed != 1 || !strings.Contains(r.NotProved, "disk") {
		t.Errorf("%s", p.out)
	}
	isEmpty(t, dir)
	t.Logf("%d kills, %d power cuts, %d acknowledged", r.Kills.Cuts, r.PowerCuts.Cuts, r.Kills.Acknowledged+r.PowerCuts.Acknowledged)
}

// In the class relaxed a kill undoes nothing; a power cut may, which is counted apart, so
// that it is seen that power cuts take something away at all.
func TestRelaxed(t *testing.T) {
	t.Parallel()
	p := prove(t, t.TempDir(), nil, "--cuts", "10", "--seed", "2", "--durability", "relaxed")
	r := p.result
	if p.code != 0 || len(r.Findings) > 0 {
		t.Fatalf("exit code %d: %s%s", p.code, p.out, p.err)
	}
	if r.Kills.Undone != 0 || r.PowerCuts.Undone == 0 {
		t.Errorf("undone: %d by kills, %d by power cuts", r.Kills.Undone, r.PowerCuts.Undone)
	}
}

// Negative control: a node that leaves out one kind of sync, or writes one thing badly, is found,
// by name, and the command fails.
func TestLyingNodesAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		lie  faults.Disk
		cuts string
		want func(r *result) int // findings of the kind that the lie must lead to
	}{
		"payloads are not synced": {
			faults.Disk{Path: ".troupe/work/**", Calls: []string{"sync", "syncdata"}, Do: faults.LoseSync}, "9",
			func(r *result) int { return r.PowerCuts.Lost + r.PowerCuts.Torn },
		},
		"the index is not synced": {
			faults.Disk{Path: ".troupe/index/**", Calls: []string{"sync", "syncdata"}, Do: faults.LoseSync}, "9",
			func(r *result) int { return r.PowerCuts.Lost + r.PowerCuts.Resurrected + r.PowerCuts.Wrong },
		},
		"names of objects are not synced": {
			faults.Disk{Path: "prove/**", Calls: []string{"syncdir"}, Do: faults.LoseSync}, "9",
			func(r *result) int { return r.PowerCuts.Lost + r.PowerCuts.Torn + r.PowerCuts.Wrong },
		},
		"payloads are torn": {
			faults.Disk{Path: ".troupe/work/**", Calls: []string{"write"}, Do: faults.TornWrite, Bytes: 1000}, "2",
			func(r *result) int { return r.Kills.Torn + r.Kills.Lost + r.Kills.Wrong },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := prove(t, dir, &c.lie, "--cuts", c.cuts, "--seed", "3")
			if p.code != 1 || len(p.result.Findings) == 0 || c.want(&p.result) == 0 {
				t.Fatalf("exit code %d, %d findings: %s%s", p.code, len(p.result.Findings), p.out, p.err)
			}
			isEmpty(t, dir)
			f := p.result.Findings[0]
			if f.Cut == 0 || f.What == "" || f.Text == "" || !strings.Contains(p.err, f.What) {
				t.Errorf("%+v is not told: %s", f, p.err)
			}
			t.Logf("%d findings, the first: %+v", len(p.result.Findings), f)
		})
	}
}

// A failure that was kept is repeated exactly by its cut, as often as one likes; another proof
// does not run over it.
func TestAKeptFailureIsRepeated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lie := &faults.Disk{Path: ".troupe/work/**", Calls: []string{"sync", "syncdata"}, Do: faults.LoseSync}
	p := prove(t, dir, lie, "--cuts", "9", "--seed", "4", "--keep")
	if p.code != 1 || p.result.Kept == "" {
		t.Fatalf("exit code %d: %s%s", p.code, p.out, p.err)
	}
	first := slices.IndexFunc(p.result.Findings, func(f finding) bool { return f.Kind == "power" })
	if first < 0 {
		t.Fatalf("no power cut lost anything: %s", p.out)
	}
	cut := p.result.Findings[first].Cut
	var want []string
	for _, f := range p.result.Findings {
		if f.Cut == cut {
			want = append(want, f.Verdict+" "+f.What)
		}
	}
	slices.Sort(want)
	if again := prove(t, dir, nil, "--cuts", "1"); again.code == 0 || !strings.Contains(again.err, "--cut") {
		t.Errorf("another proof: exit code %d: %s", again.code, again.err)
	}
	for range 2 {
		again := prove(t, dir, nil, "--seed", "4", "--cut", strconv.Itoa(cut))
		var got []string
		for _, f := range again.result.Findings {
			got = append(got, f.Verdict+" "+f.What)
		}
		slices.Sort(got)
		if again.code != 1 || again.result.PowerCuts.Cuts != 1 || !slices.Equal(got, want) {
			t.Errorf("exit code %d; found %q, want %q: %s", again.code, got, want, again.err)
		}
	}
	if other := prove(t, dir, nil, "--seed", "5", "--cut", strconv.Itoa(cut)); other.code == 0 || len(other.result.Findings) > 0 {
		t.Errorf("a cut of another seed: exit code %d: %s", other.code, other.err)
	}
}

// A name with commas and quotes is one directory, and no list of them: nothing beside it is
// touched.
func TestADirectoryWithCommas(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	before := tree(t, dir)
	p := prove(t, filepath.Join(dir, `a,b "c"`), nil, "--cuts", "5", "--seed", "7")
	if p.code != 0 || p.result.Kills.Cuts+p.result.PowerCuts.Cuts != 5 {
		t.Errorf("exit code %d: %s%s", p.code, p.out, p.err)
	}
	if after := tree(t, dir); !slices.Equal(before, after) {
		t.Errorf("there was %q, and is %q", before, after)
	}
}

// Ctrl-C ends a proof in order: what was found is printed, no node is left, and nothing
// of the directory.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	command := exec.CommandContext(t.Context(), process.Built(), "prove", "durability", "--data", dir, "--minutes", "30", "--seed", "6", "--json")
	var out, said bytes.Buffer
	command.Stdout, command.Stderr = &out, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	for begun := false; !begun; { // each look reads /proc
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v: %s", err, &said)
		default:
		}
		_, err := os.Stat(filepath.Join(dir, "troupe-prove", "journal"))
		begun = err == nil && len(nodesOf(t, dir)) > 0 // kills are over, and a node is recorded
	}
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := <-ended; !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("%v: %s", err, &said)
	}
	if !strings.Contains(out.String(), `"stopped": "interrupted"`) {
		t.Errorf("it says %s", &out)
	}
	if left := nodesOf(t, dir); len(left) > 0 {
		t.Errorf("nodes %v are left", left)
	}
	isEmpty(t, dir)
}

// nodesOf returns the processes whose command line names a directory, but for the proof.
func nodesOf(t *testing.T, dir string) (pids []int) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lines {
		line, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(line, []byte(dir)) || !bytes.Contains(line, []byte("\x00serve\x00")) {
			continue // it ended meanwhile, or is another one
		}
		pid, err := strconv.Atoi(strings.Split(path, "/")[2])
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// A proof takes a directory for itself or not at all, and touches nothing else that is
// there.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		prepare   func(dir string) error
		arguments []string
		want      string
		code      int
	}{
		"a mountpath": {
			func(dir string) error { return os.Mkdir(filepath.Join(dir, ".troupe"), 0o700) }, nil, "a mountpath", 1,
		},
		"others' files": {
			func(dir string) error { return os.MkdirAll(filepath.Join(dir, "troupe-prove", "photos"), 0o700) }, nil, "not empty", 1,
		},
		"others' claim": {
			func(dir string) error {
				return errors.Join(os.Mkdir(filepath.Join(dir, "troupe-prove"), 0o700), os.WriteFile(filepath.Join(dir, "troupe-prove", "claim"), []byte("for damages"), 0o600))
			}, nil, "no proof has made it", 1,
		},
		"a link to others' files": {
			func(dir string) error {
				return errors.Join(os.Mkdir(filepath.Join(dir, "photos"), 0o700), os.WriteFile(filepath.Join(dir, "photos", "claim"), nil, 0o600),
					os.Symlink("photos", filepath.Join(dir, "troupe-prove")))
			}, nil, "no directory", 1,
		},
		"a claim that is a link": {
			func(dir string) error {
				return errors.Join(os.Mkdir(filepath.Join(dir, "troupe-prove"), 0o700), os.WriteFile(filepath.Join(dir, "photo"), nil, 0o600),
					os.Symlink("../photo", filepath.Join(dir, "troupe-prove", "claim")))
			}, nil, "no proof has made it", 1,
		},
		"in a mountpath": {
			func(dir string) error { return os.MkdirAll(filepath.Join(dir, ".troupe"), 0o700) }, []string{"--data", "photos"}, "a mountpath", 1,
		},
		"no time": {nil, []string{"--minutes", "0.000001"}, "nothing was proved", 1},
		"in use": {
			func(dir string) error {
				if err := os.Mkdir(filepath.Join(dir, "troupe-prove"), 0o700); err != nil {
					return err
				}
				claim, err := os.Create(filepath.Join(dir, "troupe-prove", "claim"))
				if err != nil {
					return err
				}
				t.Cleanup(func() { claim.Close() })
				return syscall.Flock(int(claim.Fd()), syscall.LOCK_EX)
			}, nil, "in use", 1,
		},
		"no directory":    {func(dir string) error { return os.WriteFile(filepath.Join(dir, "f"), nil, 0o600) }, []string{"--data", "f"}, "not a directory", 1},
		"a wrong class":   {nil, []string{"--durability", "maybe"}, "maybe", 2},
		"a cut, no seed":  {nil, []string{"--cut", "3"}, "--seed", 2},
		"a cut, and cuts": {nil, []string{"--cut", "3", "--seed", "1", "--cuts", "9"}, "--cuts", 2},
		"a negative time": {nil, []string{"--minutes", "-1"}, "--minutes", 2},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.prepare != nil {
				if err := c.prepare(dir); err != nil {
					t.Fatal(err)
				}
			}
			before := tree(t, dir)
			for i, a := range c.arguments {
				if i > 0 && c.arguments[i-1] == "--data" {
					c.arguments[i] = filepath.Join(dir, a)
				}
			}
			p := prove(t, dir, nil, c.arguments...)
			if p.code != c.code || !strings.Contains(p.err, c.want) {
				t.Errorf("exit code %d: %s", p.code, p.err)
			}
			if after := tree(t, dir); !slices.Equal(before, after) {
				t.Errorf("there was %q, and is %q", before, after)
			}
		})
	}
}

// tree returns every name below a directory.
func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
