package cli

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/objects/errs"
)

func syncCommand(f *frame) *cobra.Command {
	var o transferOptions
	var deleteOthers, byChecksum bool
	command := f.client(&cobra.Command{
		Use:   "sync SOURCE TARGET",
		Short: "Make a prefix, or a directory, like another one",
		Long: `Copy what TARGET does not have, or has otherwise, from SOURCE: from a directory to a prefix, from a prefix to a
directory, or between prefixes. Both are listed side by side, so memory does not grow with them.

A file is the same if its size is, and it is no newer than the object. An object is the same as a file if
their sizes are and the file has the object's time, which downloads give it; where only the times differ, the
content is compared if the object's ETag is an MD5. With --checksum content is compared in any case. With
--delete what SOURCE does not have is deleted from TARGET, after everything was copied, and only if all of it was.
What --exclude leaves out is neither copied nor deleted.`,
		Example: `  troupe sync album troupe://photos/album
  troupe sync --delete --dry-run troupe://photos/album ./album
  troupe sync --checksum troupe://photos troupe://backup/photos`,
		Args: cobra.ExactArgs(2),
	}, func(ctx context.Context, s *Session, args []string) error {
		if err := o.complete(); err != nil {
			return err
		}
		from, err := parseAddress(args[0])
		if err != nil {
			return err
		}
		to, err := parseAddress(args[1])
		if err != nil {
			return err
		}
		switch {
		case from.stream() || to.stream():
			return Usage(`sync has no streams; "./-" is a directory of that name`)
		case !from.remote && !to.remote:
			return Advise(Usage("%s and %s are both local", from, to), "one of them is %sBUCKET/PREFIX", scheme)
		case from.remote && from.bucket == "" || to.remote && to.bucket == "":
			return Usage("a bucket is missing: %sBUCKET/PREFIX", scheme)
		case from.remote && to.remote && from.bucket == to.bucket && (strings.HasPrefix(from.below(), to.below()) || strings.HasPrefix(to.below(), from.below())):
			return Usage("%s and %s lie within one another", from, to)
		}
		t, err := newTransfers(s, o)
		if err != nil {
			return err
		}
		t.resume = "run the same command again: it does what is left, and large files go on from the parts that are there"
		y := &syncing{t: t, ctx: ctx, from: from, to: to, byChecksum: byChecksum, collect: deleteOthers}
		defer y.close()
		cause := y.open()
		if cause == nil {
			cause = t.run(ctx, y.tasks())
		}
		if cause == nil && t.failed == 0 {
			cause = y.deleteOthers()
		} else if len(y.others) > 0 {
			s.Out.Warn("troupe: nothing was deleted, because not everything was copied")
		}
		return t.end(cause)
	})
	flags := command.Flags()
	flags.BoolVar(&deleteOthers, "delete", false, "delete from TARGET what SOURCE does not have")
	flags.BoolVar(&byChecksum, "checksum", false, "compare content, not times: reads every local file of the same size")
	o.add(flags)
	return command
}

// item is a file or an object at one side, under its name below what was named.
type item struct {
	at       address
	into     target // of a local target
	name     string // a directory's ends with a slash
	size     int64
	modified time.Time
	etag     string
}

// syncing makes one side like the other.
type syncing struct {
	t          *transfers
	ctx        context.Context
	from, to   address
	byChecksum bool
	collect    bool // what the source does not have

	root   *os.Root // of a local target; nil: there is none
	others []item   // what only the target has
}

// open looks whether the source is there, and opens a local target.
func (y *syncing) open() error {
	if !y.from.remote {
		info, err := os.Stat(y.from.local)
		if err != nil {
			return localError(y.from.local, err)
		}
		if !info.IsDir() {
			return Advise(errs.E("sync", y.from.local, errs.Invalid, errors.New("it is no directory")), "`troupe cp` copies a file")
		}
	} else if _, err := y.t.s3.HeadBucket(y.ctx, y.from.bucket); err != nil {
		return err
	}
	if y.to.remote {
		_, err := y.t.s3.HeadBucket(y.ctx, y.to.bucket)
		return err
	}
	var err error
	y.root, err = y.t.openTarget(y.to.local)
	return err
}

