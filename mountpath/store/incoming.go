package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

const (
	// preallocateFrom is the declared size from which room is reserved in advance:
	// below it, a payload comes in so few writes that it lies in one piece anyway,
	// and turning reserved blocks into written ones costs more than they save.
	preallocateFrom = 4 << 20
	// preallocateAhead is how much is reserved at a time, in bytes: large enough
	// that a file lies in few pieces, and that a call costs nothing beside what it
	// is for; small enough that clients who declare much and send nothing do not
	// take the disk away from those who send.
	preallocateAhead = 16 << 20
	// filesPerPayload is how many inodes a payload may take: its own, and that of
	// a directory on its way or, on tmpfs, of its attribute.
	filesPerPayload = 2
)

// Incoming is a payload on its way into a file: of an object, whose work file
// CommitFile renames, or of a part, whose work file Seal renames. Its owner
// ends it with CommitFile, CommitPart or Abandon. Not safe for concurrent use.
type Incoming struct {
	Key     objects.Key
	Payload objects.Generation
	Draft   objects.Draft
	// Modified is the object's time, for the attribute; if it is zero when the
	// payload is sealed, it becomes the time of that.
	Modified time.Time

	upload   *objects.Upload // of a part
	uploadID string          // of a part
	number   int             // of a part; 0: an object
	record   *objects.Meta   // of an import: the record that comes with it; nil otherwise

	store  *Store
	path   string // where the bytes are now
	file   disk.File
	hint   int64 // declared size in bytes; -1: not known
	room   int64 // bytes, from the file's start, that were claimed of the disk
	size   int64
	info   disk.Info // of the sealed file
	intent *index.Pending
	begun  bool // an intent was written (or may have been)
	named  bool // of a part: its directory and its name may be there
	beside bool // a sidecar was written (or may have been)
	sealed bool
	broken error // the first failure: what was to be written or synced may be lost, and no later success brings it back
}

// Create begins a large object: its work file is there and its intent on the
// way to stable storage. sizeHint is the declared size, -1 if there is none.
func (s *Store) Create(key objects.Key, draft objects.Draft, sizeHint int64) (*Incoming, error) {
	const op errs.Op = "store.Create"
	if err := s.admitWrite(op, key, claim{files: filesPerPayload}); err != nil {
		return nil, err
	}
	in := &Incoming{Key: key, Payload: s.generations.Next(), Draft: draft, store: s, hint: sizeHint}
	in.path = layout.WorkPath(in.Payload)
	if err := in.open(); err != nil {
		return nil, failed(op, key, err)
	}
	natural, _ := layout.NaturalPath(key.Bucket, key.Name)
	in.intend(&layout.Intent{Kind: layout.IntentObject, Path: natural, Draft: draft})
	return in, nil
}

// intend sends the payload's intent on its way to stable storage.
func (in *Incoming) intend(intent *layout.Intent) {
	intent.Key, intent.Payload, intent.Begun = in.Key, in.Payload, in.store.now()
	batch := in.store.index.NewBatch()
	batch.Set(in.intentKey(), layout.AppendIntent(nil, intent))
	in.intent, in.begun = in.store.index.CommitAsync(batch), true
}

// CreatePart begins a part of a multipart upload, which must exist.
func (s *Store) CreatePart(key objects.Key, uploadID string, number int, sizeHint int64) (*Incoming, error) {
	const op errs.Op = "store.CreatePart"
	if err := s.admitWrite(op, key, claim{files: filesPerPayload}); err != nil {
		return nil, err
	}
	upload, err := s.upload(op, key, uploadID)
	if err != nil {
		return nil, err
	}
	in := &Incoming{Key: key, Payload: s.generations.Next(), Draft: upload.Draft, upload: upload, uploadID: uploadID, number: number, store: s, hint: sizeHint}
	in.path = layout.WorkPath(in.Payload)
	if err := in.open(); err != nil {
		return nil, failed(op, key, err)
	}
	in.intend(&layout.Intent{Kind: layout.IntentPart, UploadID: uploadID, Part: number})
	return in, nil
}

