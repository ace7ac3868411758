package disk_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

// Nothing leaves the root, and nothing has two spellings.
func checkRefusedPaths(t *testing.T, fs disk.FS) {
	must(t, fs.Mkdir("d", 0o700))
	must(t, create(t, fs, "d/f", nil).Close())
	for _, path := range []string{"/d/f", "../f", "d/../f", "d/./f", "d//f", "d/f/", "./d/f", "d/..", "d/f\x00"} {
		want(t, fmt.Sprintf("open %q", path), openError(fs, path, disk.ReadOnly), syscall.EINVAL)
		_, err := fs.Stat(path)
		want(t, fmt.Sprintf("stat %q", path), err, syscall.EINVAL)
		want(t, fmt.Sprintf("rename to %q", path), fs.Rename("d/f", path), syscall.EINVAL)
		want(t, fmt.Sprintf("link from %q", path), fs.Link(path, "g"), syscall.EINVAL)
	}
	long := strings.Repeat("n", 256)
	want(t, "long name", openError(fs, long, os.O_RDWR|os.O_CREATE), syscall.ENAMETOOLONG)
	want(t, "long directory", fs.Mkdir(long, 0o700), syscall.ENAMETOOLONG)
	want(t, "long path", fs.Remove(strings.Repeat("d/", 2048)+"f"), syscall.ENAMETOOLONG)
	must(t, create(t, fs, long[:255], nil).Close())
	must(t, create(t, fs, "not\xffUTF-8", nil).Close())
}

func checkNames(t *testing.T, fs disk.FS) {
	must(t, create(t, fs, "f", nil).Close())
	must(t, fs.Mkdir("d", 0o700))
	must(t, create(t, fs, "d/f", nil).Close())
	want(t, "remove a missing file", fs.Remove("g"), syscall.ENOENT)
	want(t, "remove a directory", fs.Remove("d"), syscall.EISDIR)
	want(t, "remove the root", fs.Remove(""), syscall.EISDIR)
	want(t, "remove below a file", fs.Remove("f/g"), syscall.ENOTDIR)
	want(t, "rmdir of a file", fs.RemoveDir("f"), syscall.ENOTDIR)
	want(t, "rmdir of a full directory", fs.RemoveDir("d"), syscall.ENOTEMPTY)
	want(t, "rmdir of nothing", fs.RemoveDir("e"), syscall.ENOENT)
	want(t, "rmdir of the root", fs.RemoveDir(""), syscall.EINVAL)
	want(t, "mkdir over a file", fs.Mkdir("f", 0o700), syscall.EEXIST)
	want(t, "mkdir over a directory", fs.Mkdir("d", 0o700), syscall.EEXIST)
	want(t, "mkdir below nothing", fs.Mkdir("e/f", 0o700), syscall.ENOENT)
	must(t, fs.Remove("d/f"))
	must(t, fs.RemoveDir("d"))
	_, err := fs.Stat("d")
	want(t, "stat of what is removed", err, syscall.ENOENT)
}

func checkRename(t *testing.T, fs disk.FS) {
	must(t, create(t, fs, "a", []byte("a")).Close())
	must(t, create(t, fs, "b", []byte("b")).Close())
	must(t, fs.Mkdir("d", 0o700))
	must(t, fs.Mkdir("d/e", 0o700))
	must(t, create(t, fs, "d/e/f", []byte("f")).Close())
	must(t, fs.Mkdir("empty", 0o700))

	want(t, "a file over a directory", fs.Rename("a", "d"), syscall.EISDIR)
	want(t, "a directory over a file", fs.Rename("d", "a"), syscall.ENOTDIR)
	want(t, "over a full directory", fs.Rename("empty", "d"), syscall.ENOTEMPTY)
	want(t, "into itself", fs.Rename("d", "d/e/g"), syscall.EINVAL)
	want(t, "over its parent", fs.Rename("d/e", "d"), syscall.ENOTEMPTY)
	want(t, "of nothing", fs.Rename("x", "y"), syscall.ENOENT)
	want(t, "into nothing", fs.Rename("a", "x/y"), syscall.ENOENT)
	want(t, "of the root", fs.Rename("", "y"), syscall.EBUSY)
	want(t, "to itself", fs.Rename("a", "a"), nil)

	must(t, fs.Rename("a", "b"))
	if got := contentOf(t, fs, "b"); string(got) != "a" {
		t.Errorf("the new name holds %q", got)
	}
	must(t, fs.Rename("d", "empty"))
	if got := contentOf(t, fs, "empty/e/f"); string(got) != "f" {
		t.Errorf("the directory lost what it held: %q", got)
	}
	if found := slices.Sorted(maps.Keys(inodes(t, fs))); !slices.Equal(found, []string{"b", "empty", "empty/e", "empty/e/f"}) {
		t.Errorf("there is %v", found)
	}
}

