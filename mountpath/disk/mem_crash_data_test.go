package disk_test

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

// What fsync promises and fdatasync does not.
func TestCrashAndAttributes(t *testing.T) {
	mem := disk.NewMem(1)
	file := create(t, mem, "f", nil)
	must(t, mem.SyncDir(""))
	attribute := func() string {
		value, err := mem.Crash(disk.CrashPolicy{SyncedOnly: true}).GetAttr("f", "a")
		if err != nil {
			return "none"
		}
		return string(value)
	}
	steps := []struct {
		what string
		do   func() error
		left string
	}{
		{"set", func() error { return file.SetAttr("a", []byte("1")) }, "none"},
		{"fdatasync", file.SyncData, "none"},
		{"fsync", file.Sync, "1"},
		{"set again", func() error { return file.SetAttr("a", []byte("2")) }, "1"},
		{"sync all", mem.SyncAll, "2"},
	}
	for _, step := range steps {
		must(t, step.do())
		if got := attribute(); got != step.left {
			t.Errorf("after %s a crash leaves %s, want %s", step.what, got, step.left)
		}
	}
}

// writer keeps, per block of a file, every content since the last sync.
type writer struct {
	t       *rapid.T
	mem     *disk.Mem
	file    disk.File
	content []byte   // now
	since   [][]byte // each state since then, the synced one first
}

const testBlock = 4096

func blockOf(content []byte, index int) []byte {
	block := make([]byte, testBlock)
	if start := index * testBlock; start < len(content) {
		copy(block, content[start:])
	}
	return block
}

func (w *writer) wrote(content []byte) {
	w.content = content
	w.since = append(w.since, content)
}

func (w *writer) write(t *rapid.T) {
	at, length := rapid.IntRange(0, 5*testBlock).Draw(t, "offset"), rapid.SampledFrom([]int{1, 100, testBlock, 2 * testBlock}).Draw(t, "length")
	data := bytes.Repeat([]byte{rapid.ByteRange(1, 255).Draw(t, "byte")}, length)
	_, err := w.file.WriteAt(data, int64(at))
	must(t, err)
	next := slices.Clone(w.content)
	if missing := at + length - len(next); missing > 0 {
		next = append(next, make([]byte, missing)...)
	}
	copy(next[at:], data)
	w.wrote(next)
}

func (w *writer) truncate(t *rapid.T) {
	size := rapid.IntRange(0, 6*testBlock).Draw(t, "size")
	must(t, w.file.Truncate(int64(size)))
	next := make([]byte, size)
	copy(next, w.content)
	w.wrote(next)
}

func (w *writer) sync(t *rapid.T) {
	if rapid.Bool().Draw(t, "data only") {
		must(t, w.file.SyncData())
	} else {
		must(t, w.file.Sync())
	}
	w.since = [][]byte{w.content}
}

func (w *writer) crash(t *rapid.T) {
	for _, policy := range policies(rapid.Uint64().Draw(t, "seed")) {
		crashed := w.mem.Crash(policy)
		got := contentOf(t, crashed, "file")
		if policy.SyncedOnly && !bytes.Equal(got, w.since[0]) {
			t.Fatal("not what was synced")
		}
		shortest, longest := len(w.since[0]), len(w.since[0])
		for _, state := range w.since {
			shortest, longest = min(shortest, len(state)), max(longest, len(state))
		}
		if len(got) < shortest || len(got) > longest {
			t.Fatalf("%d bytes after the crash, want %d to %d", len(got), shortest, longest)
		}
		for index := 0; index*testBlock < len(got); index++ {
			have := blockOf(got, index)
			within := min(testBlock, len(got)-index*testBlock)
			if !slices.ContainsFunc(append([][]byte{nil}, w.since...), func(state []byte) bool {
				// nil: zeros, where the file was cut or has grown.
				if state == nil && index*testBlock < len(w.since[0]) && shortest > index*testBlock {
					return false
				}
				return bytes.Equal(have[:within], blockOf(state, index)[:within])
			}) && !w.cutWithin(have[:within], index) {
				t.Fatalf("block %d is neither old nor new nor zeros", index)
			}
		}
		// The image is one's own: writing to either leaves the other.
		other, err := crashed.OpenFile("file", os.O_RDWR, 0)
		must(t, err)
		_, err = other.WriteAt(bytes.Repeat([]byte{0xff}, 6*testBlock), 0)
		must(t, err)
		must(t, other.Sync())
	}
	if now := contentOf(t, w.mem, "file"); !bytes.Equal(now, w.content) {
		t.Fatal("a crash changed the bytes of what it was taken from")
	}
}

// cutWithin reports whether the block is an old one of which the end was cut.
func (w *writer) cutWithin(have []byte, index int) bool {
	for _, state := range w.since {
		for _, cut := range w.since {
			if len(cut) > index*testBlock && len(cut) < (index+1)*testBlock {
				want := blockOf(state[:min(len(state), len(cut))], index)
				if bytes.Equal(have, want[:len(have)]) {
					return true
				}
			}
		}
	}
	return false
}

// The bytes and the length of a file after a power cut are those of its last
// sync, or of what was written since, block by block.
func TestCrashLeavesBlocksOldOrNew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem := disk.NewMem(1)
		w := &writer{t: t, mem: mem, file: create(t, mem, "file", nil), since: [][]byte{nil}}
		must(t, mem.SyncAll())
		t.Repeat(map[string]func(*rapid.T){
			"write": w.write, "writeAgain": w.write, "truncate": w.truncate, "sync": w.sync, "crash": w.crash,
		})
	})
}
