// Package memory is a bucket in the memory of the process: what tests of remote buckets
// fetch from, since it counts how often it was asked, and what shows how a backend behaves.
//
// Start with New.
package memory

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what ETags are made of
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/troupe-storage/troupe/backend"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// page is how many entries a page has at most.
const page = 1000

// Counts is how often a Store was asked.
type Counts struct {
	Heads, Opens, Lists, Puts, Deletes int
	// Bodies are open, of those that Open gave out.
	Bodies int
}

// Store is a bucket. Safe for concurrent use.
type Store struct {
	name  string
	clock clock.Clock

	mu      sync.Mutex
	objects map[string]*object
	version int
	counts  Counts
}

// object is never changed: a write puts another one.
type object struct {
	backend.Object
	content []byte
}

// New returns an empty bucket.
func New(name string, clock clock.Clock) *Store {
	return &Store{name: name, clock: clock, objects: make(map[string]*object)}
}

// Counts returns how often the store was asked until now.
func (s *Store) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// find counts a question, and returns an object.
func (s *Store) find(ctx context.Context, op errs.Op, name string, count *int) (*object, error) {
	if err := ctx.Err(); err != nil {
		return nil, errs.E(op, name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	*count++
	o := s.objects[name]
	if o == nil {
		return nil, errs.E(op, s.name+"/"+name, errs.NotFound)
	}
	return o, nil
}

// Head implements backend.Store.
func (s *Store) Head(ctx context.Context, name string) (backend.Object, error) {
	o, err := s.find(ctx, "memory.Head", name, &s.counts.Heads)
	if err != nil {
		return backend.Object{}, err
	}
	return o.Object, nil
}

// Open implements backend.Store.
func (s *Store) Open(ctx context.Context, name string, r backend.Read) (backend.Object, io.ReadCloser, error) {
	const op errs.Op = "memory.Open"
	o, err := s.find(ctx, op, name, &s.counts.Opens)
	if err != nil {
		return backend.Object{}, nil, err
	}
	if r.Version != "" && r.Version != o.Version {
		return backend.Object{}, nil, errs.E(op, name, errs.Conflict, fmt.Errorf("version %s is there, not %s", o.Version, r.Version))
	}
	length, err := backend.Within(r, o.Size)
	if err != nil {
		return backend.Object{}, nil, errs.E(op, name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Bodies++
	return o.Object, &body{ctx: ctx, store: s, left: bytes.NewReader(o.content[r.Offset : r.Offset+length])}, nil
}

// body is the bytes of one Open.
type body struct {
	ctx    context.Context
	store  *Store
	left   *bytes.Reader
	closed sync.Once
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, errs.E("memory.Open", err)
	}
	return b.left.Read(p)
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.closed.Do(func() {
		b.store.mu.Lock()
		defer b.store.mu.Unlock()
		b.store.counts.Bodies--
	})
	return nil
}

// List implements backend.Store.
func (s *Store) List(ctx context.Context, r backend.ListRequest) (backend.Page, error) {
	if err := ctx.Err(); err != nil {
		return backend.Page{}, errs.E("memory.List", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Lists++
	limit := page
	if r.Limit > 0 {
		limit = min(limit, r.Limit)
	}
	names := make([]string, 0, len(s.objects))
	for name := range s.objects {
		names = append(names, name)
	}
	slices.Sort(names)
	var p backend.Page
	for _, name := range names {
		if !strings.HasPrefix(name, r.Prefix) || name <= r.After {
			continue
		}
		entry, isPrefix := name, false
		if r.Delimiter != "" {
			if at := strings.Index(name[len(r.Prefix):], r.Delimiter); at >= 0 {
				entry, isPrefix = name[:len(r.Prefix)+at+len(r.Delimiter)], true
			}
		}
		if isPrefix && (entry == p.Last || entry == r.After) {
			continue // it stands for this one, too
		}
		if len(p.Objects)+len(p.Prefixes) == limit {
			p.More = true
			break
		}
		p.Last = entry
		if isPrefix {
			p.Prefixes = append(p.Prefixes, entry)
		} else {
			p.Objects = append(p.Objects, s.objects[name].Object)
		}
	}
	return p, nil
}

// Put implements backend.Store.
func (s *Store) Put(ctx context.Context, name string, p backend.Put, from io.ReaderAt, size int64) (backend.Object, error) {
	const op errs.Op = "memory.Put"
	content := make([]byte, size)
	if n, err := from.ReadAt(content, 0); int64(n) < size {
		return backend.Object{}, errs.E(op, name, err)
	}
	if err := ctx.Err(); err != nil {
		return backend.Object{}, errs.E(op, name, err)
	}
	for _, sum := range p.Sums {
		hash := sum.Algorithm.New()
		hash.Write(content)
		if got := checksum.Of(sum.Algorithm, hash); got != sum {
			return backend.Object{}, errs.E(op, name, errs.Corrupt, fmt.Errorf("%s %s, want %s", sum.Algorithm, got, sum))
		}
	}
	sum := md5.Sum(content) //nolint:gosec // what ETags are made of
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Puts++
	old := s.objects[name]
	switch {
	case p.If == nil:
	case p.If.Version == "" && old != nil:
		return backend.Object{}, errs.E(op, name, errs.Conflict, fmt.Errorf("version %s is there", old.Version))
	case p.If.Version != "" && (old == nil || old.Version != p.If.Version):
		return backend.Object{}, errs.E(op, name, errs.Conflict, fmt.Errorf("version %s is not there", p.If.Version))
	}
	s.version++
	o := &object{content: content, Object: backend.Object{
		Name: name, ETag: hex.EncodeToString(sum[:]), Version: fmt.Sprint(s.version), Size: size, Modified: s.clock.Now(),
		Sums: slices.Clone(p.Sums), MD5: string(sum[:]), Headers: p.Headers, User: slices.Clone(p.User),
	}}
	s.objects[name] = o
	return o.Object, nil
}

// Delete implements backend.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return errs.E("memory.Delete", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Deletes++
	delete(s.objects, name)
	return nil
}

// Info implements backend.Store.
func (s *Store) Info(ctx context.Context) (backend.BucketInfo, error) {
	return backend.BucketInfo{Name: s.name}, errs.Wrap("memory.Info", ctx.Err())
}

// Limits implements backend.Store.
func (s *Store) Limits() backend.Limits {
	return backend.Limits{Writes: true, Lists: true, Conditions: true, Page: page, Sums: checksum.Algorithms()}
}
