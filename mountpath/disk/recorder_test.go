package disk_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/mountpath/disk"
)

// recordedOn puts a recorder around a filesystem, and returns the journal's path.
func recordedOn(t rapid.TB, dir string, fs disk.FS) (recorded disk.FS, journal string, recorder *disk.Recorder) {
	t.Helper()
	journal = filepath.Join(dir, "journal")
	recorder, err := disk.NewRecorder(journal)
	must(t, err)
	recorded, err = recorder.Disk("/d0", fs)
	must(t, err)
	return recorded, journal, recorder
}

// replayed does a journal up to a position; -1: all of it.
func replayed(t rapid.TB, journal string, to int64) *disk.Replay {
	t.Helper()
	replay, err := disk.NewReplay(journal, nil)
	must(t, err)
	if to < 0 {
		to = 1 << 62
	}
	must(t, replay.Advance(to))
	must(t, replay.Close())
	return replay
}

// sight is what a client of a filesystem sees: names, kinds, bytes, attributes, and
// which names are of one file.
func sight(t rapid.TB, fs disk.FS) map[string]string {
	t.Helper()
	seen := make(map[string]string)
	first := make(map[uint64]string)
	found := inodes(t, fs)
	for _, path := range slices.Sorted(maps.Keys(found)) {
		info, err := fs.Stat(path)
		must(t, err)
		if info.Dir {
			seen[path] = "a directory"
			continue
		}
		if first[found[path]] == "" {
			first[found[path]] = path
		}
		attribute, err := fs.GetAttr(path, "a")
		content := contentOf(t, fs, path)
		seen[path] = fmt.Sprintf("file %s, attribute %q %v, %d bytes %x", first[found[path]], attribute, err != nil, len(content), sha256.Sum256(content))
	}
	return seen
}

func sameSight(t rapid.TB, what string, want, got map[string]string) {
	t.Helper()
	if !maps.Equal(want, got) {
		t.Fatalf("%s:\nwant %q\ngot  %q", what, want, got)
	}
}

// scribbler does random things to a filesystem: whatever succeeds must be in the journal.
type scribbler struct {
	fs    disk.FS
	files []disk.File
	dirs  []disk.Dir
	done  int  // operations that changed something
	all   bool // it may sync everything, which takes a disk too long
}

func (s *scribbler) note(err error) {
	if err == nil {
		s.done++
	}
}

func (s *scribbler) step(t *rapid.T) {
	path := func(label string) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 2).Draw(t, label), "/")
	}
	if len(s.files) > 0 && rapid.IntRange(0, 2).Draw(t, "on a file") > 0 {
		s.onFile(t, s.files[rapid.IntRange(0, len(s.files)-1).Draw(t, "file")])
		return
	}
	if s.all && rapid.IntRange(0, 15).Draw(t, "all") == 0 {
		s.note(s.fs.SyncAll())
		return
	}
	switch rapid.IntRange(0, 11).Draw(t, "what") {
	case 0, 1, 2, 3:
		flag := rapid.SampledFrom([]int{os.O_RDWR | os.O_CREATE, os.O_RDWR | os.O_CREATE | os.O_TRUNC, os.O_WRONLY | os.O_CREATE | os.O_EXCL, os.O_RDONLY, os.O_RDWR}).Draw(t, "flag")
		file, err := s.fs.OpenFile(path("path"), flag, 0o600)
		if s.note(err); err == nil {
			s.files = append(s.files, file)
		}
	case 4, 5:
		s.note(s.fs.Mkdir(path("path"), 0o700))
	case 6:
		s.note(s.fs.Rename(path("from"), path("to")))
	case 7:
		s.note(s.fs.Link(path("from"), path("to")))
	case 8:
		s.note(s.fs.Remove(path("path")))
	case 9:
		s.note(s.fs.RemoveDir(path("path")))
	case 10:
		s.note(s.fs.SyncDir(rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "synced")))
	case 11:
		s.onDir(t, path)
	}
}

