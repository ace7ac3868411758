package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

// pair does every operation on the operating system and on Mem, and fails where
// they differ in what they return or in which errno they refuse with.
type pair struct {
	t        *rapid.T
	linux    disk.FS
	mem      disk.FS
	files    []openPair
	dirs     []dirPair
	failures int // operations that both refused: the negative control of the test
}

type openPair struct{ linux, mem disk.File }
type dirPair struct{ linux, mem disk.Dir }

// same compares two outcomes.
func (p *pair) same(what string, linux, mem error) bool {
	p.t.Helper()
	if errnoOf(linux) != errnoOf(mem) {
		p.t.Fatalf("%s: Linux says %v, Mem says %v", what, linux, mem)
	}
	if linux != nil {
		p.failures++
	}
	return linux == nil
}

// errnoOf returns what a caller can tell of an error: nothing, io.EOF or the
// errno.
func errnoOf(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "ok"
	case err == io.EOF:
		return "EOF"
	case errors.As(err, &errno):
		return fmt.Sprintf("errno %d", int(errno))
	}
	return err.Error()
}

// pathGenerator makes few names, so that operations meet, and now and then one
// that is too long, missing or refused.
func pathGenerator() *rapid.Generator[string] {
	name := rapid.SampledFrom([]string{"a", "b", "c", "a", "b", "c", "a", "b", "c", strings.Repeat("n", 255), strings.Repeat("n", 256)})
	path := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(name, 1, 3).Draw(t, "names"), "/")
	})
	odd := rapid.SampledFrom([]string{"", ".", "/a", "a/", "a/../b", "..", "a//b", "./a", "a\x00b", strings.Repeat("a/", 2048) + "a"})
	return rapid.Custom(func(t *rapid.T) string {
		if rapid.IntRange(0, 15).Draw(t, "odd") == 0 {
			return odd.Draw(t, "path")
		}
		return path.Draw(t, "path")
	})
}

func (p *pair) open(t *rapid.T) {
	path := pathGenerator().Draw(t, "path")
	flag := rapid.SampledFrom([]int{
		os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_CREATE, os.O_RDWR | os.O_CREATE, os.O_WRONLY | os.O_CREATE | os.O_EXCL,
		os.O_RDWR | os.O_TRUNC, os.O_RDONLY | os.O_TRUNC, os.O_RDONLY | os.O_CREATE, os.O_RDONLY | os.O_CREATE | os.O_EXCL, os.O_RDWR | os.O_APPEND,
		os.O_RDWR | os.O_WRONLY, os.O_RDWR | os.O_CREATE | os.O_TRUNC, os.O_RDWR | os.O_SYNC,
	}).Draw(t, "flag")
	linux, errLinux := p.linux.OpenFile(path, flag, 0o600)
	mem, errMem := p.mem.OpenFile(path, flag, 0o600)
	if p.same(fmt.Sprintf("open %q %#x", path, flag), errLinux, errMem) {
		p.files = append(p.files, openPair{linux, mem})
	}
}

func (p *pair) file(t *rapid.T) (int, openPair) {
	if len(p.files) == 0 {
		t.Skip("no open file")
	}
	i := rapid.IntRange(0, len(p.files)-1).Draw(t, "file")
	return i, p.files[i]
}

func (p *pair) closeFile(t *rapid.T) {
	i, f := p.file(t)
	p.same("close", f.linux.Close(), f.mem.Close())
	if rapid.Bool().Draw(t, "twice") {
		p.same("close again", f.linux.Close(), f.mem.Close())
		_, errLinux := f.linux.ReadAt(make([]byte, 1), 0)
		_, errMem := f.mem.ReadAt(make([]byte, 1), 0)
		p.same("read closed", errLinux, errMem)
		p.same("sync closed", f.linux.Sync(), f.mem.Sync())
	}
	p.files = slices.Delete(p.files, i, i+1)
}

// offset is near the boundaries of blocks and chunks.
func offset() *rapid.Generator[int64] {
	return rapid.Custom(func(t *rapid.T) int64 {
		base := rapid.SampledFrom([]int64{0, 0, 0, 4096, 8192, 64 * 4096, 65 * 4096, 200 * 4096}).Draw(t, "base")
		return base + rapid.Int64Range(-3, 5000).Draw(t, "delta")
	})
}

func (p *pair) write(t *rapid.T) {
	_, f := p.file(t)
	data := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, rapid.SampledFrom([]int{0, 1, 100, 4096, 5000, 20000}).Draw(t, "length"))
	at := offset().Draw(t, "offset")
	nLinux, errLinux := f.linux.WriteAt(data, at)
	nMem, errMem := f.mem.WriteAt(data, at)
	p.same(fmt.Sprintf("write %d+%d", at, len(data)), errLinux, errMem)
	if nLinux != nMem {
		t.Fatalf("write %d+%d: Linux wrote %d, Mem %d", at, len(data), nLinux, nMem)
	}
}

