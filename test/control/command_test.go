package control_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/tools/cli"
)

// command runs a command line against the node.
func (w *world) command(args ...string) (exit int, out, failed string) {
	var stdout, stderr bytes.Buffer
	program := cli.Program{Version: "test", Getenv: func(string) string { return "" }, In: strings.NewReader(""), Out: &stdout, Err: &stderr}
	args = append(args, "--endpoint", "http://"+w.node.S3(), "--native", "http://"+w.node.Native(), "--patience", "0")
	exit = cli.Execute(&cobra.Command{Use: "troupe"}, program, args)
	return exit, stdout.String(), stderr.String()
}

// `troupe actors` shows the tree of a real node, one actor, and does what it says,
// with exit codes that scripts can rely on.
func TestCommand(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	t.Cleanup(w.stop)
	exit, out, failed := w.command("actors")
	if exit != cli.ExitOK || !strings.Contains(out, "\nnode ") || !strings.Contains(out, "w0 … w15 (16)") || strings.ContainsRune(out, '\x1b') {
		t.Errorf("exit %d\n%s%s", exit, out, failed)
	}
	const lane = "node/mountpaths/d1/w4"
	for _, c := range []struct {
		action, says string
	}{
		{"suspend", "suspend " + lane + ": suspended\n"}, {"resume", "resume " + lane + ": running\n"},
		{"restart", "restart " + lane + ": running\n"}, {"kill", "kill " + lane + ": running\n"},
	} {
		if exit, out, failed := w.command("actors", c.action, lane); exit != cli.ExitOK || out != c.says {
			t.Errorf("%s: exit %d, %q, %s", c.action, exit, out, failed)
		}
	}
	// What is below goes on, and is said to, unless it is meant, too.
	const mountpath = "node/mountpaths/d1"
	for _, c := range []struct {
		args []string
		says string
		lane string // its status afterwards
	}{
		{[]string{"suspend", mountpath}, "suspended; 27 actors below go on (--below suspends them, too)", "running"},
		{[]string{"suspend", "--below", mountpath}, "suspended, with 27 actors below", "suspended"},
		{[]string{"resume", mountpath}, "running; 27 actors below stay suspended (--below resumes them, too)", "suspended"},
		{[]string{"resume", lane}, "running", "running"},
		{[]string{"suspend", mountpath}, "suspended; 1 actor below goes on (--below suspends them, too)", "running"},
		{[]string{"resume", "--below", mountpath}, "running", "running"},
	} {
		says := c.args[0] + " " + c.args[len(c.args)-1] + ": " + c.says + "\n"
		if exit, out, failed := w.command(append([]string{"actors"}, c.args...)...); exit != cli.ExitOK || out != says {
			t.Errorf("%v: exit %d, %q, want %q: %s", c.args, exit, out, says, failed)
		}
		if exit, out, failed := w.command("actors", "inspect", lane); exit != cli.ExitOK || !strings.Contains(out, "status      "+c.lane+"\n") {
			t.Errorf("%v: exit %d, want %s\n%s%s", c.args, exit, c.lane, out, failed)
		}
	}
	exit, out, failed = w.command("actors", "inspect", lane)
	if exit != cli.ExitOK || !strings.Contains(out, "restarts    2\n") || !strings.Contains(out, "killed by control") || !strings.Contains(out, "write lane") {
		t.Errorf("exit %d\n%s%s", exit, out, failed)
	}
	var list api.Actors
	exit, out, failed = w.command("actors", "node/mountpaths/d1/w*", "--json")
	if err := json.Unmarshal([]byte(out), &list); exit != cli.ExitOK || err != nil || len(list.Actors) != 16 || list.Actors[4].Restarts != 2 {
		t.Errorf("exit %d, %v\n%s%s", exit, err, out, failed)
	}
	for name, c := range map[string]struct {
		args []string
		exit int
		says string
	}{
		"nobody":       {[]string{"inspect", "node/nobody"}, cli.ExitNotFound, "troupe actors --once --all"},
		"kill nobody":  {[]string{"kill", "node/nobody"}, cli.ExitNotFound, "node/nobody"},
		"one of two":   {[]string{"kill", lane, "node/nobody"}, cli.ExitPartly, "1 of 2"},
		"no match":     {[]string{"--once", "resum"}, cli.ExitNotFound, "did you mean `troupe actors resume`?"},
		"no address":   {[]string{"kill"}, cli.ExitUsage, "--help"},
		"no pattern":   {[]string{"node/["}, cli.ExitFailure, "node/["},
		"too often":    {[]string{"--every", "1ms"}, cli.ExitUsage, "--every"},
		"other keys":   {[]string{"--access-key", "somebody", "--secret-key", "something"}, cli.ExitDenied, ""},
		"two patterns": {[]string{"node/a", "node/b"}, cli.ExitUsage, ""},
	} {
		if exit, out, failed := w.command(append([]string{"actors"}, c.args...)...); exit != c.exit || !strings.Contains(failed, c.says) {
			t.Errorf("%s: exit %d, want %d: %q, %q", name, exit, c.exit, out, failed)
		}
	}
}