func (y *syncing) close() {
	if y.root != nil {
		y.root.Close() //nolint:errcheck // it was only looked into
	}
}

// items lists one side in the order of names. errors of single files count as
// failures; others are final.
func (y *syncing) items(a address, isTarget bool) iter.Seq2[item, error] {
	if a.remote {
		prefix := a.below()
		return func(yield func(item, error) bool) {
			for e, err := range y.t.entries(y.ctx, a.bucket, prefix) {
				i := item{at: address{remote: true, bucket: a.bucket, key: e.Key}, size: e.Size, modified: e.Modified, etag: e.ETag}
				if err == nil {
					i.name = e.Key[len(prefix):]
				}
				if !yield(i, err) {
					return
				}
			}
		}
	}
	if isTarget && y.root == nil { // a dry run, and nothing is there
		return func(func(item, error) bool) {}
	}
	return func(yield func(item, error) bool) {
		for f, err := range y.t.localFiles(a.local) {
			i := item{at: address{local: f.path}, name: f.name, size: f.size, modified: f.modified}
			if !yield(i, err) {
				return
			}
		}
	}
}

// tasks compares both sides name by name.
func (y *syncing) tasks() iter.Seq2[task, error] {
	return func(yield func(task, error) bool) {
		next, stop := iter.Pull2(y.items(y.to, true))
		defer stop()
		have, err, more := next()
		for want, wantErr := range y.items(y.from, false) {
			if wantErr != nil {
				if !yield(task{from: y.from, to: y.to}, wantErr) || isFinal(wantErr) {
					return
				}
				continue
			}
			for more && (err != nil || have.name < want.name) {
				if err != nil {
					// Without the whole of the target nobody knows what it has.
					yield(task{from: y.from, to: y.to}, &final{err})
					return
				}
				y.other(have)
				have, err, more = next()
			}
			k, refused := y.task(want)
			if refused == nil && !k.same && more && have.name == want.name {
				have.into = k.into
				k.same, refused = y.t.same(y.ctx, want, have, y.byChecksum)
			}
			if more && have.name == want.name {
				have, err, more = next()
			}
			if !yield(k, refused) {
				return
			}
		}
		for ; more; have, err, more = next() {
			if err != nil {
				yield(task{from: y.from, to: y.to}, &final{err})
				return
			}
			y.other(have)
		}
	}
}

// other notes what only the target has. Markers of directories are left alone:
// a directory that is not empty has none at the other side.
func (y *syncing) other(i item) {
	if y.collect && !strings.HasSuffix(i.name, "/") {
		y.others = append(y.others, i)
	}
}

// task makes the task that gives the target an item.
func (y *syncing) task(want item) (task, error) {
	if !y.to.remote {
		k, refused := y.t.download(want.at.bucket, s3.Entry{Key: want.at.key, Size: want.size, ETag: want.etag}, y.root, y.to.local, want.name)
		if k.op == opDirectory && refused == nil && y.root != nil {
			info, err := y.root.Lstat(k.into.name)
			k.same = err == nil && info.IsDir()
		}
		return k, refused
	}
	k := task{op: opCopy, from: want.at, to: address{remote: true, bucket: y.to.bucket, key: y.to.below() + want.name}, size: want.size, etag: want.etag}
	if !want.at.remote {
		k.op, k.mark = opUpload, strings.HasSuffix(want.name, "/")
	}
	return k, nil
}

// same reports whether the target need not be written.
func (t *transfers) same(ctx context.Context, from, to item, byChecksum bool) (bool, error) {
	switch {
	case strings.HasSuffix(from.name, "/") && strings.HasSuffix(to.name, "/"):
		return true, nil
	case from.size != to.size:
		return false, nil
	case byChecksum:
		return t.sameContent(ctx, from, to)
	case from.at.remote && to.at.remote:
		return from.etag == to.etag || !from.modified.After(to.modified), nil
	case to.at.remote:
		return !from.modified.Truncate(time.Second).After(to.modified), nil
	case from.modified.Truncate(time.Second).Equal(to.modified.Truncate(time.Second)):
		return true, nil
	}
	if _, ok := s3.MD5OfETag(from.etag); ok {
		return t.sameContent(ctx, from, to)
	}
	return false, nil
}

