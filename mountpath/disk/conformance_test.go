package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/objects/slab"
)

// Every FS keeps the contract: what runs on one in a test runs on the other in
// service.
func TestConformance(t *testing.T) {
	implementations := map[string]func(t *testing.T) disk.FS{
		"Linux": func(t *testing.T) disk.FS { return newLinux(t) },
		"Mem":   func(t *testing.T) disk.FS { return disk.NewMem(7) },
		"Faulty Mem": func(t *testing.T) disk.FS {
			return disk.NewFaulty(disk.NewMem(7))
		},
		"Faulty Linux": func(t *testing.T) disk.FS { return disk.NewFaulty(newLinux(t)) },
		"Recorded": func(t *testing.T) disk.FS {
			recorded, _, recorder := recordedOn(t, t.TempDir(), newLinux(t))
			t.Cleanup(func() { must(t, recorder.Close()) })
			return recorded
		},
	}
	checks := map[string]func(t *testing.T, fs disk.FS){
		"read and write":       checkReadWrite,
		"write direct":         checkWriteDirect,
		"read direct":          checkReadDirect,
		"create":               checkCreate,
		"refused paths":        checkRefusedPaths,
		"refused flags":        checkRefusedFlags,
		"names":                checkNames,
		"rename":               checkRename,
		"link":                 checkLink,
		"directories":          checkDirectories,
		"receive":              checkReceive,
		"removed while open":   checkRemovedWhileOpen,
		"attributes":           checkAttributes,
		"many names":           checkManyNames,
		"stat":                 checkStat,
		"space":                checkSpace,
		"lock":                 checkLock,
		"preallocate":          checkPreallocate,
		"sync":                 checkSync,
		"closed":               checkClosed,
		"errors":               checkErrors,
		"concurrent readers":   checkConcurrentReaders,
		"concurrent directory": checkConcurrentDirectory,
	}
	for name, implementation := range implementations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, check := range slices.Sorted(maps.Keys(checks)) {
				t.Run(check, func(t *testing.T) { checks[check](t, implementation(t)) })
			}
		})
	}
}

func newLinux(t *testing.T) *disk.Linux {
	t.Helper()
	linux, err := disk.NewLinux(t.TempDir())
	must(t, err)
	t.Cleanup(func() { must(t, linux.Close()) })
	return linux
}

// want fails the test unless the error is the one.
func want(t *testing.T, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) || target == nil && err != nil {
		t.Errorf("%s: %v, want %v", what, err, target)
	}
}