func (in *Incoming) intentKey() []byte {
	return layout.IntentKey(nil, in.Key.Bucket.ID, in.Key.Name, in.Payload)
}

func (in *Incoming) open() (err error) {
	in.file, err = in.store.fs.OpenFile(in.path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		in.store.diskError(in.Key, err)
		return err
	}
	if in.hint >= preallocateFrom {
		if err := in.makeRoom(1); err != nil {
			return errors.Join(err, in.discard())
		}
	}
	return nil
}

// makeRoom claims room for the next n bytes, and reserves it where the size was
// declared. A payload whose disk becomes full on the way fails here, before it
// takes what the index keeps for itself.
func (in *Incoming) makeRoom(n int64) error {
	if in.size+n <= in.room {
		return nil
	}
	next := in.size + n - in.room
	reserve := in.hint >= preallocateFrom && in.room < in.hint
	if reserve {
		next = max(next, min(preallocateAhead, in.hint-in.room))
	}
	if err := in.store.admitWrite("store.makeRoom", in.Key, claim{bytes: next}); err != nil {
		return err
	}
	if reserve {
		err := in.file.Preallocate(in.room, next)
		if err != nil && !errors.Is(err, syscall.EOPNOTSUPP) && !errors.Is(err, syscall.ENOSYS) {
			return err
		} // a filesystem that cannot will tell when it is full
	}
	in.room += next
	return nil
}

// Size returns how many bytes were appended.
func (in *Incoming) Size() int64 { return in.size }

// Class returns the durability class that the payload is written at. A part is
// durable before its answer, whatever the bucket's class, and so is an import,
// whose source goes when it is here.
func (in *Incoming) Class() objects.Durability {
	if in.Draft.Class == "" || in.number > 0 || in.record != nil {
		return objects.Synced
	}
	return in.Draft.Class
}

// Append writes the next bytes of the payload, which lie in one piece or in
// several. Large, aligned ones cost least: they go to the disk past the page
// cache. After a failure there is nothing to do but Abandon.
func (in *Incoming) Append(pieces ...[]byte) error {
	if in.broken != nil {
		return in.broken
	}
	length := int64(0)
	for _, p := range pieces {
		length += int64(len(p))
	}
	err := in.makeRoom(length)
	if err == nil {
		var n int64
		began := in.store.reads.elapsed()
		n, err = in.file.WriteDirect(pieces, in.size)
		in.store.moved.call(began, in.store.reads.elapsed(), n)
		in.size += n
	}
	if err != nil {
		in.store.diskError(in.Key, err)
		in.broken = failed("store.Append", in.Key, err)
	}
	return in.broken
}

// Seal ends the payload: the attribute names it, and bytes and attribute are
// synced (in the relaxed class: handed to the operating system); the intent is
// on stable storage. Blocks on the disk; never in a lane. A Seal that failed is
// not tried again: a second fsync reports success for bytes that the first lost.
func (in *Incoming) Seal(sums checksum.Sums, etag string) error {
	if in.broken == nil {
		in.broken = in.seal(sums, etag)
	}
	return in.broken
}

