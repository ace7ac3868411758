package loader

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Suite runs the reference table: every row against the server and, in turns
// with it, against the bare handler, so that ratios are of one run.
type Suite struct {
	Load     Load          // endpoint, keys to sign with, connections, seed; the rest is set for each row
	Native   string        // address of the native listener, which sets bucket properties; empty: only default properties
	Observed Observed      // the server
	Bare     *bareServer   // the bare handler
	Name     string        // begins every bucket's name; another for every run against the same server
	Segment  time.Duration // length of a read, and of everything of the bare handler
	PutBytes int64         // that a PUT row writes in all; figures are taken over at least 1 GiB
	Pairs    int           // how often server and bare handler take turns in a row
	Rows     *regexp.Regexp

	meter  *meter  // of what is under way, and a line for each segment
	groups []group // of the table; set by tests only
}

// RowResult is what came of a row.
type RowResult struct {
	Row
	Title      string            `json:"row"`
	Reason     string            `json:"not_measured,omitempty"` // why there are no figures
	Server     []*Result         `json:"server,omitempty"`
	Bare       []BareResult      `json:"bare,omitempty"`
	Micros     Spread            `json:"server_micros"`
	Missed     bool              `json:"missed"` // the figure is above the target
	Comparison []BareMeasurement `json:"comparison,omitempty"`
}

// BareResult is one segment of the bare handler.
type BareResult struct {
	Kind   BareKind `json:"kind"`
	Result *Result  `json:"result"`
}

// BareMeasurement compares the row with one kind of the bare handler.
type BareMeasurement struct {
	BareReference
	Measured Spread  `json:"measured_micros"`
	Ratio    float64 `json:"ratio"`        // server to bare handler, medians of this run
	Wanted   float64 `json:"target_ratio"` // target to bare handler, on the reference machine
}

// Spread is a figure that was taken several times.
type Spread struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// spreadOf sums up figures, of which there is at least one.
func spreadOf(figures []float64) Spread {
	sorted := slices.Sorted(slices.Values(figures))
	n := len(sorted)
	return Spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Low: sorted[0], High: sorted[n-1]}
}

// Run runs all rows that the filter names. What could not be measured is in the
// result with its reason. When ctx is canceled, the rows so far are returned.
func (s *Suite) Run(ctx context.Context) []RowResult {
	var results []RowResult
	groups := s.groups
	if groups == nil {
		groups = referenceGroups()
	}
	for _, g := range groups {
		wanted := slices.DeleteFunc(slices.Clone(g.rows), func(row Row) bool {
			return s.Rows != nil && !s.Rows.MatchString(row.Name()+" "+string(row.Class))
		})
		if len(wanted) == 0 || ctx.Err() != nil {
			continue
		}
		results = append(results, s.group(ctx, g, wanted)...)
	}
	return results
}

// filesFrom is the object size, in bytes, above which a server is taken to keep
// payloads in files of their own.
const filesFrom = 64 << 10

// stage is one group being run: which keys are where.
type stage struct {
	*Suite
	group   group
	load    Load              // against the server
	stored  uint64            // keys 0 to stored-1 are in the server's bucket
	bare    map[BareKind]Load // against the bare handler
	inFiles uint64            // the same, in the bare handler's directory
	reason  string            // why nothing more of the group can be measured
}

// group runs the wanted rows of one group.
func (s *Suite) group(ctx context.Context, g group, wanted []Row) []RowResult {
	st := &stage{Suite: s, group: g, bare: make(map[BareKind]Load)}
	st.load = s.Load
	st.load.Bucket = s.Name + "-" + g.name()
	st.load.Sizes = FixedSize(g.size)
	st.load.Keys.Prefix = ""
	for kind, bucket := range map[BareKind]string{
		BareMemory: fmt.Sprint(memoryBucket, g.size),
		BareFile:   fileBucket + s.Name + "-" + g.name(),
	} {
		load := st.load
		load.Endpoint, load.TLS, load.Bucket = s.Bare.endpoint, nil, bucket
		st.bare[kind] = load
	}
	if err := st.prepare(ctx, wanted); err != nil {
		st.reason = err.Error()
	}
	var results []RowResult
	for _, row := range wanted {
		result := RowResult{Row: row, Title: row.Name()}
		if ctx.Err() == nil {
			if err := st.row(ctx, row, &result); err != nil {
				result.Reason = err.Error()
			}
		}
		if ctx.Err() != nil && len(result.Server) == 0 {
			result.Reason = "interrupted"
		}
		result.sumUp()
		results = append(results, result)
	}
	if err := RemoveBucket(ctx, st.bare[BareFile]); err != nil && ctx.Err() == nil {
		fmt.Fprintln(s.meter, "bare handler:", err)
	}
	return results
}