func (s *scribbler) onDir(t *rapid.T, path func(string) string) {
	if len(s.dirs) == 0 || rapid.IntRange(0, 3).Draw(t, "another") == 0 {
		dir, err := s.fs.OpenDir(rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "dir"))
		if err == nil {
			s.dirs = append(s.dirs, dir)
		}
		return
	}
	dir := s.dirs[rapid.IntRange(0, len(s.dirs)-1).Draw(t, "dir")]
	if rapid.Bool().Draw(t, "sync") {
		s.note(dir.Sync())
		return
	}
	s.note(dir.Receive(path("from"), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")))
}

func (s *scribbler) onFile(t *rapid.T, file disk.File) {
	data := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, rapid.SampledFrom([]int{1, 700, 4096, 9000}).Draw(t, "length"))
	offset := rapid.SampledFrom([]int64{0, 100, 4096, 300_000}).Draw(t, "offset")
	switch rapid.IntRange(0, 7).Draw(t, "how") {
	case 0, 1:
		_, err := file.WriteAt(data, offset)
		s.note(err)
	case 2:
		_, err := file.WriteDirect([][]byte{data, data[:1], nil, data}, offset)
		s.note(err)
	case 3:
		s.note(file.Truncate(offset + int64(len(data))/2))
	case 4:
		s.note(file.SetAttr("a", data[:min(len(data), 700)]))
	case 5:
		s.note(file.Sync())
	case 6:
		s.note(file.SyncData())
	case 7:
		i := slices.Index(s.files, file)
		s.note(file.Close())
		s.files = slices.Delete(s.files, i, i+1)
	}
}

func (s *scribbler) close() {
	for _, f := range s.files {
		f.Close()
	}
	for _, d := range s.dirs {
		d.Close()
	}
}

// What a journal says is what was done to the disk: played to its end it makes the same
// files, and copied into an empty directory they are the same again.
func TestReplayMakesWhatIsOnTheDisk(t *testing.T) {
	done := 0
	rapid.Check(t, func(t *rapid.T) {
		root, err := os.MkdirTemp("", "disk-recorder-")
		must(t, err)
		defer os.RemoveAll(root)
		for _, name := range []string{"disk", "copy"} {
			must(t, os.Mkdir(filepath.Join(root, name), 0o700))
		}
		linux, err := disk.NewLinux(filepath.Join(root, "disk"))
		must(t, err)
		defer linux.Close()
		fs, journal, recorder := recordedOn(t, root, linux)
		s := &scribbler{fs: fs}
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			s.step(t)
		}
		s.close()
		must(t, recorder.Close())
		done += s.done

		mem := replayed(t, journal, -1).Mountpaths()[0].Mem
		want := sight(t, linux)
		sameSight(t, "the replay", want, sight(t, mem))
		target, err := disk.NewLinux(filepath.Join(root, "copy"))
		must(t, err)
		defer target.Close()
		must(t, mem.CopyTo(target))
		sameSight(t, "the copy", want, sight(t, target))
	})
	if done < 100 {
		t.Errorf("only %d operations changed something: nothing was compared", done)
	}
}

// A power cut of a replay leaves what it leaves of the disk itself, after each
// operation: Mem is recorded, so that it can say what that is.
func TestReplayCrashesAsTheDiskDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root, err := os.MkdirTemp("", "disk-recorder-")
		must(t, err)
		defer os.RemoveAll(root)
		mem := disk.NewMem(1)
		fs, journal, recorder := recordedOn(t, root, mem)
		s := &scribbler{fs: fs, all: true}
		var positions []int64
		var want []map[string]string
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			s.step(t)
			info, err := os.Stat(journal)
			must(t, err)
			positions = append(positions, info.Size())
			want = append(want, sight(t, mem.Crash(disk.CrashPolicy{SyncedOnly: true})))
		}
		s.close()
		must(t, recorder.Close())
		replay, err := disk.NewReplay(journal, nil)
		must(t, err)
		for i, at := range positions {
			must(t, replay.Advance(at))
			sameSight(t, "what was synced", want[i], sight(t, replay.Crash(disk.CrashPolicy{SyncedOnly: true})[0].Mem))
		}
		must(t, replay.Close())
	})
}

