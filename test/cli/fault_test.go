package cli

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/test/process"
)

// What an operator does with `troupe fault` on a node of the real binary that was started
// with --faults: looks what would be hit, is refused, insists, sees what it does, and ends
// it. Exit codes tell scripts, and errors say what to do.
func TestFaults(t *testing.T) {
	c := startWith(t, process.Config{Mountpaths: 2, Args: []string{"--faults"}})
	c.want(0, "mb", "photos")
	c.put("photos", "cat.jpg", []byte("meow"))
	contains(t, c.want(0, "fault", "list").out, "ID")
	hang := []string{"fault", "inject", "actor", "node/mountpaths/*/r*", "refuse", "--message", "messages.OpenObject", "--about", "photos/**", "--expiry", "5m", "--reason", "what do clients see?"}
	with := func(args []string, more ...string) []string { return append(append([]string(nil), args...), more...) }

	dry := c.want(0, with(hang, "--dry-run")...).out
	contains(t, dry, "nothing is broken", "16 actors", "node/mountpaths/d0/r0", "needs --force", "photos")
	contains(t, c.want(1, hang...).err, "photos", "--force insists", "--dry-run")
	if list := document[api.Faults](t, c.want(0, "fault", "list", "--all", "--json").out).Faults; len(list) != 0 {
		t.Fatalf("something began: %+v", list)
	}

	injected := document[api.InjectedFault](t, c.want(0, with(hang, "--force", "--json")...).out)
	if injected.Fault == nil || !injected.Fault.Forced || injected.Refused == "" || len(injected.Matches.Actors) != 16 {
		t.Fatalf("%+v", injected)
	}
	id := faultID(injected.Fault)
	if answer, err := c.client.Get(t.Context(), "photos", "cat.jpg"); err != nil || answer.Status != http.StatusServiceUnavailable {
		t.Errorf("a read with the fault: %v, %+v", err, answer)
	}
	contains(t, c.want(0, "fault", "list").out, "actor node/mountpaths/*/r* messages.OpenObject photos/**: refuse", "left", process.AccessKey, "what do clients see?")
	contains(t, c.want(0, "fault", "show", id).out, "messages.OpenObject photos/cat.jpg, ", "forced", "request ", "hits")
	contains(t, c.want(0, "fault", "clear", id).out, "fault "+id+" has ended: cleared; it hit")
	if answer, err := c.client.Get(t.Context(), "photos", "cat.jpg"); err != nil || answer.Status != http.StatusOK {
		t.Errorf("a read after the fault: %v, %+v", err, answer)
	}
	if out := c.want(0, "fault", "list").out; strings.Contains(out, "OpenObject") {
		t.Errorf("a fault that has ended is at work:\n%s", out)
	}
	contains(t, c.want(0, "fault", "list", "--all").out, "OpenObject", "cleared")
	contains(t, c.node.Log(), "a fault is refused", "a fault is injected", "a fault has ended: cleared", injected.Fault.Request)

	// One that costs little needs no force; all are ended at once, and what is known of them
	// is as it was.
	few := document[api.InjectedFault](t, c.want(0, "fault", "inject", "disk", "flip-bits", "--mountpath", "d1", "--path", "photos/**", "--count", "1", "--expiry", "1h", "--json").out)
	contains(t, c.want(0, "fault", "inject", "job", "*", "pause", "--expiry", "1m").err, "nothing now that the fault is about")
	contains(t, c.want(0, "fault", "inject", "clock", "--skew", "10ms", "--expiry", "1m").out, "at work until", "the clock")
	if ended := lines[api.Fault](t, c.want(0, "fault", "clear", "--all", "--json").out); len(ended) != 3 || ended[0].ID != few.Fault.ID || ended[0].When == nil ||
		ended[0].When.Count != 1 || ended[0].Disk == nil || ended[0].Disk.Do != "flip-bits" || ended[0].End != "cleared" {
		t.Errorf("%+v", ended)
	}

	for name, w := range map[string]struct {
		exit int
		args []string
		says string
	}{
		"no expiry":    {2, []string{"inject", "disk", "fail"}, "--expiry 5m"},
		"bad expiry":   {2, []string{"inject", "disk", "fail", "--expiry=-5m"}, "--expiry -5m0s: "},
		"empty peer":   {2, []string{"inject", "link", "cut", "--expiry", "1m", "--peer", ""}, "--peer is given, and is empty"},
		"empty path":   {2, []string{"inject", "disk", "fail", "--expiry", "1m", "--path="}, "--path is given, and is empty"},
		"no chance":    {2, []string{"inject", "disk", "fail", "--expiry", "1m", "--probability", "0"}, "--probability 0 would hit nothing"},
		"no effect":    {2, []string{"inject", "disk"}, "--help"},
		"odd effect":   {1, []string{"inject", "disk", "melt", "--expiry", "1m"}, "melt"},
		"odd target":   {2, []string{"inject", "backend"}, "backend"},
		"links, alone": {1, []string{"inject", "link", "cut", "--expiry", "1m", "--force"}, "the node is alone"},
		"nobody":       {3, []string{"clear", "77"}, "troupe fault list --all"},
		"some of two":  {3, []string{"clear", id, "77"}, "2 of 2 failed"},
		"no id":        {2, []string{"show", "first"}, "whole number"},
		"nothing":      {2, []string{"clear"}, "--all"},
		"both":         {2, []string{"clear", "1", "--all"}, "together"},
		"other keys":   {4, []string{"list", "--access-key", "somebody", "--secret-key", "something"}, "somebody"},
	} {
		said := c.run(nil, append([]string{"fault"}, w.args...)...)
		if said.code != w.exit || !strings.Contains(said.err, w.says) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s%s", name, said.code, w.exit, w.says, said.out, said.err)
		}
	}
	contains(t, c.want(0, "fault", "inject", "link", "--help").out, "troupe fault inject link drop --expiry 2m", "partition")
}

// Negative control: a node that was not started with --faults refuses, and the command says
// what to do.
func TestFaultsAreOff(t *testing.T) {
	c := start(t)
	for _, args := range [][]string{{"list"}, {"inject", "clock", "--skew", "1ms", "--expiry", "1m"}, {"clear", "--all"}} {
		contains(t, c.want(4, append([]string{"fault"}, args...)...).err, `"faults" is off`, "troupe serve --faults")
	}
}

// The setting is one of the environment and of the file, too.
func TestFaultsByEnvironment(t *testing.T) {
	c := startWith(t, process.Config{Mountpaths: 1, Env: []string{"TROUPE_FAULTS=true"}})
	c.want(0, "fault", "list")
}

func faultID(f *api.Fault) string { return strconv.FormatUint(f.ID, 10) }
