package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/objects/errs"
)

const copyLong = `One end at least is troupe://BUCKET/KEY. "-" is standard input or output. A target that ends with a slash,
is a bucket, or is a local directory takes files under their own names; any other target is the name itself.
With --recursive, SOURCE is a directory or a prefix that ends at a slash, and what lies below it keeps its names.

Objects from --threshold on go in parts, several at a time. If such a transfer is interrupted, by Ctrl-C, a
crash of either side or the network, the same command goes on from the parts that are there, after comparing
their checksums. A download appears under its name when it is whole and has the checksum that the server
stored. Keys that are no paths (with "..", "//", a file where a directory is needed) are refused one by one, and
nothing is written outside of the target.`

func copyCommand(f *frame) *cobra.Command {
	var o copyOptions
	command := f.client(&cobra.Command{
		Use:   "cp SOURCE... TARGET",
		Short: "Copy files to a bucket, objects to files, or objects to objects",
		Long:  "Copy files to a bucket, objects to files, or objects to objects.\n\n" + copyLong,
		Example: `  troupe cp cat.jpg troupe://photos/2026/
  troupe cp --recursive --exclude '*.tmp' album troupe://photos/album
  troupe cp --recursive troupe://photos/album ./album
  troupe cp troupe://photos/2026/cat.jpg troupe://backup/cat.jpg
  tar c album | troupe cp - troupe://photos/album.tar
  troupe cp troupe://photos/album.tar - | tar t`,
		Args: cobra.MinimumNArgs(2),
	}, func(ctx context.Context, s *Session, args []string) error { return o.run(ctx, s, args) })
	o.add(command)
	return command
}

func moveCommand(f *frame) *cobra.Command {
	o := copyOptions{transferOptions: transferOptions{move: true}}
	command := f.client(&cobra.Command{
		Use:   "mv SOURCE... TARGET",
		Short: "Move: copy, compare, and delete the source",
		Long: `Move files to a bucket, objects to files, or objects to objects: each is copied, and its source deleted when the
copy is whole. Emptied local directories stay.

` + copyLong,
		Example: `  troupe mv cat.jpg troupe://photos/2026/
  troupe mv troupe://photos/2026/cat.jpg troupe://photos/2026/tom.jpg
  troupe mv --recursive troupe://photos/inbox ./inbox`,
		Args: cobra.MinimumNArgs(2),
	}, func(ctx context.Context, s *Session, args []string) error { return o.run(ctx, s, args) })
	o.add(command)
	return command
}

// copyOptions are the flags of cp and mv.
type copyOptions struct {
	transferOptions
	recursive bool
	skipSame  bool
}

func (o *copyOptions) add(command *cobra.Command) {
	command.Flags().BoolVarP(&o.recursive, "recursive", "r", false, "everything below SOURCE")
	command.Flags().BoolVar(&o.skipSame, "skip-same", false, "leave out what the target has with the same size and no older, as sync does")
	o.transferOptions.add(command.Flags())
}

// run does what cp and mv do.
func (o *copyOptions) run(ctx context.Context, s *Session, args []string) error {
	if err := o.complete(); err != nil {
		return err
	}
	var ends []address
	for _, text := range args {
		a, err := parseAddress(text)
		if err != nil {
			return err
		}
		if a.remote && a.bucket == "" {
			return Usage("%s has no bucket: %sBUCKET/KEY", text, scheme)
		}
		ends = append(ends, a)
	}
	sources, to := ends[:len(ends)-1], ends[len(ends)-1]
	for _, from := range sources {
		if err := o.check(from, to, len(sources)); err != nil {
			return err
		}
	}
	t, err := newTransfers(s, o.transferOptions)
	if err != nil {
		return err
	}
	if sources[0].stream() || to.stream() {
		return t.stream(ctx, sources[0], to)
	}
	p := planner{t: t, ctx: ctx, options: o, several: len(sources) > 1}
	defer p.close()
	return t.end(t.run(ctx, p.tasks(sources, to)))
}

// check refuses what cannot be, before anything is done.
func (o *copyOptions) check(from, to address, sources int) error {
	switch {
	case !from.remote && !to.remote:
		return Advise(Usage("%s and %s are both local", from, to), "one of them is %sBUCKET/KEY", scheme)
	case (from.stream() || to.stream()) && (sources > 1 || o.recursive):
		return Usage(`"-" is one stream: it goes with one object`)
	case from.stream() && to.directory():
		return Usage("%s is no object: what is read from standard input needs a key", to)
	case (from.stream() || to.stream()) && o.move:
		return Usage("a stream cannot be moved: use cp")
	case from.remote && from.key == "" && !o.recursive:
		return Advise(Usage("%s is a bucket", from), "--recursive copies what is in it")
	case from.remote && strings.HasSuffix(from.key, "/") && !o.recursive && (to.stream() || to.directory() || !to.remote):
		return Advise(Usage("%s ends with a slash", from), "--recursive copies what lies below it")
	case o.recursive && from.remote && to.remote && from.bucket == to.bucket && strings.HasPrefix(to.below(), from.below()):
		return Usage("%s lies within %s: copies would be copied again", to, from)
	case sources > 1 && to.remote && !to.directory():
		return Usage("several sources need a target that ends with a slash: %s/", to)
	}
	return nil
}

