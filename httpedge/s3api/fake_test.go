package s3api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5" //nolint:gosec // S3's ETag
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// model is a gateway whose node is a map: it keeps every rule that the real
// one's comments promise, so that the edge above it can be tested alone. Safe
// for concurrent use.
type model struct {
	minPart int64
	clock   func() time.Time
	// fault is asked before every operation; what it returns is the answer, and
	// it may panic. Nil: none.
	fault func(operation, name string) error

	mu      sync.Mutex
	seq     uint64
	buckets map[string]*modelBucket
	open    int // payloads opened and not closed
}

type modelBucket struct {
	doc     *objects.BucketDoc
	objects map[string]*modelObject
	uploads map[string]*modelUpload
}

type modelObject struct {
	meta   *objects.Meta
	data   []byte
	parts  []objects.Part
	upload string
}

type modelUpload struct {
	upload objects.Upload
	parts  map[int]modelPart
}

type modelPart struct {
	objects.Part
	data []byte
}

func newModel(clock func() time.Time) *model {
	return &model{minPart: 5 << 20, clock: clock, buckets: map[string]*modelBucket{}}
}

func (m *model) enter(operation, name string) error {
	if m.fault != nil {
		if err := m.fault(operation, name); err != nil {
			return err
		}
	}
	m.mu.Lock()
	return nil
}

func (m *model) generation() objects.Generation {
	m.seq++
	return objects.Generation{Map: 1, Start: 7, Seq: m.seq}
}

// Buckets implements Gateway.
func (m *model) Buckets() []*objects.BucketDoc {
	m.mu.Lock()
	defer m.mu.Unlock()
	var docs []*objects.BucketDoc
	for _, b := range m.buckets {
		docs = append(docs, b.doc)
	}
	slices.SortFunc(docs, func(a, b *objects.BucketDoc) int { return strings.Compare(a.Name, b.Name) })
	return docs
}

// Bucket implements Gateway.
func (m *model) Bucket(name string) (*objects.BucketDoc, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.buckets[name]; b != nil {
		return b.doc, nil
	}
	return nil, errs.E("model.Bucket", name, errs.NotFound, objects.ErrNoSuchBucket)
}

// CreateBucket implements Gateway.
func (m *model) CreateBucket(_ context.Context, name string, props objects.BucketProps) (*objects.BucketDoc, error) {
	if err := m.enter("CreateBucket", name); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if m.buckets[name] != nil {
		return nil, errs.E("model.CreateBucket", name, errs.Exists, objects.ErrBucketExists)
	}
	m.seq++
	doc := &objects.BucketDoc{
		Bucket:  objects.Bucket{ID: objects.BucketID{7: byte(m.seq)}, Provider: objects.ProviderAIS, Name: name},
		Version: 1, State: objects.BucketLive, Created: m.clock(), Props: props,
	}
	m.buckets[name] = &modelBucket{doc: doc, objects: map[string]*modelObject{}, uploads: map[string]*modelUpload{}}
	return doc, nil
}

// DeleteBucket implements Gateway.
func (m *model) DeleteBucket(_ context.Context, name string) error {
	if err := m.enter("DeleteBucket", name); err != nil {
		return err
	}
	defer m.mu.Unlock()
	switch b := m.buckets[name]; {
	case b == nil:
		return errs.E("model.DeleteBucket", name, errs.NotFound, objects.ErrNoSuchBucket)
	case len(b.objects) > 0:
		return errs.E("model.DeleteBucket", name, errs.Conflict, objects.ErrBucketNotEmpty)
	}
	delete(m.buckets, name)
	return nil
}

// ChangeDraft implements Gateway, as far as this edge asks for it.
func (m *model) ChangeDraft(_ context.Context, bucket *objects.BucketDoc, name string, change messages.DraftChange) (*objects.Meta, error) {
	if err := m.enter("ChangeDraft", name); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	o := m.buckets[bucket.Name].objects[name]
	if o == nil {
		return nil, errs.E("model.ChangeDraft", name, errs.NotFound, objects.ErrNoSuchKey)
	}
	meta := *o.meta
	if change.ReplaceTags {
		meta.Tags = change.Tags
	}
	o.meta = &meta
	return &meta, nil
}

