package loader

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	progress *meter

	secured *tls.Config // of HTTPS endpoints; nil: as the system has it
	servers []contender // the server, and the one that it is compared with
	props   objects.BucketProps
	bare    *bareServer
}

// document is the JSON of a session.
type document struct {
	Environment Environment   `json:"environment"`
	Runs        []namedResult `json:"runs,omitempty"`
	Comparisons []Comparison  `json:"comparisons,omitempty"`
	Rows        []RowResult   `json:"rows,omitempty"`
}

// unsetPairs stands for the default number of pairs, which depends on other flags.
const unsetPairs = -1

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
	n := &session{settings: s, bareLine: bareLine, out: out, progress: newMeter(progress)}
	if n.secured, err = s.security.config(); err != nil {
		return errs.E(op, err)
	}
	n.props = objects.BucketProps{Durability: objects.Durability(s.durability), ETag: objects.ETagKind(s.etag)}

	for i, server := range s.sides() {
		c, stop, openErr := n.open(ctx, server, filepath.Join(directory, fmt.Sprint("server-", i+1)))
		defer func() { err = errors.Join(err, stop()) }()
		if openErr != nil {
			return errs.E(op, server.name, openErr)
		}
		n.servers = append(n.servers, c)
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
	s.load.Mix, err = ParseMix(s.operations)
	check(err)
	s.load.Sizes, err = ParseSizes(s.sizes)
	check(err)
	s.load.Bytes, err = ParseBytes(s.bytes)
	check(err)
	s.load.RangeBytes, err = ParseBytes(s.rangeBytes)
	check(err)
	s.load.PartBytes, err = ParseBytes(s.partBytes)
	check(err)
	s.steps, err = parseSteps(s.stepsText)
	check(err)
	single, alone := s.load.Mix.Single()
	switch {
	case s.order != "":
		check(ParseKeyOrder(s.order, &s.load.Keys))
	case !alone || !single.stores() && single != Delete:
		s.load.Keys.Order = Uniform
	}
	if s.load.Keys.Count == 0 && !(s.load.Mix.storesOnly() && s.load.Keys.Order == Sequential) {
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
	if s.warmup > 0 && s.load.Mix.changes() {
		check(errors.New("a load that writes or deletes is not warmed up: it would change what is measured"))
	}
	if s.pairs == unsetPairs {
		s.pairs = 1
		if s.against.wanted() {
			s.pairs = verdictPairs
		}
	}
	if s.pairs < 1 || s.pairs > 1000 {
		check(fmt.Errorf("%d pairs: 1 to 1,000", s.pairs))
	}
	if s.suite != "" && s.segment <= 0 {
		check(errors.New("segments need a length"))
	}
	check(s.completeSides())
	return errors.Join(faults...)
}

// completeSides fills in what the two servers have from each other, and checks the
// load against each of them, at every step.
func (s *settings) completeSides() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if s.server.secretKey == "" {
		s.server.secretKey = os.Getenv("AWS_SECRET_ACCESS_KEY")
	}
	if s.against.secretKey == "" {
		s.against.secretKey = environmentOr("TROUPE_AGAINST_SECRET_KEY", s.server.secretKey)
	}
	inherit := func(field *string, from string) {
		if *field == "" {
			*field = from
		}
	}
	inherit(&s.against.accessKey, s.server.accessKey)
	inherit(&s.against.bucket, s.server.bucket)
	if s.against.wanted() {
		inherit(&s.against.endpoint, "http://127.0.0.1:9000") // {s3} is filled in
		if s.server.serve+s.against.serve == "" && s.against.endpoint == s.server.endpoint && s.against.bucket == s.server.bucket {
			fault("%s is compared with itself: --against another endpoint, or in another bucket (--against-bucket)", s.server.endpoint)
		}
		for _, name := range []string{s.server.name, s.against.name} {
			if name == "" || len(name) > 40 || strings.ContainsAny(name, "/|\\\r\n\x00") || strings.HasPrefix(name, "bare ") || strings.HasPrefix(name, ".") {
				fault("%q is no name for a server: 1 to 40 characters, none of / | \\", name)
			}
		}
		if s.server.name == s.against.name {
			fault("both servers are called %q: --name and --against-name", s.server.name)
		}
	} else if s.against != (side{name: s.against.name, bucket: s.against.bucket, accessKey: s.against.accessKey, secretKey: s.against.secretKey}) {
		fault("flags of another server are given, and no --against or --against-serve")
	}
	secured := false
	for _, server := range s.sides() {
		secured = secured || isSecured(server.endpoint) || isSecured(server.native) || isSecured(server.metrics)
		for _, connections := range s.connectionSteps() {
			load := s.loadFor(server, nil)
			load.Connections = connections
			if err := load.Validate(); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", server.name, err))
				break // the other steps have the same faults
			}
		}
	}
	if s.security != (security{}) && !secured {
		fault("--insecure and --ca are of use with https:// only")
	}
	if s.plot != "" && !strings.HasSuffix(s.plot, ".svg") {
		fault("--plot %s: it draws SVG, so the name ends in .svg", s.plot)
	}
	if s.suite != "" && (s.against.wanted() || len(s.steps) > 0 || s.load.RampTo != 0 || s.plot != "") {
		fault("--suite has loads of its own: no --against, --steps, --ramp-to or --plot with it")
	}
	return errors.Join(faults...)
}

// sides returns the servers that the flags name.
func (s *settings) sides() []side {
	if s.against.wanted() {
		return []side{s.server, s.against}
	}
	return []side{s.server}
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
	server := n.servers[0]
	load := server.load
	load.Keys = Keys{Seed: n.load.Keys.Seed}
	load.Duration, load.Ops, load.Bytes, load.ListKeys = 0, 0, 0, defaultListKeys
	suite := Suite{
		Load: load, Native: server.native, Observed: server.observed, Bare: n.bare, Name: load.Bucket,
		Segment: n.segment, PutBytes: putBytes, Pairs: n.pairs, Rows: filter, meter: n.progress,
	}
	rows := suite.Run(ctx)
	err = errors.Join(writeRows(newSheet(n.out), environment, rows), n.writeJSON(document{Environment: environment, Rows: rows}))
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
