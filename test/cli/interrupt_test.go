package cli

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// largeBytes is long enough for many parts of the least size.
const largeBytes = 48 << 20

// began is a command under way.
type began struct {
	*exec.Cmd
	out, err bytes.Buffer
}

// begin starts a command.
func (c *cluster) begin(args ...string) *began {
	c.t.Helper()
	b := &began{Cmd: c.command(c.t.Context(), args...)}
	b.Stdout, b.Stderr = &b.out, &b.err
	if err := b.Start(); err != nil {
		c.t.Fatal(err)
	}
	return b
}

// reached waits until the gate has closed.
func reached(t *testing.T, gate *Gate) {
	t.Helper()
	select {
	case <-gate.Reached:
	case <-time.After(time.Minute):
		t.Fatal("not enough bytes passed the gate")
	}
}

// end sends a signal and waits; it returns the exit code, -1 for a kill.
func (b *began) end(t *testing.T, signal syscall.Signal) int {
	t.Helper()
	if err := b.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	b.Wait() //nolint:errcheck // the code tells
	return b.ProcessState.ExitCode()
}

// partFlags make many parts, one after the other.
func partFlags(command string, more ...string) []string {
	return append([]string{command, "--json", "--threshold", "5MiB", "--part-size", "5MiB", "--parallel", "1"}, more...)
}

// An upload that was killed, or interrupted, goes on from its parts.
func TestUploadGoesOn(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			c := start(t)
			c.want(0, "mb", "bucket")
			content := noise(1, largeBytes)
			c.write("large", content)
			gate := c.gated(23 << 20)
			args := partFlags("cp", "large", "troupe://bucket/large")
			first := c.begin(args...)
			reached(t, gate)
			code := first.end(t, signal)
			if signal != syscall.SIGKILL {
				if code != 130 {
					t.Errorf("exit code %d\n%s", code, first.err.String())
				}
				f := document[failure](t, first.err.String())
				contains(t, f.Error.Message+f.Error.Advice, "0 of 1 were done", "in parts can go on", "run the same command again")
			}
			gate.Open()
			s := last(t, c.want(0, args...).out)
			if s.Resumed < 15<<20 || s.Bytes != largeBytes || s.Done != 1 {
				t.Errorf("%+v", s)
			}
			if !bytes.Equal(c.object("bucket", "large"), content) {
				t.Error("the object differs")
			}
			uploads, err := c.client.Uploads(t.Context(), "bucket")
			if err != nil || len(uploads) != 0 {
				t.Errorf("uploads are left: %v %v", uploads, err)
			}
			// Negative control: nothing is left to go on with.
			if s := last(t, c.want(0, args...).out); s.Resumed != 0 {
				t.Errorf("a second upload resumed: %+v", s)
			}
		})
	}
}

// A file that changed since is not mixed with parts of what it was.
func TestUploadOfAnotherContentBeginsAnew(t *testing.T) {
	c := start(t)
	c.want(0, "mb", "bucket")
	c.write("large", noise(1, largeBytes))
	gate := c.gated(23 << 20)
	args := partFlags("cp", "large", "troupe://bucket/large")
	first := c.begin(args...)
	reached(t, gate)
	first.end(t, syscall.SIGKILL)
	gate.Open()
	other := noise(2, largeBytes)
	path := c.write("large", other)
	// The same size and the time of before: only the bytes tell.
	if s := last(t, c.want(0, args...).out); s.Resumed != 0 {
		t.Errorf("%+v", s)
	}
	if !bytes.Equal(c.object("bucket", "large"), other) {
		t.Errorf("%s: the object differs", path)
	}
}