// A sync that is under way when the power goes has made nothing durable yet, and what is
// written while it runs is not in it.
func TestReplayEndsSyncsWhereTheyEnded(t *testing.T) {
	mem := disk.NewMem(1)
	faulty := disk.NewFaulty(mem)
	fs, journal, recorder := recordedOn(t, t.TempDir(), faulty)
	file := create(t, fs, "f", []byte("old"))
	must(t, file.Sync())
	must(t, fs.SyncDir(""))
	write := func(text string) {
		_, err := file.WriteAt([]byte(text), 0)
		must(t, err)
	}
	write("new")
	gate := disk.NewGate()
	if _, err := faulty.Add(disk.Rule{Calls: []disk.Call{disk.CallSync}, Wait: gate.Wait, Times: 1}); err != nil {
		t.Fatal(err)
	}
	synced := make(chan error)
	go func() { synced <- file.Sync() }()
	<-gate.Reached()
	after := func() string {
		return string(contentOf(t, replayed(t, journal, -1).Crash(disk.CrashPolicy{SyncedOnly: true})[0].Mem, "f"))
	}
	if got := after(); got != "old" {
		t.Errorf("while the sync is under way a power cut leaves %q", got)
	}
	write("late")
	gate.Open()
	must(t, <-synced)
	if got := after(); got != "new" {
		t.Errorf("when the sync has ended a power cut leaves %q, want what there was when it began", got)
	}
	must(t, file.Sync())
	if got := after(); got != "late" {
		t.Errorf("after another sync a power cut leaves %q", got)
	}
	must(t, file.Close())
	must(t, recorder.Close())
	// Negative control: with chance, what the first sync had not made durable may be there.
	seen := make(map[string]bool)
	replay, err := disk.NewReplay(journal, nil)
	must(t, err)
	defer replay.Close()
	for to := int64(0); to < 1<<12; to++ {
		must(t, replay.Advance(to))
		for seed := range uint64(4) {
			for _, m := range replay.Crash(disk.CrashPolicy{Random: rand.New(rand.NewPCG(seed, 1))}) {
				if _, err := m.Mem.Stat("f"); err == nil {
					seen[string(contentOf(t, m.Mem, "f"))] = true
				}
			}
		}
	}
	for _, want := range []string{"old", "new", "late"} {
		if !seen[want] {
			t.Errorf("no power cut left %q: %v", want, seen)
		}
	}
}

// Of two syncs of a file at a time the one that began first has nothing to take back
// when it ends last; attributes are its own matter.
func TestReplayOfOverlappingSyncs(t *testing.T) {
	faulty := disk.NewFaulty(disk.NewMem(1))
	fs, journal, recorder := recordedOn(t, t.TempDir(), faulty)
	file := create(t, fs, "f", []byte("0"))
	must(t, file.Sync())
	must(t, fs.SyncDir(""))
	write := func(text string) {
		_, err := file.WriteAt([]byte(text), 0)
		must(t, err)
	}
	begin := func(call disk.Call, sync func() error) (end func()) {
		gate, ended := disk.NewGate(), make(chan error)
		if _, err := faulty.Add(disk.Rule{Calls: []disk.Call{call}, Wait: gate.Wait, Times: 1}); err != nil {
			t.Fatal(err)
		}
		go func() { ended <- sync() }()
		<-gate.Reached()
		return func() {
			gate.Open()
			must(t, <-ended)
		}
	}
	check := func(when, bytes, attribute string) {
		t.Helper()
		mem := replayed(t, journal, -1).Crash(disk.CrashPolicy{SyncedOnly: true})[0].Mem
		value, err := mem.GetAttr("f", "a")
		if got := string(contentOf(t, mem, "f")); got != bytes || string(value) != attribute {
			t.Errorf("%s: a power cut leaves %q, attribute %q (%v); want %q, %q", when, got, value, err, bytes, attribute)
		}
	}
	write("1")
	must(t, file.SetAttr("a", []byte("x")))
	endWhole := begin(disk.CallSync, file.Sync)
	write("2")
	endData := begin(disk.CallSyncData, file.SyncData)
	write("3")
	check("while both are under way", "0", "")
	endData()
	check("when the later one has ended", "2", "")
	endWhole()
	check("when both have ended", "2", "x")
	must(t, file.Close())
	must(t, recorder.Close())
}

