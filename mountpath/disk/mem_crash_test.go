package disk_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

// create makes a file with the content, or fails the test.
func create(t rapid.TB, fs disk.FS, path string, content []byte) disk.File {
	t.Helper()
	file, err := fs.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	_, err = file.WriteAt(content, 0)
	must(t, err)
	return file
}

func must(t rapid.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// contentOf returns a file's bytes.
func contentOf(t rapid.TB, fs disk.FS, path string) []byte {
	t.Helper()
	file, err := fs.OpenFile(path, disk.ReadOnly, 0)
	must(t, err)
	defer file.Close()
	info, err := file.Stat()
	must(t, err)
	content := make([]byte, info.Size)
	if len(content) > 0 {
		_, err = file.ReadAt(content, 0)
		must(t, err)
	}
	return content
}

// inodes returns the inode behind every path of a filesystem.
func inodes(t rapid.TB, fs disk.FS) map[string]uint64 {
	t.Helper()
	found := make(map[string]uint64)
	var visit func(path string)
	visit = func(path string) {
		must(t, fs.ReadDir(path, func(entry disk.Entry) bool {
			below := strings.TrimPrefix(path+"/"+entry.Name, "/")
			info, err := fs.Stat(below)
			must(t, err)
			found[below] = info.Inode
			if entry.Dir {
				visit(below)
			}
			return true
		}))
	}
	visit("")
	return found
}

// image returns all that can be seen of a filesystem: names, inodes, births,
// contents, attributes.
func image(t rapid.TB, fs disk.FS) map[string]string {
	t.Helper()
	seen := make(map[string]string)
	for path := range inodes(t, fs) {
		info, err := fs.Stat(path)
		must(t, err)
		line := fmt.Sprintf("inode %d, born %d, links %d", info.Inode, info.Birth, info.Links)
		if info.Regular {
			attribute, err := fs.GetAttr(path, "a")
			line += fmt.Sprintf(", attribute %q %v, bytes %q", attribute, err != nil, contentOf(t, fs, path))
		}
		seen[path] = line
	}
	return seen
}

// policies are the least that may survive, and chance from a few seeds.
func policies(seed uint64) []disk.CrashPolicy {
	list := []disk.CrashPolicy{{SyncedOnly: true}}
	for i := range uint64(4) {
		list = append(list, disk.CrashPolicy{Random: rand.New(rand.NewPCG(seed, i))})
	}
	return list
}

// historian works on three directories that never move and knows, for every
// name in them, which files it has stood for since its directory was last
// synced: a power cut leaves one of these.
type historian struct {
	t       *rapid.T
	mem     *disk.Mem
	history map[string][]uint64 // path: inodes, 0 for none; oldest first
	kept    map[uint64]bool     // files that were durable once and never removed, nor replaced
	files   int
}

func newHistorian(t *rapid.T) *historian {
	h := &historian{t: t, mem: disk.NewMem(1), history: make(map[string][]uint64), kept: make(map[uint64]bool)}
	for _, directory := range []string{"p", "q", "p/r"} {
		must(t, h.mem.Mkdir(directory, 0o700))
		for _, name := range []string{"a", "b", "c"} {
			h.history[directory+"/"+name] = []uint64{0}
		}
	}
	must(t, h.mem.SyncAll())
	return h
}

func (h *historian) path(label string) string {
	return rapid.SampledFrom(slices.Sorted(maps.Keys(h.history))).Draw(h.t, label)
}

func (h *historian) now(path string) uint64 {
	history := h.history[path]
	return history[len(history)-1]
}

func (h *historian) set(path string, inode uint64) {
	if old := h.now(path); old != 0 {
		delete(h.kept, old)
	}
	h.history[path] = append(h.history[path], inode)
}

func (h *historian) create(*rapid.T) {
	path := h.path("path")
	if h.now(path) != 0 {
		h.t.Skip("is there")
	}
	file := create(h.t, h.mem, path, []byte("content"))
	info, err := file.Stat()
	must(h.t, err)
	must(h.t, file.Close())
	h.set(path, info.Inode)
	h.files++
}

func (h *historian) remove(*rapid.T) {
	path := h.path("path")
	if h.now(path) == 0 {
		h.t.Skip("is not there")
	}
	must(h.t, h.mem.Remove(path))
	h.set(path, 0)
}

func (h *historian) rename(*rapid.T) {
	from, to := h.path("from"), h.path("to")
	moved := h.now(from)
	if moved == 0 || from == to {
		h.t.Skip("nothing to rename")
	}
	must(h.t, h.mem.Rename(from, to))
	kept := h.kept[moved]
	h.set(from, 0)
	h.set(to, moved)
	if kept {
		h.kept[moved] = true
	}
}

func (h *historian) sync(*rapid.T) {
	directory := rapid.SampledFrom([]string{"p", "q", "p/r"}).Draw(h.t, "directory")
	must(h.t, h.mem.SyncDir(directory))
	for path := range h.history {
		if path[:strings.LastIndexByte(path, '/')] == directory {
			inode := h.now(path)
			h.history[path] = []uint64{inode}
			if inode != 0 {
				h.kept[inode] = true
			}
		}
	}
}

func (h *historian) crash(*rapid.T) {
	before := image(h.t, h.mem)
	for _, policy := range policies(rapid.Uint64().Draw(h.t, "seed")) {
		after := h.mem.Crash(policy)
		found := inodes(h.t, after)
		names := make(map[uint64]int)
		for path, allowed := range h.history {
			if !slices.Contains(allowed, found[path]) {
				h.t.Fatalf("%s is inode %d after the crash; it was one of %d since its directory was synced", path, found[path], allowed)
			}
			names[found[path]]++
			delete(found, path)
		}
		for inode := range h.kept {
			if names[inode] == 0 {
				h.t.Fatalf("inode %d was durable and is gone: a rename was half done", inode)
			}
		}
		for inode, count := range names {
			if inode != 0 && count > 1 {
				h.t.Fatalf("inode %d has %d names: a rename was half done", inode, count)
			}
		}
		if len(found) != 3 {
			h.t.Fatalf("besides the files there is %v, want three directories", found)
		}
		// What is there after a crash is durable.
		again := after.Crash(policies(1)[1])
		if first, second := image(h.t, after), image(h.t, again); !maps.Equal(first, second) {
			h.t.Fatalf("a second crash changed\n%v\nto\n%v", first, second)
		}
	}
	if now := image(h.t, h.mem); !maps.Equal(before, now) {
		h.t.Fatalf("the crash changed what it was taken from:\n%v\n%v", before, now)
	}
}

// Names that were synced survive any power cut, others stand for something that
// they stood for since, and a rename is never half.
func TestCrashLeavesNamesOfTheirHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHistorian(t)
		t.Repeat(map[string]func(*rapid.T){
			"create": h.create, "createAgain": h.create, "remove": h.remove, "rename": h.rename, "renameAgain": h.rename,
			"sync": h.sync, "crash": h.crash,
		})
	})
}

