package crash

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/index"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/model"
	"github.com/troupe-storage/troupe/test/soak"
)

// recordFlips is how many bits a run of make test flips in what a mountpath keeps
// beside payloads; as many in payloads, in test/node, make the 200 of the
// reliability table.
const recordFlips = 100

// flipsOfHistory is how many bits are flipped after one history, each alone.
const flipsOfHistory = 50

// A bit that flipped in the index, or in a document beside it, is found, or changes
// nothing that anybody is answered: the store does not open, or the read says that
// it is corrupt; what is answered without an error is right. Only what the log of
// the index holds after its last note of a sync may be taken for a torn write: a
// power cut leaves the same.
func TestFlippedBitsOfRecords(t *testing.T) {
	flips := recordFlips
	if testing.Short() || raceDetector {
		flips = 20
	}
	r := newFlipRun()
	defer r.close()
	for seed := uint64(1); r.flips < flips && !t.Failed(); seed++ {
		if err := r.history(seed); err != nil {
			t.Error(err)
		}
	}
	t.Log(r.summary())
	if r.found == 0 {
		t.Error("no flip was found: the check checks nothing")
	}
}

// TestFlippedBitsOfRecordsSoak is TestFlippedBitsOfRecords with 5,000 bits; as many
// in payloads make 10,000.
func TestFlippedBitsOfRecordsSoak(t *testing.T) {
	slice := soak.Begin(t, soak.Row{Name: "flips-records", Unit: "flipped bits of records", Goal: 5_000})
	r := newFlipRun()
	defer r.close()
	for slice.More() {
		before := r.flips
		if err := r.history(slice.Next()); err != nil {
			slice.Fail(err.Error())
		}
		slice.Add(int64(r.flips-before), slice.Next()+1)
	}
	slice.Count("found", int64(r.found))
	slice.Count("changed nothing", int64(r.harmless))
	slice.Count("in the end of the log, taken for a torn write", int64(r.torn))
	t.Log(r.summary())
}

// Negative control: where what is there is not what must be there, the check says so.
func TestFlippedBitsOfRecordsFindWhatIsWrong(t *testing.T) {
	r := newFlipRun()
	defer r.close()
	left, err := r.live(1)
	if err != nil {
		t.Fatal(err)
	}
	other, err := r.live(3)
	if err != nil {
		t.Fatal(err)
	}
	left.mem, left.start = other.mem, other.start
	if wrong, found, err := r.ask(left, left.mem); wrong == nil || found || err != nil {
		t.Errorf("what another history left was taken for this one's: %v, %t, %v", wrong, found, err)
	}
}

// flipRun flips bits in what histories left, and counts what came of it.
type flipRun struct {
	shared *index.Shared

	flips, found, harmless, torn int
	kinds                        map[string]int
}

func newFlipRun() *flipRun {
	return &flipRun{shared: index.NewShared(1<<20, 1), kinds: make(map[string]int)}
}

func (r *flipRun) close() { r.shared.Close() }

func (r *flipRun) summary() string {
	return fmt.Sprintf("%d bits flipped (%v): %d found, %d changed nothing, %d in the end of a log taken for a torn write; no wrong answer", r.flips, r.kinds, r.found, r.harmless, r.torn)
}

// remains is what a history left: a mountpath, and what it holds.
type remains struct {
	mem         *disk.Mem
	expectation *model.Expectation
	buckets     *bucketSet
	start       uint64
	inline      int
}

// history runs a history, and flips bits in what it left: cleanly closed, where
// tables hold everything, or cut off, where the log does.
func (r *flipRun) history(seed uint64) error {
	left, err := r.live(seed)
	if err != nil {
		return fmt.Errorf("history %d: %w", seed, err)
	}
	files, err := recordFiles(left.mem)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(seed, 6))
	kinds := slices.Sorted(maps.Keys(files))
	for range flipsOfHistory {
		kind := kinds[random.IntN(len(kinds))]
		file := files[kind][random.IntN(len(files[kind]))]
		bit := random.Int64N(8 * file.size)
		if err := r.flip(left, file.name, bit); err != nil {
			return fmt.Errorf("history %d, bit %d of byte %d of %d of %s: %w", seed, bit%8, bit/8, file.size, file.name, err)
		}
		r.kinds[kind]++
		r.flips++
	}
	return nil
}

// live runs the history.
func (r *flipRun) live(seed uint64) (*remains, error) {
	shape := shapeOf(seed)
	mem := disk.NewMem(seed)
	w := newWorld(seed, mem, &machine{shared: r.shared, inline: shape.inline})
	if err := format(mem); err != nil {
		return nil, err
	}
	if err := w.machine.open(); err != nil {
		return nil, err
	}
	x := newWriter(w, 0, 1)
	x.run(60)
	for _, p := range w.problems {
		return nil, errors.New(p)
	}
	left := &remains{mem: mem, buckets: w.buckets.Load(), inline: shape.inline, start: w.machine.start}
	left.expectation = w.model.Freeze(func() {
		if seed%2 == 0 {
			left.mem = mem.Crash(disk.CrashPolicy{SyncedOnly: true})
		}
	})
	if err := w.machine.store.Close(); err != nil {
		return nil, err
	}
	return left, left.mem.SyncAll() // copies of it are to have everything
}

// recordFile is a file that is no payload.
type recordFile struct {
	name string
	size int64
}

