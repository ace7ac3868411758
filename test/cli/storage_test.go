package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/test/process"
)

// A mountpath whose disk is well and whose actors are suspended answers nothing: the
// list says so, and how that ends.
func TestStorageListShowsSuspendedActors(t *testing.T) {
	c := startWith(t, process.Config{Mountpaths: 2})
	c.want(0, "storage", "list")
	if m := c.mountpath(c.node.Mountpaths[1]); m.State != "ok" || m.SuspendedActors != 0 {
		t.Fatalf("the control: %+v", m)
	}
	const address = "node/mountpaths/d1"
	c.want(0, "actors", "suspend", address)
	if m := c.mountpath(c.node.Mountpaths[1]); m.State != "suspended" || m.SuspendedActors != 1 {
		t.Errorf("its coordinator is suspended: %+v", m)
	}
	contains(t, c.want(0, "storage", "list").out, "suspended", "no large uploads: troupe actors resume "+address)
	c.want(0, "actors", "suspend", "--below", address)
	if m := c.mountpath(c.node.Mountpaths[1]); m.State != "suspended" || m.SuspendedActors < 1+16+8 {
		t.Errorf("it and its lanes are suspended: %+v", m)
	}
	contains(t, c.want(0, "storage", "list").out, "suspended", "troupe actors resume --below "+address)
	if m := c.mountpath(c.node.Mountpaths[0]); m.State != "ok" || m.SuspendedActors != 0 {
		t.Errorf("the other one: %+v", m)
	}
	c.want(0, "actors", "resume", "--below", address)
	if m := c.mountpath(c.node.Mountpaths[1]); m.State != "ok" || m.Reason != "" || m.SuspendedActors != 0 {
		t.Errorf("after they were resumed: %+v", m)
	}
}

// A mountpath is known by a path that is relative to where the node was started, and by
// the path that it was given by, through a symbolic link, as well as by what that comes
// to.
func TestStorageTakesPathsAsGiven(t *testing.T) {
	here := t.TempDir()
	c := startWith(t, process.Config{Mountpaths: 2, Dir: here}) // where the node is started
	relative := func(path string) string {
		t.Helper()
		path, err := filepath.Rel(here, path)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	first := relative(c.node.Mountpaths[0])
	contains(t, c.want(0, "storage", "disable", first).out, c.node.Mountpaths[0]+" is disabled")
	contains(t, c.want(0, "storage", "enable", first+"/").out, c.node.Mountpaths[0]+" is ok")

	real, link := filepath.Join(c.dir, "real"), filepath.Join(c.dir, "link")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(real, 0o755); err != nil {
		t.Fatal(err)
	}
	c.want(0, "storage", "add", "--wait", relative(link))
	contains(t, c.want(1, "storage", "add", relative(real)).err, "is a mountpath of the node already")
	for _, path := range []string{relative(link), link, relative(real), real} {
		if m := document[storage.Mountpath](t, c.want(0, "storage", "disable", path, "--json").out); m.Path != real {
			t.Errorf("%s: %+v", path, m)
		}
		c.want(0, "storage", "enable", path)
	}
	c.want(0, "storage", "remove", "--wait", relative(link))
	contains(t, c.want(3, "storage", "remove", relative(link)).err, "troupe storage list")
	contains(t, c.want(3, "storage", "disable", "../nonsense").err, "troupe storage list")
}