// prepare makes the buckets, and fills them when the wanted rows do not.
func (st *stage) prepare(ctx context.Context, wanted []Row) error {
	if _, err := CreateBucket(ctx, st.bare[BareFile]); err != nil {
		return err
	}
	if _, err := CreateBucket(ctx, st.load); err != nil {
		return err
	}
	if st.group.class != objects.Synced || st.group.etag != objects.ETagMD5 {
		if st.Native == "" {
			return errs.E("loader.Suite", st.load.Bucket, errs.Invalid, errors.New("no native address to set bucket properties at"))
		}
		props := objects.BucketProps{Durability: st.group.class, ETag: st.group.etag}
		if err := SetBucketProps(ctx, st.load, st.Native, props); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(wanted, func(row Row) bool { return row.Operation == Put }) {
		return nil
	}
	const enough = 256 << 20 // more than any cache of the server that is not meant to hold objects
	if err := st.fill(ctx, st.load, &st.stored, min(st.PutBytes, enough)); err != nil {
		return err
	}
	return st.fill(ctx, st.bare[BareFile], &st.inFiles, min(st.PutBytes, enough/4))
}

// fill puts objects that no row measures.
func (st *stage) fill(ctx context.Context, load Load, stored *uint64, size int64) error {
	load.Mix, load.Ops = Only(Put), uint64(max(size/st.group.size, 1))
	result, err := st.meter.run(ctx, "objects for the next rows", load, Observed{})
	if err != nil {
		return err
	}
	*stored = result.begun()
	return result.Failed()
}

// row runs one row: the bare handler and the server in turns.
func (st *stage) row(ctx context.Context, row Row, result *RowResult) error {
	if st.reason != "" {
		return errors.New(st.reason)
	}
	for pair := range st.Pairs {
		for _, reference := range row.Reference {
			load, stored := st.bare[reference.Kind], &st.inFiles
			if reference.Kind == BareMemory {
				load.Keys.Count = 1 << 20 // they all exist
				stored = nil
			}
			segment, err := st.segment(ctx, load, row, pair, stored, Observed{Server: st.Bare.Process})
			if err != nil {
				return fmt.Errorf("bare handler: %w", err)
			}
			result.Bare = append(result.Bare, BareResult{reference.Kind, segment})
		}
		segment, err := st.segment(ctx, st.load, row, pair, &st.stored, st.Observed)
		if err != nil {
			if row.Operation == Put {
				st.reason = "its objects could not be put: " + err.Error()
			}
			return err
		}
		result.Server = append(result.Server, segment)
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

// longestSegment ends the lengthening of segments in which nothing was done.
const longestSegment = time.Minute

// segment runs a row's load once. stored is how many keys the target holds, which
// a PUT adds to; nil: it holds any key.
func (st *stage) segment(ctx context.Context, load Load, row Row, pair int, stored *uint64, observed Observed) (*Result, error) {
	server := load.Endpoint == st.load.Endpoint
	load.Mix = Only(row.Operation)
	load.Duration = st.Segment
	switch row.Operation {
	case Put:
		load.Keys.First, load.Keys.Order = *stored, Sequential
		if server { // however long it takes
			load.Duration = 0
			load.Ops = uint64(max((st.PutBytes/row.Size+int64(st.Pairs)-1)/int64(st.Pairs), 1))
		}
	case Get, Head:
		load.Keys.Order = Uniform
		if stored != nil {
			load.Keys.Count = *stored
		}
	case Delete: // each pair an equal part of the keys, none twice
		share := *stored / uint64(st.Pairs)
		load.Keys.First, load.Keys.Order, load.Keys.Count = uint64(pair)*share, Sequential, share
	}
	if row.Operation != Put && row.Operation != Delete && pair == 0 {
		warm := load
		warm.Duration = st.Segment / 10
		if row.Operation == Get && row.Size > filesFrom && stored != nil {
			// Payload files are not in the page cache when they were just written.
			warm.Duration, warm.Ops, warm.Keys.Order = 0, *stored, Sequential
		}
		if _, err := st.meter.run(ctx, row.Name()+", warming up", warm, Observed{}); err != nil {
			return nil, err
		}
	}
	result, err := st.meter.run(ctx, row.Name()+" "+string(row.Class), load, observed)
	// A machine that has other things to do may end no request of a short segment.
	for err == nil && result.Ops+result.Errors == 0 && ctx.Err() == nil && 0 < load.Duration && load.Duration < longestSegment {
		load.Duration *= 2
		result, err = st.meter.run(ctx, row.Name()+" "+string(row.Class)+", longer", load, observed)
	}
	if err != nil {
		return nil, err
	}
	if row.Operation == Put {
		*stored += result.begun()
	}
	who := "server"
	if !server {
		who = "bare handler, " + load.Bucket
	}
	micros, _ := result.ServerMicros()
	fmt.Fprintf(st.meter, "%-28s %-8s %-40s %8d ops %6d errors %9.1f µs/op\n", row.Name(), row.Class, who, result.Ops, result.Errors, micros)
	if err := result.Failed(); err != nil {
		return nil, err
	}
	if result.Ops == 0 && ctx.Err() == nil {
		return nil, errs.E("loader.Suite", row.Name(), errs.Internal, errors.New("no operation was done"))
	}
	if server && row.Operation == Put && result.Class != "" && result.Class != string(row.Class) {
		return nil, errs.E("loader.Suite", row.Name(), errs.Conflict, fmt.Errorf("the receipts say %s, wanted %s", result.Class, row.Class))
	}
	return result, nil
}

// sumUp fills in the figures that follow from the segments.
func (r *RowResult) sumUp() {
	micros := microsOf(r.Server)
	if len(micros) == 0 {
		if r.Reason == "" {
			r.Reason = "the server's process is not known (--pid)"
		}
		return
	}
	r.Micros = spreadOf(micros)
	r.Missed = r.Micros.Median > r.Target
	for _, reference := range r.Reference {
		var bare []*Result
		for _, segment := range r.Bare {
			if segment.Kind == reference.Kind {
				bare = append(bare, segment.Result)
			}
		}
		if micros := microsOf(bare); len(micros) > 0 {
			measured := spreadOf(micros)
			r.Comparison = append(r.Comparison, BareMeasurement{
				BareReference: reference, Measured: measured,
				Ratio: r.Micros.Median / measured.Median, Wanted: r.Target / reference.Micros,
			})
		}
	}
}

// microsOf returns the server's CPU per operation of every run that has it.
func microsOf(results []*Result) []float64 {
	var micros []float64
	for _, result := range results {
		if m, known := result.ServerMicros(); known {
			micros = append(micros, m)
		}
	}
	return micros
}
