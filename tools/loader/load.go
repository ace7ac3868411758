package loader

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Load says what to ask of which server, and for how long. A plain value; it is
// not changed by a run.
type Load struct {
	Endpoint  string // "http://host:port", or "https://…": then figures include what TLS costs
	Bucket    string // must exist
	AccessKey string
	SecretKey string
	Region    string // default "us-east-1"

	// TLS is how an HTTPS endpoint is verified; nil: by the system's authorities. It
	// is cloned, not changed.
	TLS *tls.Config

	Mix        Mix
	Sizes      Sizes // of the objects that are put; those that are read must have it
	Keys       Keys
	ListKeys   int   // keys per page of LIST, 1 to 1,000; default 1,000
	RangeBytes int64 // of RANGE: length of the slice, at a random place; default 128 KiB
	PartBytes  int64 // of MULTIPART: length of a part, 5 MiB to 5 GiB; default 8 MiB

	// Stored says that every key is there when the run begins, so that one that
	// is missing is a failure. It matters to mixes with deletes only; other loads
	// take it for granted.
	Stored bool

	Connections int // one worker each, 1 to 4,096; default 16

	// The run ends at whichever limit comes first; zero is no limit, and one must be set.
	Duration time.Duration
	Ops      uint64
	Bytes    int64 // of objects put or read

	// Rate is how many operations to begin per second, over all connections; zero:
	// as fast as answers come. With a rate, an operation's time counts from when it
	// was due, so that a server that stands still is not flattered by those that
	// could not be asked meanwhile.
	Rate float64

	// RampTo, if it is not zero, is the rate that Rate grows or falls to, evenly,
	// over Duration, or over what Ops take where there is no duration.
	RampTo float64

	Verify      bool          // compare what GET returns with what was put
	Stall       time.Duration // a connection without progress for this long has failed; default 30 s
	MaxFailures uint64        // the run gives up beyond so many; default 1,000
}

const (
	defaultConnections = 16
	maxConnections     = 4096
	defaultListKeys    = 1000
	defaultRangeBytes  = 128 << 10
	defaultPartBytes   = 8 << 20
	// S3 takes parts of 5 MiB to 5 GiB, the last one may be smaller, and 10,000 of
	// them.
	minPartBytes       = 5 << 20
	maxPartBytes       = 5 << 30
	maxParts           = 10000
	defaultStall       = 30 * time.Second
	defaultMaxFailures = 1000
	defaultRegion      = "us-east-1"
)

// withDefaults returns the load with its defaults filled in.
func (l Load) withDefaults() Load {
	if l.Region == "" {
		l.Region = defaultRegion
	}
	if l.ListKeys == 0 {
		l.ListKeys = defaultListKeys
	}
	if l.RangeBytes == 0 {
		l.RangeBytes = defaultRangeBytes
	}
	if l.PartBytes == 0 {
		l.PartBytes = defaultPartBytes
	}
	if l.Connections == 0 {
		l.Connections = defaultConnections
	}
	if l.Stall == 0 {
		l.Stall = defaultStall
	}
	if l.MaxFailures == 0 {
		l.MaxFailures = defaultMaxFailures
	}
	return l
}

