package disk_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

// A root must be there, be a directory, and carry attributes.
func TestNewLinux(t *testing.T) {
	root := t.TempDir()
	_, err := disk.NewLinux(filepath.Join(root, "missing"))
	want(t, "missing", err, syscall.ENOENT)
	must(t, os.WriteFile(filepath.Join(root, "file"), nil, 0o600))
	_, err = disk.NewLinux(filepath.Join(root, "file"))
	want(t, "a file", err, syscall.ENOTDIR)

	linux, err := disk.NewLinux(root)
	must(t, err)
	must(t, linux.CheckAttributes())
	if entries, err := os.ReadDir(root); err != nil || len(entries) != 1 {
		t.Errorf("the check of attributes left %v, %v", entries, err)
	}
	file := create(t, linux, "open", nil)
	must(t, linux.Close())
	want(t, "twice", linux.Close(), syscall.EBADF)
	_, err = linux.Stat("file")
	want(t, "stat after Close", err, syscall.EBADF)
	want(t, "check after Close", linux.CheckAttributes(), syscall.EBADF)
	_, err = file.WriteAt([]byte("x"), 0) // goes on
	must(t, err)
	must(t, file.Close())
}

// A filesystem without user attributes is refused in words. /proc is one that is
// always there.
func TestCheckAttributesRefuses(t *testing.T) {
	linux, err := disk.NewLinux("/proc")
	must(t, err)
	defer linux.Close()
	if err := linux.CheckAttributes(); err == nil {
		t.Error("/proc passed")
	}
}

// The FS stays in the directory that it opened, whatever its path leads to now,
// and no link leads out of it.
func TestLinuxStaysWhereItIs(t *testing.T) {
	parent := t.TempDir()
	root := filepath.Join(parent, "root")
	must(t, os.Mkdir(root, 0o700))
	linux, err := disk.NewLinux(root)
	must(t, err)
	defer linux.Close()
	must(t, os.Rename(root, filepath.Join(parent, "moved")))
	must(t, os.Mkdir(root, 0o700))
	must(t, create(t, linux, "f", []byte("x")).Close())
	if _, err := os.Stat(filepath.Join(parent, "moved", "f")); err != nil {
		t.Errorf("the file went elsewhere: %v", err)
	}

	must(t, os.WriteFile(filepath.Join(parent, "secret"), []byte("secret"), 0o600))
	must(t, os.Symlink("../secret", filepath.Join(parent, "moved", "link")))
	_, err = linux.OpenFile("link", disk.ReadOnly, 0)
	want(t, "open a link", err, syscall.ELOOP)
	_, err = linux.GetAttr("link", "a")
	want(t, "attribute of a link", err, syscall.ELOOP)
	info, err := linux.Stat("link")
	if err != nil || info.Dir || info.Regular {
		t.Errorf("stat of a link: %+v, %v", info, err)
	}
	must(t, linux.Remove("link"))
	if _, err := os.Stat(filepath.Join(parent, "secret")); err != nil {
		t.Error(err)
	}
}

// What the kernel sends is the file from its beginning.
func TestLinuxDescriptor(t *testing.T) {
	linux := newLinux(t)
	file := create(t, linux, "f", []byte("content"))
	defer file.Close()
	got, err := io.ReadAll(file.OS())
	if err != nil || !bytes.Equal(got, []byte("content")) {
		t.Errorf("%q, %v", got, err)
	}
}

// A lock is the process's neighbours' business, too: another FS on the same
// directory does not get it.
func TestLinuxLockIsNotOfTheFS(t *testing.T) {
	root := t.TempDir()
	first, err := disk.NewLinux(root)
	must(t, err)
	defer first.Close()
	second, err := disk.NewLinux(root)
	must(t, err)
	defer second.Close()
	lock, err := first.Lock("lock")
	must(t, err)
	_, err = second.Lock("lock")
	want(t, "the other", err, disk.ErrLocked)
	must(t, lock.Close())
	lock, err = second.Lock("lock")
	must(t, err)
	must(t, lock.Close())
}

// BenchmarkLinuxOpen opens, stats and closes a file: what a GET pays.
func BenchmarkLinuxOpen(b *testing.B) {
	linux, err := disk.NewLinux(b.TempDir())
	must(b, err)
	defer linux.Close()
	must(b, create(b, linux, "f", []byte("x")).Close())
	b.ReportAllocs()
	for b.Loop() {
		file, err := linux.OpenFile("f", disk.ReadOnly, 0)
		must(b, err)
		must(b, file.Close())
	}
}