// stream copies from standard input or to standard output.
func (t *transfers) stream(ctx context.Context, from, to address) error {
	line := transferred{Source: from.String(), Target: to.String(), Status: "done"}
	m := &meter{}
	if t.bars != nil {
		t.bars.foundOne(0)
		m.moved = t.bars.moved
	}
	var err error
	if from.stream() {
		line.Op = opUpload
		var w s3.Written
		w, err = t.uploadStream(ctx, t.session.Program.In, to.bucket, to.key, m)
		line.ETag, line.Receipt = w.ETag, w.Receipt
	} else {
		line.Op = opDownload
		var object *s3.Object
		if object, err = t.downloadStream(ctx, from, t.session.Program.Out, m); err == nil {
			line.ETag = object.ETag
		}
	}
	if t.bars != nil {
		t.bars.close()
	}
	line.Bytes = m.bytes.Load()
	if err != nil || to.stream() { // standard output has the object, and nothing else
		return err
	}
	return t.session.Out.result(line, fmt.Sprintf("%s %s -> %s", line.Op, from, to))
}

// planner finds the tasks of cp and mv.
type planner struct {
	t       *transfers
	ctx     context.Context
	options *copyOptions
	several bool // sources
	roots   []*os.Root
}

// close closes the directories that downloads go to.
func (p *planner) close() {
	for _, r := range p.roots {
		r.Close() //nolint:errcheck // it was only looked into
	}
}

func (p *planner) tasks(sources []address, to address) iter.Seq2[task, error] {
	return func(yield func(task, error) bool) {
		for _, from := range sources {
			var each iter.Seq2[task, error]
			switch {
			case !from.remote:
				each = p.uploads(from, to)
			case to.remote:
				each = p.copies(from, to)
			default:
				each = p.downloads(from, to)
			}
			for k, err := range each {
				if !yield(k, err) {
					return
				}
			}
		}
	}
}

func one(k task, err error) iter.Seq2[task, error] {
	return func(yield func(task, error) bool) { yield(k, err) }
}

// uploads finds the files of a local source.
func (p *planner) uploads(from, to address) iter.Seq2[task, error] {
	info, err := os.Stat(from.local)
	if err != nil {
		return one(task{op: opUpload, from: from, to: to}, localError(from.local, err))
	}
	if !info.IsDir() {
		target := to
		if to.directory() {
			target.key += filepath.Base(from.local)
		}
		return p.withSame(one(task{op: opUpload, from: from, to: target, size: info.Size()}, nil))
	}
	if !p.options.recursive {
		return one(task{op: opUpload, from: from, to: to},
			Advise(errs.E("upload", from.local, errs.Invalid, errors.New("it is a directory")), "--recursive copies what is in it"))
	}
	prefix := to.below()
	if p.several {
		prefix += filepath.Base(filepath.Clean(from.local)) + "/"
	}
	return p.withSame(func(yield func(task, error) bool) {
		for f, err := range p.t.localFiles(from.local) {
			k := task{op: opUpload, from: address{local: f.path}, to: address{remote: true, bucket: to.bucket, key: prefix + f.name}, size: f.size, mark: f.directory}
			if !yield(k, err) {
				return
			}
		}
	})
}

// localFiles walks a directory, and leaves out what is not chosen.
func (t *transfers) localFiles(root string) iter.Seq2[localFile, error] {
	w := localWalk{root: root, links: t.links, skipped: func(path, why string) {
		t.session.Out.Note("troupe: left out: %s: %s", printable(path), why)
	}}
	return func(yield func(localFile, error) bool) {
		for f, err := range w.files() {
			if err == nil && (!t.chosen.chooses(f.name) || f.directory && !t.directories) {
				continue
			}
			if !yield(f, err) {
				return
			}
		}
	}
}

// entries lists what lies below a prefix and is chosen. An error is final.
func (t *transfers) entries(ctx context.Context, bucket, prefix string) iter.Seq2[s3.Entry, error] {
	return func(yield func(s3.Entry, error) bool) {
		for e, err := range t.s3.Walk(ctx, s3.Listing{Bucket: bucket, Prefix: prefix}) {
			if err != nil {
				yield(e, &final{err})
				return
			}
			if name := e.Key[len(prefix):]; name != "" && t.chosen.chooses(name) && !yield(e, nil) {
				return
			}
		}
	}
}

// sources yields the objects of a remote source: one, or all below it.
func (p *planner) sources(from address) iter.Seq2[s3.Entry, error] {
	if !p.options.recursive {
		return func(yield func(s3.Entry, error) bool) {
			o, err := p.t.s3.Head(p.ctx, from.bucket, from.key)
			if err != nil {
				yield(s3.Entry{}, err)
				return
			}
			yield(s3.Entry{Key: from.key, Size: o.Size, Modified: o.Modified, ETag: o.ETag}, nil)
		}
	}
	return func(yield func(s3.Entry, error) bool) {
		found := false
		for e, err := range p.t.entries(p.ctx, from.bucket, from.below()) {
			found = true
			if !yield(e, err) {
				return
			}
		}
		if !found && len(p.t.chosen.rules) == 0 && from.key != "" {
			yield(s3.Entry{}, Advise(errs.E("list", from.String(), errs.NotFound, fmt.Errorf("nothing lies below %q", from.below())),
				"without --recursive the object of that key itself is copied"))
		}
	}
}