// Validate reports everything that is wrong with the load at once
// (errs.Invalid), or nil. Defaults count as given.
func (l Load) Validate() error {
	l = l.withDefaults()
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if _, err := l.target(); err != nil {
		faults = append(faults, err)
	}
	if err := l.Keys.check(); err != nil {
		faults = append(faults, err)
	}
	if l.AccessKey == "" || l.SecretKey == "" {
		fault("access key and secret key are needed: a load is signed")
	}
	single, alone := l.Mix.Single()
	if l.TLS != nil && strings.HasPrefix(l.Endpoint, "http://") {
		fault("certificates are of use with https:// only, and the endpoint is %s", l.Endpoint)
	}
	if l.Mix == (Mix{}) {
		fault("the mix asks for nothing")
	}
	if l.Mix.stores() || l.Mix.reads() || l.Mix.Has(Head) {
		if len(l.Sizes.choices) == 0 {
			fault("objects need a size")
		}
	}
	if l.Keys.Count == 0 && !l.Mix.storesOnly() && !(alone && single == List) {
		fault("%s needs a count of keys", l.Mix)
	}
	if l.ListKeys < 1 || l.ListKeys > 1000 {
		fault("%d keys a page: 1 to 1,000", l.ListKeys)
	}
	if l.RangeBytes < 1 {
		fault("slices of %d bytes", l.RangeBytes)
	}
	if l.Mix.Has(Range) && l.Sizes.smallest() == 0 {
		fault("an empty object has no slice: RANGE needs sizes of 1 byte or more")
	}
	if l.PartBytes < minPartBytes || l.PartBytes > maxPartBytes {
		fault("parts of %s: 5MiB to 5GiB", FormatBytes(l.PartBytes))
	} else if l.Mix.Has(Multipart) && (l.Sizes.largest()+l.PartBytes-1)/l.PartBytes > maxParts {
		fault("objects of %s in parts of %s: S3 takes %d parts", FormatBytes(l.Sizes.largest()), FormatBytes(l.PartBytes), maxParts)
	}
	if l.Connections < 1 || l.Connections > maxConnections {
		fault("%d connections: 1 to %d", l.Connections, maxConnections)
	}
	if l.partitioned() && l.Keys.Count < uint64(l.Connections) {
		fault("%d keys for %d connections: a mix with deletes gives each connection keys of its own", l.Keys.Count, l.Connections)
	}
	if l.Duration < 0 || l.Bytes < 0 || l.Stall < 0 {
		fault("durations and bytes are not negative")
	}
	faults = append(faults, l.rateFaults()...)
	if l.Bytes > 0 && !l.Mix.stores() && !l.Mix.reads() {
		fault("%s moves no objects: a number of bytes is no end", l.Mix)
	}
	if l.Duration == 0 && l.Ops == 0 && l.Bytes == 0 && !(alone && single == Delete) {
		fault("the run has no end: set a duration, a number of operations or of bytes")
	}
	if len(faults) == 0 {
		return nil
	}
	return errs.E("loader.Validate", errs.Invalid, errors.Join(faults...))
}

// partitioned reports whether every worker has keys of its own: only then does it
// know which of them are there while others delete. Key i belongs to worker
// i mod Connections.
func (l Load) partitioned() bool {
	_, alone := l.Mix.Single()
	return l.Mix.Has(Delete) && !alone
}

// target reads endpoint and bucket.
func (l Load) target() (*target, error) {
	u, err := client.ParseEndpoint(l.Endpoint)
	if err != nil {
		return nil, err
	}
	if u.Path != "" || !strings.Contains(l.Endpoint, "://") {
		return nil, fmt.Errorf("endpoint %q is not http://host:port or https://host:port", l.Endpoint)
	}
	if text := u.Port(); text != "" {
		if number, err := strconv.Atoi(text); err != nil || number < 1 || number > 65535 {
			return nil, fmt.Errorf("endpoint %q: port %q", l.Endpoint, text)
		}
	}
	if len(l.Bucket) < 3 || len(l.Bucket) > 63 {
		return nil, fmt.Errorf("bucket %q is not 3 to 63 characters long", l.Bucket)
	}
	for i := range len(l.Bucket) {
		if c := l.Bucket[i]; !unreserved(c) || c == '~' {
			return nil, fmt.Errorf("bucket %q holds %q", l.Bucket, c)
		}
	}
	t := &target{address: dialAddress(u), host: u.Host, bucket: l.Bucket}
	if u.Scheme == "https" {
		t.tls = securityFor(l.TLS, u.Hostname())
	}
	return t, nil
}