// Directories that come, go and move leave a tree: every file that was durable
// and that nobody removed has exactly one name, whatever survived; and what a
// directory holds survives once it and all above it are synced.
func TestCrashLeavesATree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem := disk.NewMem(1)
		var durable []uint64
		for i := range 4 {
			path := fmt.Sprintf("d%d", i)
			must(t, mem.Mkdir(path, 0o700))
			file := create(t, mem, path+"/file", nil)
			info, err := file.Stat()
			must(t, err)
			durable = append(durable, info.Inode)
		}
		must(t, mem.SyncAll())

		name := rapid.SampledFrom([]string{"d0", "d1", "d2", "d3", "x", "y"})
		path := rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(name, 1, 3).Draw(t, "names"), "/")
		})
		file := rapid.Custom(func(t *rapid.T) string {
			return path.Draw(t, "directory") + rapid.SampledFrom([]string{"/file", "/f", "/g", "/h", "/i"}).Draw(t, "name")
		})
		isFile := func(path string) bool {
			info, err := mem.Stat(path)
			return err == nil && info.Regular
		}
		t.Repeat(map[string]func(*rapid.T){
			"mkdir":  func(t *rapid.T) { _ = mem.Mkdir(path.Draw(t, "path"), 0o700) },
			"mkdir2": func(t *rapid.T) { _ = mem.Mkdir(path.Draw(t, "path"), 0o700) },
			"rmdir":  func(t *rapid.T) { _ = mem.RemoveDir(path.Draw(t, "path")) },
			"move":   func(t *rapid.T) { _ = mem.Rename(path.Draw(t, "from"), path.Draw(t, "to")) },
			"move2":  func(t *rapid.T) { _ = mem.Rename(path.Draw(t, "from"), path.Draw(t, "to")) },
			"rename": func(t *rapid.T) {
				from, to := file.Draw(t, "from"), file.Draw(t, "to")
				if !isFile(to) { // none is ever replaced
					_ = mem.Rename(from, to)
				}
			},
			"renameAny": func(t *rapid.T) { // out of wherever it is
				all := slices.Sorted(maps.Keys(inodes(t, mem)))
				from, to := rapid.SampledFrom(all).Draw(t, "from"), file.Draw(t, "to")
				if isFile(from) && !isFile(to) {
					_ = mem.Rename(from, to)
				}
			},
			"sync": func(t *rapid.T) { _ = mem.SyncDir(path.Draw(t, "path")) },
			"syncUp": func(t *rapid.T) {
				directory := path.Draw(t, "path")
				var want []string
				if err := mem.ReadDir(directory, func(entry disk.Entry) bool {
					want = append(want, directory+"/"+entry.Name)
					return true
				}); err != nil {
					t.Skip("no such directory")
				}
				for up := directory; ; {
					must(t, mem.SyncDir(up))
					if up == "" {
						break
					}
					up = up[:max(0, strings.LastIndexByte(up, '/'))]
				}
				now := inodes(t, mem)
				for _, policy := range policies(rapid.Uint64().Draw(t, "seed")) {
					found := inodes(t, mem.Crash(policy))
					for _, path := range append(want, directory) {
						if found[path] != now[path] {
							t.Fatalf("%s was inode %d, synced with all above it, and is %d after the crash", path, now[path], found[path])
						}
					}
				}
			},
			"crash": func(t *rapid.T) {
				for i, policy := range policies(rapid.Uint64().Draw(t, "seed")) {
					names := make(map[uint64]int)
					for _, inode := range inodes(t, mem.Crash(policy)) { // ends only in a tree
						names[inode]++
					}
					for _, inode := range durable {
						if names[inode] != 1 {
							t.Fatalf("policy %d: inode %d has %d names", i, inode, names[inode])
						}
					}
				}
			},
		})
	})
}