func (p *pair) read(t *rapid.T) {
	_, f := p.file(t)
	at := offset().Draw(t, "offset")
	p.compareRead(f, at, rapid.SampledFrom([]int{0, 1, 4096, 30000}).Draw(t, "length"))
}

func (p *pair) compareRead(f openPair, at int64, length int) {
	fromLinux, fromMem := make([]byte, length), bytes.Repeat([]byte{0xee}, length)
	nLinux, errLinux := f.linux.ReadAt(fromLinux, at)
	nMem, errMem := f.mem.ReadAt(fromMem, at)
	p.same(fmt.Sprintf("read %d+%d", at, length), errLinux, errMem)
	if nLinux != nMem || !bytes.Equal(fromLinux[:nLinux], fromMem[:nMem]) {
		p.t.Fatalf("read %d+%d: Linux read %d bytes, Mem %d, or other ones", at, length, nLinux, nMem)
	}
}

func (p *pair) truncate(t *rapid.T) {
	_, f := p.file(t)
	size := offset().Draw(t, "size")
	p.same(fmt.Sprintf("truncate %d", size), f.linux.Truncate(size), f.mem.Truncate(size))
}

func (p *pair) preallocate(t *rapid.T) {
	_, f := p.file(t)
	at, length := offset().Draw(t, "offset"), rapid.SampledFrom([]int64{-1, 0, 1, 4096, 100000}).Draw(t, "length")
	p.same(fmt.Sprintf("preallocate %d+%d", at, length), f.linux.Preallocate(at, length), f.mem.Preallocate(at, length))
}

func (p *pair) hints(t *rapid.T) {
	_, f := p.file(t)
	at := offset().Draw(t, "offset")
	p.same("writeback", f.linux.StartWriteback(at, 4096), f.mem.StartWriteback(at, 4096))
	advice := disk.Advice(rapid.IntRange(0, 3).Draw(t, "advice"))
	p.same("advise", f.linux.Advise(advice), f.mem.Advise(advice))
}

func (p *pair) attributes(t *rapid.T) {
	_, f := p.file(t)
	name := rapid.SampledFrom([]string{"a", "b", "", "a\x00", strings.Repeat("n", 250), strings.Repeat("n", 251)}).Draw(t, "name")
	// Beyond 3 KiB filesystems differ in what they hold.
	value := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, rapid.SampledFrom([]int{0, 1, 900, 65537}).Draw(t, "length"))
	p.same(fmt.Sprintf("setattr %q", name), f.linux.SetAttr(name, value), f.mem.SetAttr(name, value))
	for _, get := range []string{name, "a", "b"} {
		fromLinux, errLinux := f.linux.GetAttr(get)
		fromMem, errMem := f.mem.GetAttr(get)
		p.same(fmt.Sprintf("getattr %q", get), errLinux, errMem)
		if !bytes.Equal(fromLinux, fromMem) || (fromLinux == nil) != (fromMem == nil) {
			t.Fatalf("getattr %q: Linux says %q, Mem says %q", get, fromLinux, fromMem)
		}
	}
}

func (p *pair) pathAttribute(t *rapid.T) {
	path := pathGenerator().Draw(t, "path")
	fromLinux, errLinux := p.linux.GetAttr(path, "a")
	fromMem, errMem := p.mem.GetAttr(path, "a")
	p.same(fmt.Sprintf("getattr of %q", path), errLinux, errMem)
	if !bytes.Equal(fromLinux, fromMem) {
		t.Fatalf("getattr of %q: Linux says %q, Mem says %q", path, fromLinux, fromMem)
	}
}

func (p *pair) link(t *rapid.T) {
	from, to := pathGenerator().Draw(t, "from"), pathGenerator().Draw(t, "to")
	p.same(fmt.Sprintf("link %q %q", from, to), p.linux.Link(from, to), p.mem.Link(from, to))
}

func (p *pair) rename(t *rapid.T) {
	from, to := pathGenerator().Draw(t, "from"), pathGenerator().Draw(t, "to")
	p.same(fmt.Sprintf("rename %q %q", from, to), p.linux.Rename(from, to), p.mem.Rename(from, to))
}

func (p *pair) remove(t *rapid.T) {
	path := pathGenerator().Draw(t, "path")
	p.same(fmt.Sprintf("remove %q", path), p.linux.Remove(path), p.mem.Remove(path))
}

func (p *pair) removeDir(t *rapid.T) {
	path := pathGenerator().Draw(t, "path")
	p.same(fmt.Sprintf("rmdir %q", path), p.linux.RemoveDir(path), p.mem.RemoveDir(path))
}

func (p *pair) mkdir(t *rapid.T) {
	path := pathGenerator().Draw(t, "path")
	p.same(fmt.Sprintf("mkdir %q", path), p.linux.Mkdir(path, 0o700), p.mem.Mkdir(path, 0o700))
}