// A download that was killed goes on from its ranges, and nothing of it stands
// under the target's name before.
func TestDownloadGoesOn(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			c := start(t)
			c.want(0, "mb", "bucket")
			content := noise(3, largeBytes)
			c.put("bucket", "large", content)
			gate := c.gated(23 << 20)
			args := partFlags("cp", "troupe://bucket/large", "there/large")
			first := c.begin(args...)
			reached(t, gate)
			if code := first.end(t, signal); signal == syscall.SIGINT && code != 130 {
				t.Errorf("exit code %d\n%s", code, first.err.String())
			}
			for _, name := range c.names("there") {
				if !strings.HasPrefix(name, ".troupe-") {
					t.Errorf("%s stands there before it is whole", name)
				}
			}
			gate.Open()
			s := last(t, c.want(0, args...).out)
			if s.Resumed < 10<<20 || s.Bytes != largeBytes {
				t.Errorf("%+v", s)
			}
			if !bytes.Equal(c.read("there/large"), content) {
				t.Error("the file differs")
			}
			if names := c.names("there"); len(names) != 1 {
				t.Errorf("left beside the file: %q", names)
			}
		})
	}
}

// A piece on disk that is not what it was, and an object that is another one
// meanwhile, are fetched again.
func TestDownloadTrustsNothing(t *testing.T) {
	for _, what := range []string{"disk", "object"} {
		t.Run(what, func(t *testing.T) {
			c := start(t)
			c.want(0, "mb", "bucket")
			content := noise(4, largeBytes)
			c.put("bucket", "large", content)
			gate := c.gated(23 << 20)
			args := partFlags("cp", "troupe://bucket/large", "there/large")
			first := c.begin(args...)
			reached(t, gate)
			first.end(t, syscall.SIGKILL)
			gate.Open()
			if what == "object" {
				content = noise(5, largeBytes)
				c.put("bucket", "large", content)
			} else {
				for _, name := range c.names("there") {
					if strings.HasSuffix(name, ".part") {
						file, err := os.OpenFile(c.dir+"/there/"+name, os.O_WRONLY, 0)
						if err != nil {
							t.Fatal(err)
						}
						if _, err := file.WriteAt([]byte("not this"), 100); err != nil {
							t.Fatal(err)
						}
						if err := file.Close(); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			s := last(t, c.want(0, args...).out)
			if what == "object" && s.Resumed != 0 {
				t.Errorf("pieces of the object that was: %+v", s)
			}
			if !bytes.Equal(c.read("there/large"), content) {
				t.Error("the file differs")
			}
		})
	}
}

// A node that is killed and comes back is waited for, in either direction.
func TestNodeComesBack(t *testing.T) {
	for _, direction := range []string{"up", "down"} {
		t.Run(direction, func(t *testing.T) {
			c := start(t)
			c.want(0, "mb", "bucket")
			content := noise(6, largeBytes)
			c.write("large", content)
			args := partFlags("cp", "large", "troupe://bucket/large")
			if direction == "down" {
				c.put("bucket", "large", content)
				args = partFlags("cp", "troupe://bucket/large", "there")
			}
			gate := c.gated(23 << 20)
			first := c.begin(args...)
			reached(t, gate)
			if err := c.node.Kill(); err != nil {
				t.Fatal(err)
			}
			gate.Open()
			if err := c.node.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := first.Wait(); err != nil {
				t.Fatalf("%v\n%s%s", err, first.out.String(), first.err.String())
			}
			if direction == "up" && !bytes.Equal(c.object("bucket", "large"), content) || direction == "down" && !bytes.Equal(c.read("there"), content) {
				t.Error("the content differs")
			}
		})
	}
}

// A node that does not come back ends the command, which says how to go on.
func TestNodeStaysAway(t *testing.T) {
	c := start(t)
	c.want(0, "mb", "bucket")
	c.write("large", noise(6, largeBytes))
	gate := c.gated(23 << 20)
	first := c.begin(partFlags("cp", "--patience", "2s", "large", "troupe://bucket/large")...)
	reached(t, gate)
	if err := c.node.Kill(); err != nil {
		t.Fatal(err)
	}
	gate.Open()
	first.Wait() //nolint:errcheck // the code tells
	if code := first.ProcessState.ExitCode(); code != 6 {
		t.Errorf("exit code %d\n%s", code, first.err.String())
	}
	f := document[failure](t, first.err.String())
	contains(t, f.Error.Advice, "goes on where it stopped")
}