// receive reads a payload as the real gateway does: to its end, then compared.
func receive(put *gateway.Put) ([]byte, checksum.Sums, error) {
	digests := checksum.NewDigests(checksum.Want{MD5: true, SHA256: put.SHA256 != "", Sums: put.Sums})
	var data bytes.Buffer
	if _, err := io.Copy(io.MultiWriter(&data, digests), put.Body); err != nil {
		return nil, checksum.Sums{}, errs.E("model.Put", put.Name, err)
	}
	var values []checksum.Value
	if put.Expect != nil {
		var err error
		if values, err = put.Expect(); err != nil {
			return nil, checksum.Sums{}, err
		}
	}
	sums := digests.Sums()
	if err := sums.Compare(checksum.Expected{Size: put.Size, MD5: put.MD5, SHA256: put.SHA256, Values: values}); err != nil {
		return nil, checksum.Sums{}, errs.E("model.Put", put.Name, errs.Invalid, fmt.Errorf("%w: %w", objects.ErrBadDigest, err))
	}
	return data.Bytes(), sums, nil
}

// judge applies the conditions of a write.
func (b *modelBucket) judge(name string, c objects.Conditions) error {
	var current *objects.Meta
	if o := b.objects[name]; o != nil {
		current = o.meta
	}
	if err := c.ForWrite(current); err != nil {
		return errs.E("model.judge", name, errs.Conflict, err)
	}
	return nil
}

func (m *model) receipt(meta *objects.Meta) objects.Receipt {
	return objects.Receipt{Class: objects.Synced, Disks: 1, Nodes: 1, Generation: meta.Generation, Meta: meta}
}

// Put implements Gateway.
func (m *model) Put(_ context.Context, bucket *objects.BucketDoc, put *gateway.Put) (objects.Receipt, error) {
	data, sums, err := receive(put)
	if err != nil {
		return objects.Receipt{}, err
	}
	if err := m.enter("Put", put.Name); err != nil {
		return objects.Receipt{}, err
	}
	defer m.mu.Unlock()
	b := m.buckets[bucket.Name]
	if err := b.judge(put.Name, put.Conditions); err != nil {
		return objects.Receipt{}, err
	}
	g := m.generation()
	meta := &objects.Meta{
		Generation: g, Payload: g, Where: objects.Inline, Size: sums.Size, XXHash: sums.XXHash, ETag: sums.ETag(),
		Checksums: sums.Values, Modified: m.clock(), Draft: put.Draft,
	}
	b.objects[put.Name] = &modelObject{meta: meta, data: data}
	return m.receipt(meta), nil
}

func (m *model) find(bucket *objects.BucketDoc, name string) (*modelObject, error) {
	o := m.buckets[bucket.Name].objects[name]
	if o == nil {
		return nil, errs.E("model.find", name, errs.NotFound, objects.ErrNoSuchKey)
	}
	return o, nil
}

// Head implements Gateway.
func (m *model) Head(_ context.Context, bucket *objects.BucketDoc, name, _ string) (*objects.Meta, error) {
	if err := m.enter("Head", name); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	o, err := m.find(bucket, name)
	if err != nil {
		return nil, err
	}
	return o.meta, nil
}

// Open implements Gateway.
func (m *model) Open(_ context.Context, bucket *objects.BucketDoc, name, _ string) (*objects.Meta, Payload, error) {
	if err := m.enter("Open", name); err != nil {
		return nil, nil, err
	}
	defer m.mu.Unlock()
	o, err := m.find(bucket, name)
	if err != nil {
		return nil, nil, err
	}
	m.open++
	return o.meta, &modelPayload{model: m, object: o}, nil
}

// modelPayload implements Payload and partTable.
type modelPayload struct {
	model  *model
	object *modelObject
	closed bool
}

type modelStream struct {
	*bytes.Reader
	payload *modelPayload
}

func (s *modelStream) Close() error {
	s.payload.Close()
	return nil
}

func (p *modelPayload) Send(ctx *fasthttp.RequestCtx, offset, length int64) {
	ctx.Response.SetBodyStream(&modelStream{bytes.NewReader(p.object.data[offset : offset+length]), p}, int(length))
}

func (p *modelPayload) Reader(offset, length int64) io.Reader {
	return bytes.NewReader(p.object.data[offset : offset+length])
}

// Begin implements Payload: the model has everything.
func (p *modelPayload) Begin(int64, int64) error { return nil }

func (p *modelPayload) Part(n int) (offset, length int64, ok bool) {
	if p.object.parts == nil {
		return 0, p.object.meta.Size, n == 1
	}
	for _, part := range p.object.parts {
		if part.Number == n {
			return offset, part.Size, true
		}
		offset += part.Size
	}
	return 0, 0, false
}

func (p *modelPayload) Parts() []objects.Part { return p.object.parts }

