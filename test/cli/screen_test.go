package cli

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process"
)

// onScreen runs a command on a terminal, types Ctrl-C when the screen shows what is
// awaited, and returns what it showed then and what is left on it, and the exit code.
func (c *cluster) onScreen(width int, awaited func(screen string) bool, args ...string) (before, after []string, code int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Minute)
	defer cancel()
	screen, err := NewScreen(width, 24)
	if err != nil {
		process.Missing(c.t, "no terminal can be made here: %v", err)
	}
	c.t.Cleanup(func() { screen.Close() }) //nolint:errcheck // the test is over
	command := c.command(ctx, args...)
	command.Env = append(command.Env, "TERM=xterm")
	if err := screen.Start(command); err != nil {
		c.t.Fatal(err)
	}
	before = screen.Await(func(lines []string) bool { return awaited(strings.Join(lines, "\n")) })
	if err := screen.Type("\x03"); err != nil {
		c.t.Fatal(err)
	}
	command.Wait() //nolint:errcheck // the code tells
	after = screen.Await(func([]string) bool { return false })
	return before, after, command.ProcessState.ExitCode()
}

// After Ctrl-C the screen can be read: bars are gone with everything that the echo of
// the keys did to them, nothing is broken within words, and what is left says how
// far it came and how it goes on. At 80 and 140 columns.
func TestScreenAfterInterrupt(t *testing.T) {
	c := startWith(t, process.Config{Mountpaths: 3})
	c.want(0, "mb", "bucket")
	for i := range 12 {
		c.write(fmt.Sprintf("tree/%02d", i), noise(uint64(i), 6<<20))
	}
	for i := range objectCount {
		c.put("bucket", fmt.Sprint(i), []byte("meow"))
	}
	direct := c.endpoint
	for _, width := range []int{80, 140} {
		t.Run(fmt.Sprintf("cp %d", width), func(t *testing.T) {
			c := *c
			c.t, c.endpoint = t, direct
			c.gated(20 << 20)
			before, after, code := c.onScreen(width, func(screen string) bool { return strings.Count(screen, "[") >= 3 && strings.Contains(screen, "/12 ") },
				"cp", "-r", "--parallel", "2", "--threshold", "5MiB", "--part-size", "5MiB", "tree", fmt.Sprintf("troupe://bucket/tree%d", width))
			c.readable(before, after, code, width)
			contains(t, strings.Join(after, "\n"), " left", "of 12 were done", "run the same command again")
		})
	}
	// The job cannot end: a mountpath that gets some of the objects is out of use.
	leaving, away := c.node.Mountpaths[1], c.node.Mountpaths[2]
	c.want(0, "storage", "disable", away)
	for _, width := range []int{80, 140} {
		t.Run(fmt.Sprintf("job %d", width), func(t *testing.T) {
			c := *c
			c.t = t
			args := []string{"storage", "remove", "--wait", leaving}
			if active := c.jobs("--active"); len(active) > 0 {
				args = []string{"job", "wait", active[0].ID}
			}
			before, after, code := c.onScreen(width, func(screen string) bool {
				return strings.Contains(screen, "move running") && strings.Contains(screen, "%")
			}, args...)
			c.readable(before, after, code, width)
			id := c.jobs("--active")[0].ID
			contains(t, strings.Join(after, "\n"), "job "+id+" goes on", "`troupe job wait "+id+"`", "`troupe job stop "+id+"`")
		})
	}
}

// readable fails unless a screen that had bars has whole lines without any.
func (c *cluster) readable(before, after []string, code, width int) {
	c.t.Helper()
	shown, left := strings.Join(before, "\n"), strings.Join(after, "\n")
	if !strings.Contains(shown, "[") || !strings.Contains(shown, "%") {
		c.t.Errorf("there were no bars before Ctrl-C, so nothing is shown by this:\n%s", shown)
	}
	if code != 130 {
		c.t.Errorf("exit code %d", code)
	}
	if strings.Contains(left, "[") || strings.Contains(left, "^C") {
		c.t.Errorf("bars or keys are left:\n%s", left)
	}
	for _, line := range after {
		words := strings.Fields(line)
		whole := len(words) > 0 && (strings.HasPrefix(line, "        ") || strings.HasPrefix(line, "troupe: ") || strings.HasPrefix(line, "/") || len(words) > 1 && words[1] == "done,")
		if !whole || len(line) > width {
			c.t.Errorf("%d columns: line %q in\n%s", width, line, left)
		}
	}
	c.t.Logf("%d columns, before:\n%s\nafter:\n%s", width, shown, left)
}

// On a terminal `troupe bench` shows how far it is, and its tables fit: no line is
// broken, and nothing is left of the bar, also after Ctrl-C.
func TestBenchOnAScreen(t *testing.T) {
	c := start(t)
	for _, width := range []int{80, 200} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			c := *c
			c.t = t
			before, after, _ := c.onScreen(width, func(screen string) bool {
				return strings.Contains(screen, "GET") && strings.Contains(screen, "/s eta ")
			},
				"bench", "--endpoint", "http://"+c.node.S3, "--access-key", process.AccessKey, "--secret-key", process.SecretKey,
				"--op", "get=3,put=1", "--size", "4KiB", "--keys", "100", "--connections", "2", "--duration", "2m")
			shown, left := strings.Join(before, "\n"), strings.Join(after, "\n")
			if !strings.Contains(shown, "[") || !strings.Contains(shown, "%") {
				t.Errorf("there was no bar:\n%s", shown)
			}
			if strings.Contains(left, "eta") || strings.Contains(left, "[") {
				t.Errorf("the bar is left:\n%s", left)
			}
			tables := 0
			for _, line := range after {
				if strings.HasPrefix(line, "| op") {
					tables++
				}
				if strings.HasPrefix(line, "|") != strings.HasSuffix(line, "|") || len(line) > width {
					t.Errorf("%d columns: %q is broken in\n%s", width, line, left)
				}
			}
			if tables == 0 || (tables == 1) != (width == 200) {
				t.Errorf("%d columns: %d tables\n%s", width, tables, left)
			}
			contains(t, left, "client CPU", "RSS", "interrupted: figures so far")
			t.Logf("%d columns\n%s\n%s", width, shown, left)
		})
	}
}