func checkLink(t *testing.T, fs disk.FS) {
	file := create(t, fs, "a", []byte("a"))
	defer file.Close()
	must(t, fs.Mkdir("d", 0o700))
	must(t, fs.Link("a", "d/b"))
	_, err := file.WriteAt([]byte("z"), 0)
	must(t, err)
	if got := contentOf(t, fs, "d/b"); string(got) != "z" {
		t.Errorf("through the other name: %q", got)
	}
	a, err := fs.Stat("a")
	must(t, err)
	b, err := fs.Stat("d/b")
	must(t, err)
	if a.Inode != b.Inode || a.Links != 2 {
		t.Errorf("two names of one file: %+v, %+v", a, b)
	}
	want(t, "over a name", fs.Link("a", "d"), syscall.EEXIST)
	want(t, "of a directory", fs.Link("d", "e"), syscall.EPERM)
	want(t, "of nothing", fs.Link("x", "e"), syscall.ENOENT)
	// POSIX: renaming one name of a file over another does nothing.
	must(t, fs.Rename("a", "d/b"))
	if a, err = fs.Stat("a"); err != nil || a.Links != 2 {
		t.Errorf("after renaming one name over the other: %+v, %v", a, err)
	}
	must(t, fs.Remove("a"))
	if b, err = fs.Stat("d/b"); err != nil || b.Links != 1 {
		t.Errorf("after removing one name: %+v, %v", b, err)
	}
}

func checkDirectories(t *testing.T, fs disk.FS) {
	must(t, fs.Mkdir("d", 0o700))
	must(t, fs.Mkdir("d/e", 0o700))
	must(t, create(t, fs, "d/f", nil).Close())
	got := make(map[string]disk.Entry)
	must(t, fs.ReadDir("d", func(entry disk.Entry) bool {
		got[entry.Name] = entry
		return true
	}))
	if expected := map[string]disk.Entry{"e": {Name: "e", Dir: true}, "f": {Name: "f", Regular: true}}; !maps.Equal(got, expected) {
		t.Errorf("entries %v, want %v", got, expected)
	}
	visits := 0
	must(t, fs.ReadDir("d", func(disk.Entry) bool {
		visits++
		return false
	}))
	if visits != 1 {
		t.Errorf("%d visits after the first said no more", visits)
	}
	want(t, "of a file", fs.ReadDir("d/f", nil), syscall.ENOTDIR)
	want(t, "of nothing", fs.ReadDir("x", nil), syscall.ENOENT)
	_, err := fs.OpenDir("d/f")
	want(t, "open a file", err, syscall.ENOTDIR)
	_, err = fs.OpenDir("x")
	want(t, "open nothing", err, syscall.ENOENT)
	want(t, "sync a file", fs.SyncDir("d/f"), syscall.ENOTDIR)
	want(t, "sync nothing", fs.SyncDir("x"), syscall.ENOENT)
	for _, path := range []string{"", "d", "d/e"} {
		must(t, fs.SyncDir(path))
	}
	must(t, fs.SyncAll())
}

