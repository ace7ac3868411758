package loader

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// side is what the flags say about one of the servers.
type side struct {
	name      string // in tables and plots
	endpoint  string // of S3
	native    string // of the native listener; empty: it has none
	metrics   string // URL; empty: at the native listener
	serve     string // command line to start it with; empty: it runs
	pid       int    // of its process; 0: who listens
	bucket    string
	accessKey string
	secretKey string
}

// wanted reports whether the flags name a server at all.
func (s side) wanted() bool { return s.endpoint != "" || s.serve != "" }

// isSecured reports whether an address is spoken to with TLS.
func isSecured(address string) bool { return strings.HasPrefix(address, "https://") }

// contender is somebody who is driven with the session's load.
type contender struct {
	who      string
	bare     bool // the bare handler
	load     Load
	native   string // address of the native listener; empty: none
	observed Observed
	created  bool // the bucket is ours
	ran      bool
}

// loadFor returns the session's load against a server.
func (s *settings) loadFor(server side, secured *tls.Config) Load {
	load := s.load
	load.Endpoint, load.Bucket = server.endpoint, server.bucket
	load.AccessKey, load.SecretKey, load.TLS = server.accessKey, server.secretKey, nil
	if isSecured(server.endpoint) {
		load.TLS = secured
	}
	return load
}

// open starts a server if it is to be started, in the directory, which it makes, and
// finds its process and debt.
// The function that is returned stops what was started; it is never nil.
func (n *session) open(ctx context.Context, server side, directory string) (c contender, stop func() error, err error) {
	stop = func() error { return nil }
	c = contender{who: server.name, load: n.loadFor(server, n.secured), native: server.native}
	if server.serve != "" {
		if err := os.Mkdir(directory, 0o755); err != nil {
			return c, stop, errs.E("", errs.IO, err)
		}
		started, err := startServer(ctx, server.serve, directory, c.load)
		if err != nil {
			return c, stop, err
		}
		stop = func() error { return stopServer(started) }
		c.observed.Server = started.Process
		c.load.Endpoint = started.endpoint
		if c.native == "" {
			c.native = started.native
		}
	}
	if server.pid != 0 {
		if c.observed.Server, err = OpenProcess(server.pid); err != nil {
			return c, stop, err
		}
	}
	n.findProcess(&c)
	if server.metrics == "" && c.native != "" {
		server.metrics = c.native + "/metrics"
	}
	if server.metrics == "" {
		return c, stop, nil
	}
	threshold, err := ParseBytes(n.debtThreshold)
	if err != nil {
		return c, stop, errs.E("", errs.Invalid, err)
	}
	c.observed.Debt = &Debt{URL: server.metrics, TLS: n.secured, Threshold: threshold, Patience: n.debtPatience}
	return c, stop, nil
}

// findProcess looks for the process of a server that nobody named, on this machine.
func (n *session) findProcess(c *contender) {
	if c.observed.Server != nil {
		return
	}
	target, err := c.load.target()
	if err != nil { // Validate says so
		return
	}
	u, err := url.Parse(c.load.Endpoint)
	if err != nil || !isLoopback(u.Hostname()) {
		return
	}
	process, err := FindListener(target.address)
	if err != nil {
		fmt.Fprintf(n.progress, "%s: CPU and memory are not measured: %v\n", c.who, err)
	}
	c.observed.Server = process
}

// isLoopback reports whether the host is this machine by its loopback address.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// bareContenders returns the kinds of the bare handler that the load fits: from
// memory if all objects have one size, from files in any case. It cannot list, and
// knows no uploads.
func (n *session) bareContenders() []contender {
	if n.bare == nil {
		return nil
	}
	if n.load.Mix.Has(List) || n.load.Mix.Has(Multipart) {
		fmt.Fprintln(n.progress, "the bare handler cannot list, nor take uploads in parts: it is not driven")
		return nil
	}
	file := n.loadFor(n.server, nil)
	file.Endpoint, file.TLS, file.Bucket, file.Keys.Prefix = n.bare.endpoint, nil, fileBucket+n.server.bucket, ""
	observed := Observed{Server: n.bare.Process}
	contenders := []contender{{who: "bare file", bare: true, load: file, observed: observed}}
	if choices := n.load.Sizes.choices; len(choices) == 1 && choices[0].low == choices[0].high && choices[0].low <= maxMemoryBytes && !n.load.partitioned() {
		memory := file
		memory.Bucket, memory.Verify = fmt.Sprint(memoryBucket, choices[0].low), false
		contenders = append([]contender{{who: "bare memory", bare: true, load: memory, observed: observed}}, contenders...)
	}
	return contenders
}

