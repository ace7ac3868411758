package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"sync"

	"github.com/sirupsen/logrus"
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/access"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/archive"
	"github.com/troupe-storage/troupe/objects/errs"
)

// What a shard is gone through for until the index of its members is asked for: one that is
// found sooner costs no more than a look into the index, and a small shard never has one.
const (
	passMembers = 64
	passBytes   = 1 << 20 // of a shard that is compressed as a whole
)

// shardUnpacks is how many bytes one request may have unpacked.
const shardUnpacks = 1 << 40

// Shard is an object opened as an archive. Its owner closes it exactly once, or hands it to
// Send or SendMatching, which do. Not safe for concurrent use.
type Shard struct {
	Object *Object

	gateway *Gateway
	at      *objectAt
	format  archive.Format
	limits  archive.Limits
	index   *archive.Index // nil: none that is in memory

	member  archive.Member   // that was found
	reader  *archive.Reader  // of a tar, behind the members that were passed; nil: from the beginning
	passed  []archive.Member // at most one more than passMembers: with so many, from the beginning
	content io.Reader        // its content; nil: it lies in the payload as it is
}

// OpenShard opens an object that this node is in charge of as an archive of the format that
// a MIME type says, or else its name, or its first bytes. Errors are as those of Open;
// Invalid: it is no archive; Busy: another node is in charge by now.
func (g *Gateway) OpenShard(_ context.Context, bucket *objects.BucketDoc, name, mime string) (*Shard, error) {
	const op errs.Op = "gateway.OpenShard"
	object, err := elsewhere(g, op, bucket, name, func() (*Object, error) {
		return g.OpenHere(bucket, name, "")
	}, func(c Charge) (*Object, error) {
		return nil, errs.E(op, objects.Key{Bucket: bucket.Bucket, Name: name}, errs.Busy, fmt.Errorf("node %s is in charge of it by now", c.Node.ID))
	})
	if err != nil {
		return nil, err
	}
	return g.shardOf(object, name, mime)
}

// shardOf opens an object as an archive, and takes it over.
func (g *Gateway) shardOf(object *Object, name, mime string) (*Shard, error) {
	s := &Shard{Object: object, gateway: g, limits: archive.Limits{Unpacked: shardUnpacks}}
	if err := s.open(name, mime); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Shard) open(name, mime string) error {
	o := s.Object
	if err := o.lease(); err != nil {
		return errs.E("gateway.OpenShard", o.key, err)
	}
	s.at = newObjectAt(s.gateway, o)
	head := make([]byte, min(archive.HeadBytes, o.Meta.Size))
	if archive.OfName(name) == archive.Unknown || mime != "" {
		if err := s.readHead(head); err != nil {
			return err
		}
	} else if index := s.indexInMemory(); index != nil && index.Format() == archive.OfName(name) {
		s.format, s.index = index.Format(), index // its first bytes were looked at when it was made
		return nil
	} else if err := s.readHead(head); err != nil {
		return err
	}
	format, err := archive.Detect(archive.Hint{Name: name, MIME: mime, Head: head})
	if err != nil {
		return err
	}
	s.format = format
	if index := s.indexInMemory(); index != nil && index.Format() == format {
		s.index = index
	}
	return nil
}

func (s *Shard) readHead(head []byte) error {
	if len(head) == 0 {
		return nil
	}
	_, err := s.at.ReadAt(head, 0)
	return err
}

// indexInMemory is the index of the shard's members if it is in memory. What comes from
// other nodes, since the payload here cannot be read, is read without: an index may have
// been made of what is damaged.
func (s *Shard) indexInMemory() *archive.Index {
	o := s.Object
	if o.detour != nil {
		s.gateway.members.forget(o.Meta.Payload)
		return nil
	}
	index, _ := s.gateway.members.find(archive.Stamp{Payload: o.Meta.Payload, Size: o.Meta.Size})
	return index
}

// indexable reports whether the shard could have an index, and none is known yet.
func (s *Shard) indexable() bool {
	o := s.Object
	if o.remote != nil {
		return false
	}
	if o.inline || o.detour != nil || o.opened.File == nil && o.opened.Parts == nil {
		return false
	}
	_, known := s.gateway.members.find(archive.Stamp{Payload: o.Meta.Payload, Size: o.Meta.Size})
	return !known
}

// Format returns what the shard is read as.
func (s *Shard) Format() archive.Format { return s.format }

