package objects

import (
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"time"
)

// BucketID names one life of a bucket: destroying and recreating a bucket gives
// another id, so nothing of the old one can come back. Random, never zero.
type BucketID [8]byte

// String returns the id as 16 hexadecimal digits.
func (id BucketID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the id is not set.
func (id BucketID) IsZero() bool { return id == BucketID{} }

// ParseBucketID reads what String wrote.
func ParseBucketID(s string) (BucketID, error) {
	var id BucketID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return BucketID{}, fmt.Errorf("bucket id %q is not 16 hexadecimal digits", s)
	}
	copy(id[:], b)
	return id, nil
}

// MarshalText and UnmarshalText make the id readable in JSON documents.
func (id BucketID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *BucketID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseBucketID(string(b))
	return err
}

// ProviderAIS is the provider of buckets that live in Troupe itself.
const ProviderAIS = "ais"

// Bucket identifies a bucket: where it comes from, its name, and which life.
type Bucket struct {
	ID        BucketID `json:"id"`
	Provider  string   `json:"provider"`            // ProviderAIS, later "aws", "gcp", …
	Namespace string   `json:"namespace,omitempty"` // "uuid#name"; empty is the global namespace
	Name      string   `json:"name"`
}

// String returns the bucket's name, as people say it.
func (b Bucket) String() string { return b.Name }

// Uname returns the bucket's unique name as AIStore writes it, the prefix of
// every key's uname: "ais/@#/photos/". (specs: AIStore native API, Placement)
func (b Bucket) Uname() string {
	ns := b.Namespace
	if ns == "" {
		ns = "#"
	}
	return b.Provider + "/@" + ns + "/" + b.Name + "/"
}

// Global reports whether payloads of this bucket lie under the bucket's own
// name on a mountpath: provider ais and the global namespace.
func (b Bucket) Global() bool { return b.Provider == ProviderAIS && b.Namespace == "" }

// Durability is the class of a bucket: what an acknowledged write survives.
type Durability string

const (
	// Synced: payload and record are on stable storage; survives a power cut.
	Synced Durability = "synced"
	// Relaxed: the record is on stable storage, the operating system has the
	// payload; survives a process kill.
	Relaxed Durability = "relaxed"
)

// ETagKind says how a bucket's entity tags are made.
type ETagKind string

const (
	// ETagMD5 is S3's: the MD5 of the payload.
	ETagMD5 ETagKind = "md5"
	// ETagFast is the xxhash64 and size of the payload, never 32 hexadecimal digits.
	ETagFast ETagKind = "fast"
)

// Versioning is S3's versioning status of a bucket.
type Versioning string

const (
	// VersioningOff: never enabled.
	VersioningOff Versioning = ""
	// VersioningEnabled keeps every version.
	VersioningEnabled Versioning = "Enabled"
	// VersioningSuspended keeps what was versioned and replaces the null version.
	VersioningSuspended Versioning = "Suspended"
)

// BucketProps are the properties of a bucket. The zero value of each field
// stands for its default.
type BucketProps struct {
	Durability      Durability `json:"durability,omitempty"` // default Synced
	ETag            ETagKind   `json:"etag,omitempty"`       // default ETagMD5
	Versioning      Versioning `json:"versioning,omitempty"`
	ValidateWarmGet bool       `json:"validate_warm_get,omitempty"` // verify checksums on kernel-sent and ranged reads too
	// HideWrites keeps the count of writes from native clients: AIStore's
	// versioning.enabled is false.
	HideWrites bool `json:"hide_writes,omitempty"`

	// Copies is on how many nodes of a cluster an object is; default 1. MinCopies is how
	// many must have it before a write is acknowledged, while others are away; default 1
	// for up to two copies, and the majority for more. Another number of copies is what
	// BucketDoc.Next has until a plan has made them.
	Copies    int `json:"copies,omitempty"`
	MinCopies int `json:"min_copies,omitempty"`
	// Reads says whether a read asks the other nodes first whether it is still this
	// one's to answer; default ReadsConfirmed.
	Reads Reads `json:"reads,omitempty"`

	// DataSlices and ParitySlices are d and p: an object is d+p slices on as many nodes, any
	// d of which give it back; both 0: it is not erasure-coded. No bucket can ask for it yet:
	// see Check, and docs/build-protection.md.
	DataSlices   int `json:"ec_data,omitempty"`   // 1 to MaxDataSlices
	ParitySlices int `json:"ec_parity,omitempty"` // 1 to MaxParitySlices
	// SliceFrom is how large payloads are that are sliced, in bytes; smaller ones are whole.
	// Default DefaultSliceFrom; -1: all are whole.
	SliceFrom int64 `json:"ec_size_limit,omitempty"`
	// MinSlices is how many different slices must be durable before a write is
	// acknowledged: d to d+p, default d+1.
	MinSlices int `json:"min_slices,omitempty"`
	// KeepWhole has the node that writes an object keep all of it, too.
	KeepWhole bool `json:"keep_whole,omitempty"`
	// SliceDisks is how many slices of an object one node may hold, each on a mountpath of
	// its own: 1 to MaxSliceDisks, default 1.
	SliceDisks int `json:"ec_disks,omitempty"`
}