func openError(fs disk.FS, path string, flag int) error {
	file, err := fs.OpenFile(path, flag, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

func checkReadWrite(t *testing.T, fs disk.FS) {
	file := create(t, fs, "f", []byte("hello"))
	defer file.Close()
	// A write beyond the end leaves a hole of zeros, across blocks and chunks.
	_, err := file.WriteAt([]byte("world"), 300_000)
	must(t, err)
	expected := make([]byte, 300_005)
	copy(expected, "hello")
	copy(expected[300_000:], "world")
	if got := contentOf(t, fs, "f"); !bytes.Equal(got, expected) {
		t.Fatal("the file is not what was written")
	}
	buffer := []byte("xxxxxxxxxx")
	n, err := file.ReadAt(buffer, 300_003)
	if n != 2 || err != io.EOF || string(buffer[:n]) != "ld" {
		t.Errorf("read across the end: %d %v %q", n, err, buffer[:n])
	}
	n, err = file.ReadAt(buffer, 1_000_000)
	if n != 0 || err != io.EOF {
		t.Errorf("read beyond the end: %d %v", n, err)
	}
	n, err = file.ReadAt(buffer[:5], 300_000)
	if n != 5 || err != nil {
		t.Errorf("read to the end: %d %v", n, err)
	}
	// What was cut off does not come back.
	must(t, file.Truncate(3))
	must(t, file.Truncate(5000))
	expected = make([]byte, 5000)
	copy(expected, "hel")
	if got := contentOf(t, fs, "f"); !bytes.Equal(got, expected) {
		t.Error("bytes came back after they were cut off")
	}
	_, err = file.ReadAt(buffer, -1)
	want(t, "read before the beginning", err, syscall.EINVAL)
	_, err = file.WriteAt(buffer, -1)
	want(t, "write before the beginning", err, syscall.EINVAL)
	want(t, "cut below nothing", file.Truncate(-1), syscall.EINVAL)
	for _, advice := range []disk.Advice{disk.Sequential, disk.Random, disk.DontNeed} {
		must(t, file.Advise(advice))
	}
	want(t, "unknown advice", file.Advise(9), syscall.EINVAL)
	must(t, file.StartWriteback(0, 4096))
	want(t, "writeback before the beginning", file.StartWriteback(-1, 1), syscall.EINVAL)
}

// What is written past the page cache is what is read, wherever it begins, ends
// or lies in memory, and mixes with what is written through the cache.
func checkWriteDirect(t *testing.T, fs disk.FS) {
	pool, err := slab.NewPool(3)
	must(t, err)
	defer func() { must(t, pool.Close()) }()
	window, err := pool.Lease(3)
	must(t, err)
	defer window.Release()
	for i := range 3 {
		for j := range window.Slab(i) {
			window.Slab(i)[j] = byte(i*7 + j*13 + j>>9)
		}
	}
	a, b, c := window.Slab(0), window.Slab(1), window.Slab(2)
	for name, write := range map[string]struct {
		offset int64
		pieces [][]byte
	}{
		"aligned":               {0, [][]byte{a, b, c}},
		"one":                   {0, [][]byte{a}},
		"a tail":                {0, [][]byte{a, b, c[:1000]}},
		"less than a block":     {0, [][]byte{a[:17]}},
		"blocks and a tail":     {4096, [][]byte{a[:8192+5]}},
		"a ragged piece":        {0, [][]byte{a[:5000], b, c}},
		"memory not aligned":    {0, [][]byte{a[3:], b}},
		"memory later not":      {0, [][]byte{a, b[1:], c}},
		"offset not aligned":    {77, [][]byte{a, b, c}},
		"an empty piece":        {0, [][]byte{a, {}, b}},
		"behind what there was": {1 << 20, [][]byte{a, b}},
		"nothing":               {0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			file := create(t, fs, "direct", []byte("what was there before"))
			defer func() { must(t, file.Close()); must(t, fs.Remove("direct")) }()
			content := []byte("what was there before")
			payload := bytes.Join(write.pieces, nil)
			if end := int(write.offset) + len(payload); end > len(content) && len(payload) > 0 {
				content = append(content, make([]byte, end-len(content))...)
			}
			copy(content[min(len(content), int(write.offset)):], payload)
			n, err := file.WriteDirect(write.pieces, write.offset)
			if n != int64(len(payload)) || err != nil {
				t.Fatalf("wrote %d of %d bytes: %v", n, len(payload), err)
			}
			_, err = file.WriteAt([]byte("and more"), int64(len(content)))
			must(t, err)
			must(t, file.Sync())
			if got := contentOf(t, fs, "direct"); !bytes.Equal(got, append(content, "and more"...)) {
				t.Error("the file is not what was written")
			}
		})
	}
	file := create(t, fs, "closed", nil)
	must(t, file.Close())
	_, err = file.WriteDirect([][]byte{a}, 0)
	want(t, "write to a closed file", err, syscall.EBADF)
}

// What is read past the page cache is what was written, wherever the read begins and
// ends, and ordinary reads and writes of the file go on as before.
func checkReadDirect(t *testing.T, fs disk.FS) {
	content := make([]byte, 3*4096+77)
	for i := range content {
		content[i] = byte(i*7 + i>>9)
	}
	file := create(t, fs, "direct", content)
	must(t, file.Sync())
	for name, read := range map[string]struct{ offset, length, want int }{
		"a block":              {4096, 4096, 4096},
		"from the beginning":   {0, 2 * 4096, 2 * 4096},
		"all":                  {0, len(content), len(content)},
		"less than a block":    {4096, 17, 17},
		"offset not aligned":   {4097, 100, 100},
		"over the end":         {2 * 4096, 2 * 4096, 4096 + 77},
		"the tail":             {3 * 4096, 4096, 77},
		"behind the end":       {5 * 4096, 10, 0},
		"nothing":              {0, 0, 0},
		"nothing, not aligned": {1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := make([]byte, read.length)
			n, err := file.ReadDirect(p, int64(read.offset))
			if n != read.want || read.want == read.length && err != nil || read.want < read.length && err != io.EOF {
				t.Fatalf("read %d bytes of %d: %v", n, read.want, err)
			}
			if n > 0 && !bytes.Equal(p[:n], content[read.offset:read.offset+n]) {
				t.Error("other bytes were read")
			}
		})
	}
	_, err := file.WriteAt([]byte("changed"), 5)
	must(t, err)
	copy(content[5:], "changed")
	if got := contentOf(t, fs, "direct"); !bytes.Equal(got, content) {
		t.Error("the file is not what was written")
	}
	_, err = file.ReadDirect(make([]byte, 10), -1)
	want(t, "read before the beginning", err, syscall.EINVAL)
	must(t, file.Close())
	_, err = file.ReadDirect(make([]byte, 10), 0)
	want(t, "read of a closed file", err, syscall.EBADF)
}

