package messages

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/OneOfOne/xxhash"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/archive"
	"github.com/troupe-storage/troupe/objects/errs"
)

// MembersAccess is what is done to a key's payload to find out where the members of the
// shard that it is are. One that cannot be gone through is read without an index.
const MembersAccess Access = "members"

// MembersTime is how long who reads a shard waits for the index of its members: a worker
// reads the headers of a million members in less from a disk that turns. Who has waited so
// long, or comes when others have, reads without.
const MembersTime = 5 * time.Second

// GetMemberIndex asks a mountpath's coordinator for the index of the members of a shard that
// is on it: the one that is kept, or one that is made now. Sent by the gateway of the node
// in charge. Once for all who ask at a time. Answered by MemberIndex, or by a failure: Busy
// if the mountpath makes as many as it may, or has been making this one for MembersTime;
// Conflict if another payload is there by now; Invalid if it can have none (the payload is
// no archive, or the index would take more than Most); else what reading failed with. All
// of them mean: read the shard without.
type GetMemberIndex struct {
	Key    objects.Key
	Stamp  archive.Stamp
	Format archive.Format
	Verify bool  // every file of the payload, whole, before anything of it is believed
	Most   int64 // bytes of an index, at most
	Reply  Reply[MemberIndex]
}

// MemberIndex is an index of the members of a shard. Only to be read.
type MemberIndex struct {
	Index *archive.Index
	Bytes int64 // of memory
	Made  bool  // it was made now, and not kept from before
}

// Fail implements Failer.
func (m *GetMemberIndex) Fail(err error) { m.Reply.Fail(err) }

// Handles implements Handled.
func (m *GetMemberIndex) Handles() Handling { return HandlesKey(m.Key, MembersAccess) }

// Subject implements Subjected.
func (m *GetMemberIndex) Subject() string { return m.Key.String() }

// PayloadAt reads the files of an opened payload in ranges. Only the file that was read from
// last is open. Who makes it closes it, before the answer that it reads from. Not safe for
// concurrent use.
type PayloadAt struct {
	key    objects.Key
	opened *ObjectOpened
	verify []byte // room to verify files in; nil: they are not
	part   int    // whose file is open
	file   PayloadFile
	sound  map[int]bool // files that were verified, by part
}

// NewPayloadAt returns a reader of a payload that is in files. With room, in which it reads
// meanwhile, each file is read whole and compared with its checksum before anything of it
// is given out: errs.Corrupt.
func NewPayloadAt(key objects.Key, opened *ObjectOpened, room []byte) *PayloadAt {
	return &PayloadAt{key: key, opened: opened, verify: room, part: -1, sound: make(map[int]bool)}
}

// ReadAt implements io.ReaderAt.
func (r *PayloadAt) ReadAt(p []byte, offset int64) (n int, err error) {
	const op errs.Op = "messages.PayloadAt"
	if r.opened.Parts == nil {
		if r.opened.File == nil {
			return 0, errs.E(op, r.key, errs.Invalid, errors.New("the payload is in no file"))
		}
		if r.file == nil {
			r.file, r.part = kept{r.opened.File}, 0
		}
		if err := r.sure(r.opened.Meta.Size, r.opened.Meta.XXHash); err != nil {
			return 0, err
		}
		n, err = r.file.ReadAt(p, offset)
		return n, early(op, r.key, n, len(p), offset+int64(n), r.opened.Meta.Size, err)
	}
	var at int64
	for i, part := range r.opened.Parts.Parts {
		from := offset + int64(n) - at
		at += part.Size
		if from >= part.Size || n == len(p) {
			continue
		}
		if err := r.open(i); err != nil {
			return n, err
		}
		if err := r.sure(part.Size, part.XXHash); err != nil {
			return n, err
		}
		want := int(min(int64(len(p)-n), part.Size-from))
		read, err := r.file.ReadAt(p[n:n+want], from)
		n += read
		if read < want {
			return n, early(op, r.key, read, want, from+int64(read), part.Size, err)
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// early makes the end of a file before where its record says that it ends what it is.
func early(op errs.Op, key objects.Key, n, want int, ended, size int64, err error) error {
	switch {
	case n == want:
		return nil
	case (err == nil || err == io.EOF) && ended < size:
		return errs.E(op, key, errs.Corrupt, fmt.Errorf("it ends at %d, the record says %d: %w", ended, size, io.ErrUnexpectedEOF))
	case err == nil:
		return io.EOF
	}
	return err
}

func (r *PayloadAt) open(part int) (err error) {
	if r.part == part {
		return nil
	}
	if err := r.Close(); err != nil {
		return err
	}
	if r.file, err = r.opened.Parts.Open(part); err != nil {
		return err
	}
	r.part = part
	return nil
}

// sure verifies the file that is open, once, if that is wanted.
func (r *PayloadAt) sure(size int64, sum uint64) error {
	if r.verify == nil || r.sound[r.part] {
		return nil
	}
	const op errs.Op = "messages.PayloadAt"
	hash := xxhash.New64()
	for at := int64(0); at < size; {
		want := min(int64(len(r.verify)), size-at)
		n, err := r.file.ReadAt(r.verify[:want], at)
		if int64(n) < want {
			return early(op, r.key, n, int(want), at+int64(n), size, err)
		}
		hash.Write(r.verify[:n])
		at += want
	}
	if got := hash.Sum64(); got != sum {
		return errs.E(op, r.key, errs.Corrupt, fmt.Errorf("xxhash %016x, want %016x", got, sum))
	}
	if v, ok := r.file.(VerifiedFile); ok {
		v.Verified()
	}
	r.sound[r.part] = true
	return nil
}

// Close closes the file that is open. Idempotent.
func (r *PayloadAt) Close() error {
	file := r.file
	r.file, r.part = nil, -1
	if file == nil {
		return nil
	}
	return file.Close()
}

// kept is a file that is closed by who opened it.
type kept struct{ PayloadFile }

// Close implements PayloadFile.
func (kept) Close() error { return nil }

// Verified implements VerifiedFile.
func (k kept) Verified() {
	if v, ok := k.PayloadFile.(VerifiedFile); ok {
		v.Verified()
	}
}