const (
	// DefaultSliceFrom is the default of BucketProps.SliceFrom, AIStore's.
	DefaultSliceFrom = 256 << 10
	// MaxSliceDisks bounds BucketProps.SliceDisks.
	MaxSliceDisks = 16
)

// MaxCopies bounds BucketProps.Copies: each is a node that a write waits for.
const MaxCopies = 16

// Reads says what a read of a bucket with copies on several nodes promises.
type Reads string

const (
	// ReadsConfirmed: it shows the last write that was acknowledged before it began.
	ReadsConfirmed Reads = "confirmed"
	// ReadsRelaxed: it may show an older one, of a node that does not know yet that
	// another is in charge.
	ReadsRelaxed Reads = "relaxed"
)

// Owners returns on how many nodes an object is, with the default filled in: as many as
// there are slices where it is erasure-coded, else as there are copies.
func (p BucketProps) Owners() int {
	if p.Coded() {
		return p.DataSlices + p.ParitySlices
	}
	return max(1, p.Copies)
}

// Coded reports whether objects are erasure-coded.
func (p BucketProps) Coded() bool { return p.DataSlices > 0 }

// LeastSlices returns how many different slices must be durable before a write is
// acknowledged, with the default filled in; 0 where objects are not erasure-coded.
func (p BucketProps) LeastSlices() int {
	if p.MinSlices > 0 || !p.Coded() {
		return p.MinSlices
	}
	return p.DataSlices + 1
}

// Slices reports whether a payload of so many bytes is sliced; else it is whole.
func (p BucketProps) Slices(sizeBytes int64) bool {
	from := p.SliceFrom
	if from == 0 {
		from = DefaultSliceFrom
	}
	return p.Coded() && from > 0 && sizeBytes >= from
}

// SlicesPerNode returns how many slices of an object one node may hold, with the default
// filled in.
func (p BucketProps) SlicesPerNode() int { return max(1, p.SliceDisks) }

// Consistency returns what reads promise, with the default filled in.
func (p BucketProps) Consistency() Reads {
	if p.Reads == "" {
		return ReadsConfirmed
	}
	return p.Reads
}

// LeastCopies returns how many nodes must have an object before a write of it is
// acknowledged, with the default filled in.
func (p BucketProps) LeastCopies() int {
	switch {
	case p.MinCopies > 0:
		return p.MinCopies
	case p.Owners() <= 2:
		return 1
	}
	return p.Owners()/2 + 1
}

// Class returns the durability class with the default filled in.
func (p BucketProps) Class() Durability {
	if p.Durability == "" {
		return Synced
	}
	return p.Durability
}

// ETagKind returns the kind of entity tags with the default filled in.
func (p BucketProps) ETagKind() ETagKind {
	if p.ETag == "" {
		return ETagMD5
	}
	return p.ETag
}

// BucketState is where a bucket's document stands in its life.
type BucketState string

const (
	// BucketLive: in use.
	BucketLive BucketState = "live"
	// BucketDeleting: sealed; being destroyed with all that is in it.
	BucketDeleting BucketState = "deleting"
	// BucketDestroyed: gone; kept so that its data is known to be trash.
	BucketDestroyed BucketState = "destroyed"
)

