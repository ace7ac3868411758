package membership

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/smap"
	"github.com/troupe-storage/troupe/test/process"
)

// get asks a node's native listener for JSON; id, if any, is whom it is to ask in turn.
func (n *node) get(t *testing.T, path, id string, into any) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.Native()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if id != "" {
		request.Header.Set("Ais-Node-Id", id)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if into != nil && answer.StatusCode == http.StatusOK {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatalf("%s: %v: %s", path, err, text)
		}
	}
	return answer.StatusCode
}

// three starts three nodes, and returns when they are a cluster.
func three(t *testing.T) *world {
	w := newWorld(t)
	for _, name := range []string{"one", "two", "three"} {
		w.start(name)
	}
	w.wait("three nodes are up and own keys", func(v *messages.ClusterView) bool { return states(v) == "up up up, 3 own keys" })
	return w
}

// What AIStore's clients and operators see of a cluster is the same at every node: all
// nodes, who leads, what each has. A node that is away has the flag that keeps clients'
// placement off it, and is told of in words.
func TestViews(t *testing.T) {
	w := three(t)
	one := w.nodes["one"]
	leader := ""
	for name, n := range w.nodes {
		var c api.Cluster
		n.get(t, api.ClusterPath, "", &c)
		if c.Name != "test" || len(c.Nodes) != 3 || c.Version == 0 || c.Unready != "" || c.Leader == "" || c.Self != string(n.Cluster().Self) {
			t.Errorf("%s: %+v", name, c)
		}
		leader = c.Leader
		for _, node := range c.Nodes {
			if node.State != "up" || !node.Owns || node.Silent || node.Native == "" || node.S3 == "" || node.Intra == "" || node.Since == 0 {
				t.Errorf("%s: %+v", name, node)
			}
		}
		var s ais.Smap
		n.get(t, "/v1/daemon?what=smap", "", &s)
		if len(s.Proxies) != 3 || len(s.Targets) != 3 || s.Version != int64(c.Version) || s.UUID != c.ID || s.Primary.ID != "p"+leader {
			t.Errorf("%s: %+v", name, s)
		}
		for _, other := range w.nodes {
			id := string(other.Cluster().Self)
			if target := s.Targets["t"+id]; target.Flags != 0 || target.PublicNet.URL != "http://"+other.Native() || target.Digest != objects.NodeDigest(id) {
				t.Errorf("%s: %+v", name, target)
			}
			var status ais.NodeStatus
			if code := n.get(t, "/v1/reverse/daemon?what=node_status", "t"+id, &status); code != 200 || status.Status != "online" || status.Node.ID != "t"+id || len(status.Capacity.Mountpaths) != 2 {
				t.Errorf("%s asks %s: %d %+v", name, id, code, status)
			}
		}
		var all struct {
			Targets map[string]ais.Mountpaths `json:"targets"`
		}
		n.get(t, "/v1/cluster?what=mountpaths", "", &all)
		if len(all.Targets) != 3 || len(all.Targets["t"+string(one.Cluster().Self)].Available) != 2 {
			t.Errorf("%s: %+v", name, all)
		}
		var stats struct {
			Target map[string]ais.NodeStats `json:"target"`
		}
		n.get(t, "/v1/cluster?what=node_stats", "", &stats)
		var machines map[string]map[string]ais.SystemInfo
		n.get(t, "/v1/cluster?what=sysinfo", "", &machines)
		if len(stats.Target) != 3 || len(machines["proxy"]) != 3 || len(machines["target"]) != 3 {
			t.Errorf("%s: %+v %+v", name, stats, machines)
		}
		if code := n.get(t, "/v1/reverse/daemon?what=node_status", "tnobody", nil); code != 404 {
			t.Errorf("%s about a node that is not there: %d", name, code)
		}
	}

	one.create(t, "photos", http.StatusOK)
	before := one.Cluster().Buckets
	for name, n := range w.nodes {
		var b ais.BMD
		n.get(t, "/v1/cluster?what=bmd", "", &b)
		if _, there := b.Providers["ais"]["@#"]["photos"]; !there || b.Version == 0 {
			t.Errorf("%s: %+v", name, b)
		}
	}
	one.create(t, "videos", http.StatusOK)
	w.wait("the version of the buckets grows", func(v *messages.ClusterView) bool { return v.Buckets > before })

	two := w.nodes["two"].Cluster().Self
	w.stop("two")
	w.wait("two is down", func(v *messages.ClusterView) bool { n, _ := v.Map.Node(two); return n.State == smap.Down })
	var s ais.Smap
	one.get(t, "/v1/cluster?what=smap", "", &s)
	if s.Targets["t"+string(two)].Flags != 4 || s.Proxies["p"+string(two)].Flags != 4 || s.Primary.ID == "p"+string(two) {
		t.Errorf("two is away: %+v", s)
	}
	var status ais.NodeStatus
	if code := one.get(t, "/v1/reverse/daemon?what=node_status", "t"+string(two), &status); code != 200 || status.Status != "down" {
		t.Errorf("two is away: %d %+v", code, status)
	}
	var c api.Cluster
	one.get(t, api.ClusterPath, "", &c)
	at := slices.IndexFunc(c.Nodes, func(n api.ClusterNode) bool { return n.ID == string(two) })
	if n := c.Nodes[at]; n.State != "down" || n.Left == 0 || !n.Silent || !n.Owns {
		t.Errorf("two is away: %+v", n)
	}
}