// A name is durable when its directory was synced, also if what it came from
// was made in a directory that never was.
func TestCrashKeepsWhatARenameCameFrom(t *testing.T) {
	mem := disk.NewMem(1)
	must(t, mem.Mkdir("to", 0o700))
	must(t, mem.SyncAll())
	must(t, mem.Mkdir("work", 0o700))
	create(t, mem, "work/x", nil)
	must(t, mem.SyncDir("work")) // says nothing of work itself
	if found := inodes(t, mem.Crash(disk.CrashPolicy{SyncedOnly: true})); len(found) != 1 {
		t.Fatalf("the directory was never synced into its parent, and there is %v", found)
	}
	must(t, mem.Rename("work/x", "to/x"))
	must(t, mem.SyncDir("to"))
	found := inodes(t, mem.Crash(disk.CrashPolicy{SyncedOnly: true}))
	if found["to/x"] == 0 || found["work/x"] != 0 {
		t.Fatalf("after the directory that received the name was synced there is %v", found)
	}
}

// A directory that moved below another one after that had moved out of it: if
// only the later move survived, both would hang in the air, in a loop.
func TestCrashLeavesNoLoop(t *testing.T) {
	mem := disk.NewMem(1)
	must(t, mem.Mkdir("a", 0o700))
	must(t, mem.Mkdir("a/b", 0o700))
	must(t, mem.SyncAll())
	must(t, mem.Rename("a/b", "b"))
	must(t, mem.Rename("a", "b/a"))
	shapes := make(map[string]int)
	for seed := range uint64(300) {
		found := inodes(t, mem.Crash(disk.CrashPolicy{Random: rand.New(rand.NewPCG(seed, 0))}))
		shapes[strings.Join(slices.Sorted(maps.Keys(found)), " ")]++
	}
	for _, shape := range []string{"a a/b", "a b", "b b/a"} {
		if shapes[shape] == 0 {
			t.Errorf("%q never occurred", shape)
		}
		delete(shapes, shape)
	}
	if len(shapes) > 0 {
		t.Errorf("no moment of the past had %v", shapes)
	}
	// Syncing the directory that received the later move keeps both.
	must(t, mem.SyncDir("b"))
	if found := inodes(t, mem.Crash(disk.CrashPolicy{SyncedOnly: true})); found["b/a"] == 0 {
		t.Errorf("b was synced, and there is %v", found)
	}
}