// BucketDoc is the agreed document of a bucket: its identity, properties and
// state. Immutable once published; a change is a new document with a higher Version.
type BucketDoc struct {
	Bucket
	Version uint64      `json:"version"` // counts the changes of this document, from 1
	State   BucketState `json:"state"`
	Created time.Time   `json:"created"`
	Props   BucketProps `json:"props"`
	// Next is how many copies there are to be; nil: as many as Props say. They are made by a
	// plan of the cluster, and Props follow when it has ended.
	Next *NextCopies `json:"next,omitempty"`
}

// NextCopies is what BucketProps.Copies and MinCopies are to become.
type NextCopies struct {
	Copies    int `json:"copies"` // from 1
	MinCopies int `json:"min_copies,omitempty"`
}

// Wanted returns the properties as they are once Next has been done.
func (d *BucketDoc) Wanted() BucketProps {
	props := d.Props
	if d.Next != nil {
		props.Copies, props.MinCopies = d.Next.Copies, d.Next.MinCopies
	}
	return props
}

// LeastOf returns how many of so many owners of an object must have it before a write of it
// is acknowledged. While a plan changes the copies, some objects have as many owners as
// there were, and some as many as there are to be: to each of both belongs its own number.
func (d *BucketDoc) LeastOf(owners int) int {
	props := d.Props
	if owners != props.Owners() && d.Next != nil && owners == d.Next.Copies {
		props = d.Wanted()
	}
	return min(props.LeastCopies(), owners)
}

// With returns the successor of a document for which these properties are wanted. Other
// copies than there are come to Next, and all else holds at once.
func (d *BucketDoc) With(wanted BucketProps) *BucketDoc {
	next := *d
	next.Version++
	next.Props, next.Next = wanted, nil
	if wanted.Owners() != d.Props.Owners() {
		next.Next = &NextCopies{wanted.Owners(), wanted.MinCopies}
		next.Props.Copies, next.Props.MinCopies = d.Props.Copies, d.Props.MinCopies
	}
	return &next
}

// Behind reports whether the document does not say yet that a plan has made so many copies.
func (d *BucketDoc) Behind(copies int) bool {
	return d.Props.Owners() != copies || d.Next != nil && d.Next.Copies == copies
}

// Recopied returns the successor of a document whose bucket has so many copies now.
func (d *BucketDoc) Recopied(copies int) *BucketDoc {
	next := *d
	next.Version++
	next.Props.Copies = copies
	if d.Next != nil && d.Next.Copies == copies {
		next.Props.MinCopies, next.Next = d.Next.MinCopies, nil
	}
	if next.Props.MinCopies > copies {
		next.Props.MinCopies = 0
	}
	return &next
}

// MostCopies returns how many copies an object of the bucket has, or is to have.
func (d *BucketDoc) MostCopies() int {
	if d.Next == nil {
		return d.Props.Owners()
	}
	return max(d.Props.Owners(), d.Next.Copies)
}

// MaxBucketNameBytes is the longest name of a bucket: AIStore's limit.
const MaxBucketNameBytes = 64

// CheckBucketName says why AIStore refuses the name for a new bucket, or nil.
// S3's rules are narrower, but for names in upper case.
func CheckBucketName(name string) error {
	bad := func(why string) error { return fmt.Errorf("%w: %q %s", ErrBucketName, name, why) }
	if name == "" || len(name) > MaxBucketNameBytes {
		return bad("must be 1 to 64 characters long")
	}
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '-' && c != '_' && c != '.' {
			return bad("may hold letters, digits, '-', '_' and '.' only")
		}
	}
	if name[0] == '.' {
		return bad("must not begin with a dot")
	}
	if strings.Contains(name, "..") {
		return bad("must not hold two dots in a row")
	}
	return nil
}