// Member finds the first file of a name, for Content or Send; errs.NotFound if there is
// none.
func (s *Shard) Member(path string) (archive.Member, error) {
	const op errs.Op = "gateway.Member"
	if s.index != nil {
		s.gateway.members.found.Add(1)
		return s.indexed(path)
	}
	reader, passed, err := s.begin(path)
	if err != nil || reader == nil {
		return s.member, err
	}
	asked := false
	for ; ; passed++ {
		if !asked && s.passedMuch(passed) {
			asked = true
			if s.Object.remote != nil {
				if s.index, err = s.gateway.indexOfFar(s); err != nil {
					return archive.Member{}, err
				}
				if s.index != nil {
					return s.indexed(path)
				}
			}
			if s.indexable() {
				if index := s.gateway.indexOf(s.Object, s.format); index != nil && index.Format() == s.format {
					s.index = index
					return s.indexed(path)
				}
			}
		}
		m, err := reader.Next()
		if err == nil {
			s.note(m)
		}
		switch {
		case err == io.EOF:
			s.reader = nil
			return m, errs.E(op, path, errs.NotFound, errors.New("there is no such file in the archive"))
		case err != nil:
			return m, err
		case m.Kind != archive.File || !archive.Same(m.Name, path):
			continue
		}
		if m, err = reader.Locate(); err != nil {
			return m, err
		}
		s.member, s.content = m, reader
		if s.format == archive.Tar || s.format == archive.Zip && m.Method == archive.MethodStored {
			s.content = nil
		}
		return m, nil
	}
}

// begin returns what goes on looking for a member, and how many were passed: in a tar, from
// where the last one was found, since those before are known. A nil reader: it was one of
// them, and is found.
func (s *Shard) begin(path string) (*archive.Reader, int, error) {
	if s.reader != nil && len(s.passed) <= passMembers {
		for _, m := range s.passed {
			if m.Kind == archive.File && archive.Same(m.Name, path) {
				s.member, s.content = m, nil
				return nil, 0, nil
			}
		}
		return s.reader, len(s.passed), nil
	}
	reader, err := archive.Open(s.format, s.at, s.Object.Meta.Size, s.limits)
	s.reader, s.passed, s.member = nil, nil, archive.Member{}
	if s.format == archive.Tar {
		s.reader = reader
	}
	return reader, 0, err
}

// note remembers a member of a tar that was passed, for who asks for another one.
func (s *Shard) note(m archive.Member) {
	if s.reader != nil && len(s.passed) <= passMembers {
		s.passed = append(s.passed, m)
	}
}

// passedMuch reports whether so much of the shard was gone through that an index pays.
func (s *Shard) passedMuch(members int) bool {
	switch s.format {
	case archive.TarGzip, archive.TarLZ4:
		return members >= passMembers || s.at.reached >= passBytes
	}
	return members >= passMembers
}

// indexed finds a member in the index.
func (s *Shard) indexed(path string) (archive.Member, error) {
	m, err := s.index.Find(path)
	if err != nil {
		return m, err
	}
	s.member, s.content = m, nil
	if _, _, ok := s.index.Range(m); !ok {
		s.content, err = s.index.Open(s.at, m, s.limits)
	}
	return m, err
}

// Content returns the content of the member that Member has found. It is read before the
// shard is closed.
func (s *Shard) Content() io.Reader {
	if s.content != nil {
		return s.content
	}
	return io.NewSectionReader(s.at, s.member.Offset, s.member.Size)
}

// Matching are the files that a pattern chooses, in the order of the archive, each with its
// content, which is read before the next one is asked for. After an error there are no more.
func (s *Shard) Matching(p archive.Pattern) iter.Seq2[ShardFile, error] {
	if s.index != nil && (s.format == archive.Tar || s.format == archive.Zip) {
		return s.matchingIndexed(p)
	}
	return func(yield func(ShardFile, error) bool) {
		reader, err := archive.Open(s.format, s.at, s.Object.Meta.Size, s.limits)
		if err != nil {
			yield(ShardFile{}, err)
			return
		}
		for {
			m, err := reader.NextMatch(p)
			if err == io.EOF {
				return
			}
			if !yield(ShardFile{m, reader}, err) || err != nil {
				return
			}
		}
	}
}

