package membership

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/tools/cli"
)

// troupe runs a client command against a node, as an operator does, and returns what it
// says and its exit code.
func (n *node) troupe(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	var said, noted bytes.Buffer
	program := cli.Program{Version: "test", In: strings.NewReader(""), Out: &said, Err: &noted, Getenv: func(name string) string {
		switch name {
		case "TROUPE_ENDPOINT":
			return "http://" + n.S3()
		case "TROUPE_NATIVE_ENDPOINT":
			return "http://" + n.Native()
		}
		return ""
	}}
	code = cli.Execute(&cobra.Command{Use: "troupe"}, program, args)
	return said.String() + noted.String(), code
}

// says runs a command that must work and say something.
func (n *node) says(t *testing.T, want string, args ...string) {
	t.Helper()
	if out, code := n.troupe(t, args...); code != 0 || !strings.Contains(out, want) {
		t.Errorf("troupe %s: exit code %d, want %q in\n%s", strings.Join(args, " "), code, want, out)
	}
}

// What an operator does with `troupe cluster`: look, through any node; take a node out
// of service and back; say which one leads; be refused with a reason and advice. Tables fit a terminal, and
// --json is what the API answers.
func TestCommands(t *testing.T) {
	w := three(t)
	one, two := w.nodes["one"], w.nodes["two"]
	id := string(two.Cluster().Self)
	for _, n := range w.nodes {
		n.says(t, "3 up", "cluster", "show")
		n.says(t, id, "cluster", "nodes")
		n.says(t, "no plan is under way", "cluster", "plan")
	}
	for _, command := range []string{"nodes", "smap"} {
		out, code := one.troupe(t, "cluster", command)
		for line := range strings.Lines(out) {
			if utf8.RuneCountInString(strings.TrimRight(line, " \n")) > 80 || code != 0 {
				t.Errorf("cluster %s: %d, a line has no room: %q", command, code, line)
			}
		}
	}
	var c api.Cluster
	var m api.Smap
	for command, into := range map[string]any{"show": &c, "smap": &m} {
		out, code := one.troupe(t, "cluster", command, "--json")
		if err := json.Unmarshal([]byte(out), into); err != nil || code != 0 {
			t.Errorf("cluster %s --json: %d %v\n%s", command, code, err, out)
		}
	}
	if m.Version != c.Version || len(m.Nodes) != 3 || len(m.Placement) != 3 || len(c.Nodes) != 3 {
		t.Errorf("%+v\n%+v", c, m)
	}

	one.says(t, "made", "mb", "--copies", "2", "--min-copies", "2", "troupe://kept-on-two")
	doc, err := two.Gateway().Bucket("kept-on-two")
	if err != nil || doc.Props.Owners() != 2 || doc.Props.LeastCopies() != 2 {
		t.Errorf("%+v, %v; want 2 copies, 2 at the least", doc, err)
	}
	if out, code := one.troupe(t, "mb", "--copies", "17", "troupe://too-many"); code == 0 || !strings.Contains(out, "1 to 16") {
		t.Errorf("mb --copies 17: %d\n%s", code, out)
	}

	for _, args := range [][]string{{"drain", "nobody"}, {"remove", id}, {"maintenance"}, {"set-leader", "nobody"}} {
		out, code := one.troupe(t, append([]string{"cluster"}, args...)...)
		if code == 0 || strings.Count(out, "\n") < 2 {
			t.Errorf("cluster %v: %d, and no advice:\n%s", args, code, out)
		}
	}
	state := func(want smap.State) func(v *messages.ClusterView) bool {
		return func(v *messages.ClusterView) bool { n, _ := v.Map.Node(smap.NodeID(id)); return n.State == want }
	}
	one.says(t, "would be", "cluster", "maintenance", id[:6], "--reason", "new disks", "--force", "--dry-run")
	if !state(smap.Up)(one.Cluster()) {
		t.Error("--dry-run changed something")
	}
	one.says(t, "version", "cluster", "maintenance", id[:6], "--reason", "new disks", "--force")
	w.wait("two is in maintenance", state(smap.Maintenance))
	one.says(t, "maintenance since version", "cluster", "show")
	one.says(t, "version", "cluster", "maintenance", two.Native(), "--end")
	w.wait("two is back", state(smap.Up))
	for _, next := range []string{"three", "two", "one"} { // whoever leads, one of them is chance at the most
		heir := w.nodes[next].Cluster().Self
		one.says(t, "version", "cluster", "set-leader", string(heir))
		w.wait(next+" leads", func(v *messages.ClusterView) bool { return v.Leader == heir })
	}

	// What one node is told to share the others follow; no flag gave them anything.
	one.says(t, "automatic", "cluster", "settings")
	one.says(t, "manual", "cluster", "settings", "set", "plans=manual", "give-up-after=never")
	w.wait("all hold plans", func(v *messages.ClusterView) bool { return v.Held })
	two.says(t, "never", "cluster", "settings")
	two.says(t, "automatic", "cluster", "settings", "unset", "plans")
	w.wait("all begin plans again", func(v *messages.ClusterView) bool { return !v.Held })
	var shared api.ClusterSettings
	if out, code := w.nodes["three"].troupe(t, "cluster", "settings", "--json"); code != 0 || json.Unmarshal([]byte(out), &shared) != nil ||
		len(shared.Settings) != 3 || shared.Version != 2 || shared.Settings[0] != (api.ClusterSetting{Name: "give-up-after", Value: "never", Shared: "never"}) {
		t.Errorf("cluster settings --json: %d %s", code, out)
	}
	for _, wrong := range []string{"plans=sometimes", "give-up-after=1s", "no-such=thing", "plans"} {
		if out, code := one.troupe(t, "cluster", "settings", "set", wrong); code == 0 || !strings.Contains(out, strings.Split(wrong, "=")[0]) {
			t.Errorf("cluster settings set %s: %d\n%s", wrong, code, out)
		}
	}

	one.says(t, "version", "cluster", "drain", id, "--dry-run")
	alone := w.config("alone")
	alone.Cluster = one.config.Cluster
	alone.Cluster.Name, alone.Cluster.Consul, alone.Cluster.SecretFile = "", "", ""
	w.nodes["alone"] = &node{config: alone}
	n := w.start("alone")
	if out, code := n.troupe(t, "cluster", "nodes"); code == 0 || !strings.Contains(out, "--consul") {
		t.Errorf("a node that is alone: %d\n%s", code, out)
	}
	if out, code := n.troupe(t, "mb", "--copies", "2", "troupe://kept-on-two"); code == 0 || !strings.Contains(out, "alone") {
		t.Errorf("a node that is alone: %d\n%s", code, out)
	}
	if out, code := n.troupe(t, "cluster", "events"); code == 0 || !strings.Contains(out, "--consul") {
		t.Errorf("a node that is alone: %d\n%s", code, out)
	}
	if out, code := n.troupe(t, "cluster", "settings", "set", "plans=manual"); code == 0 || !strings.Contains(out, "--consul") {
		t.Errorf("a node that is alone: %d\n%s", code, out)
	}
	if out, code := n.troupe(t, "cluster", "join"); code == 0 || !strings.Contains(out, "--consul") {
		t.Errorf("a node that is alone: %d\n%s", code, out)
	}
}