// recordFiles returns the files that hold something and are no payloads, by kind.
func recordFiles(fs disk.FS) (map[string][]recordFile, error) {
	files := make(map[string][]recordFile)
	var walk func(dir string) error
	walk = func(dir string) error {
		var entries []disk.Entry
		if err := fs.ReadDir(dir, func(e disk.Entry) bool { entries = append(entries, e); return true }); err != nil {
			return err
		}
		for _, e := range entries {
			at := path.Join(dir, e.Name)
			if e.Dir {
				if err := walk(at); err != nil {
					return err
				}
				continue
			}
			info, err := fs.Stat(at)
			if err != nil {
				return err
			}
			if kind := kindOfRecord(at); kind != "" && info.Size > 0 {
				files[kind] = append(files[kind], recordFile{at, info.Size})
			}
		}
		return nil
	}
	return files, walk(".troupe")
}

// kindOfRecord names the kind of a file; empty for payloads and locks.
func kindOfRecord(at string) string {
	base := path.Base(at)
	switch {
	case base == "LOCK" || base == "lock":
		return ""
	case strings.HasPrefix(at, ".troupe/index/"):
		if kind := path.Ext(base); kind != "" && !strings.HasPrefix(base, "marker") {
			return kind
		}
		kind, _, _ := strings.Cut(base, "-")
		return strings.TrimRight(kind, ".0123456789")
	case path.Ext(base) == ".json":
		return "documents"
	}
	return ""
}

// flip flips a bit in a copy of what is left, and asks the store for everything.
func (r *flipRun) flip(left *remains, file string, bit int64) error {
	mem := left.mem.Crash(disk.CrashPolicy{SyncedOnly: true})
	if err := invert(mem, file, bit); err != nil {
		return err
	}
	wrong, found, err := r.ask(left, mem)
	if err != nil {
		return err
	}
	if wrong != nil && path.Ext(file) == ".log" {
		synced, err := syncedOfLog(left.mem, file)
		if err != nil {
			return err
		}
		if bit/8 >= synced {
			r.torn++
			return nil
		}
		wrong = fmt.Errorf("%w; %d bytes of the log are noted as synced", wrong, synced)
	}
	switch {
	case found:
		r.found++
	case wrong == nil:
		r.harmless++
	}
	return wrong
}

// syncedOfLog returns how many bytes of a log its own chunks say were synced
// (pebble: record/record.go, "WAL sync chunk format").
func syncedOfLog(fs disk.FS, name string) (most int64, err error) {
	const block, header = 32 << 10, 19
	file, err := fs.OpenFile(name, disk.ReadOnly, 0)
	if err != nil {
		return 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	content, err := readAll(file, info.Size)
	number := binary.LittleEndian.Uint32(content[7:])
	for at := 0; at+header <= len(content); {
		if left := block - at%block; left < header {
			at += left
			continue
		}
		if binary.LittleEndian.Uint32(content[at+7:]) != number { // of the log that the file was before
			break
		}
		most = max(most, int64(binary.LittleEndian.Uint64(content[at+11:])))
		at += header + int(binary.LittleEndian.Uint16(content[at+4:]))
	}
	return most, errors.Join(err, file.Close())
}

func invert(fs disk.FS, name string, bit int64) error {
	file, err := fs.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	var b [1]byte
	_, err = file.ReadAt(b[:], bit/8)
	b[0] ^= 1 << (bit % 8)
	if err == nil {
		_, err = file.WriteAt(b[:], bit/8)
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// ask opens the store and reads every cell. found: something said that it is
// corrupt. wrong: something was answered, and is not so.
func (r *flipRun) ask(left *remains, mem *disk.Mem) (wrong error, found bool, err error) {
	m := &machine{fs: mem, shared: r.shared, inline: left.inline, start: left.start + 1, boot: "after the flip"}
	if err := m.open(); err != nil {
		return nil, true, nil // with whatever words: nothing is served
	}
	defer func() {
		if closed := m.store.Close(); closed != nil && !found {
			err = errors.Join(err, closed)
		}
	}()
	if left.buckets.dropping != nil {
		if err := m.store.DropBucket(*left.buckets.dropping); err != nil {
			return nil, true, nil
		}
	}
	have := make(map[model.Cell]*model.Value)
	silent := make(map[model.Cell]bool) // said that they are corrupt
	for _, b := range left.buckets.live {
		there := make(map[string]bool)
		for _, name := range names() {
			key := objects.Key{Bucket: b, Name: name}
			value, err := readObject(m.store, key)
			if err != nil {
				found, silent[model.Object(key)] = true, true
				continue
			}
			if value != nil {
				there[name] = true
				have[model.Object(key)] = value
			}
		}
		listed, err := m.store.List(store.ListRequest{Bucket: b, Limit: 1000})
		if err != nil {
			found = true
			continue
		}
		for _, e := range listed.Entries {
			if !there[e.Name] && !silent[model.Object(objects.Key{Bucket: b, Name: e.Name})] {
				return fmt.Errorf("%q is listed, and is not there", e.Name), found, nil
			}
			delete(there, e.Name)
		}
		for name := range there {
			return fmt.Errorf("%q is there, and is not listed", name), found, nil
		}
	}
	expectation := left.expectation.Without(func(cell model.Cell) bool {
		return silent[cell] || cell.Upload != "" || !slices.ContainsFunc(left.buckets.live, func(b objects.Bucket) bool { return b.ID == cell.Bucket })
	})
	for _, violation := range expectation.Check(have) {
		return violation, found, nil
	}
	return nil, found, nil
}