func (p *pair) openDir(t *rapid.T) {
	path := pathGenerator().Draw(t, "path")
	linux, errLinux := p.linux.OpenDir(path)
	mem, errMem := p.mem.OpenDir(path)
	if p.same(fmt.Sprintf("opendir %q", path), errLinux, errMem) {
		p.dirs = append(p.dirs, dirPair{linux, mem})
	}
}

func (p *pair) receive(t *rapid.T) {
	if len(p.dirs) == 0 {
		t.Skip("no open directory")
	}
	d := rapid.SampledFrom(p.dirs).Draw(t, "dir")
	from := pathGenerator().Draw(t, "from")
	name := rapid.SampledFrom([]string{"a", "b", "c", "a", "b", "c", "", ".", "..", "a/b", "a\x00", strings.Repeat("n", 256)}).Draw(t, "name")
	p.same(fmt.Sprintf("receive %q as %q", from, name), d.linux.Receive(from, name), d.mem.Receive(from, name))
	p.same("syncdir", d.linux.Sync(), d.mem.Sync())
}

func (p *pair) lock(t *rapid.T) {
	path := pathGenerator().Draw(t, "path")
	linux, errLinux := p.linux.Lock(path)
	mem, errMem := p.mem.Lock(path)
	if !p.same(fmt.Sprintf("lock %q", path), errLinux, errMem) {
		return
	}
	_, errLinux = p.linux.Lock(path)
	_, errMem = p.mem.Lock(path)
	p.same("lock twice", errLinux, errMem)
	p.same("unlock", linux.Close(), mem.Close())
	p.same("unlock twice", linux.Close(), mem.Close())
}

// tree returns every name below a directory with what Stat says of it that does
// not depend on the filesystem.
func tree(t rapid.TB, fs disk.FS, path string) (lines []string) {
	err := fs.ReadDir(path, func(entry disk.Entry) bool {
		below := entry.Name
		if path != "" {
			below = path + "/" + entry.Name
		}
		info, err := fs.Stat(below)
		if err != nil {
			t.Fatalf("stat %q: %v", below, err)
		}
		if info.Dir != entry.Dir || info.Regular != entry.Regular {
			t.Fatalf("%q: stat says %+v, its directory %+v", below, info, entry)
		}
		if info.Dir {
			lines = append(lines, fmt.Sprintf("%s/ links %d", below, info.Links))
			lines = append(lines, tree(t, fs, below)...)
		} else {
			lines = append(lines, fmt.Sprintf("%s size %d links %d", below, info.Size, info.Links))
		}
		return true
	})
	if err != nil {
		t.Fatalf("readdir %q: %v", path, err)
	}
	slices.Sort(lines)
	return lines
}

// compare checks that both hold the same.
func (p *pair) compare(*rapid.T) {
	linux, mem := tree(p.t, p.linux, ""), tree(p.t, p.mem, "")
	if !slices.Equal(linux, mem) {
		p.t.Fatalf("Linux has\n\t%s\nMem has\n\t%s", strings.Join(linux, "\n\t"), strings.Join(mem, "\n\t"))
	}
	for _, f := range p.files {
		statLinux, errLinux := f.linux.Stat()
		statMem, errMem := f.mem.Stat()
		p.same("stat of an open file", errLinux, errMem)
		if statLinux.Size != statMem.Size || statLinux.Links != statMem.Links || statLinux.Regular != statMem.Regular {
			p.t.Fatalf("an open file: Linux says %+v, Mem says %+v", statLinux, statMem)
		}
		p.compareRead(f, 0, int(statLinux.Size)+1)
	}
}

// What Mem answers is what the operating system answers: whatever runs on Mem
// in a test meets the errors it will meet on ext4. It needs a filesystem that
// counts links of directories (ext4, XFS).
func TestMemIsLikeLinux(t *testing.T) {
	refused := 0
	rapid.Check(t, func(t *rapid.T) {
		root, err := os.MkdirTemp("", "disk-model-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(root)
		linux, err := disk.NewLinux(root)
		if err != nil {
			t.Fatal(err)
		}
		defer linux.Close()
		p := &pair{t: t, linux: linux, mem: disk.NewMem(1)}
		defer func() {
			for _, f := range p.files {
				f.linux.Close()
			}
			for _, d := range p.dirs {
				d.linux.Close()
			}
			refused += p.failures
		}()
		t.Repeat(map[string]func(*rapid.T){
			"open": p.open, "openAgain": p.open, "close": p.closeFile, "write": p.write, "writeAgain": p.write, "read": p.read,
			"truncate": p.truncate, "preallocate": p.preallocate, "hints": p.hints, "attributes": p.attributes, "pathAttribute": p.pathAttribute,
			"link": p.link, "rename": p.rename, "renameAgain": p.rename, "remove": p.remove, "rmdir": p.removeDir, "mkdir": p.mkdir, "mkdirAgain": p.mkdir,
			"opendir": p.openDir, "receive": p.receive, "lock": p.lock,
			"": p.compare,
		})
	})
	if refused == 0 {
		t.Error("no operation was refused: the test compared no errors")
	}
}