func checkCreate(t *testing.T, fs disk.FS) {
	must(t, create(t, fs, "f", []byte("old")).Close())
	must(t, fs.Mkdir("d", 0o700))
	want(t, "exclusive", openError(fs, "f", os.O_RDWR|os.O_CREATE|os.O_EXCL), syscall.EEXIST)
	want(t, "missing", openError(fs, "g", os.O_RDWR), syscall.ENOENT)
	want(t, "missing directory", openError(fs, "e/f", os.O_RDWR|os.O_CREATE), syscall.ENOENT)
	want(t, "below a file", openError(fs, "f/g", os.O_RDWR|os.O_CREATE), syscall.ENOTDIR)
	want(t, "a directory to write", openError(fs, "d", os.O_RDWR), syscall.EISDIR)
	want(t, "a directory to read", openError(fs, "d", disk.ReadOnly), syscall.EISDIR)
	want(t, "the root", openError(fs, "", disk.ReadOnly), syscall.EISDIR)
	want(t, "a directory to create", openError(fs, "d", os.O_RDWR|os.O_CREATE), syscall.EISDIR)
	must(t, openError(fs, "f", os.O_RDWR|os.O_CREATE))
	if got := contentOf(t, fs, "f"); string(got) != "old" {
		t.Errorf("opening to create what is there changed it to %q", got)
	}
	must(t, openError(fs, "f", os.O_RDWR|os.O_TRUNC))
	if got := contentOf(t, fs, "f"); len(got) > 0 {
		t.Errorf("truncating left %q", got)
	}

	reader, err := fs.OpenFile("f", disk.ReadOnly, 0)
	must(t, err)
	defer reader.Close()
	_, err = reader.WriteAt([]byte("x"), 0)
	want(t, "write to a reader", err, syscall.EBADF)
	want(t, "truncate a reader", reader.Truncate(0), syscall.EINVAL)
	want(t, "preallocate a reader", reader.Preallocate(0, 1), syscall.EBADF)
	must(t, reader.Sync())
	writer, err := fs.OpenFile("f", os.O_WRONLY, 0)
	must(t, err)
	defer writer.Close()
	_, err = writer.ReadAt(make([]byte, 1), 0)
	want(t, "read from a writer", err, syscall.EBADF)
}

func checkRefusedFlags(t *testing.T, fs disk.FS) {
	must(t, create(t, fs, "f", nil).Close())
	for _, flag := range []int{os.O_APPEND | os.O_RDWR, os.O_SYNC | os.O_RDWR, os.O_WRONLY | os.O_RDWR} {
		want(t, fmt.Sprintf("flag %#x", flag), openError(fs, "f", flag), syscall.EINVAL)
	}
}