// matchingIndexed is Matching where members are found without those before them.
func (s *Shard) matchingIndexed(p archive.Pattern) iter.Seq2[ShardFile, error] {
	return func(yield func(ShardFile, error) bool) {
		s.gateway.members.found.Add(1)
		for m := range s.index.Files() {
			if !p.Matches(m.Name) {
				continue
			}
			content, err := s.index.Open(s.at, m, s.limits)
			if !yield(ShardFile{m, content}, err) || err != nil {
				return
			}
		}
	}
}

// ShardFile is a member with its content.
type ShardFile struct {
	archive.Member
	Content io.Reader
}

// Close gives back what the shard holds. Idempotent.
func (s *Shard) Close() {
	if s.at != nil {
		s.at.close()
	}
	s.Object.Close()
}

// Send makes length bytes from offset of the member that Member has found the body of the
// response, and takes over the shard. The status and headers (but Content-Length) are the
// caller's to set. What lies in the payload as it is, is sent as a range of it.
func (s *Shard) Send(ctx *fasthttp.RequestCtx, offset, length int64) error {
	if length == 0 && s.content == nil {
		ctx.Response.Header.SetContentLength(0)
		s.Close()
		return nil
	}
	if s.content == nil {
		if end := s.Object.Meta.Size; offset < 0 || s.member.Offset+offset > end-length { // what is behind is not the object's
			return errs.E("gateway.Send", s.Object.key, errs.Invalid, fmt.Errorf("%d bytes from %d of a member at %d, the shard has %d", length, offset, s.member.Offset, end))
		}
		s.at.close()
		s.Object.Send(ctx, s.member.Offset+offset, length)
		return nil
	}
	if _, err := io.CopyN(io.Discard, s.content, offset); err != nil {
		return err
	}
	ctx.SetBodyStream(s.body(ctx, io.LimitReader(s.content, length)), int(length))
	return nil
}

// SendMatching makes a tar of the files that a pattern chooses the body of the response, and
// takes over the shard; errs.NotFound if there is none, and then, as with any error, it does
// not. Names that lead out of where they are extracted are left out, and the log says so.
func (s *Shard) SendMatching(ctx *fasthttp.RequestCtx, p archive.Pattern) error {
	next, stop := iter.Pull2(s.Matching(p))
	left := 0 // out
	take := func() (archive.Input, error) {
		for {
			file, err, ok := next()
			switch {
			case !ok:
				return archive.Input{}, io.EOF
			case err != nil:
				return archive.Input{}, err
			}
			if _, err := archive.NameToWrite(file.Name); err != nil {
				if left++; left == 1 {
					s.log().WithError(err).Warn("a member that was asked for by a pattern is left out")
				}
				continue
			}
			return archive.Input{Name: file.Name, Size: file.Size, Mode: file.Mode, Modified: file.Modified, Body: file.Content}, nil
		}
	}
	first, err := take()
	if err != nil {
		stop()
		if err == io.EOF {
			err = errs.E("gateway.SendMatching", s.Object.key, errs.NotFound, errors.New("no member matches"))
		}
		return err
	}
	begun := false
	body := s.body(ctx, archive.NewTarStream(func() (archive.Input, error) {
		if !begun {
			begun = true
			return first, nil
		}
		return take()
	}))
	body.stop = stop
	ctx.SetBodyStream(body, -1)
	return nil
}

func (s *Shard) log() *logrus.Entry {
	return s.gateway.System.Log().WithFields(logrus.Fields{"bucket": s.Object.key.Bucket.Name, "key": s.Object.key.Name})
}

func (s *Shard) body(ctx *fasthttp.RequestCtx, from io.Reader) *shardBody {
	return &shardBody{shard: s, from: from, conn: ctx.Conn(), record: access.Of(ctx)}
}

// shardBody is an answer that is unpacked while it is sent. It closes the shard, exactly
// once.
type shardBody struct {
	shard  *Shard
	from   io.Reader
	conn   net.Conn
	record *access.Record // is told how many bytes were sent
	sent   int64
	stop   func() // ends what gives the members; nil: nothing does
	once   sync.Once
}

// Read implements io.Reader. It gives the client time for what it returns.
func (b *shardBody) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.sent += int64(n)
	if err != nil && err != io.EOF {
		b.shard.log().WithError(err).Warn("the answer of a shard's member is cut")
	}
	if n > 0 {
		if late := extend(b.conn); late != nil {
			return 0, late
		}
	}
	return n, err
}

