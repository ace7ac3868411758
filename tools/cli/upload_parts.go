package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/objects/errs"
)

// abandonWithin bounds the tidying up after an upload that failed.
const abandonWithin = 5 * time.Second

// partedUpload is a file that is stored in parts.
type partedUpload struct {
	file        *os.File
	info        os.FileInfo
	path        string
	bucket, key string
	attributes  s3.Attributes
	meter       *meter
}

// uploadNote is what is remembered of an upload under way, in a file of its
// own under the user's state directory. The parts themselves are asked of the
// server, and compared with the file before they are taken for done.
type uploadNote struct {
	UploadID   string    `json:"upload_id"`
	PartBytes  int64     `json:"part_bytes"`
	Size       int64     `json:"size"`
	Modified   time.Time `json:"modified"`
	Attributes string    `json:"attributes"` // a digest
	Source     string    `json:"source"`     // for people
	Target     string    `json:"target"`
}

// uploadParts stores a file in parts, several at a time, and goes on where an
// earlier attempt stopped.
func (t *transfers) uploadParts(ctx context.Context, u partedUpload) (s3.Written, error) {
	note, stored, kept, err := t.resumeUpload(ctx, &u)
	if err != nil {
		return s3.Written{}, err
	}
	defer kept.close()
	if note.UploadID == "" {
		note = t.newUploadNote(&u)
		if note.UploadID, err = t.s3.CreateUpload(ctx, u.bucket, u.key, u.attributes); err != nil {
			return s3.Written{}, err
		}
		if err := kept.write(note); err != nil {
			t.session.Out.Warn("troupe: the upload of %s cannot be resumed should it be interrupted: %v", printable(u.path), err)
		}
	}
	t.resumable.Add(1)
	parts := make([]s3.Part, (u.info.Size()+note.PartBytes-1)/note.PartBytes)
	workers := newCrew(t.parallel)
	for i := range parts {
		if workers.failed() != nil || ctx.Err() != nil {
			break
		}
		workers.Go(func() error {
			part, err := t.uploadPart(ctx, &u, note, i+1, stored[i+1])
			parts[i] = part
			return err
		})
	}
	if err := errors.Join(workers.Wait(), context.Cause(ctx)); err != nil {
		if client.Code(err) == "NoSuchUpload" {
			kept.remove() // the next attempt begins anew
		}
		return s3.Written{}, err
	}
	if changed(u.file, u.info) {
		kept.remove()
		return s3.Written{}, errors.Join(errs.E("upload", u.path, errs.Conflict, errChanged), t.abandon(ctx, u.bucket, u.key, note.UploadID))
	}
	written, err := t.complete(ctx, u.bucket, u.key, note.UploadID, parts)
	if err == nil || client.AsFailure(err) != nil && !errs.Is(errs.Busy, err) {
		kept.remove()
		t.resumable.Add(-1)
	}
	return written, err
}

// uploadPart stores one part unless the server has it already.
func (t *transfers) uploadPart(ctx context.Context, u *partedUpload, note uploadNote, number int, stored s3.Part) (s3.Part, error) {
	offset := int64(number-1) * note.PartBytes
	length := min(note.PartBytes, u.info.Size()-offset)
	return requested(ctx, t, func() (s3.Part, error) {
		sum, err := sumOf(ctx, u.file, offset, length)
		if err != nil {
			return s3.Part{}, localError(u.path, err)
		}
		if stored.Size == length && stored.Sum == sum {
			u.meter.add(length)
			t.resumed.Add(length)
			return stored, nil
		}
		body := bodies{meter: u.meter, open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(u.file, offset, length)), nil
		}}
		part, err := t.s3.PutPart(ctx, u.bucket, u.key, note.UploadID, s3.Part{Number: number, Size: length, Sum: sum}, body.next)
		if client.Code(err) == "BadDigest" {
			err = errs.E("upload", u.path, errs.Conflict, errChanged)
		}
		return part, err
	})
}

// partBytesFor returns the size of parts of a file: as chosen, unless that
// makes more than 10,000 of them; then the least number of MiB that does not.
func partBytesFor(chosen, size int64) int64 {
	const step = 1 << 20
	least := (size + s3.MaxParts - 1) / s3.MaxParts
	if least <= chosen {
		return chosen
	}
	return (least + step - 1) / step * step
}

