package clients_test

import (
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/test/process/nodes"
)

// Every client through every node of three, over a real Consul: what goes in through one
// is listed, read and deleted through the others. Each S3 request is answered by the node
// that was asked, whoever is in charge of the key: no client of S3 is sent elsewhere.
func TestCluster(t *testing.T) {
	t.Parallel()
	path := tools(t, "python3", "pytest", "aws", "rclone", "s3cmd")
	c := nodes.ForTest(t, nodes.Config{Args: nodes.AccessLog()})
	var s3, native []string
	for _, n := range c.Nodes {
		s3, native = append(s3, n.URL(n.S3)), append(native, n.URL(n.Native))
	}
	env := append(c.Nodes[0].Environment(), "TROUPE_NODES="+strings.Join(s3, " "), "TROUPE_NATIVES="+strings.Join(native, " "))
	report(t, newPytest(t, path, env), "test_cluster.py", "test_aistore_batch.py")
	for _, n := range c.Nodes {
		if err := n.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	moved := map[string]int{} // redirects by listener
	for i := range c.Nodes {
		accesses, err := c.Accesses(i)
		if err != nil {
			t.Fatal(err)
		}
		answered := map[string]int{}
		for _, a := range accesses {
			answered[a.Listener]++
			if a.Status >= 300 && a.Status < 400 && a.Status != 304 {
				moved[a.Listener]++
				if a.Listener == "s3" {
					t.Errorf("node %d sent a client of S3 elsewhere: %+v", i, a)
				}
			}
		}
		if answered["s3"] < 100 || answered["native"] < 20 {
			t.Errorf("node %d was asked this seldom: %v", i, answered)
		}
	}
	// Negative control: clients of AIStore are sent elsewhere, and the log shows that.
	if moved["native"] == 0 {
		t.Error("no node sent anybody elsewhere, so that the log proves nothing")
	}
}