// Close implements io.Closer. Idempotent.
func (b *shardBody) Close() error {
	b.once.Do(func() {
		if b.stop != nil {
			b.stop()
		}
		b.record.Sent(b.sent)
		b.shard.Close()
	})
	return nil
}

// objectAt reads an object in ranges, whose bytes it verifies as a GET of a range does: where
// the bucket wants it, whole files before anything of them is given out. A disk that fails
// is gone around as by a body, if other nodes keep the object. Who makes it closes it,
// before the object.
type objectAt struct {
	gateway *Gateway
	object  *Object
	files   *messages.PayloadAt // nil: the payload is in none that is here
	reached int64               // the end of what was read so far

	// Of an object at another node the window has what was read last: so many bytes from there.
	from, held int64
}

// newObjectAt returns the ranges of an object that has a window, and keeps it.
func newObjectAt(g *Gateway, o *Object) *objectAt {
	at := &objectAt{gateway: g, object: o}
	if !o.inline && o.detour == nil && o.remote == nil && (o.opened.File != nil || o.opened.Parts != nil) {
		var room []byte
		if o.verify {
			room = o.window.Slab(0)
		}
		at.files = messages.NewPayloadAt(o.key, o.opened, room)
	}
	return at
}

// ReadAt implements io.ReaderAt.
func (a *objectAt) ReadAt(p []byte, offset int64) (n int, err error) {
	o := a.object
	left := o.Meta.Size - offset
	if offset < 0 || left <= 0 {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), left)]
	a.reached = max(a.reached, offset+int64(len(want)))
	switch {
	case o.inline:
		n = copy(want, o.window.Slab(0)[offset:o.Meta.Size])
	case o.remote != nil:
		n, err = a.readRemote(want, offset)
	case o.detour != nil:
		n, err = o.detour.readAt(want, offset)
	case a.files != nil:
		n, err = a.files.ReadAt(want, offset)
		if err != nil && a.around(err) {
			n, err = o.detour.readAt(want, offset)
		}
	default:
		n, err = io.ReadFull(o.Reader(offset, int64(len(want))), want)
	}
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// readRemote reads from another node, a slab at a time.
func (a *objectAt) readRemote(p []byte, offset int64) (n int, err error) {
	o := a.object
	for n < len(p) {
		at := offset + int64(n)
		if at < a.from || at >= a.from+a.held {
			if err := a.fetch(at); err != nil {
				return n, err
			}
		}
		n += copy(p[n:], o.window.Slab(0)[at-a.from:a.held])
	}
	return n, nil
}

// fetch fills the window from another node.
func (a *objectAt) fetch(offset int64) error {
	o, r := a.object, a.object.remote
	room := o.window.Slab(0)
	room = room[:min(int64(len(room)), o.Meta.Size-offset)]
	a.held = 0
	body, err := r.peers.Payload(r.at, r.bucket, r.name, r.record, offset, int64(len(room)))
	if err != nil {
		return away("gateway.objectAt", err)
	}
	_, err = io.ReadFull(body, room)
	if closeErr := body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return errs.E("gateway.objectAt", o.key, errs.Offline, err)
	}
	a.from, a.held = offset, int64(len(room))
	return nil
}

// around has the rest of the object come from other nodes, and reports whether it does. An
// index may have been made of what is damaged.
func (a *objectAt) around(err error) bool {
	o := a.object
	if errs.Is(errs.Corrupt, err) {
		a.gateway.members.forget(o.Meta.Payload)
		if o.damaged != nil {
			o.damaged.add(o.key, o.Meta.Payload)
		}
	}
	if o.gateway == nil || !errs.Is(errs.Corrupt, err) && !errs.Is(errs.IO, err) && !errs.Is(errs.Offline, err) {
		return false
	}
	c, failed := o.gateway.Charge(o.bucket, o.key.Name)
	if failed != nil || !c.Plural() {
		return false
	}
	givers := c.reachable()
	if len(givers) == 0 {
		return false
	}
	a.close()
	// From now on nothing of what is here is read, by who sends a range of the object either.
	other := a.gateway.objectAround(o.bucket, o.key, view{record: o.Meta, parts: o.Parts()}, givers)
	o.opened.Close()
	o.opened, o.detour = other.opened, other.detour
	a.gateway.arounds.bodies.Add(1)
	a.gateway.logAround(o.key, err)
	return true
}

// close closes the file that is open. Idempotent.
func (a *objectAt) close() {
	if a.files != nil {
		_ = a.files.Close() // it was only read
	}
}
