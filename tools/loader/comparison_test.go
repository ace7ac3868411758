package loader

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// serveSlow is the command line of a fake S3 that spends so much CPU time on every
// request about an object, in a child of the process that is started.
func serveSlow(milliseconds int) string {
	return fmt.Sprintf("sh -c \"'%s' fake-s3 $1 $2 $3 %dms & trap 'kill $!; wait $!; exit 0' TERM; wait $!\" sh {data} {native} {s3}", os.Args[0], milliseconds)
}

// Two servers, of which one spends 4 ms of CPU on every request more than the
// other, in a process below the one that was started: the comparison names the
// better one for every figure, and the ratio says by how much.
func TestComparisonOfTwoServers(t *testing.T) {
	directory := t.TempDir()
	figures, picture := filepath.Join(directory, "figures.json"), filepath.Join(directory, "two.svg")
	command := bench(t, "--serve", serveFake(), "--against-serve", serveSlow(4), "--name", "quick", "--against-name", "slow one",
		"--op", "get=3,head=1", "--keys", "20", "--ops", "60", "--connections", "2", "--pairs", "6", "--verify", "--cleanup",
		"--json", figures, "--plot", picture)
	var out, progress bytes.Buffer
	command.Stdout, command.Stderr = &out, &progress
	if err := command.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, &out, &progress)
	}
	t.Logf("\n%s", &out)
	d := readDocument(t, figures)
	var who []string
	for _, run := range d.Runs {
		who = append(who, run.Who)
	}
	if !slices.Equal(who[:6], []string{"quick", "slow one", "slow one", "quick", "quick", "slow one"}) || len(who) != 12 {
		t.Errorf("turns: %v", who)
	}
	if len(d.Comparisons) != 1 || d.Comparisons[0].Pairs != 6 || d.Comparisons[0].Connections != 2 || len(d.Comparisons[0].Figures) != 4 {
		t.Fatalf("%+v", d.Comparisons)
	}
	for i, figure := range d.Comparisons[0].Figures {
		// Processor time is what it is; how long something takes is the machine's, too.
		better, wins := figure.Ratio < 1, 4
		switch {
		case i == 0:
			better, wins = figure.Ratio < 0.5, 6
		case figure.Name == "ops/s":
			better = figure.Ratio > 1
		}
		if !better || figure.Winner != "quick" || figure.Wins < wins {
			t.Errorf("%+v: first %+v, second %+v", figure, figure.First, figure.Second)
		}
	}
	// What the slow one burns is in the figure, though a child of its burns it.
	if cpu := d.Comparisons[0].Figures[0]; cpu.Second.Median < 4000 || cpu.First.Median > 4000 {
		t.Errorf("server CPU: %+v and %+v", cpu.First, cpu.Second)
	}
	for _, text := range []string{"| figure ", " quick |", "slow one", "quick, in 6 of 6", "GET=3,HEAD=1 (slow one)", "medians of 6 pairs"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("%q is not in\n%s", text, &out)
		}
	}
	mustBeSVG(t, picture, "quick", "slow one", "p50", "p99", "ops/s")
}

// A server that is compared with its like has no winner: the negative control of
// the comparison. The figures here are made, so that the machine has no say.
func TestTooCloseToCall(t *testing.T) {
	pairs := func(first, second []time.Duration) Comparison {
		var runs []namedResult
		for i := range first {
			run := func(who string, elapsed time.Duration) {
				runs = append(runs, namedResult{who, i + 1, &Result{
					Ops: 1000, Connections: 4, Elapsed: elapsed, Latency: Latency{P50: elapsed / 1000, P99: elapsed / 500},
				}})
			}
			run("a", first[i]*time.Millisecond)
			run("b", second[i]*time.Millisecond)
		}
		c, ok := newComparison(runs, "a", "b", 4)
		if !ok || len(c.Figures) != 3 { // no CPU: no process was known
			t.Fatalf("%+v", c)
		}
		return c
	}
	for _, c := range []struct {
		name          string
		first, second []time.Duration
		winner        string
	}{
		{"one pair, 3% apart", []time.Duration{1000}, []time.Duration{1030}, ""},
		{"one pair, far apart", []time.Duration{1000}, []time.Duration{3000}, ""},
		{"three pairs, far apart", []time.Duration{1000, 1010, 1020}, []time.Duration{3000, 3010, 3020}, ""},
		{"four pairs that overlap", []time.Duration{1000, 1010, 1020, 1300}, []time.Duration{1200, 1210, 1220, 1310}, ""},
		{"four pairs apart", []time.Duration{1200, 1210, 1220, 1230}, []time.Duration{1000, 1010, 1020, 1030}, "b"},
		{"ten pairs, 1% apart, ten of ten", []time.Duration{100, 200, 300, 400, 500, 600, 700, 800, 900, 990}, []time.Duration{101, 202, 303, 404, 505, 606, 707, 808, 909, 999}, "a"},
		{"eight pairs, six of eight", []time.Duration{1, 1, 1, 1, 1, 1, 2, 2}, []time.Duration{2, 2, 2, 2, 2, 2, 1, 1}, ""},
		{"six pairs, all the same", []time.Duration{5, 5, 5, 5, 5, 5}, []time.Duration{5, 5, 5, 5, 5, 5}, ""},
	} {
		for _, figure := range pairs(c.first, c.second).Figures {
			if figure.Winner != c.winner {
				t.Errorf("%s: %s: winner %q, want %q", c.name, figure.Name, figure.Winner, c.winner)
			}
		}
	}
	for _, c := range []struct {
		wins, losses int
		want         float64
	}{{6, 0, 2. / 64}, {0, 6, 2. / 64}, {9, 1, 22. / 1024}, {5, 5, 1}, {0, 0, 1}} {
		if got := signTest(c.wins, c.losses); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%d to %d: %g, want %g", c.wins, c.losses, got, c.want)
		}
	}
	// Runs that were cut short, or that the other has no like of, are not compared.
	runs := []namedResult{
		{"a", 1, &Result{Connections: 4, Interrupted: true}}, {"b", 1, &Result{Connections: 4}},
		{"a", 2, &Result{Connections: 4, GaveUp: "x"}}, {"b", 2, &Result{Connections: 4}}, {"a", 3, &Result{Connections: 4}},
	}
	if c, ok := newComparison(runs, "a", "b", 4); ok {
		t.Errorf("compared: %+v", c)
	}
}

