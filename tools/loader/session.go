package loader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// defaultKeys is how many keys a load that reads or deletes has if none are given.
const defaultKeys = 10000

// session is one call of the command: servers that it started, and where the
// figures go.
type session struct {
	*settings
	bareLine []string // command line of the bare handler
	out      io.Writer
	progress io.Writer

	directory string // made for this session; removed at its end
	observed  Observed
	props     objects.BucketProps
	bare      *bareServer
}

// document is the JSON of a session.
type document struct {
	Environment Environment   `json:"environment"`
	Runs        []namedResult `json:"runs,omitempty"`
	Rows        []RowResult   `json:"rows,omitempty"`
}

// runSession does what the flags say. The error says what failed: a run with
// failed operations, a row that could not be measured; a target that was missed
// is a figure, not a failure.
func runSession(ctx context.Context, s *settings, bareLine []string, out, progress io.Writer) (err error) {
	const op errs.Op = "bench"
	if err := s.complete(); err != nil {
		return errs.E(op, errs.Invalid, err)
	}
	scratch, err := filepath.Abs(s.scratch)
	if err != nil {
		return errs.E(op, errs.Invalid, err)
	}
	directory, err := os.MkdirTemp(scratch, "troupe-bench-")
	if err != nil {
		return errs.E(op, errs.IO, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	n := &session{settings: s, bareLine: bareLine, out: out, progress: progress, directory: directory}
	n.props = objects.BucketProps{Durability: objects.Durability(s.durability), ETag: objects.ETagKind(s.etag)}

	if s.serve != "" {
		server, err := startServer(ctx, s.serve, directory, s.load)
		if err != nil {
			return errs.E(op, err)
		}
		defer func() { err = errors.Join(err, stopServer(server)) }()
		n.observed.Server = server.Process
		n.load.Endpoint = server.endpoint
		if n.native == "" {
			n.native = server.native
		}
	}
	if err := n.observe(); err != nil {
		return errs.E(op, err)
	}
	if s.baseline || s.suite != "" {
		if n.bare, err = startBare(bareLine, directory); err != nil {
			return errs.E(op, err)
		}
		defer func() { err = errors.Join(err, n.bare.Stop()) }()
	}
	environment := readEnvironment(directory, time.Now())
	if s.suite != "" {
		return n.runSuite(ctx, environment)
	}
	return n.runLoads(ctx, environment)
}

// stopServer stops a server that was started, and repeats its last words if it
// did not end well.
func stopServer(server *served) error {
	if err := server.Stop(); err != nil {
		return errors.Join(err, server.tail())
	}
	return nil
}

// complete reads the flags that are text, and fills in defaults that depend on others.
func (s *settings) complete() error {
	var faults []error
	check := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	var err error
	s.load.Endpoint = s.endpoint
	s.load.Mix, err = ParseMix(s.operations)
	check(err)
	s.load.Sizes, err = ParseSizes(s.sizes)
	check(err)
	s.load.Bytes, err = ParseBytes(s.bytes)
	check(err)
	if s.load.SecretKey == "" {
		s.load.SecretKey = os.Getenv("AWS_SECRET_ACCESS_KEY")
	}
	single, alone := s.load.Mix.Single()
	switch {
	case s.order != "":
		check(ParseKeyOrder(s.order, &s.load.Keys))
	case !alone || single != Put && single != Delete:
		s.load.Keys.Order = Uniform
	}
	if s.load.Keys.Count == 0 && !(alone && single == Put && s.load.Keys.Order == Sequential) {
		s.load.Keys.Count = defaultKeys
	}
	if s.load.Duration == 0 && s.load.Ops == 0 && s.load.Bytes == 0 && !(alone && single == Delete) {
		s.load.Duration = 10 * time.Second
	}
	switch objects.Durability(s.durability) {
	case "", objects.Synced, objects.Relaxed:
	default:
		check(fmt.Errorf("durability %q is neither synced nor relaxed", s.durability))
	}
	switch objects.ETagKind(s.etag) {
	case "", objects.ETagMD5, objects.ETagFast:
	default:
		check(fmt.Errorf("etag %q is neither md5 nor fast", s.etag))
	}
	if s.suite != "" && s.suite != "reference" {
		check(fmt.Errorf(`suite %q: there is "reference"`, s.suite))
	}
	if s.warmup > 0 && (s.load.Mix.Has(Put) || s.load.Mix.Has(Delete)) {
		check(errors.New("a load that writes or deletes is not warmed up: it would change what is measured"))
	}
	if s.pairs < 1 || s.pairs > 1000 {
		check(fmt.Errorf("%d pairs: 1 to 1,000", s.pairs))
	}
	if s.suite != "" && s.segment <= 0 {
		check(errors.New("segments need a length"))
	}
	check(s.load.Validate())
	return errors.Join(faults...)
}

// observe finds the server's process and its debt.
func (n *session) observe() error {
	if n.pid != 0 {
		process, err := OpenProcess(n.pid)
		if err != nil {
			return err
		}
		n.observed.Server = process
	}
	if n.observed.Server == nil {
		if u, err := url.Parse(n.load.Endpoint); err == nil && isLoopback(u.Hostname()) {
			process, err := FindListener(u.Host)
			if err != nil {
				fmt.Fprintln(n.progress, "server CPU and memory are not measured:", err)
			}
			n.observed.Server = process
		}
	}
	if n.metrics == "" && n.native != "" {
		n.metrics = n.native + "/metrics"
	}
	if n.metrics == "" {
		return nil
	}
	threshold, err := ParseBytes(n.debtThreshold)
	if err != nil {
		return errs.E("", errs.Invalid, err)
	}
	n.observed.Debt = &Debt{URL: n.metrics, Threshold: threshold, Patience: n.debtPatience}
	return nil
}

// isLoopback reports whether the host is this machine by its loopback address.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// runSuite runs the reference table and prints it.
func (n *session) runSuite(ctx context.Context, environment Environment) error {
	const op errs.Op = "bench"
	putBytes, err := ParseBytes(n.putBytes)
	if err != nil {
		return errs.E(op, errs.Invalid, err)
	}
	filter, err := regexp.Compile(n.rows)
	if err != nil {
		return errs.E(op, errs.Invalid, err)
	}
	load := n.load
	load.Keys = Keys{Seed: n.load.Keys.Seed}
	load.Duration, load.Ops, load.Bytes, load.ListKeys = 0, 0, 0, defaultListKeys
	suite := Suite{
		Load: load, Native: n.native, Observed: n.observed, Bare: n.bare, Name: n.load.Bucket,
		Segment: n.segment, PutBytes: putBytes, Pairs: n.pairs, Rows: filter, Progress: n.progress,
	}
	rows := suite.Run(ctx)
	err = errors.Join(writeRows(n.out, environment, rows), n.writeJSON(document{Environment: environment, Rows: rows}))
	if err != nil {
		return errs.E(op, errs.IO, err)
	}
	var missing []string
	for _, row := range rows {
		if row.Reason != "" {
			missing = append(missing, row.Title+" "+string(row.Class))
		}
	}
	switch {
	case ctx.Err() != nil:
		return errs.E(op, errs.Canceled, errors.New("interrupted"))
	case len(rows) == 0:
		return errs.E(op, errs.Invalid, fmt.Errorf("no row matches %q", n.rows))
	case len(missing) > 0:
		return errs.E(op, errs.Internal, fmt.Errorf("not measured: %s", strings.Join(missing, "; ")))
	}
	return nil
}

// contender is somebody who is driven with the session's load.
type contender struct {
	who      string
	load     Load
	observed Observed
	created  bool // the bucket is ours
}

// runLoads runs the load that the flags describe, against the server and, if
// wanted, in turns with it against the bare handler.
func (n *session) runLoads(ctx context.Context, environment Environment) error {
	const op errs.Op = "bench"
	contenders := append(n.bareContenders(), contender{who: "server", load: n.load, observed: n.observed})
	var runs []namedResult
	var failed []error
	for i := range contenders {
		if err := n.makeReady(ctx, &contenders[i]); err != nil {
			return errs.E(op, contenders[i].who, err)
		}
	}
	for pair := range n.pairs {
		for i := range contenders {
			c := &contenders[i]
			if ctx.Err() != nil {
				break
			}
			if single, alone := c.load.Mix.Single(); pair > 0 && alone && single == Delete {
				if err := n.fill(ctx, c); err != nil {
					return errs.E(op, c.who, err)
				}
			}
			if n.warmup > 0 {
				warm := c.load
				warm.Duration, warm.Ops, warm.Bytes = n.warmup, 0, 0
				if _, err := Run(ctx, warm, Observed{}); err != nil {
					return errs.E(op, c.who, err)
				}
			}
			result, err := Run(ctx, c.load, c.observed)
			if err != nil {
				return errs.E(op, c.who, err)
			}
			if result.Failed() != nil {
				failed = append(failed, fmt.Errorf("%s: %w", c.who, result.Failed()))
			}
			runs = append(runs, namedResult{c.who, result})
			c.load.Stored = false // a mix with deletes leaves some keys only
			if single, alone := c.load.Mix.Single(); alone && single == Put && c.load.Keys.Count == 0 {
				c.load.Keys.First += result.begun() // the next pair writes new keys too
			}
		}
	}
	if err := errors.Join(writeRuns(n.out, runs), n.writeJSON(document{Environment: environment, Runs: runs})); err != nil {
		return errs.E(op, errs.IO, err)
	}
	if n.cleanup && ctx.Err() == nil {
		for _, c := range contenders {
			if c.who == "server" {
				failed = append(failed, n.clean(ctx, c))
			}
		}
	}
	if err := errors.Join(failed...); err != nil {
		return errs.E(op, errs.Internal, err)
	}
	return nil
}

// bareContenders returns the kinds of the bare handler that the load fits: from
// memory if all objects have one size, from files in any case. It cannot list.
func (n *session) bareContenders() []contender {
	if n.bare == nil {
		return nil
	}
	if n.load.Mix.Has(List) {
		fmt.Fprintln(n.progress, "the bare handler cannot list: it is not driven")
		return nil
	}
	file := n.load
	file.Endpoint, file.Bucket, file.Keys.Prefix = n.bare.endpoint, fileBucket+n.load.Bucket, ""
	observed := Observed{Server: n.bare.Process}
	contenders := []contender{{who: "bare file", load: file, observed: observed}}
	if choices := n.load.Sizes.choices; len(choices) == 1 && choices[0].low == choices[0].high && choices[0].low <= maxMemoryBytes && !n.load.partitioned() {
		memory := file
		memory.Bucket, memory.Verify = fmt.Sprint(memoryBucket, choices[0].low), false
		contenders = append([]contender{{who: "bare memory", load: memory, observed: observed}}, contenders...)
	}
	return contenders
}

// makeReady makes the bucket with its properties and puts the keys that the load
// is going to read or delete.
func (n *session) makeReady(ctx context.Context, c *contender) (err error) {
	server := c.who == "server"
	if n.create || !server {
		if c.created, err = CreateBucket(ctx, c.load); err != nil {
			return err
		}
	}
	if server && n.props != (objects.BucketProps{}) {
		if n.native == "" {
			return errs.E("", errs.Invalid, errors.New("--durability and --etag need --native"))
		}
		if err := SetBucketProps(ctx, n.native, c.load.Bucket, n.props); err != nil {
			return err
		}
	}
	return n.fill(ctx, c)
}

// fill puts the keys that the load is going to read or delete.
func (n *session) fill(ctx context.Context, c *contender) error {
	single, alone := c.load.Mix.Single()
	if !n.prepare || alone && single == Put || c.who == "bare memory" {
		return nil
	}
	fmt.Fprintf(n.progress, "%s: putting %d keys\n", c.who, c.load.Keys.Count)
	fill := c.load
	fill.Mix, fill.Keys.Order, fill.Rate = Only(Put), Sequential, 0
	fill.Ops, fill.Duration, fill.Bytes = c.load.Keys.Count, 0, 0
	result, err := Run(ctx, fill, Observed{})
	if err != nil {
		return err
	}
	if result.Interrupted {
		return errs.E("", errs.Canceled, errors.New("interrupted while keys were put"))
	}
	c.load.Stored = true
	return result.Failed()
}

// clean deletes what was put, and the bucket if the session created it.
func (n *session) clean(ctx context.Context, c contender) error {
	load := c.load
	if single, alone := load.Mix.Single(); alone && single == Put && load.Keys.Count == 0 {
		load.Keys.Count, load.Keys.First = load.Keys.First, 0
	}
	load.Mix, load.Keys.Order, load.Rate = Only(Delete), Sequential, 0
	load.Duration, load.Ops, load.Bytes = 0, 0, 0
	if load.Keys.Count > 0 {
		result, err := Run(ctx, load, Observed{})
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

// writeJSON writes the figures to the file that --json names.
func (n *session) writeJSON(d document) error {
	if n.json == "" {
		return nil
	}
	content, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(n.json, append(content, '\n'), 0o644)
}