// What a directory that is removed held is removed first: its removal never
// takes along what had moved out of it.
func TestCrashNeverRemovesAFullDirectory(t *testing.T) {
	mem := disk.NewMem(1)
	must(t, mem.Mkdir("d", 0o700))
	must(t, mem.Mkdir("e", 0o700))
	create(t, mem, "d/f", nil)
	must(t, mem.SyncAll())
	must(t, mem.Rename("d/f", "f"))
	must(t, mem.Rename("e", "d2"))
	must(t, mem.RemoveDir("d"))
	for seed := range uint64(300) {
		found := inodes(t, mem.Crash(disk.CrashPolicy{Random: rand.New(rand.NewPCG(seed, 0))}))
		if found["f"] == 0 && found["d/f"] == 0 {
			t.Fatalf("seed %d: the file is gone: %v", seed, found)
		}
	}
	must(t, mem.SyncDir(""))
	if found := inodes(t, mem.Crash(disk.CrashPolicy{SyncedOnly: true})); len(found) != 2 || found["f"] == 0 || found["d2"] == 0 {
		t.Errorf("the root was synced, and there is %v", found)
	}
}

// Memory stays bounded where nothing is ever synced: what is long past has
// happened, as the commits of a journal make it.
func TestCrashKeepsWhatIsLongPast(t *testing.T) {
	mem := disk.NewMem(1)
	create(t, mem, "first", nil)
	for range 1 << 15 {
		create(t, mem, "f", nil).Close()
		must(t, mem.Remove("f"))
	}
	found := inodes(t, mem.Crash(disk.CrashPolicy{SyncedOnly: true}))
	if found["first"] == 0 {
		t.Error("the oldest of 65,537 unsynced changes can still be lost")
	}
}

// Without this the tests above could pass on a Mem that never loses anything,
// or always everything: each fate of what was not synced must occur.
func TestCrashDoesLoseAndKeep(t *testing.T) {
	mem := disk.NewMem(1)
	old := bytes.Repeat([]byte{1}, 3*testBlock)
	for _, path := range []string{"removed", "from", "written", "cut", "attribute"} {
		must(t, create(t, mem, path, old).Close())
	}
	must(t, mem.SyncAll())

	create(t, mem, "created", nil)
	must(t, mem.Mkdir("made", 0o700))
	must(t, mem.Link("attribute", "linked"))
	must(t, mem.Remove("removed"))
	must(t, mem.Rename("from", "to"))
	create(t, mem, "written", bytes.Repeat([]byte{2}, 5*testBlock))
	cut := create(t, mem, "cut", old)
	must(t, cut.Truncate(100))
	attribute := create(t, mem, "attribute", old)
	must(t, attribute.SetAttr("a", []byte("1")))
	must(t, attribute.SyncData()) // covers no attribute

	fates := make(map[string]int)
	for seed := range uint64(200) {
		after := mem.Crash(disk.CrashPolicy{Random: rand.New(rand.NewPCG(seed, 0))})
		for _, path := range []string{"created", "made", "linked", "removed", "to"} {
			_, err := after.Stat(path)
			fates[fmt.Sprintf("%s there: %t", path, err == nil)]++
		}
		written := contentOf(t, after, "written")
		fates[fmt.Sprintf("written as long as before: %t", len(written) == len(old))]++
		fates[fmt.Sprintf("written in full: %t", len(written) == 5*testBlock)]++
		fates[fmt.Sprintf("written[0] new: %t", written[0] == 2)]++
		fates[fmt.Sprintf("blocks mixed: %t", written[0] != written[testBlock])]++
		if len(written) > 4*testBlock {
			fates[fmt.Sprintf("appended zeros: %t", written[4*testBlock] == 0)]++
		}
		fates[fmt.Sprintf("cut: %t", len(contentOf(t, after, "cut")) == 100)]++
		_, err := after.GetAttr("attribute", "a")
		fates[fmt.Sprintf("attribute there: %t", err == nil)]++
	}
	for fate := range fates {
		other := strings.NewReplacer("true", "false", "false", "true").Replace(fate)
		if fates[fate] < 10 || fates[other] < 10 {
			t.Errorf("%q happened %d times, %q %d times; want each at least 10 times of 200", fate, fates[fate], other, fates[other])
		}
	}
	t.Log(fates)
}