// The same load at each number of connections gives a row each, in the order of
// the steps, and a curve in the picture.
func TestSteps(t *testing.T) {
	fake := newFakeS3()
	endpoint := serveHTTP(t, fake.handle)
	directory := t.TempDir()
	figures, picture := filepath.Join(directory, "figures.json"), filepath.Join(directory, "steps.svg")
	command := bench(t, "--endpoint", endpoint, "--op", "put", "--ops", "50", "--steps", "1, 2,8", "--pairs", "2", "--baseline",
		"--cleanup", "--json", figures, "--plot", picture)
	var out, progress bytes.Buffer
	command.Stdout, command.Stderr = &out, &progress
	if err := command.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, &out, &progress)
	}
	d := readDocument(t, figures)
	var connections []int
	for _, run := range d.Runs {
		if run.Who == "server" {
			connections = append(connections, run.Result.Connections)
		}
		if run.Result.Ops != 50 || run.Result.Errors != 0 {
			t.Errorf("%s: %+v", run.Who, run.Result)
		}
	}
	if !slices.Equal(connections, []int{1, 2, 8, 1, 2, 8}) || len(d.Runs) != 18 || len(d.Comparisons) != 6 {
		t.Errorf("%d runs, %d comparisons, connections %v", len(d.Runs), len(d.Comparisons), connections)
	}
	if n := fake.seen("PUT"); n != 300+1 || len(fake.buckets) != 0 { // and the bucket, which could not be removed if a key repeated
		t.Errorf("%d PUTs, %d buckets left", n, len(fake.buckets))
	}
	for _, step := range []string{"| 1 |", "| 2 |", "| 8 |"} {
		if text := strings.ReplaceAll(out.String(), " ", ""); !strings.Contains(text, strings.ReplaceAll(step, " ", "")) {
			t.Errorf("no row for %s in\n%s", step, &out)
		}
	}
	mustBeSVG(t, picture, "server", "bare file", "bare memory", "connections")
}

// Flags that do not fit together are refused, each with what to do, before
// anything is asked of a server.
func TestWrongFlags(t *testing.T) {
	for _, c := range []struct{ flags, said string }{
		{"--steps 4,2", "do not rise"},
		{"--steps 0,2", "not a number of connections"},
		{"--steps 4,x", "not a number of connections"},
		{"--op get=1,delete=1 --keys 10 --steps 4,16", "10 keys for 16 connections"},
		{"--ramp-to 100", "needs a rate to begin with"},
		{"--ramp-to -5 --rate 3", "a rate of -5"},
		{"--rate 10 --ramp-to 100 --bytes 1MiB", "needs a duration"},
		{"--against http://127.0.0.1:9000", "compared with itself"},
		{"--against http://127.0.0.1:9001 --name x --against-name x", `both servers are called "x"`},
		{"--against http://127.0.0.1:9001 --against-name a/b", "is no name"},
		{"--against gopher://x", "gopher"},
		{"--against-native http://127.0.0.1:9001", "no --against"},
		{"--suite reference --steps 1,2", "--suite has loads of its own"},
		{"--suite reference --plot x.svg", "--suite has loads of its own"},
		{"--insecure", "of use with https://"},
		{"--endpoint https://127.0.0.1:9 --insecure --ca x", "one of the two"},
		{"--endpoint https://127.0.0.1:9 --ca /nowhere/at/all", "/nowhere/at/all"},
		{"--op multipart --part-bytes 1MiB", "5MiB to 5GiB"},
		{"--op multipart --size 5GiB --part-bytes 5MiB --op range --size 0", "1 byte or more"},
		{"--plot x.png", ".svg"},
	} {
		arguments := append([]string{"--endpoint", "http://127.0.0.1:9000", "--prepare=false", "--create=false"}, strings.Fields(c.flags)...)
		said, err := bench(t, arguments...).CombinedOutput()
		if _, exited := err.(*exec.ExitError); !exited || !bytes.Contains(said, []byte(c.said)) {
			t.Errorf("%s: %v\n%s", c.flags, err, said)
		}
	}
}