func (t *transfers) newUploadNote(u *partedUpload) uploadNote {
	return uploadNote{
		PartBytes: partBytesFor(t.partBytes, u.info.Size()), Size: u.info.Size(), Modified: u.info.ModTime(),
		Attributes: digestOf(fmt.Sprintf("%q", u.attributes)), Source: u.path, Target: s3.Address(u.bucket, u.key),
	}
}

// resumeUpload returns the note of an earlier attempt and the parts that the
// server has of it, by number. A note of another content or other attributes is
// of no use: its upload is ended.
func (t *transfers) resumeUpload(ctx context.Context, u *partedUpload) (note uploadNote, stored map[int]s3.Part, kept *noteFile, err error) {
	kept = t.openNote(u)
	if kept == nil || !kept.read(&note) {
		return uploadNote{}, nil, kept, nil
	}
	fresh := t.newUploadNote(u)
	if note.Size != fresh.Size || !note.Modified.Equal(fresh.Modified) || note.Attributes != fresh.Attributes || note.PartBytes <= 0 ||
		(note.Size+note.PartBytes-1)/note.PartBytes > s3.MaxParts {
		return uploadNote{}, nil, kept, t.abandon(ctx, u.bucket, u.key, note.UploadID)
	}
	parts, err := t.s3.Parts(ctx, u.bucket, u.key, note.UploadID)
	if errs.Is(errs.NotFound, err) {
		return uploadNote{}, nil, kept, nil
	}
	if err != nil {
		kept.close()
		return uploadNote{}, nil, nil, err
	}
	stored = map[int]s3.Part{}
	for _, p := range parts {
		stored[p.Number] = p
	}
	return note, stored, kept, nil
}

// noteFile is the file of a note, locked so that two programs do not go on with
// one upload. A nil noteFile keeps nothing.
type noteFile struct{ file *os.File }

// openNote opens the note of an upload; nil if there can be none, or another
// program holds it.
func (t *transfers) openNote(u *partedUpload) *noteFile {
	if t.stateDirectory == "" {
		return nil
	}
	source, err := filepath.Abs(u.path)
	if err != nil {
		return nil
	}
	if err := os.MkdirAll(t.stateDirectory, 0o700); err != nil {
		return nil
	}
	name := digestOf(t.s3.Endpoint(), u.bucket, u.key, source) + ".json"
	file, err := os.OpenFile(filepath.Join(t.stateDirectory, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil
	}
	if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		file.Close() //nolint:errcheck // nothing was written
		return nil
	}
	return &noteFile{file}
}

// stateDirectory is where notes of uploads are kept; empty: nowhere.
func stateDirectory(p Program) string {
	if state := p.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "troupe", "uploads")
	}
	if home := p.Getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "troupe", "uploads")
	}
	return ""
}

// read reads the note; it says whether there is one.
func (n *noteFile) read(into *uploadNote) bool {
	if n == nil {
		return false
	}
	body, err := io.ReadAll(io.LimitReader(n.file, 64<<10))
	if err != nil || json.Unmarshal(body, into) != nil || into.UploadID == "" {
		*into = uploadNote{}
		return false
	}
	return true
}

// write replaces the note.
func (n *noteFile) write(note uploadNote) error {
	if n == nil {
		return errors.New("there is no directory for its note, or another program uploads the same")
	}
	body, err := json.Marshal(note)
	if err != nil {
		return err
	}
	if err := n.file.Truncate(0); err != nil {
		return err
	}
	_, err = n.file.WriteAt(body, 0)
	return err
}

// remove forgets the upload.
func (n *noteFile) remove() {
	if n != nil {
		// Whoever opened it meanwhile finds it empty and locked.
		if err := errors.Join(n.file.Truncate(0), os.Remove(n.file.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return // a note without its upload is found to be one
		}
	}
}

// close unlocks the note; one that was never written goes.
func (n *noteFile) close() {
	if n == nil {
		return
	}
	if info, err := n.file.Stat(); err == nil && info.Size() == 0 {
		os.Remove(n.file.Name()) //nolint:errcheck // an empty note says nothing
	}
	n.file.Close() //nolint:errcheck // what matters was written by write
}
