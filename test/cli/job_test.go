package cli

import (
	"fmt"
	"testing"

	"github.com/troupe-storage/troupe/api"
)

// Jobs are listed, shown and waited for from the command line, and exit codes tell
// scripts how they ended. Pauses and stops are tested over REST, in test/jobs.
func TestJobs(t *testing.T) {
	c := start(t)
	c.want(0, "mb", "photos")
	for i := range 60 {
		c.put("photos", fmt.Sprint(i), []byte("meow"))
	}
	kinds := document[[]api.JobKind](t, c.want(0, "job", "kinds", "--json").out)
	if len(kinds) == 0 || kinds[0].Name != "move" || !kinds[0].Pausable || !kinds[0].Resumable {
		t.Errorf("job kinds: %+v", kinds)
	}
	contains(t, c.want(0, "job", "kinds").out, "KIND", "move")
	contains(t, c.want(1, "job", "start", "move", "--set", `placement=["nobody"]`).err, "has no mountpath")

	// A mountpath that leaves is emptied by a job.
	leaving := c.node.Mountpaths[1]
	c.want(0, "storage", "remove", leaving)
	listed := document[[]api.Job](t, c.want(0, "job", "list", "--kind", "move", "--json").out)
	if len(listed) != 1 {
		t.Fatalf("job list: %+v", listed)
	}
	id := listed[0].ID
	done := document[api.Job](t, c.want(0, "job", "wait", id, "--json").out)
	if done.State != "finished" || done.Runs != 1 || done.Progress.Errors != 0 {
		t.Errorf("job wait: %+v", done)
	}
	contains(t, c.want(0, "job", "show", id).out, "state", "finished")
	contains(t, c.want(0, "job", "list").out, "KIND", id, "finished")
	for i := range 60 {
		c.want(0, "stat", fmt.Sprint("troupe://photos/", i))
	}

	contains(t, c.want(3, "job", "show", "nobody").err, "no such job")
	contains(t, c.want(2, "job", "start", "move", "--set", "placement").err, "NAME=VALUE")
	contains(t, c.want(2, "job", "start", "move", "--parameters", "[]").err, "JSON object")
	c.want(2, "job", "start")
	contains(t, c.want(1, "job", "start", "nothing").err, "no such kind of job", "move")
}