// Equal sources leave equal filesystems: a failure can be replayed from a seed.
func TestCrashReplays(t *testing.T) {
	mem := disk.NewMem(1)
	for i := range 50 {
		create(t, mem, fmt.Sprintf("f%d", i), bytes.Repeat([]byte{byte(i)}, 3*testBlock))
	}
	crash := func(seed uint64) map[string]string {
		return image(t, mem.Crash(disk.CrashPolicy{Random: rand.New(rand.NewPCG(seed, 0))}))
	}
	if !maps.Equal(crash(3), crash(3)) {
		t.Error("two crashes from one seed differ")
	}
	if maps.Equal(crash(3), crash(4)) {
		t.Error("two seeds leave the same, so the comparison says nothing")
	}
	if !maps.Equal(image(t, mem.Crash(disk.CrashPolicy{})), image(t, mem.Crash(disk.CrashPolicy{}))) {
		t.Error("two crashes without a source differ")
	}
}

// An observer can crash at every change, and each crash is of the state before
// that change.
func TestCrashAtEveryChange(t *testing.T) {
	mem := disk.NewMem(1)
	var left []int
	mem.OnOperation(func(operation disk.Operation) {
		if operation.Call.Changes() {
			left = append(left, len(inodes(t, mem.Crash(disk.CrashPolicy{SyncedOnly: true}))))
		}
	})
	create(t, mem, "a", nil)    // create and write
	must(t, mem.SyncDir(""))    // still 0 before it
	must(t, mem.Mkdir("d", 0))  // 1
	must(t, mem.SyncAll())      // 1
	must(t, mem.RemoveDir("d")) // 2
	mem.OnOperation(nil)        //
	must(t, mem.Mkdir("e", 0))  // unseen
	if want := []int{0, 0, 0, 1, 1, 2}; !slices.Equal(left, want) {
		t.Errorf("the crashes left %v names, want %v", left, want)
	}
	if mem.Changes() != 7 {
		t.Errorf("%d changes, want 7", mem.Changes())
	}
}

// BenchmarkCrash is one crash of a filesystem with 200 files of 64 KiB in ten
// directories, of which 20 have unsynced blocks.
func BenchmarkCrash(b *testing.B) {
	mem := disk.NewMem(1)
	content := bytes.Repeat([]byte{1}, 64<<10)
	for i := range 10 {
		directory := fmt.Sprintf("d%d", i)
		must(b, mem.Mkdir(directory, 0o700))
		for j := range 20 {
			must(b, create(b, mem, fmt.Sprintf("%s/f%d", directory, j), content).Close())
		}
	}
	must(b, mem.SyncAll())
	for i := range 10 {
		create(b, mem, fmt.Sprintf("d%d/f0", i), content[:20000])
		must(b, create(b, mem, fmt.Sprintf("d%d/new", i), content[:20000]).Close())
	}
	random := rand.New(rand.NewPCG(1, 1))
	b.Run("random", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			mem.Crash(disk.CrashPolicy{Random: random})
		}
	})
	b.Run("synced", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			mem.Crash(disk.CrashPolicy{SyncedOnly: true})
		}
	})
}