func checkAttributes(t *testing.T, fs disk.FS) {
	file := create(t, fs, "f", nil)
	defer file.Close()
	_, err := file.GetAttr("a")
	want(t, "none", err, syscall.ENODATA)
	value := bytes.Repeat([]byte("v"), 3<<10)
	must(t, file.SetAttr("a", value))
	must(t, file.SetAttr("empty", nil))
	must(t, fs.Rename("f", "g"))
	got, err := fs.GetAttr("g", "a")
	if err != nil || !bytes.Equal(got, value) {
		t.Errorf("by path: %d bytes, %v", len(got), err)
	}
	value[0] = 'w' // the FS keeps a copy
	if got, err = file.GetAttr("a"); err != nil || got[0] != 'v' {
		t.Errorf("by file: %q…, %v", got[:1], err)
	}
	got[0] = 'x' // and so does the caller
	if got, err = file.GetAttr("a"); err != nil || got[0] != 'v' {
		t.Errorf("again: %q…, %v", got[:1], err)
	}
	if got, err = file.GetAttr("empty"); err != nil || len(got) != 0 {
		t.Errorf("the empty one: %q, %v", got, err)
	}
	must(t, file.SetAttr("a", []byte("short")))
	if got, err = file.GetAttr("a"); err != nil || string(got) != "short" {
		t.Errorf("after replacing it: %q, %v", got, err)
	}
	// What does not fit is ENOSPC, and leaves what was there. XFS has room for it.
	long := make([]byte, 5000)
	if err = file.SetAttr("b", []byte("old")); err == nil {
		err = file.SetAttr("b", long)
	}
	got, getting := file.GetAttr("b")
	must(t, getting)
	switch {
	case err == nil && bytes.Equal(got, long):
	case errors.Is(err, syscall.ENOSPC) && string(got) == "old":
	default:
		t.Errorf("5,000 bytes: %v, and now there are %d", err, len(got))
	}
	want(t, "far too much", file.SetAttr("a", make([]byte, 65537)), syscall.E2BIG)
	want(t, "long name", file.SetAttr(strings.Repeat("n", 251), nil), syscall.ERANGE)
	want(t, "no name", file.SetAttr("", nil), syscall.EINVAL)
	if got, err = file.GetAttr("a"); err != nil || string(got) != "short" {
		t.Errorf("after failures: %q, %v", got, err)
	}
	_, err = fs.GetAttr("x", "a")
	want(t, "of nothing", err, syscall.ENOENT)
	must(t, fs.Mkdir("d", 0o700))
	_, err = fs.GetAttr("d", "a")
	want(t, "of a directory", err, syscall.ENODATA)
}

func checkStat(t *testing.T, fs disk.FS) {
	file := create(t, fs, "f", make([]byte, 10_000))
	defer file.Close()
	must(t, file.Sync())
	byFile, err := file.Stat()
	must(t, err)
	byPath, err := fs.Stat("f")
	must(t, err)
	if byFile != byPath {
		t.Errorf("by file %+v, by path %+v", byFile, byPath)
	}
	if !byFile.Regular || byFile.Dir || byFile.Size != 10_000 || byFile.Links != 1 || byFile.Inode == 0 ||
		byFile.Birth == 0 || byFile.Modified.IsZero() || byFile.Blocks < 10_000 {
		t.Errorf("%+v", byFile)
	}
	_, err = file.WriteAt([]byte("x"), 0)
	must(t, err)
	must(t, fs.Mkdir("d", 0o700))
	must(t, fs.Rename("f", "d/g"))
	moved, err := fs.Stat("d/g")
	must(t, err)
	if moved.Inode != byFile.Inode || moved.Birth != byFile.Birth {
		t.Errorf("the inode changed with the name: %+v, %+v", byFile, moved)
	}
	root, err := fs.Stat("")
	if err != nil || !root.Dir || root.Regular {
		t.Errorf("the root: %+v, %v", root, err)
	}
}

func checkSpace(t *testing.T, fs disk.FS) {
	before, err := fs.Space()
	must(t, err)
	if before.Device == 0 || before.TotalBytes == 0 || before.FreeBytes == 0 || before.FreeBytes > before.TotalBytes ||
		before.FreeFiles > before.TotalFiles || before.ReadOnly {
		t.Errorf("%+v", before)
	}
}

func checkLock(t *testing.T, fs disk.FS) {
	lock, err := fs.Lock("lock")
	must(t, err)
	_, err = fs.Lock("lock")
	want(t, "twice", err, disk.ErrLocked)
	want(t, "twice, as an errno", err, syscall.EWOULDBLOCK)
	other, err := fs.Lock("other")
	must(t, err)
	must(t, other.Close())
	must(t, lock.Close())
	want(t, "unlock twice", lock.Close(), syscall.EBADF)
	again, err := fs.Lock("lock")
	must(t, err)
	must(t, again.Close())
	_, err = fs.Lock("x/lock")
	want(t, "in nothing", err, syscall.ENOENT)
}