func (p *modelPayload) Close() {
	p.model.mu.Lock()
	defer p.model.mu.Unlock()
	if !p.closed {
		p.closed = true
		p.model.open--
	}
}

// Delete implements Gateway.
func (m *model) Delete(_ context.Context, bucket *objects.BucketDoc, name, _ string, c objects.Conditions) (messages.ObjectDeleted, error) {
	if err := m.enter("Delete", name); err != nil {
		return messages.ObjectDeleted{}, err
	}
	defer m.mu.Unlock()
	b := m.buckets[bucket.Name]
	if err := b.judge(name, c); err != nil {
		return messages.ObjectDeleted{}, err
	}
	_, existed := b.objects[name]
	delete(b.objects, name)
	return messages.ObjectDeleted{Existed: existed, Generation: m.generation()}, nil
}

// DeleteElsewhere implements Gateway: there is no other node.
func (m *model) DeleteElsewhere(_ context.Context, _ *objects.BucketDoc, list []gateway.Deletion) []gateway.Deleted {
	return make([]gateway.Deleted, len(list))
}

// List implements Gateway.
func (m *model) List(_ context.Context, bucket *objects.BucketDoc, r gateway.ListRequest) (*messages.ObjectPage, error) {
	if err := m.enter("List", r.Prefix); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	b := m.buckets[bucket.Name]
	var names []string
	for name := range b.objects {
		if strings.HasPrefix(name, r.Prefix) && name > r.After {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	page := new(messages.ObjectPage)
	lastPrefix := ""
	for _, name := range names {
		entry := messages.ObjectEntry{Name: name, Meta: b.objects[name].meta}
		if r.Delimiter != "" {
			if i := strings.Index(name[len(r.Prefix):], r.Delimiter); i >= 0 {
				entry = messages.ObjectEntry{Name: name[:len(r.Prefix)+i+len(r.Delimiter)]}
				if entry.Name == lastPrefix {
					continue
				}
				lastPrefix = entry.Name
			}
		}
		if len(page.Entries) == r.Limit {
			page.More = true
			break
		}
		page.Entries = append(page.Entries, entry)
	}
	return page, nil
}

// CreateUpload implements Gateway.
func (m *model) CreateUpload(_ context.Context, bucket *objects.BucketDoc, name string, draft objects.Draft, wanted checksum.Wanted) (string, error) {
	if err := m.enter("CreateUpload", name); err != nil {
		return "", err
	}
	defer m.mu.Unlock()
	m.seq++
	id := fmt.Sprintf("%032x", m.seq)
	m.buckets[bucket.Name].uploads[id] = &modelUpload{
		upload: objects.Upload{ID: id, Name: name, Initiated: m.clock(), Checksum: wanted, Draft: draft},
		parts:  map[int]modelPart{},
	}
	return id, nil
}

func (m *model) findUpload(bucket *objects.BucketDoc, name, id string) (*modelUpload, error) {
	u := m.buckets[bucket.Name].uploads[id]
	if u == nil || u.upload.Name != name {
		return nil, errs.E("model.findUpload", name, errs.NotFound, objects.ErrNoSuchUpload)
	}
	return u, nil
}

// PutPart implements Gateway.
func (m *model) PutPart(_ context.Context, bucket *objects.BucketDoc, uploadID string, number int, put *gateway.Put) (objects.Part, error) {
	data, sums, err := receive(put)
	if err != nil {
		return objects.Part{}, err
	}
	if err := m.enter("PutPart", put.Name); err != nil {
		return objects.Part{}, err
	}
	defer m.mu.Unlock()
	u, err := m.findUpload(bucket, put.Name, uploadID)
	if err != nil {
		return objects.Part{}, err
	}
	part := objects.Part{
		Number: number, Payload: m.generation(), Size: sums.Size, XXHash: sums.XXHash, ETag: sums.ETag(),
		Checksums: sums.Values, Modified: m.clock(),
	}
	u.parts[number] = modelPart{part, data}
	return part, nil
}

// CompleteUpload implements Gateway.
func (m *model) CompleteUpload(_ context.Context, bucket *objects.BucketDoc, c gateway.Complete) (objects.Receipt, error) {
	const op errs.Op = "model.CompleteUpload"
	if err := m.enter("CompleteUpload", c.Name); err != nil {
		return objects.Receipt{}, err
	}
	defer m.mu.Unlock()
	b := m.buckets[bucket.Name]
	u, err := m.findUpload(bucket, c.Name, c.UploadID)
	if err != nil {
		if o := b.objects[c.Name]; o != nil && o.upload == c.UploadID {
			return m.receipt(o.meta), nil
		}
		return objects.Receipt{}, err
	}
	object := &modelObject{upload: c.UploadID}
	etags := md5.New() //nolint:gosec // S3's ETag
	var pieces []checksum.Piece
	for i, want := range c.Parts {
		part, ok := u.parts[want.Number]
		if !ok || part.ETag != want.ETag {
			return objects.Receipt{}, errs.E(op, errs.Invalid, objects.ErrInvalidPart)
		}
		for a, text := range want.Checksums {
			if v, ok := checksum.Find(part.Checksums, a); !ok || v.String() != text {
				return objects.Receipt{}, errs.E(op, errs.Invalid, objects.ErrInvalidPart)
			}
		}
		if i < len(c.Parts)-1 && part.Size < m.minPart {
			return objects.Receipt{}, errs.E(op, errs.Invalid, objects.ErrPartTooSmall)
		}
		raw, err := hex.DecodeString(part.ETag)
		if err != nil {
			return objects.Receipt{}, err
		}
		etags.Write(raw)
		sum, _ := checksum.Find(part.Checksums, u.upload.Checksum.Algorithm)
		pieces = append(pieces, checksum.Piece{Sum: sum.Sum, Size: part.Size})
		object.parts = append(object.parts, part.Part)
		object.data = append(object.data, part.data...)
	}
	whole, err := checksum.Combine(u.upload.Checksum, pieces)
	if err != nil {
		return objects.Receipt{}, errs.E(op, errs.Invalid, objects.ErrInvalidPart, err)
	}
	if c.Checksum != "" && c.Checksum != whole.String() {
		return objects.Receipt{}, errs.E(op, errs.Invalid, objects.ErrBadDigest)
	}
	if c.Size >= 0 && c.Size != int64(len(object.data)) {
		return objects.Receipt{}, errs.E(op, errs.Invalid, objects.ErrInvalidPart)
	}
	if err := b.judge(c.Name, c.Conditions); err != nil {
		return objects.Receipt{}, err
	}
	g := m.generation()
	object.meta = &objects.Meta{
		Generation: g, Payload: g, Where: objects.Chunks, Size: int64(len(object.data)), ETag: fmt.Sprintf("%x-%d", etags.Sum(nil), len(c.Parts)),
		Checksums: []checksum.Value{whole}, Modified: m.clock(), PartCount: len(c.Parts), Draft: u.upload.Draft,
	}
	b.objects[c.Name] = object
	delete(b.uploads, c.UploadID)
	return m.receipt(object.meta), nil
}

// AbortUpload implements Gateway.
func (m *model) AbortUpload(_ context.Context, bucket *objects.BucketDoc, name, uploadID string) error {
	if err := m.enter("AbortUpload", name); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if _, err := m.findUpload(bucket, name, uploadID); err != nil {
		return err
	}
	delete(m.buckets[bucket.Name].uploads, uploadID)
	return nil
}

// ListParts implements Gateway.
func (m *model) ListParts(_ context.Context, bucket *objects.BucketDoc, name, uploadID string, after, limit int) (*messages.PartPage, error) {
	if err := m.enter("ListParts", name); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	u, err := m.findUpload(bucket, name, uploadID)
	if err != nil {
		return nil, err
	}
	page := &messages.PartPage{Upload: u.upload}
	for _, p := range u.parts {
		if p.Number > after {
			page.Parts = append(page.Parts, p.Part)
		}
	}
	slices.SortFunc(page.Parts, func(a, b objects.Part) int { return cmp.Compare(a.Number, b.Number) })
	if len(page.Parts) > limit {
		page.Parts, page.More = page.Parts[:limit], true
	}
	return page, nil
}

// ListUploads implements Gateway.
func (m *model) ListUploads(_ context.Context, bucket *objects.BucketDoc, prefix, afterName, afterID string, limit int) (*messages.UploadPage, error) {
	if err := m.enter("ListUploads", prefix); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	page := new(messages.UploadPage)
	for _, u := range m.buckets[bucket.Name].uploads {
		after := u.upload.Name > afterName || u.upload.Name == afterName && afterID != "" && u.upload.ID > afterID
		if strings.HasPrefix(u.upload.Name, prefix) && after {
			page.Uploads = append(page.Uploads, u.upload)
		}
	}
	slices.SortFunc(page.Uploads, func(a, b objects.Upload) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	if len(page.Uploads) > limit {
		page.Uploads, page.More = page.Uploads[:limit], true
	}
	return page, nil
}