// relative returns the name of a source below what was named.
func (p *planner) relative(from address, key string) string {
	if !p.options.recursive {
		return path.Base(key)
	}
	name := key[len(from.below()):]
	if p.several {
		name = path.Base(from.key) + "/" + name
	}
	return name
}

// copies finds the objects of a remote source for a remote target.
func (p *planner) copies(from, to address) iter.Seq2[task, error] {
	return p.withSame(func(yield func(task, error) bool) {
		for e, err := range p.sources(from) {
			k := task{op: opCopy, from: address{remote: true, bucket: from.bucket, key: e.Key}, to: to, size: e.Size, etag: e.ETag}
			if err == nil && (p.options.recursive || to.directory()) {
				k.to.key = to.below() + p.relative(from, e.Key)
			}
			if !yield(k, err) {
				return
			}
		}
	})
}

// downloads finds the objects of a remote source for a local target.
func (p *planner) downloads(from, to address) iter.Seq2[task, error] {
	directory, name, err := p.localTarget(to)
	if err != nil {
		return one(task{op: opDownload, from: from, to: to}, &final{err})
	}
	root, err := p.t.openTarget(directory)
	if err != nil {
		return one(task{op: opDownload, from: from, to: to}, &final{err})
	}
	if root != nil {
		p.roots = append(p.roots, root)
	}
	return p.withSame(func(yield func(task, error) bool) {
		for e, err := range p.sources(from) {
			local := name
			if name == "" && err == nil {
				local = p.relative(from, e.Key)
			}
			k, refused := p.t.download(from.bucket, e, root, directory, local)
			if name != "" {
				refused = nil // the user's own choice
			}
			if err == nil {
				err = refused
			}
			if !yield(k, err) {
				return
			}
		}
	})
}

// download makes the task that stores an object below a directory; refused says
// why its name cannot be.
func (t *transfers) download(bucket string, e s3.Entry, root *os.Root, directory, name string) (k task, refused error) {
	marker := strings.HasSuffix(name, "/") && e.Size == 0
	name = strings.TrimSuffix(name, "/")
	k = task{
		op: opDownload, from: address{remote: true, bucket: bucket, key: e.Key}, to: address{local: filepath.Join(directory, name)},
		into: target{root, name}, size: e.Size, etag: e.ETag,
	}
	if marker {
		k.op = opDirectory
	} else if strings.HasSuffix(e.Key, "/") {
		return k, Advise(errs.E("download", k.from.String(), errs.Invalid, fmt.Errorf("%w: it ends with a slash and has content", errLocalName)),
			"copy it alone under another name: troupe cp troupe://BUCKET/KEY FILE")
	}
	return k, checkLocalName(name)
}

// localTarget splits a local target into a directory and, if it is a file's,
// the name in it.
func (p *planner) localTarget(to address) (directory, name string, err error) {
	info, statErr := os.Stat(to.local)
	slash := strings.HasSuffix(to.local, "/")
	switch {
	case statErr == nil && info.IsDir(), p.options.recursive, p.several, slash:
		if statErr == nil && !info.IsDir() {
			return "", "", errs.E("download", to.local, errs.Exists, errors.New("it is a file, and a directory is needed"))
		}
		return to.local, "", nil
	case statErr != nil && !errors.Is(statErr, fs.ErrNotExist):
		return "", "", localError(to.local, statErr)
	}
	return filepath.Dir(to.local), filepath.Base(to.local), nil
}

// openTarget opens, and makes, a directory that downloads cannot leave; nil in a dry run
// if it does not exist.
func (t *transfers) openTarget(directory string) (*os.Root, error) {
	if !t.dryRun {
		if err := os.MkdirAll(directory, 0o777); err != nil {
			return nil, localError(directory, err)
		}
	}
	root, err := os.OpenRoot(directory)
	if t.dryRun && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, localError(directory, err)
	}
	return root, nil
}

// withSame marks the tasks whose target is the same already, if that is asked for.
func (p *planner) withSame(tasks iter.Seq2[task, error]) iter.Seq2[task, error] {
	if !p.options.skipSame {
		return tasks
	}
	return func(yield func(task, error) bool) {
		for k, err := range tasks {
			if err == nil {
				k.same, err = p.t.isSame(p.ctx, k)
			}
			if !yield(k, err) {
				return
			}
		}
	}
}

// isSame asks about the target of one task. It is a request per object; sync,
// which lists both sides, asks none.
func (t *transfers) isSame(ctx context.Context, k task) (bool, error) {
	var from, to item
	var err error
	if from, err = t.itemAt(ctx, k.from, target{}); err != nil {
		return false, err
	}
	to, err = t.itemAt(ctx, k.to, k.into)
	if errs.Is(errs.NotFound, err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return t.same(ctx, from, to, false)
}