// sameContent compares checksums: ETags where both or one are MD5s, else the
// CRC64NVME that the server stores.
func (t *transfers) sameContent(ctx context.Context, a, b item) (bool, error) {
	if a.at.remote && b.at.remote {
		if a.etag == b.etag {
			return true, nil
		}
		first, err := t.s3.Head(ctx, a.at.bucket, a.at.key)
		if err != nil {
			return false, err
		}
		second, err := t.s3.Head(ctx, b.at.bucket, b.at.key)
		if err != nil {
			return false, err
		}
		one, ok := first.CRC64NVME()
		other, also := second.CRC64NVME()
		return ok && also && one == other, nil
	}
	if a.at.remote {
		a, b = b, a
	}
	file, err := os.Open(a.at.local)
	if err != nil {
		return false, localError(a.at.local, err)
	}
	defer file.Close()
	if sum, ok := s3.MD5OfETag(b.etag); ok {
		h := md5.New()
		if _, err := io.CopyBuffer(writeOnly{h}, &interruptibleReader{ctx, file}, make([]byte, copyBufferBytes)); err != nil {
			return false, localError(a.at.local, err)
		}
		return hex.EncodeToString(h.Sum(nil)) == sum, nil
	}
	o, err := t.s3.Head(ctx, b.at.bucket, b.at.key)
	if err != nil {
		return false, err
	}
	stored, ok := o.CRC64NVME()
	if !ok {
		return false, nil
	}
	sum, err := sumOf(ctx, file, 0, a.size)
	if err != nil {
		return false, localError(a.at.local, err)
	}
	return sum == stored, nil
}

// itemAt describes one end of a task.
func (t *transfers) itemAt(ctx context.Context, a address, into target) (item, error) {
	i := item{at: a, into: into}
	if a.remote {
		o, err := t.s3.Head(ctx, a.bucket, a.key)
		if err != nil {
			return item{}, err
		}
		i.size, i.modified, i.etag = o.Size, o.Modified, o.ETag
		return i, nil
	}
	info, err := os.Stat(a.local)
	if err != nil {
		return item{}, localError(a.local, err)
	}
	if i.modified = info.ModTime(); !info.IsDir() {
		i.size = info.Size()
	}
	return i, nil
}

// deleteOthers deletes from the target what the source does not have.
func (y *syncing) deleteOthers() error {
	t := y.t
	tell := func(r removed, failure error) error {
		k := task{op: opDelete, to: address{remote: true, bucket: r.Bucket, key: r.Key}}
		y.told(k, failure)
		return nil
	}
	if y.to.remote {
		d := deletion{client: t.s3, parallel: t.parallel, dryRun: t.dryRun}
		for _, i := range y.others {
			if err := d.key(y.ctx, i.at.bucket, i.at.key, tell); err != nil {
				return err
			}
		}
		err := d.end(y.ctx, tell)
		var partly *Partly
		if errors.As(err, &partly) {
			return nil // each was told
		}
		return err
	}
	var parents []string
	for _, i := range y.others {
		if y.ctx.Err() != nil {
			return context.Cause(y.ctx)
		}
		k := task{op: opDelete, to: i.at}
		if t.dryRun {
			y.told(k, nil)
			continue
		}
		err := y.root.Remove(filepath.FromSlash(i.name))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err != nil {
			err = localError(i.at.local, err)
		}
		y.told(k, err)
		for p := path.Dir(i.name); p != "."; p = path.Dir(p) {
			parents = append(parents, p)
		}
	}
	// Directories that were emptied go, the deepest first.
	slices.SortFunc(parents, func(a, b string) int { return strings.Compare(b, a) })
	for _, p := range slices.Compact(parents) {
		if err := y.root.Remove(p); err != nil {
			continue // it is not empty, which is a reason to stay
		}
	}
	return nil
}

// told counts a deletion and tells of it.
func (y *syncing) told(k task, err error) {
	t := y.t
	if err != nil {
		t.note(k, transferred{}, err)
		return
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.deleted++
	line := transferred{Op: opDelete, Target: k.to.String(), Status: "done"}
	text := "delete " + line.Target
	if t.dryRun {
		line.Status, text = "planned", "would "+text
	}
	if t.bars == nil {
		t.session.Out.result(line, text) //nolint:errcheck // remembered by Output, and told at the end
	}
}