// CheckS3BucketName says why S3 refuses the name for a new bucket, or nil.
// Source: Amazon S3 user guide, "General purpose bucket naming rules".
func CheckS3BucketName(name string) error {
	bad := func(why string) error { return fmt.Errorf("%w: %q %s", ErrBucketName, name, why) }
	if len(name) < 3 || len(name) > 63 {
		return bad("must be 3 to 63 characters long")
	}
	alnum := func(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
	for i := range len(name) {
		if c := name[i]; !alnum(c) && c != '-' && c != '.' {
			return bad("may hold lower-case letters, digits, '-' and '.' only")
		}
	}
	if !alnum(name[0]) || !alnum(name[len(name)-1]) {
		return bad("must begin and end with a letter or a digit")
	}
	if strings.Contains(name, "..") {
		return bad("must not hold two dots in a row")
	}
	if strings.Contains(name, ".-") || strings.Contains(name, "-.") {
		return bad("must not hold a dash next to a dot")
	}
	if net.ParseIP(name) != nil {
		return bad("must not look like an IP address")
	}
	for _, prefix := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(name, prefix) {
			return bad("must not begin with " + prefix)
		}
	}
	for _, suffix := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(name, suffix) {
			return bad("must not end with " + suffix)
		}
	}
	return nil
}

// Check says which property has a value that it cannot have, or nil.
func (p BucketProps) Check() error {
	switch {
	case p.Class() != Synced && p.Class() != Relaxed:
		return fmt.Errorf("durability %q is neither %q nor %q", p.Durability, Synced, Relaxed)
	case p.ETagKind() != ETagMD5 && p.ETagKind() != ETagFast:
		return fmt.Errorf("etag %q is neither %q nor %q", p.ETag, ETagMD5, ETagFast)
	case p.Versioning != VersioningOff && p.Versioning != VersioningEnabled && p.Versioning != VersioningSuspended:
		return fmt.Errorf("versioning %q is neither %q nor %q", p.Versioning, VersioningEnabled, VersioningSuspended)
	case p.Copies < 0 || p.Copies > MaxCopies:
		return fmt.Errorf("copies %d is not from 1 to %d", p.Copies, MaxCopies)
	case p.MinCopies < 0 || p.MinCopies > p.Owners():
		return fmt.Errorf("min_copies %d is not from 1 to %d, the copies", p.MinCopies, p.Owners())
	case p.Reads != "" && p.Reads != ReadsConfirmed && p.Reads != ReadsRelaxed:
		return fmt.Errorf("reads %q is neither %q nor %q", p.Reads, ReadsConfirmed, ReadsRelaxed)
	}
	if err := p.checkSlices(); err != nil {
		return err
	}
	if p.Coded() { // until writing, reading and repairing them is there
		return fmt.Errorf("ec %d+%d: this version has no erasure coding of buckets", p.DataSlices, p.ParitySlices)
	}
	return nil
}

// checkSlices says which property of erasure coding has a value that it cannot have, or nil.
func (p BucketProps) checkSlices() error {
	d, width := p.DataSlices, p.DataSlices+p.ParitySlices
	if d == 0 && p.ParitySlices == 0 {
		switch {
		case p.SliceFrom != 0:
			return fmt.Errorf("ec_size_limit %d: the bucket has no ec", p.SliceFrom)
		case p.MinSlices != 0:
			return fmt.Errorf("min_slices %d: the bucket has no ec", p.MinSlices)
		case p.KeepWhole:
			return fmt.Errorf("keep_whole: the bucket has no ec")
		case p.SliceDisks != 0:
			return fmt.Errorf("ec_disks %d: the bucket has no ec", p.SliceDisks)
		}
		return nil
	}
	switch {
	case d < 1 || d > MaxDataSlices:
		return fmt.Errorf("ec_data %d is not from 1 to %d", d, MaxDataSlices)
	case p.ParitySlices < 1 || p.ParitySlices > MaxParitySlices:
		return fmt.Errorf("ec_parity %d is not from 1 to %d", p.ParitySlices, MaxParitySlices)
	case p.SliceFrom < -1:
		return fmt.Errorf("ec_size_limit %d is neither -1 nor a number of bytes", p.SliceFrom)
	case p.MinSlices != 0 && (p.MinSlices < d || p.MinSlices > width):
		return fmt.Errorf("min_slices %d is not from %d to %d: slices that give an object back, and all of them", p.MinSlices, d, width)
	case p.SliceDisks < 0 || p.SliceDisks > MaxSliceDisks:
		return fmt.Errorf("ec_disks %d is not from 1 to %d", p.SliceDisks, MaxSliceDisks)
	case p.Copies > 1:
		return fmt.Errorf("ec %d+%d and copies %d: slices are the copies", d, p.ParitySlices, p.Copies)
	}
	return nil
}