// A kill may cut the last entry off. What is before it counts, and the position never
// leads beyond what there is.
func TestReplayOfACutJournal(t *testing.T) {
	dir := t.TempDir()
	fs, journal, recorder := recordedOn(t, dir, disk.NewMem(1))
	var names int
	const files = 6
	for i := range files {
		must(t, create(t, fs, fmt.Sprint("f", i), bytes.Repeat([]byte("x"), 30)).Close())
	}
	must(t, recorder.Close())
	whole, err := os.ReadFile(journal)
	must(t, err)
	for length := range len(whole) + 1 {
		path := filepath.Join(dir, "cut")
		must(t, os.WriteFile(path, whole[:length], 0o600))
		replay, err := disk.NewReplay(path, nil)
		if length < len("troupe journal 1\n") {
			if err == nil {
				t.Fatalf("%d bytes are a journal", length)
			}
			continue
		}
		must(t, err)
		must(t, replay.Advance(int64(len(whole))))
		if replay.Position() > int64(length) {
			t.Fatalf("of %d bytes the position is %d", length, replay.Position())
		}
		now := 0
		for _, m := range replay.Mountpaths() {
			now = len(inodes(t, m.Mem))
		}
		if now < names {
			t.Fatalf("%d bytes make %d files, fewer make %d", length, now, names)
		}
		names = now
		must(t, replay.Close())
	}
	if names != files {
		t.Errorf("all of it makes %d files", names)
	}
}

// A journal that is damaged, or of something else, is refused and does not panic.
func TestReplayRefusesDamage(t *testing.T) {
	dir := t.TempDir()
	fs, journal, recorder := recordedOn(t, dir, disk.NewMem(1))
	must(t, create(t, fs, "f", []byte("hello")).Close())
	must(t, fs.Rename("f", "g"))
	must(t, recorder.Close())
	whole, err := os.ReadFile(journal)
	must(t, err)
	refused := 0
	for at := range whole {
		for _, bit := range []byte{1, 0x10, 0x80} {
			damaged := slices.Clone(whole)
			damaged[at] ^= bit
			path := filepath.Join(dir, "damaged")
			must(t, os.WriteFile(path, damaged, 0o600))
			replay, err := disk.NewReplay(path, nil)
			if err == nil {
				err = replay.Advance(1 << 62)
				must(t, replay.Close())
			}
			if err != nil {
				refused++
			}
		}
	}
	if refused < len(whole) {
		t.Errorf("of %d damaged journals %d were refused", 3*len(whole), refused)
	}
}

// An operation that cannot be recorded fails, and so do all after it: a node whose journal
// has a gap acknowledges nothing.
func TestWhatIsNotRecordedFails(t *testing.T) {
	fs, _, recorder := recordedOn(t, t.TempDir(), disk.NewMem(1))
	file := create(t, fs, "f", []byte("hello"))
	must(t, recorder.Close())
	if _, err := file.WriteAt([]byte("x"), 0); err == nil {
		t.Error("a write that is not recorded succeeds")
	}
	if err := file.Sync(); err == nil {
		t.Error("a sync that is not recorded succeeds")
	}
	if err := fs.Rename("f", "g"); err == nil {
		t.Error("a rename that is not recorded succeeds")
	}
	if err := fs.SyncDir(""); err == nil {
		t.Error("a sync of a directory that is not recorded succeeds")
	}
	if _, err := disk.NewRecorder(filepath.Join(t.TempDir(), "no", "journal")); err == nil {
		t.Error("a journal is made in a directory that is not there")
	}
}

// Torn blocks have sectors of the new bytes and of the old ones, nothing else, and what was
// synced stays as it is; without Torn no block is mixed.
func TestTornSectors(t *testing.T) {
	mem := disk.NewMem(1)
	file := create(t, mem, "f", bytes.Repeat([]byte("o"), 8192))
	must(t, file.Sync())
	must(t, mem.SyncDir(""))
	_, err := file.WriteAt(bytes.Repeat([]byte("n"), 4096), 4096)
	must(t, err)
	mixed := map[bool]int{}
	for _, torn := range []bool{true, false} {
		for seed := range uint64(100) {
			after := contentOf(t, mem.Crash(disk.CrashPolicy{Random: rand.New(rand.NewPCG(seed, 9)), Torn: torn}), "f")
			if len(after) != 8192 || strings.Trim(string(after[:4096]), "o") != "" {
				t.Fatalf("seed %d: what was synced is %d bytes, or others", seed, len(after))
			}
			sectors := map[string]bool{}
			for at := 4096; at < 8192; at += 512 {
				sector := string(after[at : at+512])
				if sector != strings.Repeat("n", 512) && sector != strings.Repeat("o", 512) {
					t.Fatalf("seed %d: a sector is %q", seed, sector)
				}
				sectors[sector] = true
			}
			mixed[torn] += len(sectors) - 1
		}
	}
	if mixed[true] == 0 || mixed[false] != 0 {
		t.Errorf("mixed blocks: %d torn, %d not", mixed[true], mixed[false])
	}
}
