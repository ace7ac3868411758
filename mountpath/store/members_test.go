package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/archive"
	"github.com/troupe-storage/troupe/objects/errs"
)

// anIndex is the index of a shard of so many members.
func anIndex(t *testing.T, payload objects.Generation, members int) ([]byte, archive.Stamp) {
	t.Helper()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, archive.Tar, archive.WriterOptions{Index: true})
	if err != nil {
		t.Fatal(err)
	}
	for n := range members {
		if err := w.Add(archive.Input{Name: fmt.Sprint("m", n), Size: 1, Body: bytes.NewReader([]byte("x"))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	stamp := archive.Stamp{Payload: payload, Size: int64(b.Len())}
	raw, err := w.Index(stamp)
	if err != nil {
		t.Fatal(err)
	}
	return raw, stamp
}

// An index goes with the payload that it is of: when that is written again or deleted, and
// when it is found damaged.
func TestMembersGoWithThePayload(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{})
	key := testKey("shard")
	keep := func(size int) archive.Stamp {
		t.Helper()
		k.putLarge("shard", size)
		meta, err := k.Head(key)
		if err != nil {
			t.Fatal(err)
		}
		raw, stamp := anIndex(t, meta.Payload, 5)
		if err := k.KeepMembers(key, meta.Payload, raw); err != nil {
			t.Fatal(err)
		}
		if index, n, err := k.ReadMembers(key, stamp, 1<<20); err != nil || index.Len() != 5 || n != int64(len(raw)) {
			t.Fatalf("%d: %v", n, err)
		}
		if _, _, err := k.ReadMembers(key, stamp, 10); !errors.Is(err, archive.ErrLimit) {
			t.Fatalf("one that is larger than it may be: %v", err)
		}
		return stamp
	}
	gone := func(what string, stamp archive.Stamp) {
		t.Helper()
		if _, _, err := k.ReadMembers(key, stamp, 1<<20); !errs.Is(errs.NotFound, err) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := k.mem.Stat(layout.MembersPath(stamp.Payload)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: its file: %v", what, err)
		}
	}
	first := keep(100 << 10)
	second := keep(200 << 10)
	if _, err := k.Reclaim(10); err != nil {
		t.Fatal(err)
	}
	gone("written again", first)
	if files, bytes := k.Members(); files != 1 || bytes == 0 {
		t.Errorf("%d files of %d bytes are left", files, bytes)
	}
	if _, _, err := k.Delete(key, objects.Conditions{}, objects.Origin{}); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Reclaim(10); err != nil {
		t.Fatal(err)
	}
	gone("deleted", second)
	third := keep(100 << 10)
	meta, err := k.Head(key)
	if err != nil {
		t.Fatal(err)
	}
	k.flipFile(payloadPath(key, meta), 5000)
	k.cycle()
	gone("damaged", third)
}

// tight is a filesystem that says how large it is.
type tight struct {
	disk.FS
	space disk.Space
}

// Space implements disk.FS.
func (f *tight) Space() (disk.Space, error) { return f.space, nil }

// Indexes take a hundredth of a mountpath, of which the oldest go; on one that is full there
// comes none, and nothing is the worse for it. An error of the disk leaves no half of one.
func TestMembersAreBounded(t *testing.T) {
	k := newKeptStore(t, HistoryLimits{})
	raw, _ := anIndex(t, objects.Generation{Seq: 1}, 200)
	small := &tight{FS: k.Store.fs, space: disk.Space{TotalBytes: uint64(100 * 4 * len(raw)), FreeBytes: uint64(100 * 4 * len(raw))}}
	k.Store.fs = small
	k.space.Store(&small.space)
	k.fullness.Store(uint32(Roomy))
	k.Store.reserve, k.memTableBytes = Reserve{Bytes: 1}, 0
	key := testKey("shard")
	for n := range uint64(10) {
		payload := objects.Generation{Seq: n + 1}
		own, _ := anIndex(t, payload, 200)
		if err := k.KeepMembers(key, payload, own); err != nil {
			t.Fatal(err)
		}
		if files, bytes := k.Members(); files > 4 || bytes > int64(4*len(raw)) {
			t.Fatalf("%d files of %d bytes", files, bytes)
		}
	}
	last, stamp := anIndex(t, objects.Generation{Seq: 10}, 200)
	if _, _, err := k.ReadMembers(key, stamp, 1<<20); err != nil {
		t.Errorf("the youngest: %v", err)
	}
	if _, err := k.mem.Stat(layout.MembersPath(objects.Generation{Seq: 1})); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the oldest: %v", err)
	}
	large, _ := anIndex(t, objects.Generation{Seq: 11}, 2000)
	if err := k.KeepMembers(key, objects.Generation{Seq: 11}, large); !errs.Is(errs.NoSpace, err) {
		t.Errorf("one that is larger than all may be: %v", err)
	}
	k.fullness.Store(uint32(Full))
	if err := k.KeepMembers(key, objects.Generation{Seq: 12}, last); !errs.Is(errs.NoSpace, err) {
		t.Errorf("a full mountpath: %v", err)
	}
	k.fullness.Store(uint32(Roomy))
	if _, _, err := k.ReadMembers(key, stamp, 1<<20); err != nil {
		t.Errorf("what was there before: %v", err)
	}
	faulty := disk.NewFaulty(small)
	k.Store.fs = faulty
	if _, err := faulty.Add(disk.Rule{Calls: []disk.Call{disk.CallWrite}, Err: syscall.ENOSPC}); err != nil {
		t.Fatal(err)
	}
	if err := k.KeepMembers(key, objects.Generation{Seq: 13}, last); !errs.Is(errs.NoSpace, err) {
		t.Errorf("no space: %v", err)
	}
	name := layout.MembersPath(objects.Generation{Seq: 13})
	for _, path := range []string{name, name + layout.MembersNext} {
		if _, err := k.mem.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", path, err)
		}
	}
}
