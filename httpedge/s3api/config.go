package s3api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/httpedge/access"
	"github.com/troupe-storage/troupe/httpedge/intra"
)

// Owner is the account that owns every bucket and object.
type Owner struct {
	ID          string // canonical user id, as S3 shows it; default: 64 zeros and a one at the end
	DisplayName string // default "troupe"
}

// Limits bound what one request may ask for. The zero value of each field
// stands for its default.
type Limits struct {
	ObjectBytes    int64         // the largest object, also in one request; default 5 TiB
	PartBytes      int64         // the largest part; default ObjectBytes
	MinPartBytes   int64         // the smallest part but the last, as the gateway enforces it: told to the client; default 5 MiB
	MetadataBytes  int           // user metadata: names and values together; default 2 KiB
	MaxKeys        int           // names in one page of a listing; default 1000
	MaxParts       int           // highest number of a part; default 10,000
	MaxDeleteKeys  int           // keys in one DeleteObjects; default 1000
	MaxBuckets     int           // buckets in one page of ListBuckets; default 10,000
	DeleteWorkers  int           // deletes of one DeleteObjects under way at once; default 16
	SmallDocument  int64         // bytes of an XML body that configures something; default 64 KiB
	DeleteDocument int64         // bytes of the XML body of DeleteObjects; default 8 MiB: 1000 keys of 1 KiB, escaped
	PartsDocument  int64         // bytes of the XML body of CompleteMultipartUpload; default 10 MiB: 10,000 parts with checksums
	DrainBytes     int64         // bytes of a refused upload that are read and dropped; default 4 MiB
	DrainTime      time.Duration // how long that may take; default 5 s
}

// The defaults of Limits.
const (
	defaultObjectBytes  = 5 << 40 // S3's limit of an object made of parts
	defaultMinPart      = 5 << 20
	defaultMetadata     = 2 << 10
	defaultPage         = 1000
	defaultMaxParts     = 10_000
	defaultBuckets      = 10_000
	defaultWorkers      = 16
	defaultSmallDoc     = 64 << 10
	defaultDeleteDoc    = 8 << 20
	defaultPartsDoc     = 10 << 20
	defaultDrainBytes   = 4 << 20
	defaultDrainTime    = 5 * time.Second
	defaultRegion       = "us-east-1"
	defaultOwnerID      = "0000000000000000000000000000000000000000000000000000000000000001"
	defaultOwnerDisplay = "troupe"
)

func (l Limits) withDefaults() Limits {
	setDefault(&l.ObjectBytes, defaultObjectBytes)
	setDefault(&l.PartBytes, l.ObjectBytes)
	setDefault(&l.MinPartBytes, defaultMinPart)
	setDefault(&l.MetadataBytes, defaultMetadata)
	setDefault(&l.MaxKeys, defaultPage)
	setDefault(&l.MaxParts, defaultMaxParts)
	setDefault(&l.MaxDeleteKeys, defaultPage)
	setDefault(&l.MaxBuckets, defaultBuckets)
	setDefault(&l.DeleteWorkers, defaultWorkers)
	setDefault(&l.SmallDocument, defaultSmallDoc)
	setDefault(&l.DeleteDocument, defaultDeleteDoc)
	setDefault(&l.PartsDocument, defaultPartsDoc)
	setDefault(&l.DrainBytes, defaultDrainBytes)
	setDefault(&l.DrainTime, defaultDrainTime)
	return l
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Config says what a Handler needs. Gateway and Auth are required.
type Config struct {
	Gateway Gateway
	Auth    Authenticator

	// Domains are the base domains of virtual-host style requests: with
	// "s3.example.com", the host photos.s3.example.com names the bucket photos.
	// Without a port. Empty: path style only.
	Domains []string
	Region  string // that clients are told; default us-east-1
	// Regions are where CreateBucket may ask for a bucket, beside Region: all of
	// them are here.
	Regions []string
	Prefix  string // where the service stands in the URL space: "" or, for example, "/s3"
	Owner   Owner
	Limits  Limits

	// Context is given to the gateway with every request; it ends with the node.
	// Default context.Background().
	Context context.Context
	Log     logrus.FieldLogger // default: the standard logger of logrus
	// RequestID makes the id of a request, unique enough to find it in a log.
	// Default: access.NewID.
	RequestID func() string
	HostID    string // x-amz-id-2: which node answered; default "troupe"
	// Relay leads to the nodes that are in charge of other keys; nil: the node is alone.
	Relay *intra.Edge
	// Ready says why the node cannot serve now, or nil; nil: it always can.
	Ready func() error
	// Alone fails while the node must answer no request, though it serves: it cannot tell
	// whether others have taken its place. nil: it always can.
	Alone func() error
}

// Validate reports everything that is wrong with the configuration.
func (c *Config) Validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf("s3api: "+format, args...)) }
	if c.Gateway == nil {
		bad("no gateway")
	}
	if c.Auth == nil {
		bad("no authenticator")
	}
	if c.Prefix != "" && (!strings.HasPrefix(c.Prefix, "/") || strings.HasSuffix(c.Prefix, "/")) {
		bad("prefix %q must begin with a slash and not end with one", c.Prefix)
	}
	for _, d := range c.Domains {
		if d == "" || strings.ContainsAny(d, ":/") || strings.HasPrefix(d, ".") {
			bad("domain %q must be a host name without port", d)
		}
	}
	l := c.Limits
	for _, n := range []int64{l.ObjectBytes, l.PartBytes, l.MinPartBytes, int64(l.MetadataBytes), int64(l.MaxKeys), int64(l.MaxParts), int64(l.MaxDeleteKeys),
		int64(l.MaxBuckets), int64(l.DeleteWorkers), l.SmallDocument, l.DeleteDocument, l.PartsDocument, l.DrainBytes, int64(l.DrainTime)} {
		if n < 0 {
			bad("limits must not be negative: %+v", l)
			break
		}
	}
	return errors.Join(faults...)
}

func (c Config) withDefaults() Config {
	setDefault(&c.Region, defaultRegion)
	setDefault(&c.Owner.ID, defaultOwnerID)
	setDefault(&c.Owner.DisplayName, defaultOwnerDisplay)
	setDefault(&c.HostID, "troupe")
	c.Limits = c.Limits.withDefaults()
	if c.Context == nil {
		c.Context = context.Background()
	}
	if c.Log == nil {
		c.Log = logrus.StandardLogger()
	}
	if c.RequestID == nil {
		c.RequestID = access.NewID
	}
	return c
}