func (in *Incoming) seal(sums checksum.Sums, etag string) error {
	const op errs.Op = "store.Seal"
	if sums.Size != in.size {
		return errs.E(op, in.Key, errs.Internal, fmt.Errorf("%d bytes were digested, %d written", sums.Size, in.size))
	}
	if in.Modified.IsZero() {
		in.Modified = in.store.now()
	}
	content := layout.Attribute{
		Key: in.Key, Payload: in.Payload, Size: in.size, XXHash: sums.XXHash, ETag: etag, Checksums: sums.Values,
		UploadID: in.uploadID, PartNumber: in.number, Modified: in.Modified,
	}
	content.CarryDraft(&in.Draft)
	if in.upload != nil {
		content.Wanted, content.Initiated = in.upload.Checksum, in.upload.Initiated
	}
	if content.Sidecar && in.number == 0 {
		if err := in.writeSidecar(); err != nil {
			in.store.diskError(in.Key, err)
			return failed(op, in.Key, err)
		}
	}
	attribute := layout.AppendAttribute(nil, &content)
	err := in.file.SetAttr(layout.AttributeName, attribute)
	if errors.Is(err, syscall.ENOSPC) {
		// ext4 says ENOSPC when attributes do not fit their block: not fullness.
		err = fmt.Errorf("an attribute of %d bytes does not fit beside others: %w", len(attribute), syscall.E2BIG)
	}
	if err == nil && in.Class() == objects.Synced {
		err = in.file.Sync()
	}
	if err == nil {
		in.info, err = in.file.Stat()
	}
	if err != nil {
		in.store.diskError(in.Key, err)
		return failed(op, in.Key, err)
	}
	if err := in.awaitIntent(); err != nil {
		return failed(op, in.Key, err)
	}
	if in.number > 0 {
		if err := in.takePartName(); err != nil {
			in.store.diskError(in.Key, err)
			return failed(op, in.Key, err)
		}
	}
	in.sealed = true
	return nil
}

// takePartName renames the work file of a part to its place in the directory of
// its upload, durably. The intent is on stable storage.
func (in *Incoming) takePartName() error {
	in.named = true
	to := layout.PartPath(in.uploadID, in.number, in.Payload)
	if !layout.DraftFits(&in.Draft) {
		sidecar := &layout.Sidecar{Key: in.Key, UploadID: in.uploadID, Payload: in.Payload, Draft: in.Draft}
		if err := in.store.writeSidecar(layout.PartSidecarPath(in.uploadID, in.number, in.Payload), sidecar); err != nil {
			return err
		}
	}
	renamed, err := in.store.names.receive(in.path, to, true)
	if renamed {
		in.path = to
	}
	return err
}

// awaitIntent waits until the intent is on stable storage.
func (in *Incoming) awaitIntent() error {
	if in.intent == nil {
		return nil
	}
	err := in.intent.Wait()
	in.intent = nil
	return err
}

// ReadAt implements io.ReaderAt over the bytes that were appended. Not after Abandon,
// CommitFile or CommitPart.
func (in *Incoming) ReadAt(room []byte, offset int64) (int, error) {
	n, err := in.file.ReadAt(room, offset)
	if err != nil && err != io.EOF {
		in.store.diskError(in.Key, err)
		err = failed("store.Incoming", in.Key, err)
	}
	return n, err
}

// Abandon ends a payload that will not become an object: its file and intent
// go. What fails here is left to Settle, which finds the intent.
func (in *Incoming) Abandon() error {
	if in.file == nil {
		return nil
	}
	err := errors.Join(in.discard(), in.awaitIntent())
	if in.beside {
		removal := in.store.removeSidecar(in.Payload)
		err, in.begun = errors.Join(err, removal), in.begun && removal == nil
	}
	if in.named && err == nil {
		err = in.store.undoPart(in.Key, in.uploadID, in.number, in.Payload)
	}
	if in.begun && err == nil {
		batch := in.store.index.NewBatch()
		batch.Delete(in.intentKey())
		err = in.store.index.Commit(batch)
	}
	if err != nil {
		in.store.leaveOpen(in)
		return failed("store.Abandon", in.Key, err)
	}
	return nil
}

// discard closes and unlinks the file.
func (in *Incoming) discard() error {
	err := in.file.Close()
	in.file = nil
	if removeErr := in.store.fs.Remove(in.path); !errors.Is(removeErr, fs.ErrNotExist) {
		err = errors.Join(err, removeErr)
	}
	return err
}

// release closes the file, which has become an object or a part.
func (in *Incoming) release() {
	if in.file == nil {
		return
	}
	// Everything was synced before: nothing can be lost by a close that fails.
	_ = in.file.Close()
	in.file = nil
}