func checkReceive(t *testing.T, fs disk.FS) {
	must(t, fs.Mkdir("d", 0o700))
	must(t, create(t, fs, "new", []byte("new")).Close())
	must(t, create(t, fs, "d/f", []byte("old")).Close())
	dir, err := fs.OpenDir("d")
	must(t, err)
	// The directory is the one that was opened, whatever it is called now.
	must(t, fs.Rename("d", "moved"))
	must(t, fs.Mkdir("d", 0o700))
	must(t, dir.Receive("new", "f"))
	must(t, dir.Sync())
	if got := contentOf(t, fs, "moved/f"); string(got) != "new" {
		t.Errorf("it received %q", got)
	}
	want(t, "nothing", dir.Receive("new", "f"), syscall.ENOENT)
	for _, name := range []string{"", ".", "..", "a/b", "a\x00"} {
		want(t, fmt.Sprintf("as %q", name), dir.Receive("moved/f", name), syscall.EINVAL)
	}
	must(t, dir.Receive("moved/f", "g"))
	must(t, fs.Remove("moved/g"))
	must(t, fs.RemoveDir("moved"))
	must(t, create(t, fs, "late", nil).Close())
	want(t, "into a removed directory", dir.Receive("late", "f"), syscall.ENOENT)
	must(t, dir.Sync())
	must(t, dir.Close())
	want(t, "into a closed directory", dir.Receive("late", "f"), syscall.EBADF)
	want(t, "sync a closed directory", dir.Sync(), syscall.EBADF)
	want(t, "close a closed directory", dir.Close(), syscall.EBADF)
}

func checkRemovedWhileOpen(t *testing.T, fs disk.FS) {
	file := create(t, fs, "f", []byte("old"))
	must(t, fs.Remove("f"))
	must(t, create(t, fs, "f", []byte("other")).Close())
	_, err := file.WriteAt([]byte("new"), 3)
	must(t, err)
	buffer := make([]byte, 6)
	if _, err = file.ReadAt(buffer, 0); err != nil || string(buffer) != "oldnew" {
		t.Errorf("a removed file that is open reads %q, %v", buffer, err)
	}
	info, err := file.Stat()
	if err != nil || info.Links != 0 || info.Size != 6 {
		t.Errorf("its stat: %+v, %v", info, err)
	}
	must(t, file.Sync())
	must(t, file.Close())
	if got := contentOf(t, fs, "f"); string(got) != "other" {
		t.Errorf("the file that took its name holds %q", got)
	}
}

// More names than one system call returns.
func checkManyNames(t *testing.T, fs disk.FS) {
	expected := make(map[string]bool)
	for i := range 2000 {
		name := fmt.Sprintf("a-name-of-some-length-%05d", i)
		must(t, create(t, fs, name, nil).Close())
		expected[name] = true
	}
	must(t, fs.ReadDir("", func(entry disk.Entry) bool {
		if !expected[entry.Name] {
			t.Errorf("%q twice, or never made", entry.Name)
		}
		delete(expected, entry.Name)
		return true
	}))
	if len(expected) > 0 {
		t.Errorf("%d names were not visited", len(expected))
	}
}

// A Dir may be used and closed at once; a closed one says so and no other
// directory is hit instead.
func checkConcurrentDirectory(t *testing.T, fs disk.FS) {
	must(t, fs.Mkdir("d", 0o700))
	for i := range 200 {
		must(t, create(t, fs, fmt.Sprintf("f%d", i), nil).Close())
	}
	dir, err := fs.OpenDir("d")
	must(t, err)
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := worker; i < 200; i += 4 {
				err := dir.Receive(fmt.Sprintf("f%d", i), fmt.Sprintf("f%d", i))
				if err != nil && !errors.Is(err, syscall.EBADF) {
					t.Error(err)
				}
				if i == 150 {
					if err := dir.Close(); err != nil {
						t.Error(err)
					}
				}
				if other, err := fs.OpenDir(""); err != nil {
					t.Error(err)
				} else if err := other.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if found := len(inodes(t, fs)); found != 201 {
		t.Errorf("%d names, want 201", found)
	}
}
