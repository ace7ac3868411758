package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/storage"
)

// Jobs are started, shown, paused, resumed, stopped, taken up again and waited for
// from the command line, and exit codes tell scripts how they ended.
func TestJobs(t *testing.T) {
	c := start(t)
	c.want(0, "mb", "photos")
	for i := range 60 { // more than move side by side, so that a rate holds
		c.put("photos", fmt.Sprint(i), []byte("meow"))
	}
	kinds := document[[]api.JobKind](t, c.want(0, "job", "kinds", "--json").out)
	if len(kinds) == 0 || kinds[0].Name != "move" || !kinds[0].Pausable || !kinds[0].Resumable {
		t.Errorf("job kinds: %+v", kinds)
	}
	contains(t, c.want(0, "job", "kinds").out, "KIND", "move")
	mountpaths := document[storage.Mountpaths](t, c.want(0, "storage", "list", "--json").out).Mountpaths
	one := `placement=["` + mountpaths[0].ID + `"]`

	whole := document[api.Job](t, c.want(0, "job", "start", "move", "--set", one, "--wait", "--json").out)
	if whole.State != "finished" || whole.Runs != 1 || whole.Progress.Errors != 0 {
		t.Errorf("job start --wait: %+v", whole)
	}
	var ids []string
	for _, m := range mountpaths {
		ids = append(ids, `"`+m.ID+`"`)
	}
	all := `{"placement": [` + strings.Join(ids, ",") + `]}`
	id := strings.TrimSpace(c.want(0, "job", "start", "move", "--parameters", all, "--bytes-per-second", "1").out)
	if now := document[api.Job](t, c.want(0, "job", "pause", id, "--json").out); len(mountpaths) > 1 && now.State != "paused" {
		t.Errorf("job pause: %+v", now)
	}
	contains(t, c.want(0, "job", "list", "--active").out, "KIND", id, "paused")
	if listed := document[[]api.Job](t, c.want(0, "job", "list", "--kind", "move", "--json").out); len(listed) != 2 || listed[0].ID != id {
		t.Errorf("job list: %+v", listed)
	}
	contains(t, c.want(6, "job", "wait", id, "--timeout", "10ms").err, "still paused", "troupe job show "+id)
	contains(t, c.want(0, "job", "resume", id).out, id+" is ")
	c.want(0, "job", "stop", id)
	contains(t, c.want(1, "job", "wait", id).err, "was stopped", "troupe job restart "+id)
	shown := c.want(0, "job", "show", id)
	contains(t, shown.out, "state", "stopped", mountpaths[0].ID)
	contains(t, c.want(0, "job", "restart", id).out, id+" is ")
	c.want(0, "job", "stop", id)

	contains(t, c.want(3, "job", "show", "nobody").err, "no such job")
	contains(t, c.want(2, "job", "start", "move", "--set", "placement").err, "NAME=VALUE")
	contains(t, c.want(2, "job", "start", "move", "--parameters", "[]").err, "JSON object")
	c.want(2, "job", "start")
	contains(t, c.want(1, "job", "start", "nothing").err, "no such kind of job", "move")
	contains(t, c.want(1, "job", "start", "move", "--set", "placement=[]").err, "at least one")
}
