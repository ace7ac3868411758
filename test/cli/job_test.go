package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/test/process"
)

// A job is shown, paused, resumed, stopped, taken up again, limited and waited for
// from the command line, and exit codes tell scripts how it ended. It is the job of
// a mountpath that leaves while another one, which gets a share of its objects, is
// out of use: it cannot end before that one is enabled, however fast the machine is.
func TestJobs(t *testing.T) {
	c := startWith(t, process.Config{Mountpaths: 3})
	c.want(0, "mb", "photos")
	for i := range objectCount {
		c.put("photos", fmt.Sprint(i), []byte("meow"))
	}
	kinds := document[[]api.JobKind](t, c.want(0, "job", "kinds", "--json").out)
	if len(kinds) == 0 || kinds[0].Name != "move" || !kinds[0].Pausable || !kinds[0].Resumable {
		t.Errorf("job kinds: %+v", kinds)
	}
	contains(t, c.want(0, "job", "kinds").out, "KIND", "move")
	contains(t, c.want(1, "job", "start", "move", "--set", `placement=["nobody"]`).err, "has no mountpath")
	contains(t, c.want(1, "job", "start", "move", "--set", "placement=[]").err, "at least one")

	leaving, away := c.node.Mountpaths[1], c.node.Mountpaths[2]
	c.want(0, "storage", "disable", away)
	id := document[storage.Mountpath](t, c.want(0, "storage", "remove", leaving, "--json").out).Job
	if listed := c.jobs("--active"); len(listed) != 1 || listed[0].ID != id || id == "" {
		t.Fatalf("the job that moves is %q, and of jobs there are %+v", id, listed)
	}
	contains(t, c.want(6, "job", "wait", id, "--timeout", "10ms").err, "still running", "troupe job show "+id)

	if paused := c.job("pause", id); paused.State != "paused" {
		t.Errorf("job pause: %+v", paused)
	}
	contains(t, c.want(0, "job", "list", "--active").out, "KIND", id, "paused")
	contains(t, c.want(6, "job", "wait", id, "--timeout", "10ms").err, "still paused", "troupe job show "+id)
	contains(t, c.want(0, "job", "resume", id).out, id+" is running")

	if stopped := c.job("stop", id); stopped.State != "stopping" && stopped.State != "stopped" {
		t.Errorf("job stop: %+v", stopped)
	}
	contains(t, c.want(1, "job", "wait", id).err, "was stopped", "troupe job restart "+id)
	shown := c.want(0, "job", "show", id).out
	contains(t, shown, "state", "stopped", "parameters", c.mountpath(leaving).ID)
	if active := c.jobs("--active"); len(active) != 0 {
		t.Errorf("a job that was stopped is active: %+v", active)
	}
	if again := c.job("restart", id); again.State != "queued" && again.State != "running" || again.Ended != nil {
		t.Errorf("job restart: %+v", again)
	}
	contains(t, c.want(6, "job", "wait", id, "--timeout", "10ms").err, "still")
	c.want(0, "job", "stop", id)
	c.want(1, "job", "wait", id)

	// Another one with a limit takes its place: the ways are open, and of four bytes an
	// object one a second lets the first few objects go, which move side by side.
	c.want(0, "storage", "enable", away)
	parameters := string(c.job("show", id).Parameters)
	limited := strings.TrimSpace(c.want(0, "job", "start", "move", "--parameters", parameters, "--bytes-per-second", "1").out)
	contains(t, c.want(6, "job", "wait", limited, "--timeout", "10ms").err, "still")
	slow := c.job("show", limited)
	if limited == id || slow.Rate == nil || slow.Rate.Bytes != 1 || slow.Progress.Objects >= slow.Progress.TotalObjects {
		t.Errorf("a job of a byte a second: %+v", slow)
	}
	if listed := c.jobs("--kind", "move"); len(listed) != 2 || listed[0].ID != limited || listed[1].ID != id {
		t.Errorf("job list: %+v", listed)
	}
	for patience := time.Now().Add(time.Minute); slow.Progress.BytesPerSecond == 0; slow = c.job("show", limited) {
		if time.Now().After(patience) {
			t.Fatalf("it has no rate: %+v", slow)
		}
	}
	shown = c.want(0, "job", "show", limited).out
	contains(t, shown, "limit", "1 B/s", "rate", " objects/s, ", "time left")

	// It is given another limit while it runs, then none, and ends as it can.
	contains(t, c.want(2, "job", "limit", limited).err, "--objects-per-second", "--bytes-per-second")
	contains(t, c.want(3, "job", "limit", "nobody", "--bytes-per-second", "1").err, "no such job")
	contains(t, c.want(0, "job", "limit", limited, "--objects-per-second", "3").out, limited+" is running: 3.0 objects/s, 1 B/s")
	if both := c.job("show", limited); both.Rate == nil || both.Rate.Objects != 3 || both.Rate.Bytes != 1 {
		t.Errorf("a limit beside another one: %+v", both.Rate)
	}
	c.want(0, "job", "pause", limited)
	contains(t, c.want(0, "job", "limit", limited, "--objects-per-second", "0", "--bytes-per-second", "1000000").out, limited+" is paused: 976.6 KiB/s")
	c.want(0, "job", "stop", limited)
	c.want(1, "job", "wait", limited)
	contains(t, c.want(0, "job", "limit", limited, "--bytes-per-second", "0").out, limited+" is stopped: no limit")

	// The first one goes on where it was, without a limit, and ends.
	c.want(0, "job", "restart", id)
	done := document[api.Job](t, c.want(0, "job", "wait", id, "--json").out)
	if done.State != "finished" || done.Runs != 3 || done.Rate != nil {
		t.Errorf("job wait: %+v", done)
	}
	contains(t, c.want(0, "job", "show", id).out, "state", "finished")
	contains(t, c.want(0, "job", "list").out, "KIND", id, "finished", limited, "stopped")
	contains(t, c.want(1, "job", "restart", id).err, "is finished")
	contains(t, c.want(1, "job", "limit", id, "--bytes-per-second", "1").err, "is finished")
	for i := range objectCount {
		if got := c.object("photos", fmt.Sprint(i)); string(got) != "meow" {
			t.Errorf("object %d is %q", i, got)
		}
	}
	for _, m := range document[storage.Mountpaths](t, c.want(0, "storage", "list", "--json").out).Mountpaths {
		if m.Path == leaving || m.State != "ok" && m.State != "slow" { // slow is what others may make of the machine's disk
			t.Errorf("after all of that: %+v", m)
		}
	}
	waited := c.want(0, "storage", "add", "--wait", leaving)
	contains(t, waited.err, leaving, "joining", "moves objects")
	contains(t, waited.out, "is finished: ")
	if m := c.mountpath(leaving); m.State != "ok" {
		t.Errorf("storage add --wait came back before it was done: %+v", m)
	}

	contains(t, c.want(3, "job", "show", "nobody").err, "no such job")
	contains(t, c.want(2, "job", "start", "move", "--set", "placement").err, "NAME=VALUE")
	contains(t, c.want(2, "job", "start", "move", "--parameters", "[]").err, "JSON object")
	c.want(2, "job", "start")
	contains(t, c.want(1, "job", "start", "nothing").err, "no such kind of job", "move")
}

// objectCount is how many objects a node has whose jobs are watched. A sixth of them,
// give or take seven, goes from a given mountpath of three to another given one: many
// more than the eight that a job moves side by side before its limit tells.
const objectCount = 300

// job carries out a command of `troupe job` on a job, and returns the job.
func (c *cluster) job(command, id string) api.Job {
	c.t.Helper()
	return document[api.Job](c.t, c.want(0, "job", command, id, "--json").out)
}

// jobs lists jobs.
func (c *cluster) jobs(args ...string) []api.Job {
	c.t.Helper()
	return document[[]api.Job](c.t, c.want(0, append([]string{"job", "list", "--json"}, args...)...).out)
}

// mountpath is what the node says of one of its mountpaths.
func (c *cluster) mountpath(path string) storage.Mountpath {
	c.t.Helper()
	all := document[storage.Mountpaths](c.t, c.want(0, "storage", "list", "--json").out).Mountpaths
	at := slices.IndexFunc(all, func(m storage.Mountpath) bool { return m.Path == path })
	if at < 0 {
		content, _ := json.Marshal(all)
		c.t.Fatalf("%s is none of %s", path, content)
	}
	return all[at]
}