// The unmodified aistore package reads objects from the node that has them, by its own
// placement over the map that any node gives; nodes that do not have them send on.
func TestDirectReads(t *testing.T) {
	path, err := process.ToolsPath()
	if err != nil {
		t.Fatal(err)
	}
	python, err := process.LookTool(path, "python3")
	if err != nil {
		process.Missing(t, "%v", err)
	}
	if exec.CommandContext(t.Context(), python, "-c", "import aistore").Run() != nil {
		process.Missing(t, "the package aistore is not installed (run `make tools`)")
	}
	w := three(t)
	for name, n := range w.nodes {
		said, err := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "direct.py"), "http://"+n.Native(), "direct-"+name).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, said)
		}
	}
}

// events listens to a node's events until the test ends.
func (n *node) events(t *testing.T) <-chan api.ClusterEvent {
	t.Helper()
	answer, err := http.Get("http://" + n.Native() + api.EventsPath)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s %v", answer.Status, answer.Header)
	}
	lines := bufio.NewScanner(answer.Body)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), ":") {
		t.Fatalf("it begins with %q", lines.Text())
	}
	events := make(chan api.ClusterEvent, 1000)
	t.Cleanup(func() { answer.Body.Close() })
	go func() {
		defer close(events)
		kind := ""
		for lines.Scan() {
			var e api.ClusterEvent
			if text, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				kind = text
			}
			if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok && json.Unmarshal([]byte(text), &e) == nil && e.Kind == kind {
				events <- e
			}
		}
	}()
	return events
}

// await waits for an event.
func await(t *testing.T, events <-chan api.ClusterEvent, what string, is func(api.ClusterEvent) bool) {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatalf("%s: the events have ended", what)
			}
			if is(e) {
				return
			}
		case <-late:
			t.Fatalf("%s: no such event", what)
		}
	}
}

// `consul maint` takes a node out of service, with its reason, and back; what happens is
// told to who listens, for as long as the node runs. What is wrong with a node its
// check in Consul says.
func TestMaintenance(t *testing.T) {
	w := three(t)
	one, two := w.nodes["one"], string(w.nodes["two"].Cluster().Self)
	events := one.events(t)
	maint := func(query string) {
		t.Helper()
		if _, err := w.server.Do(t.Context(), http.MethodPut, "/v1/agent/service/maintenance/troupe-"+two+"?"+query, nil); err != nil {
			t.Fatal(err)
		}
	}
	maint("enable=true&reason=new+disks")
	await(t, events, "two is in maintenance", func(e api.ClusterEvent) bool {
		return e.Kind == "node-state" && e.Node == two && e.State == "maintenance" && e.Version > 0
	})
	w.wait("all know why", func(v *messages.ClusterView) bool {
		n, _ := v.Map.Node(smap.NodeID(two))
		return n.State == smap.Maintenance && v.Health[n.ID].Status == "maintenance" && strings.Contains(v.Health[n.ID].Reason, "new disks")
	})
	if status, body := w.nodes["two"].ready(t); status != http.StatusServiceUnavailable || !strings.Contains(body, "maintenance") {
		t.Errorf("two is ready in maintenance: %d %s", status, body)
	}
	w.until("its check says why", func() bool {
		checks, err := w.server.Do(t.Context(), http.MethodGet, "/v1/agent/checks", nil)
		return err == nil && strings.Contains(checks, "the node is maintenance since version")
	})
	maint("enable=false")
	await(t, events, "two is back", func(e api.ClusterEvent) bool { return e.Kind == "node-state" && e.Node == two && e.State == "up" })
	w.stop("one")
	late := time.After(patience)
	for {
		select {
		case _, more := <-events:
			if !more {
				return
			}
		case <-late:
			t.Fatal("the events of a node that has ended go on")
		}
	}
}

// until waits until something holds.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			w.t.Fatalf("%s: not within %s", what, patience)
		}
	}
}
