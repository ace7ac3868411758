package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/troupe-storage/troupe/test/process"
)

// usage says what there is and what to paste.
func (c *cluster) usage() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	at := func(number int) *node { return c.nodes[number%len(c.nodes)] }
	line("\n%d nodes are ready.\n", len(c.nodes))
	line("  %-6s %-24s %-24s %s", "node", "S3", "native", "process")
	for _, n := range c.nodes {
		line("  %-6d %-24s %-24s %d", n.number, n.URL(n.S3), n.URL(n.Native), n.PID())
	}
	line("\n  Consul   http://%s", c.consul.Address)
	line("  Keys     %s / %s", process.AccessKey, process.SecretKey)
	line("  Data     %s", c.dir)
	line("\nTry it in another terminal. Any node serves any object:\n")
	line("  export AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s AWS_DEFAULT_REGION=us-east-1", process.AccessKey, process.SecretKey)
	line("  aws --endpoint-url %s s3 mb s3://hello", at(0).URL(at(0).S3))
	line("  aws --endpoint-url %s s3 cp /etc/hostname s3://hello/", at(1).URL(at(1).S3))
	line("  aws --endpoint-url %s s3 ls s3://hello", at(2).URL(at(2).S3))
	line("  export RCLONE_S3_PROVIDER=Other RCLONE_S3_ACCESS_KEY_ID=%s RCLONE_S3_SECRET_ACCESS_KEY=%s", process.AccessKey, process.SecretKey)
	line("  rclone --s3-endpoint %s lsf :s3:hello", at(0).URL(at(0).S3))
	line("  export TROUPE_ENDPOINT=%s TROUPE_NATIVE_ENDPOINT=%s", at(0).URL(at(0).S3), at(0).URL(at(0).Native))
	line("  bin/troupe cp /etc/hostname troupe://hello/copy")
	line("  bin/troupe cluster nodes")
	line("  bin/troupe cluster events")
	line("\nkill -9 %d and see: node %d is down within seconds, the others go on, and it is", at(1).PID(), at(1).number)
	line("started again after %s. Logs are %s.", c.again, filepath.Join(c.dir, "node*", "node.log"))
	line("\nCtrl-C ends all of it; so does `make cluster-stop` elsewhere. The data is kept.\n")
	return b.String()
}