// makeReady makes the bucket with its properties and puts the keys that the load
// is going to read or delete.
func (n *session) makeReady(ctx context.Context, c *contender) (err error) {
	if n.create || c.bare {
		if c.created, err = CreateBucket(ctx, c.load); err != nil {
			return err
		}
	}
	// The other server's bucket is set where that server is one of Troupe's.
	if wanted := n.props != (objects.BucketProps{}) && !c.bare; wanted && c.native != "" {
		if err := SetBucketProps(ctx, c.load, c.native, n.props); err != nil {
			return err
		}
	} else if wanted && c.who == n.server.name {
		return errs.E("", errs.Invalid, errors.New("--durability and --etag need --native"))
	}
	return n.fill(ctx, c)
}

// fill puts the keys that the load is going to read or delete.
func (n *session) fill(ctx context.Context, c *contender) error {
	if !n.prepare || c.load.Mix.storesOnly() || c.who == "bare memory" {
		return nil
	}
	fmt.Fprintf(n.progress, "%s: putting %d keys\n", c.who, c.load.Keys.Count)
	fill := c.load
	fill.Mix, fill.Keys.Order, fill.Rate, fill.RampTo = Only(Put), Sequential, 0, 0
	fill.Ops, fill.Duration, fill.Bytes = c.load.Keys.Count, 0, 0
	result, err := n.progress.run(ctx, c.who+" putting keys", fill, Observed{})
	if err != nil {
		return err
	}
	if result.Interrupted {
		return errs.E("", errs.Canceled, errors.New("interrupted while keys were put"))
	}
	c.load.Stored = true
	return result.Failed()
}

// turn drives the contender once, over so many connections.
func (n *session) turn(ctx context.Context, c *contender, connections int) (*Result, error) {
	if single, alone := c.load.Mix.Single(); c.ran && alone && single == Delete {
		if err := n.fill(ctx, c); err != nil {
			return nil, err
		}
	}
	load := c.load
	load.Connections = connections
	if n.warmup > 0 {
		warm := load
		warm.Duration, warm.Ops, warm.Bytes, warm.RampTo = n.warmup, 0, 0, 0
		if _, err := n.progress.run(ctx, c.who+" warming up", warm, Observed{}); err != nil {
			return nil, err
		}
	}
	result, err := n.progress.run(ctx, c.who+" "+load.Mix.String(), load, c.observed)
	if err != nil {
		return nil, err
	}
	c.ran = true
	c.load.Stored = false // a mix with deletes leaves some keys only
	if c.load.Mix.storesOnly() && c.load.Keys.Count == 0 {
		c.load.Keys.First += result.begun() // the next turn writes new keys too
	}
	return result, nil
}

// clean deletes what was put, and the bucket if the session created it.
func (n *session) clean(ctx context.Context, c contender) error {
	load := c.load
	if load.Mix.storesOnly() && load.Keys.Count == 0 {
		load.Keys.Count, load.Keys.First = load.Keys.First, 0
	}
	load.Mix, load.Keys.Order, load.Rate, load.RampTo = Only(Delete), Sequential, 0, 0
	load.Duration, load.Ops, load.Bytes = 0, 0, 0
	if load.Keys.Count > 0 {
		result, err := n.progress.run(ctx, c.who+" deleting", load, Observed{})
		if err != nil {
			return err
		}
		if err := result.Failed(); err != nil {
			return err
		}
	}
	if !c.created {
		return nil
	}
	return RemoveBucket(ctx, c.load)
}
