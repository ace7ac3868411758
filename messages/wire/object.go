package wire

import (
	"fmt"
	"math"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// What goes out is as a node has it. What comes in is checked for what its type in Go
// cannot hold; whether it makes sense is for those to say who use it.

// AboutOf says that a question is about a bucket. Whole, it is about what several nodes
// keep of it.
func AboutOf(b *objects.BucketDoc, whole bool) *About {
	a := &About{Bucket: b.Name, Document: b.Version}
	if whole {
		a.Id = b.ID[:]
	}
	return a
}

// BucketID returns the id of the bucket; zero: the question is about what one node has.
func (a *About) BucketID() (id objects.BucketID, err error) {
	switch len(a.GetId()) {
	case 0:
	case len(id):
		copy(id[:], a.Id)
	default:
		err = fmt.Errorf("a bucket's id of %d bytes", len(a.Id))
	}
	return id, err
}

// EpochOf is a key's epoch as it goes between nodes.
func EpochOf(e smap.Epoch) *Epoch { return &Epoch{Map: e.Map, Document: e.Document} }

// Value returns the epoch; of nil, the zero one.
func (e *Epoch) Value() smap.Epoch { return smap.Epoch{Map: e.GetMap(), Document: e.GetDocument()} }

// GenerationOf is a generation as it goes between nodes; nil for the zero one.
func GenerationOf(g objects.Generation) *Generation {
	if g.IsZero() {
		return nil
	}
	return &Generation{Map: g.Map, Start: g.Start, Seq: g.Seq}
}

// Value returns the generation; of nil, the zero one.
func (g *Generation) Value() objects.Generation {
	return objects.Generation{Map: g.GetMap(), Start: g.GetStart(), Seq: g.GetSeq()}
}

// text is nil for an empty string, so that it is absent.
func text(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// nanos is absent for the zero time.
func nanos(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ns := t.UnixNano()
	return &ns
}

func ofNanos(ns *int64) time.Time {
	if ns == nil {
		return time.Time{}
	}
	return time.Unix(0, *ns).UTC()
}

func instantOf(t time.Time) *Instant {
	if t.IsZero() {
		return nil
	}
	return &Instant{Seconds: t.Unix(), Nanos: uint32(t.Nanosecond())}
}

func (i *Instant) value() time.Time {
	if i == nil {
		return time.Time{}
	}
	return time.Unix(i.Seconds, int64(i.Nanos)).UTC()
}

// RecordOf is a record as it goes between nodes; nil for nil. What names a file on this
// node's disk stays here.
func RecordOf(m *objects.Meta) *Record {
	if m == nil {
		return nil
	}
	return &Record{
		Generation: GenerationOf(m.Generation), Payload: GenerationOf(m.Payload), Deleted: m.Deleted, Unsettled: m.Unsettled,
		Where: uint32(m.Where), Path: text(m.Path), Size: m.Size, Xxhash: m.XXHash, Etag: text(m.ETag), Checksums: checksumsOf(m.Checksums),
		Modified: nanos(m.Modified), Writes: m.Writes, PartCount: int64(m.PartCount), PartSize: m.PartSize, Draft: draftOf(&m.Draft),
		Slicing: SlicingOf(m.Slicing), Follows: GenerationOf(m.Follows),
	}
}

// Meta returns the record; nil for nil.
func (r *Record) Meta() (*objects.Meta, error) {
	if r == nil {
		return nil, nil
	}
	switch {
	case r.Where > math.MaxUint8:
		return nil, fmt.Errorf("a payload in %d, which is no place", r.Where)
	case r.Size < 0 || r.PartCount < 0 || r.PartCount > math.MaxInt32 || r.PartSize < 0:
		return nil, fmt.Errorf("a record of %d bytes in %d parts of %d", r.Size, r.PartCount, r.PartSize)
	}
	sums, err := valuesOf(r.Checksums)
	if err != nil {
		return nil, err
	}
	slicing, err := r.Slicing.Value()
	if err != nil {
		return nil, err
	}
	return &objects.Meta{
		Generation: r.Generation.Value(), Payload: r.Payload.Value(), Deleted: r.Deleted, Unsettled: r.Unsettled,
		Where: objects.Where(r.Where), Path: string(r.Path), Size: r.Size, XXHash: r.Xxhash, ETag: string(r.Etag), Checksums: sums,
		Modified: ofNanos(r.Modified), Writes: r.Writes, PartCount: int(r.PartCount), PartSize: r.PartSize, Draft: r.Draft.value(),
		Slicing: slicing, Follows: r.Follows.Value(),
	}, nil
}

// SlicingOf is a slicing as it goes between nodes; nil for nil.
func SlicingOf(s *objects.Slicing) *Slicing {
	if s == nil {
		return nil
	}
	return &Slicing{
		Data: uint32(s.Data), Parity: uint32(s.Parity), CellBytes: uint32(s.CellBytes), Whole: s.Whole, Members: objects.AppendMembers(nil, s.Members),
	}
}

// Value returns the slicing, which can be; nil for nil.
func (s *Slicing) Value() (*objects.Slicing, error) {
	if s == nil {
		return nil, nil
	}
	members, err := objects.ParseMembers(s.Members)
	if err != nil {
		return nil, err
	}
	value := &objects.Slicing{Data: int(s.Data), Parity: int(s.Parity), CellBytes: int(s.CellBytes), Whole: s.Whole, Members: members}
	if err := value.Check(); err != nil {
		return nil, err
	}
	return value, nil
}

func checksumsOf(values []checksum.Value) []*Checksum {
	if len(values) == 0 {
		return nil
	}
	list := make([]*Checksum, len(values))
	for i, v := range values {
		list[i] = &Checksum{Algorithm: uint32(v.Algorithm), Type: uint32(v.Type), Parts: int64(v.Parts), Sum: text(v.Sum)}
	}
	return list
}

func valuesOf(list []*Checksum) ([]checksum.Value, error) {
	if len(list) == 0 {
		return nil, nil
	}
	values := make([]checksum.Value, len(list))
	for i, c := range list {
		wanted, err := wantedOf(c.Algorithm, c.Type)
		if err != nil {
			return nil, err
		}
		if c.Parts < 0 || c.Parts > math.MaxInt32 {
			return nil, fmt.Errorf("a checksum of %d parts", c.Parts)
		}
		values[i] = checksum.Value{Algorithm: wanted.Algorithm, Type: wanted.Type, Parts: int(c.Parts), Sum: string(c.Sum)}
	}
	return values, nil
}

func wantedOf(algorithm, kind uint32) (checksum.Wanted, error) {
	if algorithm > math.MaxUint8 || kind > math.MaxUint8 {
		return checksum.Wanted{}, fmt.Errorf("a checksum of algorithm %d and type %d", algorithm, kind)
	}
	return checksum.Wanted{Algorithm: checksum.Algorithm(algorithm), Type: checksum.Type(kind)}, nil
}

// draftOf returns nil for what is nothing.
func draftOf(d *objects.Draft) *Draft {
	h := headersOf(&d.Headers)
	if h == nil && len(d.User) == 0 && len(d.Tags) == 0 && d.Class == "" && d.VersionID == "" {
		return nil
	}
	return &Draft{Class: text(string(d.Class)), VersionId: text(d.VersionID), Headers: h, User: pairsOf(d.User), Tags: pairsOf(d.Tags)}
}

func (d *Draft) value() objects.Draft {
	if d == nil {
		return objects.Draft{}
	}
	return objects.Draft{
		Headers: d.Headers.value(), User: ofPairs(d.User), Tags: ofPairs(d.Tags), Class: objects.Durability(d.Class), VersionID: string(d.VersionId),
	}
}

func headersOf(h *objects.Headers) *Headers {
	if *h == (objects.Headers{}) {
		return nil
	}
	return &Headers{
		ContentType: text(h.ContentType), ContentEncoding: text(h.ContentEncoding), ContentDisposition: text(h.ContentDisposition),
		ContentLanguage: text(h.ContentLanguage), CacheControl: text(h.CacheControl), Expires: text(h.Expires), Redirect: text(h.Redirect),
	}
}

func (h *Headers) value() objects.Headers {
	if h == nil {
		return objects.Headers{}
	}
	return objects.Headers{
		ContentType: string(h.ContentType), ContentEncoding: string(h.ContentEncoding), ContentDisposition: string(h.ContentDisposition),
		ContentLanguage: string(h.ContentLanguage), CacheControl: string(h.CacheControl), Expires: string(h.Expires), Redirect: string(h.Redirect),
	}
}

func pairsOf(pairs []objects.Pair) []*Pair {
	if len(pairs) == 0 {
		return nil
	}
	list := make([]*Pair, len(pairs))
	for i, p := range pairs {
		list[i] = &Pair{Name: text(p.Name), Value: text(p.Value)}
	}
	return list
}

func ofPairs(list []*Pair) []objects.Pair {
	if len(list) == 0 {
		return nil
	}
	pairs := make([]objects.Pair, len(list))
	for i, p := range list {
		pairs[i] = objects.Pair{Name: string(p.Name), Value: string(p.Value)}
	}
	return pairs
}

// PartsOf is parts as they go between nodes.
func PartsOf(parts []objects.Part) []*Part {
	if len(parts) == 0 {
		return nil
	}
	list := make([]*Part, len(parts))
	for i := range parts {
		p := &parts[i]
		list[i] = &Part{
			Number: int64(p.Number), Payload: GenerationOf(p.Payload), Size: p.Size, Xxhash: p.XXHash, Etag: text(p.ETag),
			Checksums: checksumsOf(p.Checksums), Modified: nanos(p.Modified), Whole: p.Whole,
		}
	}
	return list
}

// Parts returns parts that came from a node.
func Parts(list []*Part) ([]objects.Part, error) {
	if len(list) == 0 {
		return nil, nil
	}
	parts := make([]objects.Part, len(list))
	for i, p := range list {
		sums, err := valuesOf(p.Checksums)
		if err != nil {
			return nil, err
		}
		if p.Number < 0 || p.Number > math.MaxInt32 || p.Size < 0 {
			return nil, fmt.Errorf("a part %d of %d bytes", p.Number, p.Size)
		}
		parts[i] = objects.Part{
			Number: int(p.Number), Payload: p.Payload.Value(), Size: p.Size, XXHash: p.Xxhash, ETag: string(p.Etag),
			Checksums: sums, Modified: ofNanos(p.Modified), Whole: p.Whole,
		}
	}
	return parts, nil
}

// UploadOf is an upload as it goes between nodes.
func UploadOf(u *objects.Upload) *Upload {
	return &Upload{
		Id: text(u.ID), Name: text(u.Name), Initiated: nanos(u.Initiated), Algorithm: uint32(u.Checksum.Algorithm), Type: uint32(u.Checksum.Type),
		Draft: draftOf(&u.Draft), Slicing: SlicingOf(u.Slicing),
	}
}

// Value returns the upload.
func (u *Upload) Value() (objects.Upload, error) {
	wanted, err := wantedOf(u.Algorithm, u.Type)
	if err != nil {
		return objects.Upload{}, err
	}
	slicing, err := u.Slicing.Value()
	if err != nil {
		return objects.Upload{}, err
	}
	return objects.Upload{ID: string(u.Id), Name: string(u.Name), Initiated: ofNanos(u.Initiated), Checksum: wanted, Slicing: slicing, Draft: u.Draft.value()}, nil
}

// ConditionsOf is conditions as they go between nodes; nil for none.
func ConditionsOf(c *objects.Conditions) *Conditions {
	if c.IsZero() {
		return nil
	}
	return &Conditions{
		IfMatch: text(c.IfMatch), IfNoneMatch: text(c.IfNoneMatch), IfModifiedSince: instantOf(c.IfModifiedSince),
		IfUnmodifiedSince: instantOf(c.IfUnmodifiedSince), IfSize: c.IfSize, IfLastModified: instantOf(c.IfLastModified),
	}
}

// Value returns the conditions; of nil, none.
func (c *Conditions) Value() objects.Conditions {
	if c == nil {
		return objects.Conditions{}
	}
	return objects.Conditions{
		IfMatch: string(c.IfMatch), IfNoneMatch: string(c.IfNoneMatch), IfModifiedSince: c.IfModifiedSince.value(),
		IfUnmodifiedSince: c.IfUnmodifiedSince.value(), IfSize: c.IfSize, IfLastModified: c.IfLastModified.value(),
	}
}

// ErrorKind returns the kind of a failure. One that this version does not know is
// errs.Internal.
func (f *Failure) ErrorKind() errs.Kind {
	if f.GetKind() > uint32(errs.IO) {
		return errs.Internal
	}
	return errs.Kind(f.GetKind())
}

// OriginOf is an origin as it goes between nodes; nil for none.
func OriginOf(o *objects.Origin) *Origin {
	if *o == (objects.Origin{}) {
		return nil
	}
	return &Origin{Cause: uint32(o.Cause), Principal: text(o.Principal), Request: text(o.Request), Asked: text(o.Asked), Other: text(o.Other)}
}

// Value returns the origin; of nil, that of a question of an older version: zero. A cause
// that is no number of ours is none.
func (o *Origin) Value() objects.Origin {
	cause := objects.Cause(0)
	if c := o.GetCause(); c <= math.MaxUint8 {
		cause = objects.Cause(c)
	}
	return objects.Origin{Cause: cause, Principal: string(o.GetPrincipal()), Request: string(o.GetRequest()), Asked: string(o.GetAsked()), Other: string(o.GetOther())}
}

// MutationOf is an entry of a history as it goes between nodes.
func MutationOf(e *objects.HistoryEntry, path string) *Mutation {
	return &Mutation{
		Bucket: e.Bucket[:], Node: text(e.Node), Mountpath: text(e.Mountpath), Path: text(path), Kind: uint32(e.Kind), At: nanos(e.At),
		Generation: GenerationOf(e.Generation), Size: e.Size, Xxhash: e.XXHash, Origin: OriginOf(&e.Origin),
	}
}

// Entry returns the entry.
func (m *Mutation) Entry() (objects.HistoryEntry, error) {
	e := objects.HistoryEntry{Node: string(m.Node), Mountpath: string(m.Mountpath)}
	if len(m.Bucket) != len(e.Bucket) || m.Kind > math.MaxUint8 {
		return e, fmt.Errorf("a mutation of kind %d, with a bucket's id of %d bytes", m.Kind, len(m.Bucket))
	}
	copy(e.Bucket[:], m.Bucket)
	e.Mutation = objects.Mutation{
		Kind: objects.MutationKind(m.Kind), At: ofNanos(m.At), Generation: m.Generation.Value(), Size: m.Size, XXHash: m.Xxhash, Origin: m.Origin.Value(),
	}
	return e, nil
}