func checkPreallocate(t *testing.T, fs disk.FS) {
	file := create(t, fs, "f", []byte("x"))
	defer file.Close()
	must(t, file.Preallocate(0, 1<<20))
	info, err := file.Stat()
	if err != nil || info.Size != 1 || info.Blocks < 1<<20 {
		t.Errorf("after reserving 1 MiB: %+v, %v", info, err)
	}
	must(t, file.Truncate(1))
	if info, err = file.Stat(); err != nil || info.Blocks >= 1<<20 {
		t.Errorf("after giving it back: %+v, %v", info, err)
	}
	// More than there is fails, and takes nothing from anybody. So much more that
	// the kernel refuses it, too, before it allocates anything.
	if err := file.Preallocate(0, 1<<62); err == nil {
		t.Error("reserved more than there is")
	}
	if info, err = file.Stat(); err != nil || info.Blocks >= 1<<20 {
		t.Errorf("after failing to reserve: %+v, %v", info, err)
	}
	want(t, "nothing", file.Preallocate(0, 0), syscall.EINVAL)
}

func checkSync(t *testing.T, fs disk.FS) {
	file := create(t, fs, "f", []byte("x"))
	must(t, file.SetAttr("a", []byte("v")))
	must(t, file.SyncData())
	must(t, file.Sync())
	must(t, file.Sync())
	must(t, file.Close())
	must(t, fs.SyncDir(""))
	must(t, fs.SyncAll())
}

func checkClosed(t *testing.T, fs disk.FS) {
	file := create(t, fs, "f", []byte("x"))
	must(t, file.Close())
	_, err := file.ReadAt(make([]byte, 1), 0)
	want(t, "read", err, syscall.EBADF)
	_, err = file.WriteAt(make([]byte, 1), 0)
	want(t, "write", err, syscall.EBADF)
	_, err = file.Stat()
	want(t, "stat", err, syscall.EBADF)
	_, err = file.GetAttr("a")
	want(t, "getattr", err, syscall.EBADF)
	for what, err := range map[string]error{
		"sync": file.Sync(), "syncdata": file.SyncData(), "truncate": file.Truncate(0), "setattr": file.SetAttr("a", nil),
		"preallocate": file.Preallocate(0, 1), "writeback": file.StartWriteback(0, 1), "advise": file.Advise(disk.Random), "close": file.Close(),
	} {
		want(t, what, err, syscall.EBADF)
	}
}

// Errors say what they are about, in the types of package os, and package io/fs
// understands them.
func checkErrors(t *testing.T, fs disk.FS) {
	_, err := fs.Stat("no/such")
	var pathError *iofs.PathError
	if !errors.As(err, &pathError) || !strings.HasSuffix(pathError.Path, "no/such") || !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("stat: %v", err)
	}
	if _, plain := pathError.Err.(syscall.Errno); !plain {
		t.Errorf("the path error is around a %T", pathError.Err)
	}
	err = fs.Rename("no/such", "other")
	var linkError *os.LinkError
	if !errors.As(err, &linkError) || !strings.HasSuffix(linkError.Old, "no/such") || !strings.HasSuffix(linkError.New, "other") {
		t.Errorf("rename: %v", err)
	}
	must(t, fs.Mkdir("d", 0o700))
	want(t, "mkdir", fs.Mkdir("d", 0o700), iofs.ErrExist)
}

// ReadAt and WriteAt may run at once: for the race detector, and each byte is
// one that somebody wrote.
func checkConcurrentReaders(t *testing.T, fs disk.FS) {
	file := create(t, fs, "f", make([]byte, 64<<10))
	defer file.Close()
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			block := bytes.Repeat([]byte{byte(worker + 1)}, 16<<10)
			for range 50 {
				if _, err := file.WriteAt(block, int64(worker)*16<<10); err != nil {
					t.Error(err)
				}
				if _, err := file.ReadAt(make([]byte, 64<<10), 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for i, b := range contentOf(t, fs, "f") {
		if int(b) != i/(16<<10)+1 {
			t.Fatalf("byte %d is %d", i, b)
		}
	}
}
